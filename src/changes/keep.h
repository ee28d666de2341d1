/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the room: keep.c, what is written into the directory, and keep_tree.c, which walks the layers.
 */
#ifndef CHANGES_KEEP_H
#define CHANGES_KEEP_H

#include "changes/view.h"

/* One inode of an upper directory at `path`, relative to the directory `root_fd`. */
struct keep_place {
	int root_fd;
	const char *path;
};

/* Makes what `from` is, without its attributes: a directory, a copy of a file, a link, a node. A directory may be
 * there. */
struct error *keep_make(struct inode_place from, const struct stat *st, struct keep_place to) _must_check_;

/*
 * Owner, mode, times, extended attributes. Of overlayfs's own attributes, those with `prefix`, only the marks that say
 * something of the tree: opaque, redirect (below `target`, where the guest mounts the layer), whiteout. NULL: all
 * attributes are the guest's.
 */
struct error *keep_attributes(struct inode_place from, const struct stat *st, const char *prefix, const char *target,
			      struct keep_place to) _must_check_;

#endif
