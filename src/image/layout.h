/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where QEMU's RAM block lies in guest-physical memory. Private to image/.
 *
 * The block is contiguous in the file, but its upper part is moved to 4 GiB to leave room for
 * PCI. Where it is cut depends on the machine type and on `max-ram-below-4g`, which the stream
 * does not carry; so it is probed where the firmware left a trace, and computed otherwise.
 */
#ifndef IMAGE_LAYOUT_H
#define IMAGE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/map.h"
#include "image/ops.h"

struct ram_block {
	char name[256]; /* QEMU's RAMBlock id: "pc.ram" */
	uint64_t size;  /* bytes, a multiple of the page size */
};

/* Which of the blocks is the guest's RAM; several that could be are ERROR_UNSUPPORTED, none is ERROR_FORMAT. */
struct error *layout_find_ram(const struct ram_block *blocks, size_t n, size_t *ret) _must_check_;

/* Adds the regions of a RAM block of `size` bytes that is indexed in map->pages, for QEMU's `machine`. */
struct error *layout_split(const struct image_file *file, const char *machine, uint64_t size, struct image_map *map)
	_must_check_;

#endif
