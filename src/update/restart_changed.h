/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files an update takes away from those who use them: found by device and inode, as the mappings of a process
 * name them, and by path. Private to the room.
 */
#ifndef UPDATE_RESTART_CHANGED_H
#define UPDATE_RESTART_CHANGED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"

/* A device number as the guest's kernel has it in its super_block: what mappings and mounts show. */
struct restart_device {
	uint32_t major, minor; /* both 0: not known */
};

/* A regular file whose inode is no more at its path afterwards. */
struct restart_file {
	struct restart_device device;
	uint64_t inode;
	const char *path; /* as in struct change, of which it is borrowed */
	uint32_t next;    /* in its bucket, index + 1 */
	uint32_t seen_by; /* scratch of the walk: who was the last to be found using it */
};

struct restart_changed {
	struct restart_file *files;
	size_t n;
	uint32_t *buckets;  /* index + 1; 0: empty */
	size_t n_buckets;   /* a power of two */
	const char **paths; /* every path whose content, or existence, changes; sorted */
	size_t n_paths;
};

/*
 * `devices`: one for each layer of the changes. What was written again with the bytes it had keeps its inode when it
 * is applied, and is not among them. The list must outlive the set.
 */
struct error *restart_changed_init(const struct change_list *changes, const struct restart_device *devices,
				   size_t n_devices, struct restart_changed *ret) _must_check_;
void restart_changed_deinit(struct restart_changed *changed);

/* The file with this inode; NULL: the update leaves it alone. */
struct restart_file *restart_changed_inode(const struct restart_changed *changed, struct restart_device device,
					   uint64_t inode);

/* Whether what is at the path (relative to the guest's root) is another afterwards, or new, or gone. */
bool restart_changed_path(const struct restart_changed *changed, const char *path);

/* The paths below `directory` ("usr/lib/python3"): those from *ret_first on, as many as are returned. */
size_t restart_changed_below(const struct restart_changed *changed, const char *directory, const char *const **ret);

#endif
