/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an update is made of: an ordered list of changes to files, and a list of actions that
 * only a running guest can do. Plain data; this room neither mounts nor runs anything.
 *
 * A change list is flat: each entry touches one path. Carried out in order on the tree it was
 * computed from, it yields the merged view of the overlay:
 *   - a deleted or replaced directory appears as the deletion of everything below it, children
 *     first, then itself;
 *   - a directory comes before what it holds;
 *   - hard links (CHANGE_LINK) come after the name they refer to;
 *   - deletions that make room for something else come just before it, all others after every
 *     write and link, so that at no moment both the old and the new name of a file are missing;
 *   - CHANGE_ATTRIBUTES of directories that already existed come last, deepest first, because
 *     changing what is below a directory changes its times. A new directory's times are set at
 *     that point as well.
 */
#ifndef CHANGES_CHANGES_H
#define CHANGES_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/sha256.h"

enum change_kind {
	CHANGE_WRITE = 1, /* a regular file's whole content, new inode */
	CHANGE_DIRECTORY, /* a new directory, or one in place of something else */
	CHANGE_SYMLINK,
	CHANGE_FIFO,
	CHANGE_DEVICE,     /* character or block, by the type in attributes.mode */
	CHANGE_LINK,       /* another name for the file at `target` (a path like `path`) */
	CHANGE_ATTRIBUTES, /* mode, owner, mtime, xattrs of what is there; content unchanged */
	CHANGE_DELETE,     /* one name; a directory is empty by then */
};

struct change_xattr {
	char *name; /* as the guest names it: "user.x", "security.capability", "system.posix_acl_access" */
	void *value;
	size_t size;
};

/* As the guest sees them: its own ids, its own capabilities. */
struct change_attributes {
	uint32_t mode; /* st_mode: type and permissions */
	uint32_t uid, gid;
	int64_t mtime_s;
	uint32_t mtime_ns;           /* < 1e9 */
	struct change_xattr *xattrs; /* sorted by name */
	size_t n_xattrs;
};

/*
 * What is at the path before the first change of the list. Only the first change of a path has
 * one: if a directory is deleted to make room for a file, the DELETE has it and the WRITE says
 * that nothing exists; so does the late ATTRIBUTES of a new directory.
 */
struct change_preimage {
	bool exists; /* the rest is valid only if so */
	struct change_attributes attributes;
	uint64_t inode; /* st_ino in the guest's file system */
	uint64_t size;  /* regular files and symlinks: bytes */
	uint32_t nlink;
	int64_t ctime_s;
	uint32_t ctime_ns;
	uint64_t rdev;               /* devices */
	uint8_t sha256[SHA256_SIZE]; /* regular files: of the content */
	char *target;                /* symlinks */
};

struct change {
	enum change_kind kind;
	char *path; /* relative to the guest's root, no leading '/', no empty, "." or ".." component; "" is the root */
	struct change_attributes attributes; /* afterwards; not for DELETE; for LINK those of the target */
	uint64_t size;                       /* WRITE: bytes */
	uint8_t sha256[SHA256_SIZE];         /* WRITE: of the content */
	uint64_t rdev;                       /* DEVICE: as st_rdev of Linux x86-64 */
	char *target;                        /* SYMLINK: its text; LINK: the other path */
	unsigned layer;                      /* index of the layer that holds the content */
	struct change_preimage before;
};

struct change_list {
	struct change *items;
	size_t n;
};

/* Appends; takes ownership of what `change` points to, also on failure. Lists grow in no other way. */
struct error *change_list_append(struct change_list *list, struct change change) _must_check_;
void change_attributes_deinit(struct change_attributes *attributes);
void change_deinit(struct change *change);
void change_list_deinit(struct change_list *list);

/* One overlay: a file system of the guest and what was written over it. Descriptors are borrowed. */
struct change_layer {
	const char *target;       /* where the guest mounts it: "/", "/boot" */
	int lower_fd;             /* directory: the guest's own tree, read-only, showing the guest's ids */
	int upper_fd;             /* directory: the overlay's upper directory, showing the guest's ids */
	const char *xattr_prefix; /* "user.overlay." or "trusted.overlay." */
};

struct change_options {
	bool keep_caches; /* also carry apt's archives, lists and binary caches */
	const char *const
		*exclude; /* further absolute paths whose subtrees are not carried, NULL-terminated; may be NULL */
};

/*
 * Reads the upper directories into one list. Layers come parents first. Not carried: /run, /tmp,
 * /proc, /sys, /dev, package manager lock files, and (unless kept) apt's archives, lists and binary caches.
 * Needs CAP_SYS_ADMIN for trusted xattrs. An entry overlayfs should not have made is ERROR_FORMAT.
 */
struct error *changes_read(const struct change_layer *layers, size_t n_layers, const struct change_options *options,
			   struct change_list *ret) _must_check_;

/* Opens the content of a WRITE in its layer, or of the regular file an ATTRIBUTES leaves as it is. */
struct error *changes_open_content(const struct change_layer *layers, size_t n_layers, const struct change *change,
				   int *ret) _must_check_;

/*
 * Writes the layers into an empty directory that nobody else can enter, as the upper directory of one overlay over the
 * guest's whole tree: the guest's owners and modes, whiteouts, opaque marks and redirects ("trusted.overlay."), each
 * layer below its target. Unlike changes_read() it leaves nothing out. A failure leaves a part there.
 */
struct error *changes_keep(const struct change_layer *layers, size_t n_layers, int directory_fd) _must_check_;

/* Whether the directory's file system can hold that: ERROR_SYSTEM if not. */
struct error *changes_keep_probe(int directory_fd) _must_check_;

/* --- actions --- */

enum action_kind {
	ACTION_SYSTEMD = 1, /* a request to the service manager: verb ("restart") and unit */
	ACTION_COMMAND,     /* a program that could not run offline: argv */
};

/* Something only a running guest can do, in the order it was asked for. */
struct action {
	enum action_kind kind;
	char *verb;   /* SYSTEMD: "start", "stop", "restart", "try-restart", "reload", "reload-or-restart",
			 "daemon-reload", "daemon-reexec", … */
	char *unit;   /* SYSTEMD: unit name, NULL for daemon-reload and the like */
	char **argv;  /* COMMAND: NULL-terminated */
	char *origin; /* package or script it came from, NULL if not known */
};

struct action_list {
	struct action *items;
	size_t n;
};

/* Appends; takes ownership of what `action` points to, also on failure. */
struct error *action_list_append(struct action_list *list, struct action action) _must_check_;
void action_deinit(struct action *action);
void action_list_deinit(struct action_list *list);

/* One restart a unit, one daemon-reload before everything: what is left to do after an update that asked for `list`. */
struct error *action_list_coalesce(const struct action_list *list, struct action_list *ret) _must_check_;

#endif
