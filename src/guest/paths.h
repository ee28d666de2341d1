/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of open files and directories as /proc shows them (d_path()) to a reader with the root directory of the first
 * process. Private to guest/.
 */
#ifndef GUEST_PATHS_H
#define GUEST_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/object.h"

/* A place in the tree of all mounts; addresses of a struct mount and a struct dentry. */
struct place {
	uint64_t mount, dentry;
};

/* File systems that are never mounted name their files by a function (dentry_operations.d_dname). */
enum name_kind {
	NAME_PATH,    /* none: the file has a path */
	NAME_PIPE,    /* pipe:[inode] */
	NAME_SOCKET,  /* socket:[inode] */
	NAME_ANON,    /* anon_inode:name */
	NAME_SIMPLE,  /* /name (deleted): memfd, System V shared memory, … */
	NAME_SPACE,   /* mnt:[inode] */
	NAME_PIDFD,   /* anon_inode:[pidfd] */
	NAME_UNKNOWN, /* one that we do not know */
	NAME_KIND_MAX,
};

struct path_layout {
	struct object_span file_span, dentry_span, mount_span, inode_span;
	struct member file_mount, file_dentry, file_inode, file_mode, file_flags, file_position;
	struct member path_mount, path_dentry; /* in struct path */
	struct member user_path;               /* in struct backing_file (6.7 and later) */
	struct member dentry_parent, dentry_name, dentry_length, dentry_inline, dentry_hashed, dentry_inode;
	struct member dentry_operations, dentry_super;
	struct member operations_name;                                               /* dentry_operations.d_dname */
	struct member mount_vfs, mount_parent, mount_point, mount_root, mount_super; /* in struct mount */
	struct member inode_number, inode_super, inode_private;
	struct member super_device;
	struct member namespace_operations, namespace_name; /* in struct ns_common, struct proc_ns_operations */
	uint64_t name_functions[NAME_KIND_MAX];             /* addresses; 0: not in this kernel */
	struct place root;                                  /* of the first process; 0: unknown */
};
struct error *path_layout_load(struct guest *guest, struct path_layout *ret) _must_check_;

/* A struct path at `address`. */
struct error *place_read(struct guest *guest, const struct path_layout *layout, struct gva address, struct place *ret)
	_must_check_;
/* Its path; malloc'd. NULL: it is named by a function that we do not know. */
struct error *place_path(struct guest *guest, const struct path_layout *layout, const struct place *place, char **ret)
	_must_check_;
/* The path of the open file (a struct file); malloc'd, NULL as above. */
struct error *file_path(struct guest *guest, const struct path_layout *layout, struct gva file, char **ret)
	_must_check_;

/* What a struct file tells. */
struct file_facts {
	struct place place;
	uint64_t inode;    /* address of its struct inode */
	uint64_t number;   /* of that inode */
	uint64_t position; /* bytes */
	uint32_t flags;    /* O_* */
};
struct error *file_read(struct guest *guest, const struct path_layout *layout, uint64_t file, struct file_facts *ret)
	_must_check_;

/* What a mapping shows of its file. */
struct mapped_file {
	uint64_t inode;
	uint32_t major, minor; /* of its file system */
	struct place place;
};
/*
 * A mapping of a stacked file system's file has the file below in its place; from 6.7 on (def3ae83da02) the one the
 * user mapped is shown, before that the path of the upper with the inode of the lower one.
 */
struct error *mapped_file_read(struct guest *guest, const struct path_layout *layout, uint64_t file,
			       struct mapped_file *ret) _must_check_;

#endif
