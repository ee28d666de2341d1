/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and threads of a sleeping guest, what they map and what they hold open. Included by guest/guest.h. */
#ifndef GUEST_PROCESS_H
#define GUEST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

/* Bytes of a process as they are; neither NUL-terminated nor text. */
struct guest_bytes {
	char *data; /* owned by what it is in; NULL: unknown (paged out, no memory of its own) */
	size_t size;
};

/* The numbers that /proc/PID/ns shows; 0: the kernel has no such namespace. */
struct guest_namespaces {
	uint32_t cgroup, ipc, mnt, net, pid, time, user, uts;
};

/* A task: a process (pid == tgid) or one of its other threads. Ids are those of the initial namespaces. */
struct guest_task {
	uint64_t address;                /* of its struct task_struct: what the other functions here take */
	uint32_t pid;                    /* of this task */
	uint32_t tgid;                   /* of its process */
	uint32_t ppid;                   /* tgid of its real parent; 0: none */
	uint32_t pgid, sid;              /* process group, session */
	uint32_t uid, euid, suid, fsuid; /* of its real credentials, as the initial user namespace numbers them */
	uint32_t gid, egid, sgid, fsgid;
	char state; /* as ps shows it: R S D T t X Z P I */
	bool kernel_thread;
	bool dumpable; /* has a mm of its own that may be looked at; false for kernel threads and zombies */
	uint32_t tty;  /* device number as /proc/PID/stat has it (tty_nr); 0: none */
	uint32_t n_threads;
	int32_t nice;
	uint64_t start_ns; /* since the guest's boot (CLOCK_BOOTTIME) */
	/* CPU time: of the thread, for a process of all its threads, ended ones included; divided as /proc does */
	uint64_t user_ns, system_ns;
	/* Bytes, as /proc/PID/stat has them (so without what CPUs have not yet added up); 0 for kernel threads. */
	uint64_t virtual_size, resident_size;
	char comm[64]; /* as /proc/PID/comm: for kernel workers longer than the 15 bytes that a task holds */
	/* As /proc/PID/cmdline: arguments, each ended by NUL; empty for kernel threads. Unknown if paged out. */
	struct guest_bytes cmdline;
	char *exe;    /* as readlink /proc/PID/exe; NULL: none or unknown */
	char *cgroup; /* path in the hierarchy that systemd manages (v2, or v1's named one):
			 "/system.slice/nginx.service" */
};

struct guest_task_list {
	struct guest_task *items; /* by pid */
	size_t n;
	struct error *incomplete; /* NULL: the walk went through; else what stopped it */
};

enum guest_task_which {
	GUEST_PROCESSES, /* thread group leaders only */
	GUEST_THREADS,   /* every task */
};
struct error *guest_tasks(struct guest *guest, enum guest_task_which which, struct guest_task_list *ret) _must_check_;
void guest_task_list_deinit(struct guest_task_list *list);
/* The task of this number; NULL: none. */
const struct guest_task *guest_task_list_find(const struct guest_task_list *list, uint32_t pid);

/* Of one task (guest_task.address). ERROR_NOT_FOUND: it has none. */
struct error *guest_task_environ(struct guest *guest, uint64_t task, struct guest_bytes *ret) _must_check_;
struct error *guest_task_namespaces(struct guest *guest, uint64_t task, struct guest_namespaces *ret) _must_check_;
/* As ioprio_get(2): class in bits 13 and up, level below. */
struct error *guest_task_io_priority(struct guest *guest, uint64_t task, uint32_t *ret) _must_check_;
/* Its working directory and root as the initial mount namespace's root sees them; malloc'd. */
struct error *guest_task_cwd(struct guest *guest, uint64_t task, char **ret) _must_check_;
struct error *guest_task_root(struct guest *guest, uint64_t task, char **ret) _must_check_;

/* A line of /proc/PID/maps. */
struct guest_map {
	uint64_t start, end; /* bytes, end exclusive */
	char perms[5];       /* "r-xp" */
	uint64_t flags;      /* VM_* */
	bool anonymous;      /* no file's, nor the kernel's own: heap, stack, … */
	bool kernel;         /* not of the process: [vsyscall] */
	uint64_t offset;     /* bytes in the file */
	uint32_t major, minor;
	uint64_t inode;
	uint64_t file; /* address of its struct file; 0: none */
	char *path; /* "/usr/lib/…", "… (deleted)", "[heap]", "[stack]", "[vdso]", "[anon:…]", "anon_inode:…"; "" for
		       none and for what is unknown; never NULL; owned */
};
struct guest_map_list {
	struct guest_map *items; /* by address */
	size_t n;
	struct error *incomplete;
};
struct error *guest_task_maps(struct guest *guest, uint64_t task, struct guest_map_list *ret) _must_check_;
void guest_map_list_deinit(struct guest_map_list *list);

/* An open file descriptor. */
struct guest_fd {
	uint32_t fd;
	uint32_t flags; /* file.f_flags: O_* as Linux on x86 has them */
	bool close_on_exec;
	uint64_t position; /* bytes */
	uint64_t inode;
	uint64_t file; /* address of its struct file: sockets are found by it */
	char *path;    /* as readlink /proc/PID/fd/N: "/dev/null", "socket:[123]", "pipe:[5]"; NULL: unknown; owned */
};
struct guest_fd_list {
	struct guest_fd *items; /* by number */
	size_t n;
	struct error *incomplete;
};
struct error *guest_task_fds(struct guest *guest, uint64_t task, struct guest_fd_list *ret) _must_check_;
void guest_fd_list_deinit(struct guest_fd_list *list);

#endif
