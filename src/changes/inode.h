/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inode below a directory: found by a path that never follows a symbolic link nor leaves
 * the directory, and read into the plain types of changes.h.
 */
#ifndef CHANGES_INODE_H
#define CHANGES_INODE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "changes/changes.h"

/* Where an inode is: `path` relative to the directory `root_fd`, "" for that directory itself. Both borrowed. */
struct inode_place {
	int root_fd;
	const char *path;
	uint32_t acl_id_base; /* of struct change_layer, for what is in its upper directory */
};

/* openat2 below root_fd without following links; ERROR_NOT_FOUND if absent. O_CLOEXEC is added. */
struct error *inode_open(struct inode_place place, int flags, int *ret) _must_check_;

/* lstat; absent (also below something that is no directory) is success with *ret_exists false. */
struct error *inode_stat(struct inode_place place, bool *ret_exists, struct stat *ret) _must_check_;

/* Value of one extended attribute, at most `size` bytes; absent, or not supported there, is success with -1. */
struct error *inode_xattr(struct inode_place place, const char *name, void *value, size_t size, ssize_t *ret)
	_must_check_;

/*
 * Mode, owner, times, extended attributes. Names that begin with `private_prefix` are overlayfs's
 * own and left out, but for PREFIXoverlay.X, which is the guest's PREFIXX. NULL: all are the guest's.
 */
struct error *inode_attributes(struct inode_place place, const struct stat *st, const char *private_prefix,
			       struct change_attributes *ret) _must_check_;
bool attributes_equal(const struct change_attributes *a, const struct change_attributes *b);

/* Text of a symbolic link; owned by the caller. */
struct error *inode_target(struct inode_place place, const struct stat *st, char **ret) _must_check_;

/* SHA-256 of a regular file's content, which must have `size` bytes. */
struct error *inode_sha256(struct inode_place place, uint64_t size, uint8_t digest[SHA256_SIZE]) _must_check_;

/* All of what is there, with content hash and link text. Absent is success. */
struct error *inode_preimage(struct inode_place place, struct change_preimage *ret) _must_check_;
void change_preimage_deinit(struct change_preimage *preimage);

/* Names in a directory without "." and "..", sorted, as a NULL-terminated array the caller frees with names_free(). */
struct error *inode_names(struct inode_place place, char ***ret) _must_check_;
void names_free(char **names);
DEFINE_CLEANUP(char **, names_free)

#endif
