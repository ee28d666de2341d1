/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system whose ids are the guest's, shown with those of the host that stand for them: owners, the entries of
 * ACLs, the root of file capabilities. The kernel does this for file systems that it mounts (idmapped mounts), and for
 * FUSE only from Linux 6.12 on.
 */
#ifndef DISK_EXT4_SHIFT_H
#define DISK_EXT4_SHIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Id n below `count` is shown as base + n, any other as one that nobody in the guest has. count 0: as it is. */
struct shift {
	uint32_t base, count;
};

uint32_t shift_id(struct shift shift, uint32_t id);

/* The attribute `name` with the ids of the host. Its bytes are freed or handed on; 0 or an errno, and then freed. */
int shift_attribute(struct shift shift, const char *name, void **value, size_t *size);

#endif
