/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merged view of an overlay, computed from its two directories as the kernel would: whiteouts
 * (device 0:0, or the extended attribute inside a directory marked for it), opaque directories,
 * redirects. So the overlay need not be mounted any more, and what is above stays told apart
 * from what is below.
 *
 * One difference from the kernel, on purpose: whiteouts and opaque marks that lie in the *lower*
 * tree are the guest's own files (its containers keep them) and are taken as such.
 */
#ifndef CHANGES_VIEW_H
#define CHANGES_VIEW_H

#include <stdbool.h>
#include <sys/stat.h>

#include "changes/changes.h"
#include "changes/inode.h"

/*
 * What is at one merged path. A directory can be in both trees; anything else is in one of them.
 * Paths are relative to the respective directory; owned.
 */
struct view_node {
	char *upper;          /* path in the upper directory, NULL if it is not there */
	char *lower;          /* path in the lower tree, NULL if it is not there; elsewhere if redirected */
	struct stat st;       /* of the one that shows: upper's if there is one */
	bool xattr_whiteouts; /* directory in upper: may hold whiteouts that are extended attributes */
};
void view_node_deinit(struct view_node *node);

/* The root of the overlay. */
struct error *view_root(const struct change_layer *layer, struct view_node *ret) _must_check_;

/* What `name` in the directory `parent` is; absent or whited out is success with *ret_exists false. */
struct error *view_child(const struct change_layer *layer, const struct view_node *parent, const char *name,
			 bool *ret_exists, struct view_node *ret) _must_check_;

/* The same for a whole merged path. */
struct error *view_lookup(const struct change_layer *layer, const char *path, bool *ret_exists, struct view_node *ret)
	_must_check_;

/* Where the node's own data and attributes are, and the prefix its private attributes have (NULL below). */
struct inode_place view_place(const struct change_layer *layer, const struct view_node *node);
const char *view_private_prefix(const struct change_layer *layer, const struct view_node *node);

/* "PARENT/NAME", or "NAME" in the root; NULL without memory. */
char *path_join(const char *parent, const char *name);

/* One of overlayfs's own attributes ("origin") of something in upper; -1 if absent. */
struct error *view_overlay_xattr(const struct change_layer *layer, const char *upper, const char *name, void *value,
				 size_t size, ssize_t *ret) _must_check_;

#endif
