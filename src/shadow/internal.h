/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: what its files share. shadow/theory.h says who does what.
 */
#ifndef SHADOW_INTERNAL_H
#define SHADOW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "shadow/cgroup.h"
#include "shadow/dev.h"
#include "shadow/devices.h"
#include "shadow/mounts.h"
#include "shadow/shadow.h"
#include "shadow/sys.h"
#include "shadow/weaken.h"

/*
 * The guest's ids 0 .. SHADOW_ID_COUNT - 1 are the host's SHADOW_ID_BASE and up: above every
 * range that distributions hand out (systemd's containers end at 0x6fffffff), so that no
 * account of the host owns one. The ids behind the range are those of our own helpers.
 */
#define SHADOW_ID_BASE     (DEFENCE("ids") ? 0x80000000u : 0u)
#define SHADOW_ID_COUNT    0x40000000u
#define SHADOW_ID_WARDEN   (SHADOW_ID_BASE + SHADOW_ID_COUNT)
#define SHADOW_ID_MANAGER  (SHADOW_ID_WARDEN + 1)
#define SHADOW_ID_NETWORK  (SHADOW_ID_WARDEN + 2)
/* Owners of user namespaces: a host id for each process of ours, see userns_create(). */
#define SHADOW_ID_OWNERS   (SHADOW_ID_WARDEN + 0x10000u)

/* What a hostile guest may make us keep: actions of one shadow, and bytes of one unit name or verb. */
#define SHADOW_ACTIONS_MAX 10000
#define SHADOW_NAME_MAX    256

/* A directory of the host that the guest sees at `target`; parents first, [0] is "/". */
struct shadow_tree {
	const char *target;
	const char *lower;
	const char *uuid; /* of the file system; may be NULL */
	uint64_t start;   /* where the file system begins in the image, bytes; without an image of no meaning */
	/* As disk_mount has them: mounted wherever the guest's own table says. All zero: mounted at `target`. */
	const char *root;
	uint32_t major, minor;
	int shifted; /* a detached mount of `lower` with the ids of the host, borrowed; 0: the kernel can shift them */
};

/* One overlay. */
struct layer {
	char *target;
	char *lower;       /* the tree's path on the host */
	char *uuid;        /* may be NULL */
	char device[32];   /* the guest's name for what it lies on, "vda1"; "" if not known */
	char *lower_mount; /* where its idmapped view is mounted */
	int lower_fd;      /* the tree as it is: the guest's ids */
	int upper_fd;      /* the upper directory through an idmapped mount: the guest's ids */
	int upper_raw_fd;  /* the upper directory as the overlay sees it: shifted ids */
	int work_fd;
	dev_t overlay; /* the device number of the overlay, of whatever mount of it */
	/* Where the guest's own table decides what is seen where; stash is NULL otherwise. */
	char *stash;           /* where all of the overlay is mounted on the host, away from the guest */
	char *root;            /* which directory of the guest's file system it begins with */
	uint32_t major, minor; /* of that file system in the guest */
};

/* What programs of a run have called the system; "" for what they have not. */
struct shadow_names {
	char nodename[65], domainname[65];
};

/* Who was after what a moment ago (need.c). */
#define NEED_RECENT 64
struct need_recent {
	uint32_t pid; /* on the host; 0: free */
	uint32_t kind;
	uint64_t hash; /* of its path, or of what it was after */
};

struct shadow {
	char *run_dir, *layers_dir;
	char *root;                  /* where the merged tree is mounted: RUN_DIR/root */
	int user_ns;                 /* guest id n is SHADOW_ID_BASE + n */
	int init_fd;                 /* sealed memory file: the program that is pid 1 */
	struct shadow_limits limits; /* none is 0 */
	struct cgroup cgroup;
	bool has_store;            /* a file system of its own is mounted over layers_dir */
	uint64_t store_size;       /* its bytes */
	uint64_t store_used_bytes; /* of them, before the first program ran */
	struct devices devices;
	struct layer *layers;
	size_t n_layers;
	struct change_layer *views; /* n_layers; what shadow_layers() shows */
	bool has_uts;
	struct guest_uts uts;
	bool has_clock;
	int64_t monotonic_offset_ns, boottime_offset_ns; /* guest's clock less the host's */
	struct guest *guest;                             /* borrowed; NULL: no memory image */
	struct guest_task_list threads; /* every task of the guest, by pid; empty without a memory image */
	uint32_t highest_pid;           /* the highest number among them: the shadow's own are above; 0: none */
	const struct guest_task_list *processes; /* borrowed, may be NULL */
	/*
	 * What is mounted where in the guest, as far as a path can reach it; parents first. The last one whose target
	 * is the longest beginning of a path is the one it is on. n is 0: memory does not tell, or there is none.
	 */
	struct guest_mount_list mounts;
	struct mounted_tmpfs *tmpfs;
	size_t n_tmpfs;
	struct tmpfs_budget tmpfs_budget;
	char *own_run;           /* where memory tells no mounts: where /run, of all runs, is on the host */
	struct runtime *runtime; /* runtime.h; NULL: /run is no tmpfs of ours */
	struct usage *usages;    /* usage.h */
	size_t n_usages;
	char *dev; /* where the guest's /dev is on the host, whose nodes do not open; NULL: memory does not tell */
	char *sys; /* where the guest's /sys is on the host; NULL: memory does not tell */
	/* Shared with the server of /proc, which may write anything: shadow_name() reads it. */
	struct shadow_names *names;
	struct action_list actions;
	struct shadow_need *needs; /* need.h has these */
	struct need_recent recent[NEED_RECENT];
	size_t n_recent;
	struct shadow_script *scripts;
	size_t n_needs, n_scripts;
	const struct shadow_live_file **live; /* sorted by the last part of their paths */
	size_t n_live;
	bool watch_names, note_refusals;
	char **refused_scripts; /* NULL-terminated */
	unsigned n_unknown;     /* questions to the service manager without an answer, so far */
};

/* A copy of one of shadow->names, which ends. */
void shadow_name(const char shared[65], char ret[65]);

/*
 * shadow_create() over any directories; `options->disk` is ignored. The door for tests and tools.
 * `image`: the disk that the trees are of, a raw file, which the guest sees as block devices; NULL: none.
 */
struct error *shadow_create_from(const struct shadow_tree *trees, size_t n_trees, const char *image,
				 const struct shadow_options *options, struct shadow **ret) _must_check_;

/* --- userns.c --- */

/* Writes the one line of /proc/PID/NAME ("uid_map", "gid_map"): `count` ids from `inside` are those from `outside`. */
struct error *userns_write_map(pid_t pid, const char *name, uint32_t inside, uint32_t outside, uint32_t count)
	_must_check_;

/*
 * A user namespace in which ids inside .. inside + count - 1 are outside .. of the host, for users and groups;
 * nothing runs in it. Its owner is an id of its own: what the kernel counts for all of the namespace (inotify
 * instances and watches, processes) counts for that, and not for the host's root. `limits` of the whole; may be NULL.
 */
struct error *userns_create(uint32_t inside, uint32_t outside, uint32_t count, const struct shadow_limits *limits,
			    int *ret) _must_check_;

/* A detached copy of the mount at `path`, without the mounts below it, with ids shifted by `user_ns` and `attributes`
 * (MOUNT_ATTR_*) set. */
struct error *userns_idmapped_mount(const char *path, int user_ns, uint64_t attributes, int *ret) _must_check_;

/* --- layers.c --- */

struct error *layers_mount(struct shadow *shadow, const struct shadow_tree *trees, size_t n) _must_check_;
void layers_unmount(struct shadow *shadow);

/* --- filter.c --- */

/* Loads the system call filters into the calling thread; *ret_listener hands out the calls that are answered. */
struct error *filter_load(const struct shadow *shadow, int *ret_listener) _must_check_;

/* --- filter_answers.c --- */

struct error *filter_load_answers(const struct shadow *shadow, int *ret_listener) _must_check_;

/* The same list without answers and without starting programs, for our own helper processes. */
struct error *filter_load_helper(void) _must_check_;

/* --- answer.c --- */

struct answers;

/* What answers the calls of one run; `shadow` and `listener` are borrowed. */
struct error *answers_create(struct shadow *shadow, int listener, struct answers **ret) _must_check_;
void answers_destroy(struct answers *answers);

/* Writes down what programs have written to the guest's settings since the last time; before anything else is. */
void answers_collect(struct answers *answers);

/* Answers one waiting call. Failure means that the listener is of no further use. */
struct error *answers_serve(struct answers *answers) _must_check_;

/* --- pids.c --- */

/*
 * The next processes of the calling process's pid namespace get numbers above `highest`. Called by its first process,
 * with the rights of the host's root.
 */
struct error *pids_begin_above(uint32_t highest) _must_check_;

/*
 * For a parent of that first process, before it starts any other: makes the process that holds the guest's numbers, in
 * the namespace of its children; it has one of them itself. -1 with errno; ENOENT: there are none to hold.
 */
pid_t pids_fork_holder(const struct guest_task_list *tasks);
/* How many processes that takes on this host, at most; 0: the shadow's numbers do not come round. */
size_t pids_held_max(const struct guest_task_list *tasks, uint32_t highest);
/* In that process: holds the others while it lives. *ret: false if the shadow's numbers do not come round anyhow. */
struct error *pids_hold(const struct guest_task_list *tasks, uint32_t highest, bool *ret) _must_check_;

/* --- setup.c --- */

/* Where the manager process listens in the guest's tree. */
enum shadow_socket {
	SOCKET_PRIVATE, /* /run/systemd/private */
	SOCKET_BUS,     /* /run/dbus/system_bus_socket, if the guest has one */
	SOCKET_UDEV,    /* /run/udev/control, likewise; of packets */
	SOCKET_SYSLOG,  /* /run/systemd/journal/dev-log, where /dev/log leads; of datagrams, as the next */
	SOCKET_JOURNAL, /* /run/systemd/journal/socket */
	SHADOW_SOCKETS,
};

struct setup {
	const struct shadow *shadow;
	bool network;
	const int *sockets; /* unbound, SHADOW_SOCKETS of them; become those of enum shadow_socket */
	int fuse_fd;        /* what the server of /proc reads its questions from; -1: no memory image */
	int proc_socket;    /* takes a descriptor of the real procfs to the server */
};

/* Builds the tree of one run in the calling process's mount namespace and makes it the root. */
struct error *setup_root(const struct setup *setup) _must_check_;

/* --- network.c --- */

struct network;

/* A network namespace with a way out, see doc/security.md. */
struct error *network_start(const struct shadow_network *options, struct network **ret) _must_check_;
int network_namespace_fd(const struct network *network);
void network_stop(struct network *network);
DEFINE_CLEANUP(struct network *, network_stop)

/* --- manager.c --- */

struct manager_options {
	int listeners[SHADOW_SOCKETS];           /* -1: none */
	int record_fd;                           /* takes struct manager_record */
	int runner_fd;                           /* init's door: see init/init.c */
	const struct guest_task_list *processes; /* may be NULL */
};

enum manager_record_kind {
	RECORD_REQUEST = 1, /* to the service manager: verb, unit, words as options */
	RECORD_UNKNOWN,     /* a method without an answer: its name as verb, its interface as unit */
	RECORD_COMMAND,     /* to be run in the guest: words */
	RECORD_VALUE,       /* written to `path`: data */
	RECORD_CALLER,      /* to be run in the guest: the very words that the asker was started with */
};

#define RECORD_WORDS_MAX 64u

/* What the guest asked for, on its way from the manager or the server of /proc to us, which is answered by one byte. */
struct manager_record {
	uint32_t kind;              /* enum manager_record_kind */
	uint32_t pid;               /* of the process that asks; 0: not known */
	uint32_t depth;             /* of the pid namespace that counts so, below ours: 1 or 2 */
	uint32_t n_words;           /* NUL-terminated strings in data, at most RECORD_WORDS_MAX */
	uint32_t size;              /* bytes of data */
	char verb[SHADOW_NAME_MAX]; /* NUL-terminated */
	char unit[SHADOW_NAME_MAX]; /* NUL-terminated; empty: none */
	char path[512];             /* NUL-terminated */
	uint8_t data[ACTION_DATA_MAX];
};

/* Serves until it is killed. Runs in a process of its own, without privileges, with the guest's root as its root. */
struct error *manager_serve(const struct manager_options *options) _must_check_;

#endif
