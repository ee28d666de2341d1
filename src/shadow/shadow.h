/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM Shadow: an environment on the host that looks like the inside of the sleeping guest,
 * in which the guest's own, unmodified and hostile programs run.
 *
 * It refuses to write to the guest: the disk is the lower layer of an overlay, and every change
 * lands in the upper directories, in a file system of their own. It refuses everything that belongs to a
 * running guest: such requests are recorded as actions. See shadow/theory.h for the stages of
 * the sandbox and what each may and may not do.
 */
#ifndef SHADOW_SHADOW_H
#define SHADOW_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "changes/changes.h"
#include "disk/disk.h"
#include "guest/guest.h"

struct shadow;

/*
 * With less no program starts in a shadow: processes and descriptors of its own are there before, a process of
 * the guest has its pages, and a file system its tables.
 */
#define SHADOW_PROCESSES_MIN    8
#define SHADOW_MEMORY_MIN_BYTES (UINT64_C(16) << 20)
#define SHADOW_DISK_MIN_BYTES   (UINT64_C(16) << 20)
#define SHADOW_OPEN_FILES_MIN   128

/*
 * What everything in the shadow may use together. 0: a default that no honest upgrade of a whole system meets; other
 * numbers are those above at least.
 */
struct shadow_limits {
	uint64_t processes;    /* at the same time, threads too */
	uint64_t memory_bytes; /* of the host, page cache of its files and tmpfs contents included */
	uint64_t disk_bytes;   /* what all changes take on the host's disk */
	uint64_t open_files;   /* of one process */
};

/*
 * A file of the guest that its sleeping processes are in the middle of: one holds it open for writing or maps it shared
 * and writable. Strings are borrowed.
 */
struct shadow_live_file {
	const char *path;   /* as the guest's root sees it */
	uint64_t inode;     /* its number in its file system */
	const char *holder; /* "mariadbd (process 734)" */
	const char *mount;  /* the target of the disk's mount it lies on; NULL: not known, then the number has to do */
};

struct shadow_options {
	struct disk *disk;               /* borrowed */
	const char *layers_dir;          /* existing directory, 0700: what changes take lies on its file system */
	const char *run_dir;             /* existing directory, 0700, for mount points and sockets */
	const struct guest_uts *uts;     /* NULL: no memory image; the host's kernel release shows */
	const struct guest_clock *clock; /* NULL: no time namespace */
	const char *disk_name;           /* the guest's name for its disk; NULL: "vda" */
	/*
	 * The sleeping kernel, which /proc, /run and the answers to system calls come from; borrowed, used by nobody
	 * else while a program runs. NULL: no memory image; then /proc is that of the shadow's own processes.
	 */
	struct guest *guest;
	/*
	 * What is mounted where, of guest_mounts_visible(); the disk was opened with the same. NULL: asked of `guest`.
	 * Borrowed until shadow_create() returns.
	 */
	const struct guest_mount_list *mounts;
	const struct guest_task_list *processes; /* for is-active; NULL: nothing runs */
	struct shadow_limits limits;
	/* Whoever opens one of these for writing is noted in shadow_needs(); borrowed. */
	const struct shadow_live_file *live;
	size_t n_live;
	/* Calls that take a name away or give one are looked at as well, each at a price: to learn who makes them. */
	bool watch_names;
	/* Calls that the filter refuses are noted in shadow_needs() with who made them. Else nobody is told of them. */
	bool note_refusals;
	/* Maintainer scripts that are not to run, "PACKAGE.SCRIPT"; to dpkg they cannot be executed. Borrowed; may be
	 * NULL. */
	const char *const *refused_scripts;
	/*
	 * The changes stay in layers_dir, for trying things by hand; nothing then keeps them from filling its file
	 * system, which must be one that overlayfs can use (ext4, xfs, btrfs). Otherwise they end with the shadow.
	 */
	bool plain_layers;
};

struct error *shadow_create(const struct shadow_options *options, struct shadow **ret) _must_check_;

/* What the shadow's programs may reach. */
struct shadow_network {
	bool enabled;                   /* false: a network namespace with nothing in it */
	const char *const *allow_hosts; /* host names or addresses of sources and proxies that may be in private ranges;
					   NULL-terminated; may be NULL */
};

/* Who a program runs as: the guest's ids. */
struct shadow_user {
	uint32_t uid, gid;
	const uint32_t *groups; /* further ones */
	size_t n_groups;
};

/*
 * Who looks after a program that runs while nobody sits at its terminal: scripts of packages that do not end, and
 * programs that wait for input. `package` and `script` are whose it is; NULL: no package's. Nothing here is called
 * with the guest waiting for an answer of the shadow.
 */
struct shadow_attendant {
	void *data;
	uint64_t script_timeout_s; /* for each script of a package; 0: none */
	/* The script ran longer, and is killed when this returns, with everything it started. */
	void (*overdue)(void *data, const char *package, const char *script);
	/*
	 * Somebody waits for input. *ret: what is typed, to be freed, a few bytes; NULL: nothing: the script is killed,
	 * and to who is no script the input ends.
	 */
	struct error *(*question)(void *data, const char *package, const char *script, char **ret);
};

struct shadow_run_options {
	const char *const *argv;              /* NULL-terminated; argv[0] a path in the guest or found in its PATH */
	const char *const *env;               /* NULL-terminated NAME=VALUE, the whole environment */
	const struct shadow_network *network; /* NULL: none */
	const struct shadow_user *user;       /* NULL: the guest's root */
	const char *directory;                /* working directory; NULL: "/" */
	/*
	 * The program gets a pseudo terminal of the shadow's own, as its controlling terminal and its three standard
	 * streams, which is relayed between stdin_fd and output_fd. What of these is a terminal of the host's gives it
	 * its modes and its size; the one that is read is raw meanwhile, and restored on every return. A caller that
	 * can be killed restores it himself.
	 */
	bool terminal;
	int stdin_fd;                             /* 0: /dev/null */
	const struct shadow_attendant *attendant; /* instead of stdin_fd, and without a terminal; NULL: none */
	int output_fd;       /* standard output and error of the program; 0: dropped. Relayed, never the host's own
				descriptor. A reader who has gone is no error: the program learns it by its next write. */
	int error_fd;        /* standard error of the program, apart; 0: with its standard output */
	uint64_t output_max; /* bytes of its output; 0: no limit; with more, everything in it is killed */
	uint64_t timeout_s;  /* 0: no limit; afterwards everything in it is killed: ERROR_TIMEOUT */
};

/*
 * Runs one program as the guest's root until it and everything it started has ended (what is
 * left is killed). *ret_status: exit status, 128 + signal; 127 or 126 if there is no such program or it cannot be
 * started, 125 if its user or working directory cannot be had, which its standard error then tells. Errors are ours,
 * not the program's.
 */
struct error *shadow_run(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status) _must_check_;

/* The same with the output captured, at most 16 MiB (more is ERROR_FORMAT); NUL-terminated, owned by the caller. */
struct error *shadow_capture(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status,
			     char **ret_output) _must_check_;

/* The overlays, for changes_read(); borrowed, valid until shadow_destroy(). */
const struct change_layer *shadow_layers(const struct shadow *shadow, size_t *ret_n);

/* What all changes may take on the host's disk: shadow_options.limits, or its default. */
uint64_t shadow_disk_max(const struct shadow *shadow);

/* All that was written is there; to be called before the layers are read. Fails if the host ran out of space. */
struct error *shadow_settle(const struct shadow *shadow) _must_check_;

/* What was asked of the running system so far, in order; borrowed. */
const struct action_list *shadow_actions(const struct shadow *shadow);

/*
 * Appends what programs made, changed and removed below the guest's /run since the shadow was made, as actions that
 * come after the files. It is what was there when no program ran.
 */
struct error *shadow_runtime_actions(struct shadow *shadow, struct action_list *ret) _must_check_;

/* What a program in the shadow was after that only the running guest has. */
enum shadow_need_kind {
	SHADOW_NEED_LIVE = 1, /* a file of shadow_options.live, to write it, or to take or give it a name */
	SHADOW_NEED_LOG,      /* one of those that is a log: it may only have been written to at its end */
	SHADOW_NEED_DEVICE,   /* a block device, to write to it */
	SHADOW_NEED_EFI,      /* the EFI system partition */
	SHADOW_NEED_MODULE,   /* a module for the kernel out of a file that does not travel */
	SHADOW_NEED_REFUSED,  /* something else that was refused: of matter only to a script that fails then */
};

/* Noted once for each script and subject. */
struct shadow_need {
	enum shadow_need_kind kind;
	char *package, *script; /* whose it was; NULL: no package's, or not known */
	char *path;             /* the file, device or module; NULL: none */
	char *why;              /* for people: "writes /var/lib/x, which mariadbd (process 734) holds open" */
};

/* A maintainer script that dpkg started, or would have. */
struct shadow_script {
	char *package, *script;
	bool refused; /* one of shadow_options.refused_scripts */
};

/* Bounds of what a hostile guest may make us keep of these. */
#define SHADOW_NEEDS_MAX    1000
/* Of them, those of SHADOW_NEED_REFUSED. */
#define SHADOW_REFUSALS_MAX 900
#define SHADOW_SCRIPTS_MAX  20000

/* In the order they were noted, each script once; borrowed. */
const struct shadow_need *shadow_needs(const struct shadow *shadow, size_t *ret_n);
const struct shadow_script *shadow_scripts(const struct shadow *shadow, size_t *ret_n);

/* Removes what shadows of processes that were killed left on the host. */
void shadow_tidy_up(void);

/* Unmounts, and the changes are gone with it. */
void shadow_destroy(struct shadow *shadow);
DEFINE_CLEANUP(struct shadow *, shadow_destroy)

#endif
