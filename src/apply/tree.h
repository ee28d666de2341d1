/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's file tree as the helper sees it: every path is resolved beneath one root and
 * through no symlink, and each file system has one private directory, the stage, on which an
 * inode can be moved to and from any path of that file system by rename alone.
 */
#ifndef APPLY_TREE_H
#define APPLY_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* At the root of every mount concerned; 0700, root's. */
#define STAGE_NAME      ".ouassister"
/* Of the second of two chained updates. */
#define LATE_STAGE_NAME ".ouassister-late"

/* What statx says of a name. */
struct node {
	bool exists;     /* the rest is valid only if so */
	bool locked;     /* immutable or append-only */
	bool mount_root; /* something is mounted here */
	uint32_t mode, uid, gid, nlink;
	uint64_t inode, size, rdev;
	uint64_t device; /* st_dev */
	uint64_t mount;  /* mount id, 0 on kernels before 5.8 */
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
};

struct file_system {
	char *mount; /* its mount point, relative to the root; "" is the root itself */
	uint64_t device, mount_id;
	int root_fd;                      /* the mount point */
	int stage_fd;                     /* -1 until tree_make_stages() or tree_open_stages() */
	uint64_t need_bytes, need_inodes; /* of what will be staged there */
	uint64_t reserve_bytes;           /* more than STAGE_RESERVE_MIN that directories may grow by in the switch */
};

#define FILE_SYSTEMS_MAX 256

struct tree {
	int root_fd;
	const char *stage; /* the stages' name, STAGE_NAME or LATE_STAGE_NAME */
	char *root;        /* absolute path of the root in our own namespace, "" for "/" */
	struct node root_node;
	struct file_system *file_systems;
	size_t n_file_systems;
	/* The parent opened last: entries of one directory stand together in a payload. */
	char parent[PATH_MAX];
	int parent_fd;               /* O_PATH, -1 if none */
	uint32_t parent_file_system; /* UINT32_MAX: not looked up yet */
};

struct error *tree_open(const char *root, struct tree *ret) _must_check_;
void tree_close(struct tree *tree);

/*
 * Opens the directory that holds `path`. *ret_fd is the tree's own and lasts until the next
 * call; *ret_name points into `path` ("." for the root itself). ERROR_NOT_FOUND if there is no
 * such directory, ERROR_CONFLICT if a component is a symlink.
 */
struct error *tree_parent(struct tree *tree, const char *path, int *ret_fd, const char **ret_name) _must_check_;

/* To be called whenever a directory was moved: the parent opened last may no longer be at its path. */
void tree_forget_parent(struct tree *tree);

/* A name in a directory, not followed; AT_EMPTY_PATH for name "". Absent is success with exists = false. */
struct error *node_read(int directory, const char *name, const char *path, struct node *ret) _must_check_;
/* The same of a path of the tree; an absent parent is an absent path. */
struct error *tree_node(struct tree *tree, const char *path, struct node *ret) _must_check_;

/* Index of the file system that holds the names in the parent of `path`. */
struct error *tree_file_system(struct tree *tree, const char *path, uint32_t *ret) _must_check_;
/* Takes note of the mount point `mount` (relative to the root), as a journal names it. */
struct error *tree_add_mount(struct tree *tree, const char *mount) _must_check_;

/*
 * A file of a stage that holds STAGE_RESERVE_MIN bytes and what else the directories concerned may need to grow when
 * names move. It stays, like the old files, for going back.
 */
#define STAGE_RESERVE     "reserve"
#define STAGE_RESERVE_MIN (64 * 1024)

/* Makes the stages, which must be empty or absent, with their reserves; ERROR_CONFLICT if the name is somebody else's.
 */
struct error *tree_make_stages(struct tree *tree) _must_check_;
/* Opens those that are there; an absent one keeps stage_fd -1. */
struct error *tree_open_stages(struct tree *tree) _must_check_;
/*
 * Whether a call that failed with `*error` can be made once more, because the file system was full (no other error is
 * looked at) and the reserve of that stage is free now. Then *error is destroyed and NULL.
 */
bool stage_made_room(int stage_fd, struct error **error);
/* The same of a call that failed with `errnum`. */
bool stage_makes_room(int stage_fd, int errnum);
/* Removes them with all they hold. */
struct error *tree_remove_stages(struct tree *tree) _must_check_;
/* One syncfs for each. */
struct error *tree_sync(struct tree *tree) _must_check_;

/* ERROR_CONFLICT that names `path`: the guest is not as the payload expects. */
struct error *conflict(const char *path, const char *format, ...) _printf_(2, 3) _must_check_;

#endif
