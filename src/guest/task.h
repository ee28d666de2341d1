/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files about processes share: where the kernel keeps things. Private to guest/.
 *
 *   tasks (tasks.c)            the walk over processes and threads
 *   fields (task_fields.c)     what one task_struct tells
 *   comm (comm.c)              names of kernel threads and workers
 *   command (command.c)        command lines and environments, from the memory of the process
 *   namespaces (namespaces.c)  namespaces, working directory and root
 *   maps (maps.c), fds (fds.c)
 */
#ifndef GUEST_TASK_H
#define GUEST_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/internal.h"
#include "guest/object.h"
#include "guest/paths.h"

#define PF_WQ_WORKER UINT64_C(0x00000020)
#define PF_EXITING   UINT64_C(0x00000004)
#define PF_KTHREAD   UINT64_C(0x00200000)

/* CPU times: of a task, or of the threads of a process that have ended. */
struct times_members {
	struct member user, system, runtime; /* runtime: as the scheduler counts it */
	struct member last_user, last_system;
};

/* Each a structure of the kernel; the members are its, or of what is in it. */
struct task_members {
	struct object_span span;
	struct member tasks, thread_node, pid, tgid, parent, cred, signal, mm, flags, state, exit_state, static_prio;
	struct member start, comm, css_set, files, fs, nsproxy, thread_pid, kthread;
	struct times_members times;
};
struct signal_members {
	struct object_span span;
	struct member thread_head, n_threads, group, session, tty;
	struct times_members times;
};
struct cred_members {
	struct object_span span;
	struct member uid, euid, suid, fsuid, gid, egid, sgid, fsgid, user_ns;
};
struct mm_members {
	struct object_span span;
	struct member total_vm, exe_file, arg_start, arg_end, env_start, env_end, start_brk, brk, start_stack, context;
	struct member rss[3];      /* pages of files, anonymous ones, shared memory */
	struct member maple, mmap; /* VMAs: a maple tree (6.1 and later) or a list */
};
struct kthread_members {
	struct object_span span;
	struct member data, full_name;
};
struct worker_members {
	struct object_span span;
	struct member current_work, pool, desc, rescue;
	struct member queue_name; /* in struct workqueue_struct */
};
struct tty_members {
	struct member driver, index;
	struct member major, minor_start; /* in struct tty_driver */
};

struct descriptor_members {
	struct member table;                         /* in struct files_struct */
	struct member size, pointers, close_on_exec; /* in struct fdtable */
};

/* Where everything is; made once for a guest. */
struct process_layout {
	struct task_members task;
	struct signal_members signal;
	struct cred_members cred;
	struct mm_members mm;
	struct kthread_members kthread;
	struct worker_members worker;
	struct tty_members tty;
	struct descriptor_members descriptors;
	struct member pid_number; /* in struct pid: its id in the initial namespace */
	struct cgroup_layout cgroup;
	const struct path_layout *path; /* borrowed from the guest */
	uint64_t tasks_max;             /* more do not fit into the guest's memory */
};
/* Borrowed from the guest, which keeps it. */
struct error *process_layout_get(struct guest *guest, const struct process_layout **ret) _must_check_;

/* Reads the task_struct at `address`; one whose ids are not those of a task is ERROR_FORMAT. */
struct error *task_read(struct guest *guest, const struct process_layout *layout, uint64_t address, struct object *ret)
	_must_check_;
/* Its mm_struct; 0: none of its own (kernel threads borrow one). */
uint64_t task_mm(const struct process_layout *layout, const struct object *task);

/* ---- What a task tells (task_fields.c) ---- */

/* State, nice value, start: what needs nothing but the task. */
void task_plain_fields(const struct process_layout *layout, const struct object *task, struct guest_task *ret);
struct error *task_credentials(struct guest *guest, const struct process_layout *layout, const struct object *task,
			       struct guest_task *ret) _must_check_;
/* Group, session, terminal and number of threads, out of a signal_struct as read. */
struct error *task_group_fields(struct guest *guest, const struct process_layout *layout, const struct object *signal,
				struct guest_task *ret) _must_check_;

/* CPU times as the kernel sums them up. */
struct cpu_times {
	uint64_t user, system, runtime; /* ns */
};
struct cpu_times times_get(const struct object *object, const struct times_members *members);
/* What /proc shows for `sum`: see there. */
void times_adjust(const struct object *object, const struct times_members *members, const struct cpu_times *sum,
		  struct guest_task *ret);

/* ---- Names (comm.c) ---- */

/* As /proc/PID/comm. What cannot be read of a kernel thread's long name leaves the short one. */
struct error *task_comm(struct guest *guest, const struct process_layout *layout, const struct object *task,
			char ret[64]) _must_check_;

/* ---- Memory of the process (command.c) ---- */

/* Bytes of command lines and paths that one walk keeps. */
#define TEXT_MAX (64u << 20)

/*
 * The command line of the process whose mm_struct is read: ret->data NULL where it is not all in memory. One of more
 * than `max` bytes is ERROR_FORMAT.
 */
struct error *command_line(struct guest *guest, const struct process_layout *layout, const struct object *mm,
			   size_t max, struct guest_bytes *ret) _must_check_;
/* The same, with the memory of the process at hand. */
struct error *command_bytes(struct memory *memory, const struct process_layout *layout, const struct object *mm,
			    size_t max, struct guest_bytes *ret) _must_check_;

#endif
