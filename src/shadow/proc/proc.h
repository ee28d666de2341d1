/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: the guest's /proc, as texts. Each file is a function that writes what the sleeping
 * guest's own kernel would have written, from its memory; the tree and the FUSE server (server.c) know nothing of
 * their contents, and the texts nothing of FUSE.
 *
 * What memory cannot tell is absent, not invented: a writer that returns an error makes its file not exist. Guests
 * lie: every text is bounded by PROC_TEXT_MAX, whatever its writer does.
 *
 * To add a file: a writer in the .c file of its subject, one line in that file's table. The format of each is the
 * kernel's (fs/proc/ and net/ of its source, proc(5)); a difference between kernels is decided by what is in memory.
 */
#ifndef SHADOW_PROC_PROC_H
#define SHADOW_PROC_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "guest/guest.h"

/* Bytes of one file: kallsyms of a distribution's kernel takes 12 MiB. */
#define PROC_TEXT_MAX (UINT64_C(64) << 20)

/* What every writer is given. Built once a run, in the process that serves. */
struct proc_facts {
	struct guest *guest;                 /* borrowed, never NULL */
	const struct guest_task_list *tasks; /* every thread, by pid; borrowed */
	struct guest_uts uts;
	struct guest_clock clock;   /* when it was suspended */
	int64_t boottime_offset_ns; /* the guest's CLOCK_BOOTTIME less the host's: the guest's uptime goes on in the
				       shadow */
};

/* The guest's uptime now, in nanoseconds (CLOCK_BOOTTIME). */
uint64_t proc_uptime_ns(const struct proc_facts *facts);

/* The task of this number, a thread too; NULL: none. */
const struct guest_task *proc_find_task(const struct proc_facts *facts, uint32_t pid);

/*
 * What a writer makes of a list that its walk could not finish: of nothing the error that stopped it, so that the file
 * does not exist; else what there is, which a line of the log says. `error` is that of the walk.
 */
#define PROC_LIST(error, list) proc_list(error, &(list).incomplete, &(list).n)
struct error *proc_list(struct error *error, struct error **incomplete, const size_t *n) _must_check_;

/* A file of the whole system. */
struct proc_file {
	const char *path; /* below /proc: "net/tcp" */
	uint32_t mode;    /* permissions: 0444 */
	bool live;        /* changes while the shadow runs (uptime): written anew at each open; else once and kept */
	/* An error: the file does not exist, for memory does not tell it. Errors of `out` need not be looked at. */
	struct error *(*write)(const struct proc_facts *facts, FILE *out);
};

/* A file of one task, in /proc/PID and (but for process_only) in /proc/PID/task/TID. */
struct proc_task_file {
	const char *name;
	uint32_t mode;
	bool process_only; /* not in task/TID */
	bool thread_only;  /* only in task/TID */
	struct error *(*write)(const struct proc_facts *facts, const struct guest_task *task, FILE *out);
	/* For task/TID, where that differs: a process's counters are those of all its threads. NULL: the same. */
	struct error *(*write_thread)(const struct proc_facts *facts, const struct guest_task *task, FILE *out);
};

/* A symbolic link of one task: exe, cwd, root. ERROR_NOT_FOUND: as for a kernel thread's exe, reading it is ENOENT. */
struct proc_task_link {
	const char *name;
	struct error *(*read)(const struct proc_facts *facts, const struct guest_task *task, char **ret);
};

/* The tables, each in the file of its name, ended by a NULL name. */
extern const struct proc_file proc_system_files[];    /* system.c: version, uptime, stat, meminfo, … */
extern const struct proc_file proc_device_files[];    /* devices.c: partitions, diskstats, devices, interrupts, … */
extern const struct proc_file proc_net_files[];       /* net.c: those of the initial network namespace, "net/…" */
extern const struct proc_task_file proc_task_files[]; /* process.c: stat, status, cmdline, … */
extern const struct proc_task_link proc_task_links[]; /* process.c */

/*
 * One of /proc/PID/net: "tcp" of the network namespace of a task (guest_task.address; 0: of the initial one). The
 * names are those of proc_net_files, without "net/"; another one is ERROR_NOT_FOUND.
 */
struct error *proc_net_write(const struct proc_facts *facts, uint64_t task, const char *name, FILE *out) _must_check_;

/* ---- /proc/sys (sysctl.c) ---- */

/* A file or directory below /proc/sys. */
struct proc_sysctl {
	const char *name; /* "kernel/hostname" */
	/*
	 * S_IFDIR | 0555 or S_IFREG | permissions. Whoever lacks a bit is refused, root too: 0200 cannot be read and
	 * 0444 not be written by anybody.
	 */
	uint32_t mode;
	uint64_t size;                   /* bytes that a read gives */
	const struct guest_sysctl *file; /* what it is read from, for proc_sysctl_write(); NULL: a directory */
};
struct proc_sysctls;

/* Those that memory tells, read once. What cannot be read in the guest either (0200) is among them. */
struct error *proc_sysctls_create(const struct proc_facts *facts, struct proc_sysctls **ret) _must_check_;
void proc_sysctls_destroy(struct proc_sysctls *sysctls);
DEFINE_CLEANUP(struct proc_sysctls *, proc_sysctls_destroy)
/* By name; *ret_n of them, sorted as strcmp does: what is in a directory follows it, but not at once. Borrowed. */
const struct proc_sysctl *proc_sysctls_all(const struct proc_sysctls *sysctls, size_t *ret_n);
/* NULL: there is none. */
const struct proc_sysctl *proc_sysctls_find(const struct proc_sysctls *sysctls, const char *name);
/* What a read gives, to the newline. A random uuid is another one each time, as in the guest. */
void proc_sysctl_write(const struct proc_sysctl *sysctl, FILE *out);

/* fdinfo/N of the task. */
struct error *proc_write_fdinfo(const struct proc_facts *facts, const struct guest_task *task,
				const struct guest_fd *fd, FILE *out) _must_check_;

/*
 * The tables of mounts as the task sees them, whose paths are those below its root; NULL: pid 1. The shadow's own
 * processes are shown those of pid 1.
 */
struct error *proc_write_mountinfo(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
	_must_check_;
struct error *proc_write_mounts(const struct proc_facts *facts, const struct guest_task *task, FILE *out) _must_check_;
struct error *proc_write_mountstats(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
	_must_check_;

#endif
