/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's update, from the sleeping VM to the open gate: the only room that knows the whole
 * sequence. It keeps one persisted state machine a VM (update/state.h) and drives the other
 * rooms; it prints nothing.
 */
#ifndef UPDATE_UPDATE_H
#define UPDATE_UPDATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "apply/report.h"
#include "base/error.h"
#include "guest/guest.h"
#include "image/image.h"
#include "shadow/shadow.h"

/* Where things are kept; absolute paths, borrowed. */
struct update_settings {
	const char *config_dir; /* VM files: NAME.vm */
	const char *state_dir;  /* one directory a VM: state, bundle, logs */
	const char *run_dir;    /* locks, sockets, mount points */
	bool disk_alone;        /* do not lay what only the sleeping guest's memory has over its disk */
	const char *sign_key;   /* PEM file of the key that signs bundles; NULL: as the VM file or config_dir says */
	/* Who reads the guest's file systems: a word that disk_way_parse() takes; NULL: as the VM file says, or
	 * "kernel". */
	const char *disk;
	const char *
		verify_key; /* PEM file, or directory of such, of the keys that bundles must be signed with; likewise */
};

/*
 * Every operation below takes the VM as the user wrote it: a path to a VM file, or the name of
 * one under config_dir. On success *ret is a JSON document with "version" and "vm"; the caller
 * owns it. doc/json.md lists the members.
 */

/* Puts the running VM to sleep: its memory into the VM file's "memory". */
struct error *update_suspend(const struct update_settings *settings, const char *vm, json_t **ret) _must_check_;

struct inspect_options {
	bool updates;               /* ask the guest's package manager, in the shadow, what its own lists offer */
	struct image_options image; /* what the VM's memory image cannot say of itself */
	struct guest_options guest;
};
struct error *update_inspect(const struct update_settings *settings, const char *vm,
			     const struct inspect_options *options, json_t **ret) _must_check_;

/* Where what the sleeping guest sees of its disks differs from what they have alone, journals replayed. */
struct error *update_diff_disk(const struct update_settings *settings, const char *vm, json_t **ret) _must_check_;

#define LIST_MAX 100000u /* entries that update_list() tells */
struct list_options {
	const char *const *paths; /* absolute, NULL-terminated */
	bool itself;              /* a directory itself, not what it holds */
};
/*
 * Files as the sleeping guest sees them, on its disk and in its memory; without a memory image on the disk alone.
 * ERROR_NOT_FOUND: there is no such file.
 */
struct error *update_list(const struct update_settings *settings, const char *vm, const struct list_options *options,
			  json_t **ret) _must_check_;

struct read_options {
	const char *path; /* absolute; NULL: */
	/* what a process has open, of guest_open_file(): its inode_address is that of the same image. Borrowed. */
	const struct guest_file *open_file;
	struct image_options image;
	struct guest_options guest;
};
/*
 * A file as the sleeping guest sees it. One that is open without a name is copied aside from ext4; of other file
 * systems only what the page cache has can be read. What it is of (a directory?) the caller looks at. Moves the process
 * into a mount namespace of its own.
 */
struct update_file;
struct error *update_file_open(const struct update_settings *settings, const char *vm,
			       const struct read_options *options, struct update_file **ret) _must_check_;
void update_file_close(struct update_file *file);
DEFINE_CLEANUP(struct update_file *, update_file_close)
/* As the guest's stat(2) has it; of a file found by its path. */
struct stat update_file_status(const struct update_file *file);
/* At most `size` bytes at `offset`; less only at the end. ERROR_NOT_FOUND: what the guest sees is not known. */
struct error *update_file_read(struct update_file *file, uint64_t offset, void *buffer, size_t size, size_t *ret)
	_must_check_;

/*
 * The same as update_inspect() of a memory image alone: no "vm", nothing of a disk. The text of os-release(5) gives the
 * system's name; NULL: memory does not have it.
 */
struct error *update_inspect_memory(struct guest *guest, const char *os_release, json_t **ret) _must_check_;

/*
 * The file with the memory of the sleeping VM, for those who read facts out of it; the caller frees it.
 * ERROR_BUSY: the VM runs. ERROR_CONFLICT: the image is spent. ERROR_NOT_FOUND: there is none.
 */
struct error *update_memory_path(const struct update_settings *settings, const char *vm, char **ret) _must_check_;

struct emulate_options {
	const char *const *command; /* what to run, NULL-terminated; NULL: the package manager's full upgrade */
	bool allow_remove;          /* the upgrade may remove packages */
	bool keep_caches;           /* the bundle carries the package manager's archives, lists and caches */
	bool network;               /* `command` has the network for all of its run */
	uint64_t timeout_s;         /* for each program run in the shadow; 0: none */
	uint64_t script_timeout_s;  /* for each script of a package; 0: none */
	/* "keep", "new", "ask", or a file of answers (update/conffiles.h); NULL: the VM file's word, or keep */
	const char *conffiles;
	bool one_bundle;     /* what takes effect only at the next boot is not left to a second update */
	bool keep_going;     /* what works is bundled although scripts of packages failed */
	const char *preseed; /* a file of debconf-set-selections(1); NULL: the VM file's word, or none */
	struct shadow_limits limits;
};
/*
 * Emulates the update and writes the bundle. ERROR_NOTHING: the guest is up to date; an older bundle stays.
 * ERROR_CONFLICT may come with a document: what somebody must decide first.
 */
struct error *update_emulate(const struct update_settings *settings, const char *vm,
			     const struct emulate_options *options, json_t **ret) _must_check_;

struct exec_options {
	const char *const *command; /* NULL-terminated, one word at least */
	const char *user;           /* "USER[:GROUP]", names or numbers of the guest's; NULL: root */
	const char *const *env;     /* NAME=VALUE, NULL-terminated, on top of what every program gets; may be NULL */
	const char *directory;      /* working directory; NULL: "/" */
	const char *keep_changes;   /* directory for what was written, absent or empty; NULL: none */
	bool network;
	bool terminal;    /* the program gets a pseudo terminal; see struct shadow_run_options for these four */
	const char *term; /* value of TERM with a terminal; NULL: "dumb" */
	int stdin_fd, output_fd, error_fd;
	uint64_t timeout_s; /* 0: none; afterwards ERROR_TIMEOUT */
	struct shadow_limits limits;
	struct image_options image; /* what the VM's memory image cannot say of itself */
	struct guest_options guest;
};
/*
 * Runs a program of the guest in a shadow that is thrown away. Several may run at the same time. Without a memory
 * image the disk is shown alone. *ret_status: the program's, as shadow_run() has it.
 */
struct error *update_exec(const struct update_settings *settings, const char *vm, const struct exec_options *options,
			  int *ret_status) _must_check_;

/* The bundle that waits. */
struct error *update_show(const struct update_settings *settings, const char *vm, json_t **ret) _must_check_;

/* What of the bundle's restart plan is carried out. What packages themselves asked for is done in any case. */
enum restart_mode {
	RESTART_SERVICES, /* what the plan's policy allows */
	RESTART_ALL,      /* also what it only reports, where that can be restarted at all */
	RESTART_NONE,
};

struct resume_options {
	enum restart_mode restart;
	bool reboot; /* into a kernel that came with the update, before the gate opens */
	/* How long the guest keeps the old files for `rollback`: "none", "12h", "7d"; NULL: the VM file's word, or 7d
	 */
	const char *keep;
	bool all_before_open;        /* the second of two chained updates comes before the gate opens as well */
	bool strict;                 /* an action that fails is a reason to roll back */
	bool verify_stat;            /* what was written is not read back from the guest's disk */
	uint64_t freeze_ms;          /* how long the guest's processes may stand still meanwhile; 0: they go on */
	bool without_update;         /* wake it as it is: a bundle that waits is removed */
	const char *running;         /* it was woken by somebody else from the image that was this file; NULL: by us */
	bool allow_device_nodes;     /* the bundle may have device nodes that are not harmless */
	uint64_t channel_timeout_ms; /* how long the guest may take to answer */
};
/* Wakes the VM behind the closed gate, applies, verifies, opens. Called again it continues where it was. */
struct error *update_resume(const struct update_settings *settings, const char *vm,
			    const struct resume_options *options, json_t **ret) _must_check_;

/* Undoes the last applied bundle in the running guest, where it was kept. */
struct error *update_rollback(const struct update_settings *settings, const char *vm, json_t **ret) _must_check_;

enum gate_action {
	GATE_SHOW,
	GATE_OPEN,
	GATE_CLOSE,
};
struct error *update_gate(const struct update_settings *settings, const char *vm, enum gate_action action, json_t **ret)
	_must_check_;

/* Where the VM stands; NULL: every VM that has a state. */
struct error *update_status(const struct update_settings *settings, const char *vm, json_t **ret) _must_check_;

/*
 * Removes what the process `pid`, which worked on the VM and was killed, left behind; ERROR_BUSY while another
 * works on it.
 */
struct error *update_tidy_up(const struct update_settings *settings, const char *vm, pid_t pid) _must_check_;

#endif
