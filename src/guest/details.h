/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel keeps what guest_task_details() tells. Private to guest/.
 *
 *   members (details_layout.c)   looked up once for a guest
 *   task (task_details.c)        the walk: the task, its process, its credentials
 *   memory (memory_details.c)    its mm_struct
 *   speculation (speculation.c)  how much the processor may guess
 */
#ifndef GUEST_DETAILS_H
#define GUEST_DETAILS_H

#include "guest/task.h"
#include "guest/task_details.h"

#define IO_COUNTERS  7u
#define RSS_COUNTERS 4u

/* Counters of a task, or of the ended threads of a process. */
struct counter_members {
	struct member minor_faults, major_faults, guest_time, io[IO_COUNTERS];
};

struct detail_task_members {
	struct object_span span;
	struct counter_members counters;
	struct member flags, prio, rt_priority, policy, exit_signal, exit_code, cpu, delays, run_delay, run_count;
	struct member stack_pointer, state, on_cpu;
	struct member ptrace, tracer, numa_group, sighand, atomic_flags, blocked, pending;
	struct member seccomp, seccomp_filters, features, features_locked, cpus, nodes, voluntary, involuntary;
	struct member vfork_done;
	struct member login_uid, session, personality, timer_slack;
	struct member clamps; /* two words: least and greatest (CONFIG_UCLAMP_TASK) */
};
struct detail_signal_members {
	struct object_span span;
	struct counter_members counters;
	struct member child_minor, child_major, child_user, child_system, child_guest;
	struct member flags, exit_code, limits, shared_pending, oom_adjust, tgid, core_state;
};
struct detail_cred_members {
	struct object_span span;
	struct member inheritable, permitted, effective, bounding, ambient, groups, user, ucounts;
};
struct detail_mm_members {
	struct object_span span;
	struct member total, peak, locked, pinned, data, exec, stack, resident_peak, page_tables, huge;
	struct member rss[RSS_COUNTERS];     /* pages of files, anonymous, in swap, shared memory (MM_*) */
	struct member rss_cpu[RSS_COUNTERS]; /* pointer to the parts of each CPU (6.2 and later) */
	struct member start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	struct member arg_start, arg_end, env_start, env_end, core_state, untag_mask, flags, auxv;
};

/* The mitigations that status tells of; symbols' addresses, 0: not in this kernel. */
struct detail_speculation {
	uint32_t store_mode, ibpb_mode, stibp_mode; /* of enumerations */
	bool has_store, has_indirect;
	bool store_bug, indirect_bug; /* the processor has them */
};

struct detail_layout {
	const struct process_layout *process; /* borrowed from the guest */
	struct detail_task_members task;
	struct detail_signal_members signal;
	struct detail_cred_members cred;
	struct detail_mm_members mm;
	struct member action, handler; /* sighand_struct.action, and in one of them */
	uint32_t action_size;
	struct member umask;          /* in fs_struct */
	struct member n_groups, gids; /* in group_info */
	struct member user_queued;    /* in user_struct (before 5.14) */
	struct member ucount_queued;  /* in ucounts (5.14 and later) */
	struct member tty_group;      /* in tty_struct */
	struct member numa_gid;       /* in numa_group */
	struct member pid_level, pid_numbers, upid_number, upid_space;
	uint32_t upid_size;
	struct member block_delay, swap_delay; /* in task_delay_info */
	bool swap_is_block;                    /* the sum of both is shown (before 5.17) */
	bool all_sleepers_wait; /* stat's flag tells only of sleep, not of what was found on the stack (5.16) */
	bool shows_kernel_thread, shows_untag_mask, has_huge_pages, shows_indirect_branch;
	uint32_t n_cpus, n_nodes; /* bits that are shown */
	uint64_t huge_pages_flag; /* bit of mm.flags that forbids transparent huge pages */
	struct cpu_sets online;
	uint64_t cpu_offsets[CPUS_MAX]; /* where the per-CPU variables of each are */
	struct detail_speculation speculation;
};
/* Borrowed from the guest, which keeps it. */
struct error *detail_layout_get(struct guest *guest, const struct detail_layout **ret) _must_check_;

/* Memory of a process, from its mm_struct at `address`. */
struct error *memory_details(struct guest *guest, const struct detail_layout *layout, uint64_t address,
			     struct guest_task_memory *ret) _must_check_;

/* What the kernel would say of a task with these flags (task_struct.atomic_flags). */
struct guest_task_speculation speculation_words(const struct detail_layout *layout, uint64_t atomic_flags);
/* Looks the mitigations up. What the kernel does not have is not shown. */
struct error *speculation_load(struct guest *guest, struct detail_speculation *ret) _must_check_;

#endif
