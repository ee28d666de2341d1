/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places in the tree of all mounts, their paths, and what open and mapped files tell. Private to guest/.
 *
 * Paths are those that /proc shows (d_path()) to a reader with the root directory of the first process, unless said
 * otherwise. What they cost counts as effort of the walk at hand: see guest_effort().
 */
#ifndef GUEST_PATHS_H
#define GUEST_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/object.h"
#include "guest/path_text.h"

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
	struct member task_list, task_tgid, task_fs, fs_root; /* fs_root: in struct fs_struct */
	struct member namespace_operations, namespace_name;   /* in struct ns_common, struct proc_ns_operations */
	uint64_t name_functions[NAME_KIND_MAX];               /* addresses; 0: not in this kernel */
	struct place root;                                    /* of the first process; 0: unknown */
};
/* Borrowed from the guest, which keeps it. */
struct error *path_layout_get(struct guest *guest, const struct path_layout **ret) _must_check_;

/* The task of pid 1 (a struct task_struct). ERROR_NOT_FOUND: there is none. */
struct error *first_process(struct guest *guest, const struct path_layout *layout, uint64_t *ret) _must_check_;

/* A struct path at `address`. */
struct error *place_read(struct guest *guest, const struct path_layout *layout, struct gva address, struct place *ret)
	_must_check_;
/* The root directory of a task; 0: of the first process. ERROR_NOT_FOUND: the task has ended. */
struct error *place_of_root(struct guest *guest, const struct path_layout *layout, uint64_t task, struct place *ret)
	_must_check_;
/* Its path; malloc'd. NULL: it is named by a function that we do not know. */
struct error *place_path(struct guest *guest, const struct path_layout *layout, const struct place *place, char **ret)
	_must_check_;
/* Its path as seen from `root`; malloc'd. NULL: it is not below that root. */
struct error *place_path_from(struct guest *guest, const struct path_layout *layout, const struct place *place,
			      const struct place *root, char **ret) _must_check_;

/* The name of a dentry that was read (path_layout.dentry_span): *ret_size bytes, and a NUL behind them. */
struct error *dentry_name(struct guest *guest, const struct path_layout *layout, const struct object *dentry,
			  char ret[FILE_NAME_SIZE], size_t *ret_size) _must_check_;
/* The path of a dentry from its file system's root, with "//deleted" behind it if it has been unlinked; malloc'd. */
struct error *dentry_path(struct guest *guest, const struct path_layout *layout, uint64_t dentry, char **ret)
	_must_check_;
/* "mnt:[4026531841]": the namespace that an inode of nsfs stands for; malloc'd. */
struct error *namespace_text(struct guest *guest, const struct path_layout *layout, uint64_t inode, char **ret)
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
