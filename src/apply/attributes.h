/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owner, mode, extended attributes and time of an inode, set in the one order that keeps all of
 * them: a change of owner takes capabilities and set-id bits away, and everything changes times.
 */
#ifndef APPLY_ATTRIBUTES_H
#define APPLY_ATTRIBUTES_H

#include "apply/tree.h"
#include "bundle/payload.h"

/* Of a new regular file or directory that `fd` has open; only what differs from root's, `mode`. */
struct error *attributes_set_new(int fd, uint32_t mode, const struct change_attributes *to, const char *path)
	_must_check_;

/*
 * Of the inode `name` names in `directory`, which is not followed. `from` is what it has now:
 * what it shares with `to` is left alone, its xattrs that `to` lacks are removed. With `all`
 * nothing is believed to be as `from` says, but for the names of xattrs. `from` may be NULL.
 * `inode` is the number it must have (0: any, in a directory of our own): who may rename in the directory could put
 * a program of his own there, to be given to root with the set-id bit. ERROR_CONFLICT then, and at most a time is set.
 */
struct error *attributes_set(int directory, const char *name, uint64_t inode, const struct change_attributes *to,
			     const struct change_attributes *from, bool all, const char *path) _must_check_;

/* Only the modification time. */
struct error *attributes_set_time(int directory, const char *name, int64_t mtime_s, uint32_t mtime_ns, const char *path)
	_must_check_;

/*
 * NULL if the xattrs of `name` are those of `expected`; otherwise ERROR_CONFLICT. Names in the
 * "security." and "trusted." spaces that `expected` does not have are not looked at: the
 * guest's own labels are not part of an update.
 */
struct error *attributes_compare_xattrs(int directory, const char *name, const struct change_attributes *expected,
					const char *path) _must_check_;

#endif
