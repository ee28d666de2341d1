/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: system calls that are answered from the guest's memory instead of by the host's
 * kernel. A filter (filter_answers.c) stops those of answer_rules[], and only those; everything else runs in the kernel
 * at full speed. The caller sleeps until answers_serve() has called the rule's function.
 *
 * Every caller is hostile. What a function reads of it is bounded, opened before the request is checked to be still
 * waiting (a caller that was killed meanwhile may have left its pid to somebody else), and never believed. Nothing
 * here waits for the caller: no open of a fifo, no read of what it could hold back.
 *
 * To answer one more call: a function in the answer_*.c file of its subject, a line in answer_rules[] (answer.c), its
 * name in the list of allowed calls (filter.c), and a line in doc/shadow.md.
 */
#ifndef SHADOW_ANSWER_H
#define SHADOW_ANSWER_H

#include <limits.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sysinfo.h>

#include "shadow/internal.h"

/* One call that waits. */
struct answer_call {
	struct answers *answers;
	struct shadow *shadow;
	const struct seccomp_notif *request;
	const uint64_t *args; /* the six registers */
	int memory;           /* of the caller, answer_read()'s; -1: not open yet */
	int64_t value;        /* what the call returns where its function returns 0 */
	bool proceed;         /* the kernel does it after all, value and errno do not count */
	bool sent;            /* answered already, with a descriptor */
};

/* Returns 0 or the errno for the caller. */
typedef int answer_function(struct answer_call *call);

/* Which calls of its number the filter stops. */
enum answer_when {
	ANSWER_ALWAYS,
	ANSWER_PID,     /* the argument is a process or thread of the guest: 1 .. shadow.highest_pid */
	ANSWER_TARGET,  /* the same, or a process group of it, as kill(2) has them: -2 .. -highest_pid */
	ANSWER_WHO,     /* arguments 0 and 1 are (which, who); `which` is `user`, or `who` is in 1 .. highest_pid */
	ANSWER_DEVICE,  /* the argument is the mode of a device node */
	ANSWER_SOCKETS, /* a netlink socket for questions about sockets; where refusals are noted, every refused one */
	ANSWER_WRITER,  /* the argument is the flags of an open for writing of what may be there already */
};

struct answer_rule {
	int call; /* SYS_… */
	enum answer_when when;
	unsigned argument;
	unsigned user;    /* ANSWER_WHO: which number stands for all processes of a user */
	bool needs_guest; /* without a memory image the kernel does it */
	bool watch;       /* only where shadow.watch_names says so */
	bool notes;       /* always where shadow.note_refusals says so */
	bool only_notes;  /* and nowhere else */
	answer_function *function;
};

/* The table, n_answer_rules lines. */
extern const struct answer_rule answer_rules[];
extern const size_t n_answer_rules;

/* --- answer_caller.c: what is known of the one who calls --- */

/* All of `size` bytes from or to the caller's memory; EFAULT, or ESRCH if it is gone. */
int answer_read(struct answer_call *call, uint64_t address, void *buffer, size_t size);
int answer_write(struct answer_call *call, uint64_t address, const void *buffer, size_t size);
/* A string of at most size - 1 bytes; a longer one is `too_long`. */
int answer_read_string(struct answer_call *call, uint64_t address, char *buffer, size_t size, int too_long);

/* The caller's thread as the guest sees it. */
struct answer_caller {
	uint32_t uid, euid, fsuid; /* the guest's ids; UINT32_MAX: not one of them */
	uint32_t gid, egid, fsgid;
	uint32_t umask;
	uint64_t capabilities; /* effective */
};
int answer_caller(struct answer_call *call, struct answer_caller *ret);

/* Whether the caller is the guest's root or has the capability: the guest's kernel would let it. */
bool answer_capable(const struct answer_caller *caller, unsigned capability);

/* Opens a file of /proc/PID of the caller, which is still there; negative: none. */
int answer_open_proc(struct answer_call *call, const char *name, int flags);

/* A process or thread of the shadow, which may be gone by now. */
struct answer_process {
	uint32_t pid, tgid; /* in the shadow's pid namespace */
	uint32_t parent;    /* host's number of the process that started it */
};
/* By the host's number; false: it is gone, or not one of the shadow. */
bool answer_process_of(uint32_t host_pid, struct answer_process *ret);
/* By the shadow's number: a search through /proc. */
bool answer_process_find(uint32_t pid, struct answer_process *ret);

/* --- answer_path.c --- */

/*
 * Opens what a path of the caller names (from its descriptor `directory` or AT_FDCWD), as its root and its working
 * directory have it, with O_PATH: no fifo is waited for, no device opened. Links of /proc to open files are not
 * followed. -1: it cannot be found so; the kernel knows the right errno.
 */
int answer_open_path(struct answer_call *call, int directory, const char *path);

/*
 * The same where it is only to be learnt what a call is about. What is named below /proc is left out: the server of
 * /proc may be waiting until we have recorded something. `flags`: O_NOFOLLOW or 0.
 */
int answer_look_path(struct answer_call *call, int directory, const char *path, int flags);

/* The same of a path that begins with "/dev/"; a link that leads out of there (/dev/stderr) is not followed. */
int answer_look_device(struct answer_call *call, const char *path);

/*
 * The path of an open file in the shadow's tree, whatever root its holder has. False: it is in no tree a path leads
 * through (a pipe, a memory file).
 */
bool answer_path_of(int fd, char ret[PATH_MAX]);

/* --- answer_live.c --- */

/*
 * The live file that `fd`, opened with O_PATH for the call, is: by number and file system, and by name where `name` is
 * not NULL; NULL: none.
 */
const struct shadow_live_file *answer_live(struct answer_call *call, int fd, const char *name);

/* --- the guest's processes (answer_signal.c) --- */

/* The task of this number, a thread too; NULL: none. */
const struct guest_task *answer_task(const struct answer_call *call, uint32_t pid);

/* --- answer_sleep.c --- */

/*
 * The caller's signal to a process of the guest is the last action that was recorded: if it belongs to a package's
 * script, that waits for nothing.
 */
void answer_sleeps_note(struct answer_call *call);

/* --- answer_record.c --- */

/*
 * Writes the command down as an action; EPERM when there are too many. Words are copied; NULL ends them. `guest_pid`:
 * the process it is about, or 0.
 */
int answer_record(struct answer_call *call, const char *const *argv, uint32_t guest_pid);
/* The same for an action of another kind, of which everything is copied. */
int answer_record_action(struct answer_call *call, const struct action *words);

/* --- functions, by subject --- */

answer_function answer_uname, answer_sysinfo;                       /* answer_system.c */
answer_function answer_sched_getaffinity, answer_sched_setaffinity; /* answer_affinity.c */
answer_function answer_kill, answer_tkill, answer_tgkill;           /* answer_signal.c */
answer_function answer_rt_sigqueueinfo, answer_rt_tgsigqueueinfo;   /* the same */
answer_function answer_socket;                                      /* answer_socket.c */
/* answer_request.c */
answer_function answer_sethostname, answer_setdomainname, answer_init_module, answer_finit_module, answer_delete_module;
answer_function answer_syslog; /* answer_log.c */
/* answer_process.c */
answer_function answer_getpriority, answer_setpriority, answer_prlimit64, answer_ioprio_get, answer_ioprio_set;
answer_function answer_sched_getscheduler, answer_sched_setscheduler, answer_sched_getparam, answer_sched_setparam;
answer_function answer_sched_getattr, answer_sched_setattr, answer_sched_rr_get_interval;
answer_function answer_getpgid, answer_getsid, answer_capget;
answer_function answer_mount, answer_umount2, answer_swapon, answer_swapoff; /* answer_mount.c */
answer_function answer_open, answer_openat, answer_openat2, answer_creat;    /* answer_writer.c */
answer_function answer_sleep;                                                /* answer_sleep.c */
answer_function answer_execve;                                               /* answer_exec.c */
/* answer_names.c */
answer_function answer_unlink, answer_unlinkat, answer_rename, answer_renameat, answer_link, answer_linkat,
	answer_truncate;
answer_function answer_adjtimex;                             /* answer_clock.c */
answer_function answer_reboot;                               /* answer_left.c */
answer_function answer_mknod, answer_mknodat;                /* answer_device.c */
answer_function answer_statfs, answer_fstatfs, answer_ustat; /* answer_statfs.c */
answer_function answer_pidfd_open, answer_pidfd_send_signal; /* the same */

/* What the subjects keep from call to call, each its own; freed with struct answers. */
struct answer_affinities;
void answer_affinities_destroy(struct answer_affinities *affinities);
struct answer_writers;
void answer_writers_destroy(struct answer_writers *writers);
struct answer_sleeps;
void answer_sleeps_destroy(struct answer_sleeps *sleeps);
struct answer_pidfds;
void answer_pidfds_destroy(struct answer_pidfds *pidfds);

struct answers {
	struct shadow *shadow; /* borrowed */
	int listener;          /* borrowed */
	char *log;             /* the guest's kernel log as syslog(2) gives it; NULL: not asked for yet */
	size_t log_size;
	bool has_sysinfo;
	struct sysinfo sysinfo; /* at the suspend */
	struct answer_affinities *affinities;
	struct answer_pidfds *pidfds;
	struct answer_writers *writers;
	struct answer_sleeps *sleeps; /* NULL: no script has signalled a process of the guest */
};

/* The first process of the run: "what is left will be killed now". Known to init/init.c. */
#define ANSWER_REBOOT_LEFT 0x6f75616cu

#endif
