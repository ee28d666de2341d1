/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/PID/stat, status, limits and their like show of one task, beyond struct guest_task. Included by
 * guest/guest.h. */
#ifndef GUEST_TASK_DETAILS_H
#define GUEST_TASK_DETAILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

#define GUEST_RLIMITS    16u
#define GUEST_PID_LEVELS 33u /* of process namespaces: MAX_PID_NS_LEVEL, and the initial one */
#define GUEST_BITS_MAX   8192u
#define GUEST_AUXV_WORDS 64u

/* A set of processors or memory nodes. */
struct guest_bits {
	uint64_t words[GUEST_BITS_MAX / 64]; /* bit n: number n */
	uint32_t n;                          /* that the kernel shows; <= GUEST_BITS_MAX */
};

/* Its mm_struct. Sizes are pages of 4096 bytes unless said otherwise, the rest addresses in the process. */
struct guest_task_memory {
	uint64_t total, peak, locked, pinned, data, exec, stack;
	uint64_t file, anonymous, shared, swapped; /* resident ones and those in swap: with what each CPU counts */
	uint64_t resident_peak;
	uint64_t page_table_bytes;
	uint64_t huge; /* mapped from hugetlbfs */
	bool has_huge; /* the kernel can do that */
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	bool dumping;         /* its core */
	bool has_huge_pages;  /* transparent ones; known and enabled: the kernel has them, and it may use them */
	uint64_t untag_mask;  /* of its pointers */
	bool has_untag_mask;  /* the kernel shows it (6.4 and later) */
	uint32_t dump_filter; /* /proc/PID/coredump_filter */
	bool oom_skip;        /* the OOM killer is done with it */
	uint64_t auxv[GUEST_AUXV_WORDS];
	uint32_t n_auxv; /* words, the end's pair (AT_NULL) included; 0: none */
};

/* As /proc/PID/io. */
struct guest_task_io {
	uint64_t read_chars, written_chars, read_calls, write_calls, read_bytes, written_bytes, cancelled_bytes;
	bool known; /* the kernel counts it */
};

/* The ids of one process namespace, as status shows them; 0: not visible there. */
struct guest_pid_level {
	uint32_t pid, tgid, pgid, sid;
};

/* How the processor's speculation is held off the task, in the words of /proc/PID/status; NULL: not shown. */
struct guest_task_speculation {
	const char *store_bypass, *indirect_branch;
};

struct guest_task_details {
	/* Of the task, or of its process: see guest_task_details(). */
	uint64_t minor_faults, major_faults, user_ns, system_ns, guest_ns;
	struct guest_task_io io;
	int32_t exit_code; /* as wait(2) has it */

	/* Of children that were waited for. */
	uint64_t child_minor_faults, child_major_faults, child_user_ns, child_system_ns, child_guest_ns;
	uint64_t flags;    /* PF_* */
	int32_t tty_group; /* foreground process group of its terminal; -1: it has no terminal */
	int32_t priority;  /* as in stat: 20 plus nice, below 0 for real-time ones */
	uint32_t real_time_priority, policy;
	uint32_t least_load, greatest_load; /* sched_util_min and _max, of 1024; 0 in a kernel without them */
	int32_t exit_signal;
	uint32_t cpu;           /* it was last on */
	bool waits;             /* as stat tells of a process of one thread: in a function that wchan can name */
	uint64_t block_wait_ns; /* for block devices, where the kernel counts delays */
	uint64_t run_ns, wait_ns, slices; /* schedstat: on a CPU, waiting for one, how often it got one */
	bool has_schedstat;
	uint64_t stack_pointer; /* of its kernel stack, while it does not run */

	bool forked_now; /* by vfork(2), and still in its parent's memory */
	uint32_t tracer; /* pid; 0: none */
	uint32_t numa_group;
	bool has_umask;
	uint32_t umask;
	uint32_t fd_size; /* places in its descriptor table */
	uint32_t *groups; /* supplementary ones; owned */
	uint32_t n_groups;
	struct guest_pid_level levels[GUEST_PID_LEVELS]; /* [0]: the initial namespace */
	uint32_t n_levels;

	uint64_t queued_signals;                                       /* of its user */
	uint64_t pending, shared_pending, blocked, ignored, caught;    /* bit n - 1: signal n */
	uint64_t inheritable, permitted, effective, bounding, ambient; /* capabilities */
	bool no_new_privileges;
	bool has_seccomp, has_seccomp_filters;
	uint32_t seccomp, seccomp_filters;
	struct guest_task_speculation speculation;
	bool shows_kernel_thread; /* the kernel has that line in status (6.8 and later) */
	bool has_thread_features; /* shadow stacks (6.6 and later) */
	uint64_t thread_features, thread_features_locked;
	struct guest_bits cpus, nodes; /* it may use; nodes.n 0: the kernel does not show them */
	uint64_t voluntary_switches, involuntary_switches;

	uint64_t limits[GUEST_RLIMITS], limits_max[GUEST_RLIMITS]; /* UINT64_MAX: none */
	uint32_t login_uid, session;                               /* as audit has them; UINT32_MAX: unset */
	bool has_login;
	int16_t oom_score_adjust;
	uint32_t personality;
	uint64_t timer_slack_ns;

	bool has_memory; /* `memory` is filled in: not for kernel threads and ended ones */
	struct guest_task_memory memory;
};

/*
 * Of one task (guest_task.address). `whole`: faults, times, I/O and exit code are those of its process, all threads
 * together, as /proc/PID has them; else the task's own, as /proc/PID/task/TID.
 */
struct error *guest_task_details(struct guest *guest, uint64_t task, bool whole, struct guest_task_details *ret)
	_must_check_;
void guest_task_details_deinit(struct guest_task_details *details);

#endif
