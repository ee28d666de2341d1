/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of Cloud Hypervisor is a directory: `memory-ranges` has the bytes of its memory,
 * `state.json` beside it their addresses. Private to image/.
 */
#ifndef IMAGE_CLOUD_HYPERVISOR_H
#define IMAGE_CLOUD_HYPERVISOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define CLOUD_HYPERVISOR_LAYOUT "cloud-hypervisor"
#define CLOUD_HYPERVISOR_MEMORY "memory-ranges"
#define CLOUD_HYPERVISOR_STATE  "state.json"

struct cloud_hypervisor_range {
	uint64_t start; /* guest-physical */
	uint64_t size;  /* bytes */
};

struct cloud_hypervisor_ranges {
	struct cloud_hypervisor_range *items; /* in the order of the file; owned */
	size_t n;
};

/* Reads the ranges out of the state.json beside the file `memory_path`. */
struct error *cloud_hypervisor_ranges_load(const char *memory_path, struct cloud_hypervisor_ranges *ret) _must_check_;
void cloud_hypervisor_ranges_deinit(struct cloud_hypervisor_ranges *ranges);

#endif
