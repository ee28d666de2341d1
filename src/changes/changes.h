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
#include <string.h>

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
	/*
	 * What ids in ACLs may still have too much in upper_fd, where the guest has none so high: Linux 6.1 shows the
	 * owner through an idmapped mount as the guest's, but was seen to leave the ids of an ACL as they are stored.
	 * 0: nothing.
	 */
	uint32_t acl_id_base;
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

/*
 * The second of two chained updates: `first` was read of the same layers earlier, `total` is what they hold now. Makes
 * of `total` what is still to do when all of `first` has been done: the pre-images are what that left, of which neither
 * change time nor, unless it was there before, inode is known. *ret_possible false: that cannot be said with what the
 * layers hold (a file of before is back, a directory changes places with something else); `total` is as it was.
 */
struct error *changes_subtract(const struct change_list *first, struct change_list *total, bool *ret_possible)
	_must_check_;

/* Opens the content of a WRITE in its layer, or of the regular file an ATTRIBUTES leaves as it is. */
struct error *changes_open_content(const struct change_layer *layers, size_t n_layers, const struct change *change,
				   int *ret) _must_check_;

/*
 * Opens what was at the path of a change before the update, below its layer; ERROR_NOT_FOUND if no regular file is
 * there.
 */
struct error *changes_open_before(const struct change_layer *layers, size_t n_layers, const struct change *change,
				  int *ret) _must_check_;

/*
 * Writes the layers into an empty directory that nobody else can enter, as the upper directory of one overlay over the
 * guest's whole tree: the guest's owners and modes, whiteouts, opaque marks and redirects ("trusted.overlay."), each
 * layer below its target. Unlike changes_read() it leaves nothing out. A failure leaves a part there.
 */
struct error *changes_keep(const struct change_layer *layers, size_t n_layers, int directory_fd) _must_check_;

/* Whether the directory's file system can hold that: ERROR_SYSTEM if not. */
struct error *changes_keep_probe(int directory_fd) _must_check_;

/*
 * Whether programs only ever add to the end of a file there, so that lines of the update and lines of the guest can
 * stand in one file. `path` with or without its leading '/'.
 */
static inline bool change_path_is_log(const char *path)
{
	return !strncmp(path + (*path == '/'), "var/log/", 8);
}

/* --- actions --- */

enum action_kind {
	ACTION_SYSTEMD = 1, /* a request to the service manager: verb, unit, options in argv */
	ACTION_COMMAND,     /* a program that could not run offline: argv; verb "daemon": it is to be left running;
			       "deferred": it runs a maintainer script that was put off: {"env", "NAME=VALUE" …, program,
			       …}, last of all, with time enough, and what it did is never undone */
	ACTION_SIGNAL,      /* to one process: pid, start_ns, signal, value */
	ACTION_WRITE,       /* bytes for a file below /proc/sys or /sys: path, data */
	ACTION_MODULE,      /* verb "load", argv {name, parameters…}, or "unload", argv {name} */
	ACTION_MOUNT,       /* verb "mount", path, argv {source, type, options}, flags as mount(2);
			       "umount", "swapon", "swapoff": path and flags as their calls */
	ACTION_RUNTIME,     /* what a script left below /run: path; argv {state before, state afterwards} as of
			       runtime_state_parse(); verb "write" (a file of `data`), "append" (`data` at its end),
			       "mkdir", "symlink", "attributes", "remove" */
};

/* When an action is done: what a package's prerm and preinst ask for comes before its files. */
enum action_phase {
	ACTION_AFTER = 0,
	ACTION_BEFORE,
};

/* Bytes of a WRITE: a page, what the kernel takes of one write to such a file. */
#define ACTION_DATA_MAX    4096

/* Bytes of a RUNTIME, and of a file below /run whose contents are compared: such files are a line or a page. */
#define ACTION_RUNTIME_MAX 65536

/* Something only a running guest can do. Members that a kind does not name are 0 or NULL. */
struct action {
	enum action_kind kind;
	enum action_phase phase;
	uint32_t order; /* 1, 2, … in the order they were asked for; 0: by no program of the guest */
	char *package;  /* whose script asked, NULL if not known */
	char *script;   /* "prerm", "postinst"; NULL: none, or not known */

	char *verb;        /* SYSTEMD: "start", "stop", "restart", "try-restart", "reload", "reload-or-restart",
			      "daemon-reload", "daemon-reexec", …; MODULE, MOUNT: see the kind */
	char *unit;        /* SYSTEMD: unit name, NULL for daemon-reload and the like */
	char **argv;       /* NULL-terminated; SYSTEMD: options ("--signal=HUP") or NULL */
	uint32_t pid;      /* SIGNAL: of a process, never 0; COMMAND: the process it is about, 0 if none … */
	uint64_t start_ns; /* … that began so long after the boot (CLOCK_BOOTTIME): another has the number by chance */
	int32_t signal;    /* 1 .. 64 */
	bool queued;       /* SIGNAL: with `value`, as sigqueue(3) */
	int32_t value;
	uint64_t flags; /* MOUNT */
	char *path;     /* WRITE, MOUNT, RUNTIME: absolute */
	uint8_t *data;  /* any bytes; WRITE: at most ACTION_DATA_MAX; RUNTIME: at most ACTION_RUNTIME_MAX */
	size_t size;
};

/* In the order it was asked for. */
struct action_list {
	struct action *items;
	size_t n;
};

/* Appends; takes ownership of what `action` points to, also on failure. */
struct error *action_list_append(struct action_list *list, struct action action) _must_check_;
void action_deinit(struct action *action);
void action_list_deinit(struct action_list *list);

/* *ret shares nothing with `action`. */
struct error *action_copy(const struct action *action, struct action *ret) _must_check_;

/* What is wrong with an action that came from outside, as a short text; NULL if nothing. */
const char *action_problem(const struct action *action);

/* Whether it runs a maintainer script that was put off. */
bool action_is_deferred(const struct action *action);

/* What is at a path below /run. */
enum runtime_type {
	RUNTIME_ABSENT,
	RUNTIME_FILE,
	RUNTIME_DIRECTORY,
	RUNTIME_SYMLINK,
	RUNTIME_OTHER, /* no action has it */
};

struct runtime_state {
	enum runtime_type type;
	uint32_t mode;               /* permissions, 07777; of files and directories */
	uint32_t uid, gid;           /* the guest's; not of what is absent */
	bool has_content;            /* of a file; false: its attributes alone are meant */
	uint64_t size;               /* bytes, at most ACTION_RUNTIME_MAX */
	uint8_t sha256[SHA256_SIZE]; /* of the content */
	const char *target;          /* of a link; borrowed */
};

/*
 * "absent", "file MODE UID GID", "file MODE UID GID SIZE SHA256", "directory MODE UID GID", "symlink UID GID TARGET",
 * and back. *ret borrows from `text`. False: it is none of these, in exactly this form.
 */
bool runtime_state_parse(const char *text, struct runtime_state *ret);
char *runtime_state_text(const struct runtime_state *state);

/* Whether what is there is what was meant; contents are compared if `meant` has them. */
bool runtime_state_equal(const struct runtime_state *is, const struct runtime_state *meant);

/* What is at a name, and what a file of at most ACTION_RUNTIME_MAX bytes holds. */
struct runtime_look {
	struct runtime_state state; /* with the ids as the kernel tells them */
	char *target;               /* of a link: what state.target borrows */
	uint8_t *content;           /* NULL: not asked for, or too large */
	uint64_t inode, size;
	int64_t ctime_s;
	uint32_t ctime_ns;
};

/* Follows no link. Nothing at the name is no error. */
struct error *runtime_look(int directory, const char *name, bool with_content, struct runtime_look *ret) _must_check_;
void runtime_look_deinit(struct runtime_look *look);
struct error *runtime_hash(const uint8_t *content, size_t size, uint8_t digest[SHA256_SIZE]) _must_check_;

/* What is wrong with a RUNTIME, as action_problem(). */
const char *runtime_problem(const struct action *action);

/*
 * Packages that failed while the update was emulated and stay as dpkg left them are told by a command that does
 * nothing:
 * {"true", ACTION_FAILED_PACKAGES, PACKAGE, …}. dpkg --audit may name them afterwards.
 */
#define ACTION_FAILED_PACKAGES "failed-packages:"

/* The word of a kind ("signal"), and back; NULL and 0 for what is none. */
const char *action_kind_word(enum action_kind kind);
enum action_kind action_kind_of(const char *word);

/*
 * How a user would spell it, for display: {"systemctl", "restart", "nginx.service"}, {"kill", "-HUP", "123"},
 * {"write", PATH, VALUE}; bytes of a value that are no text are shown as "?". Freed by action_words_free().
 */
struct error *action_words(const struct action *action, char ***ret) _must_check_;
void action_words_free(char **words);

/*
 * One restart a unit, one daemon-reload before everything: what is left to do after an update that asked for `list`.
 * The result has what comes before the files first. Coalescing it again changes nothing.
 */
struct error *action_list_coalesce(const struct action_list *list, struct action_list *ret) _must_check_;

#endif
