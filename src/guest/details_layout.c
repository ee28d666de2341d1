/* SPDX-License-Identifier: Apache-2.0 */
/* Where this guest's kernel keeps the details of processes. */
#include <stdlib.h>

#include "guest/details.h"

#define NODES_WITHOUT_NUMA 1u

static struct error *load_counters(struct guest *guest, const char *type, struct counter_members *ret,
				   struct object_span *span)
{
	const struct member_need needs[] = {
		{type, "min_flt", &ret->minor_faults},
		{type, "maj_flt", &ret->major_faults},
		{type, "gtime", &ret->guest_time},
		/* CONFIG_TASK_XACCT, CONFIG_TASK_IO_ACCOUNTING */
		{type, "ioac.rchar", &ret->io[0], .optional = true},
		{type, "ioac.wchar", &ret->io[1], .optional = true},
		{type, "ioac.syscr", &ret->io[2], .optional = true},
		{type, "ioac.syscw", &ret->io[3], .optional = true},
		{type, "ioac.read_bytes", &ret->io[4], .optional = true},
		{type, "ioac.write_bytes", &ret->io[5], .optional = true},
		{type, "ioac.cancelled_write_bytes", &ret->io[6], .optional = true},
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), span);
}

/* CONFIG_AUDIT, CONFIG_SECCOMP and others decide on the optional ones. */
static struct error *load_optional(struct guest *guest, struct detail_task_members *ret)
{
	const struct member_need needs[] = {
		{"task_struct", "delays", &ret->delays, .optional = true},
		{"task_struct", "sched_info.run_delay", &ret->run_delay, .optional = true},
		{"task_struct", "sched_info.pcount", &ret->run_count, .optional = true},
		{"task_struct", "numa_group", &ret->numa_group, .optional = true},
		{"task_struct", "seccomp.mode", &ret->seccomp, .optional = true},
		{"task_struct", "seccomp.filter_count", &ret->seccomp_filters, .optional = true},
		{"task_struct", "thread.features", &ret->features, .optional = true},
		{"task_struct", "thread.features_locked", &ret->features_locked, .optional = true},
		{"task_struct", "mems_allowed", &ret->nodes, .optional = true},
		{"task_struct", "loginuid", &ret->login_uid, .optional = true},
		{"task_struct", "sessionid", &ret->session, .optional = true},
		{"task_struct", "uclamp_req", &ret->clamps, .optional = true},
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

static struct error *load_task(struct guest *guest, struct detail_task_members *ret)
{
	const struct types *types = guest->types;
	const struct member_need needs[] = {
		{"task_struct", "flags", &ret->flags},
		{"task_struct", "prio", &ret->prio},
		{"task_struct", "rt_priority", &ret->rt_priority},
		{"task_struct", "policy", &ret->policy},
		{"task_struct", "exit_signal", &ret->exit_signal},
		{"task_struct", "exit_code", &ret->exit_code},
		/* Moved in 5.16 (bcf9033e5449). */
		{"task_struct", types_find(types, "task_struct", "cpu").present ? "cpu" : "thread_info.cpu", &ret->cpu},
		{"task_struct", types_find(types, "task_struct", "__state").present ? "__state" : "state", &ret->state},
		{"task_struct", "on_cpu", &ret->on_cpu, .optional = true},
		{"task_struct", "thread.sp", &ret->stack_pointer},
		{"task_struct", "ptrace", &ret->ptrace},
		{"task_struct", "parent", &ret->tracer},
		{"task_struct", "sighand", &ret->sighand},
		{"task_struct", "atomic_flags", &ret->atomic_flags},
		{"task_struct", "blocked", &ret->blocked},
		{"task_struct", "pending.signal", &ret->pending},
		{"task_struct", "cpus_mask", &ret->cpus},
		{"task_struct", "nvcsw", &ret->voluntary},
		{"task_struct", "nivcsw", &ret->involuntary},
		{"task_struct", "vfork_done", &ret->vfork_done},
		{"task_struct", "personality", &ret->personality},
		{"task_struct", "timer_slack_ns", &ret->timer_slack},
	};
	struct error *error = object_need(types, needs, ARRAY_SIZE(needs), &ret->span);

	if (!error)
		error = load_optional(guest, ret);
	return error ? error : load_counters(guest, "task_struct", &ret->counters, &ret->span);
}

static struct error *load_signal(struct guest *guest, struct detail_signal_members *ret)
{
	const struct member_need needs[] = {
		{"signal_struct", "cmin_flt", &ret->child_minor},
		{"signal_struct", "cmaj_flt", &ret->child_major},
		{"signal_struct", "cutime", &ret->child_user},
		{"signal_struct", "cstime", &ret->child_system},
		{"signal_struct", "cgtime", &ret->child_guest},
		{"signal_struct", "flags", &ret->flags},
		{"signal_struct", "group_exit_code", &ret->exit_code},
		{"signal_struct", "rlim", &ret->limits},
		{"signal_struct", "shared_pending.signal", &ret->shared_pending},
		{"signal_struct", "oom_score_adj", &ret->oom_adjust},
		{"signal_struct", "pids[1]", &ret->tgid}, /* PIDTYPE_TGID */
		/* 5.16 and later (0258b5fd7c71); before, of the mm_struct. */
		{"signal_struct", "core_state", &ret->core_state, .optional = true},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	if (!error && ret->limits.size != GUEST_RLIMITS * 2 * sizeof(uint64_t))
		error = error_create(ERROR_UNSUPPORTED, "the guest's processes have limits of %u bytes",
				     ret->limits.size);
	return error ? error : load_counters(guest, "signal_struct", &ret->counters, &ret->span);
}

static struct error *load_cred(struct guest *guest, struct detail_cred_members *ret)
{
	const struct member_need needs[] = {
		{"cred", "cap_inheritable", &ret->inheritable},
		{"cred", "cap_permitted", &ret->permitted},
		{"cred", "cap_effective", &ret->effective},
		{"cred", "cap_bset", &ret->bounding},
		{"cred", "cap_ambient", &ret->ambient},
		{"cred", "group_info", &ret->groups},
		{"cred", "user", &ret->user},
		{"cred", "ucounts", &ret->ucounts, .optional = true}, /* 5.13 and later */
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

/*
 * Resident pages by kind: numbers in a structure of their own until 6.2 (f1a7941243c1), then counters with a part for
 * each CPU.
 */
static struct error *load_rss(struct guest *guest, struct detail_mm_members *ret)
{
	const struct member_need old[] = {
		{"mm_struct", "rss_stat.count[0]", &ret->rss[0]},
		{"mm_struct", "rss_stat.count[1]", &ret->rss[1]},
		{"mm_struct", "rss_stat.count[2]", &ret->rss[2]},
		{"mm_struct", "rss_stat.count[3]", &ret->rss[3]},
	};
	const struct member_need counters[] = {
		{"mm_struct", "rss_stat[0].count", &ret->rss[0]},
		{"mm_struct", "rss_stat[1].count", &ret->rss[1]},
		{"mm_struct", "rss_stat[2].count", &ret->rss[2]},
		{"mm_struct", "rss_stat[3].count", &ret->rss[3]},
		{"mm_struct", "rss_stat[0].counters", &ret->rss_cpu[0], .optional = true},
		{"mm_struct", "rss_stat[1].counters", &ret->rss_cpu[1], .optional = true},
		{"mm_struct", "rss_stat[2].counters", &ret->rss_cpu[2], .optional = true},
		{"mm_struct", "rss_stat[3].counters", &ret->rss_cpu[3], .optional = true},
	};

	if (types_find(guest->types, "mm_struct", "rss_stat").count == 0)
		return object_need(guest->types, old, ARRAY_SIZE(old), &ret->span);
	return object_need(guest->types, counters, ARRAY_SIZE(counters), &ret->span);
}

static struct error *load_mm(struct guest *guest, struct detail_mm_members *ret)
{
	const struct member_need needs[] = {
		{"mm_struct", "total_vm", &ret->total},
		{"mm_struct", "hiwater_vm", &ret->peak},
		{"mm_struct", "locked_vm", &ret->locked},
		{"mm_struct", "pinned_vm", &ret->pinned},
		{"mm_struct", "data_vm", &ret->data},
		{"mm_struct", "exec_vm", &ret->exec},
		{"mm_struct", "stack_vm", &ret->stack},
		{"mm_struct", "hiwater_rss", &ret->resident_peak},
		{"mm_struct", "pgtables_bytes", &ret->page_tables, .optional = true},
		{"mm_struct", "hugetlb_usage", &ret->huge, .optional = true}, /* CONFIG_HUGETLB_PAGE */
		{"mm_struct", "start_code", &ret->start_code},
		{"mm_struct", "end_code", &ret->end_code},
		{"mm_struct", "start_data", &ret->start_data},
		{"mm_struct", "end_data", &ret->end_data},
		{"mm_struct", "start_brk", &ret->start_brk},
		{"mm_struct", "brk", &ret->brk},
		{"mm_struct", "start_stack", &ret->start_stack},
		{"mm_struct", "arg_start", &ret->arg_start},
		{"mm_struct", "arg_end", &ret->arg_end},
		{"mm_struct", "env_start", &ret->env_start},
		{"mm_struct", "env_end", &ret->env_end},
		{"mm_struct", "core_state", &ret->core_state, .optional = true},         /* before 5.16 */
		{"mm_struct", "context.untag_mask", &ret->untag_mask, .optional = true}, /* CONFIG_ADDRESS_MASKING */
		{"mm_struct", "flags", &ret->flags},
		{"mm_struct", "saved_auxv", &ret->auxv},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	/* A bit map in a structure of its own since 6.18; all that is looked at is in its first word. */
	if (ret->flags.size > sizeof(uint64_t))
		ret->flags.size = sizeof(uint64_t);
	ret->flags.count = 0;
	return error ? error : load_rss(guest, ret);
}

/* Signals queued by a user: counted for him until 5.13, then for him and his namespaces (d64696905554). */
static struct error *load_queued(struct guest *guest, struct detail_layout *ret)
{
	uint64_t index;
	struct member array = types_find(guest->types, "ucounts", "rlimit"); /* 6.1 and later */

	ret->user_queued = types_find(guest->types, "user_struct", "sigpending");
	if (ret->user_queued.present)
		return NULL;
	if (!array.present)
		array = types_find(guest->types, "ucounts", "ucount");
	if (!array.present || !ret->cred.ucounts.present || array.count == 0 ||
	    !types_enum(guest->types, NULL, "UCOUNT_RLIMIT_SIGPENDING", &index) || index >= array.count)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel counts queued signals in an unknown way");
	ret->ucount_queued = array;
	ret->ucount_queued.size = array.size / array.count;
	ret->ucount_queued.offset += (uint32_t)index * ret->ucount_queued.size;
	ret->ucount_queued.count = 0;
	return NULL;
}

static struct error *load_others(struct guest *guest, struct detail_layout *ret)
{
	const struct types *types = guest->types;
	const struct member_need needs[] = {
		{"sighand_struct", "action", &ret->action},
		{"k_sigaction", "sa.sa_handler", &ret->handler},
		{"fs_struct", "umask", &ret->umask},
		{"group_info", "ngroups", &ret->n_groups},
		{"group_info", "gid", &ret->gids},
		/* Moved in 5.14 (64d608db38ff). */
		{"tty_struct", types_find(types, "tty_struct", "ctrl.pgrp").present ? "ctrl.pgrp" : "pgrp",
		 &ret->tty_group},
		{"pid", "level", &ret->pid_level},
		{"pid", "numbers", &ret->pid_numbers},
		{"upid", "nr", &ret->upid_number},
		{"upid", "ns", &ret->upid_space},
		{"numa_group", "gid", &ret->numa_gid, .optional = true},
		{"task_delay_info", "blkio_delay", &ret->block_delay, .optional = true},
		{"task_delay_info", "swapin_delay", &ret->swap_delay, .optional = true},
	};
	struct error *error = types_need(types, needs, ARRAY_SIZE(needs));

	if (error)
		return error;
	ret->upid_size = types_size(types, "upid");
	ret->action_size = ret->action.count ? ret->action.size / ret->action.count : 0;
	/* Waiting for swap was counted apart from 5.17 on, which added this member (a3d5dc908a5f). */
	ret->swap_is_block = !types_find(types, "task_delay_info", "swapin_start").present;
	/* Lines of status and what else came with the same version: mount.mnt_node in 6.8; class.owner went in 6.4. */
	ret->shows_kernel_thread = types_find(types, "mount", "mnt_node").present;
	ret->shows_untag_mask = ret->mm.untag_mask.present || !types_find(types, "class", "owner").present;
	/* 5.11, as this member. */
	ret->shows_indirect_branch = types_find(types, "task_struct", "syscall_dispatch").present;
	return load_queued(guest, ret);
}

static struct error *load_cpus(struct guest *guest, struct detail_layout *ret)
{
	struct gva symbol;
	uint32_t words = types_find(guest->types, "cpumask", "bits").size * 8;
	struct error *error = cpu_sets_load(guest, &ret->online);

	if (error)
		return error;
	ret->n_cpus = words;
	if (symbols_find(guest->symbols, "nr_cpu_ids", &symbol))
		error = memory_read_u32(&guest->memory, symbol, &ret->n_cpus);
	if (!error && (ret->n_cpus > words || ret->n_cpus > GUEST_BITS_MAX))
		error = error_format(NULL, symbol.v, "the guest's kernel has %u CPUs", ret->n_cpus);
	if (error)
		return error;
	for_each_cpu(cpu, ret->online.online_set) {
		struct gva base;

		error = guest_percpu(guest, (struct gva){0}, cpu, &base);
		if (error)
			return error;
		ret->cpu_offsets[cpu] = base.v;
	}
	return NULL;
}

static void load_switches(struct guest *guest, struct detail_layout *ret)
{
	struct gva symbol;
	uint32_t bytes = ret->task.nodes.size < GUEST_BITS_MAX / 8 ? ret->task.nodes.size : GUEST_BITS_MAX / 8;

	ret->all_sleepers_wait = symbols_find(guest->symbols, "__get_wchan", &symbol); /* with 42a20f86dc19 */
	ret->has_huge_pages = symbols_find(guest->symbols, "transparent_hugepage_flags", &symbol);
	ret->huge_pages_flag = UINT64_C(1) << 24; /* MMF_DISABLE_THP, …_COMPLETELY since 6.18: a macro */
	/* A kernel without NUMA has one node, in a word. */
	ret->n_nodes = symbols_find(guest->symbols, "node_data", &symbol) ? bytes * 8 : NODES_WITHOUT_NUMA;
	if (!ret->task.nodes.present)
		ret->n_nodes = 0;
}

static struct error *load_layout(struct guest *guest, struct detail_layout *ret)
{
	struct error *error = process_layout_get(guest, &ret->process);

	if (!error)
		error = load_task(guest, &ret->task);
	if (!error)
		error = load_signal(guest, &ret->signal);
	if (!error)
		error = load_cred(guest, &ret->cred);
	if (!error)
		error = load_mm(guest, &ret->mm);
	if (!error)
		error = load_others(guest, ret);
	if (!error)
		error = load_cpus(guest, ret);
	if (!error)
		error = speculation_load(guest, &ret->speculation);
	if (error)
		return error_wrap(error, "details of the guest's processes");
	load_switches(guest, ret);
	/* One read of each is for the members of both layouts. */
	if (ret->task.span.size < ret->process->task.span.size)
		ret->task.span = ret->process->task.span;
	if (ret->signal.span.size < ret->process->signal.span.size)
		ret->signal.span = ret->process->signal.span;
	return NULL;
}

DEFINE_LAYOUT_GET(, detail_layout_get, detail_layout, details, load_layout)
