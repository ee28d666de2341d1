/* SPDX-License-Identifier: Apache-2.0 */
/* The trees of sysfs and of control groups as a sleeping guest's kernel has them. Included by guest/guest.h. */
#ifndef GUEST_KERNFS_H
#define GUEST_KERNFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

#define GUEST_KERNFS_NONE UINT32_MAX
#define GUEST_KERNFS_MAX  400000u /* nodes of one tree: a large host has some hundred thousand */

struct guest_kernfs_node {
	uint32_t parent; /* index; it comes before; 0: the root, the first, is its own */
	uint32_t target; /* of a link: index; GUEST_KERNFS_NONE: it is no link, or leads out of the tree */
	uint32_t mode;   /* type and permissions, as st_mode */
	char *name;      /* no "/", not "." or ".."; "" for the root; owned */
	uint64_t object; /* what the node stands for: of a directory of sysfs its kobject */
	uint64_t address;
};
struct guest_kernfs {
	struct guest_kernfs_node *items;
	size_t n;
	struct error *incomplete;
};
/*
 * The tree of the mounted file system with this device (guest_mount): of sysfs, cgroup or cgroup2, as its mount shows
 * it. Contents are made by the kernel when somebody reads them; see guest_sysfs_value(). ERROR_NOT_FOUND: no such file
 * system is mounted. ERROR_UNSUPPORTED: it is of another kind.
 */
struct error *guest_kernfs(struct guest *guest, uint32_t major, uint32_t minor, struct guest_kernfs *ret) _must_check_;
void guest_kernfs_deinit(struct guest_kernfs *tree);

/*
 * What a read of the file with this index in sysfs would give, newline included; malloc'd. ERROR_NOT_FOUND: memory does
 * not tell, or we do not know how.
 */
struct error *guest_sysfs_value(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
	_must_check_;

/* The same for a file of cgroup2, but for those that list processes. */
struct error *guest_cgroup_value(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
	_must_check_;

#endif
