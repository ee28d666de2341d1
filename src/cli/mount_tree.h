/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts in the order of a tree, as findmnt shows them. */
#ifndef CLI_MOUNT_TREE_H
#define CLI_MOUNT_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "guest/guest.h"

#define MOUNT_TREE_ROOT SIZE_MAX

struct mount_row {
	size_t mount;  /* index in the list */
	size_t parent; /* row of the mount it is mounted on, which comes before; MOUNT_TREE_ROOT: none */
	bool last;     /* no sibling follows */
};

/*
 * A row for each mount, malloc'd: children behind their parent, in the list's order. Whatever ids the
 * guest has, each mount comes once: one whose parent is not in the list, or itself, begins a tree.
 */
struct error *mount_tree(const struct guest_mount_list *list, struct mount_row **ret) _must_check_;

#endif
