/* SPDX-License-Identifier: Apache-2.0 */
/* Where this guest's kernel keeps what is known of processes. */
#include <stdlib.h>

#include "guest/task.h"

static struct error *load_task(struct guest *guest, struct task_members *ret)
{
	const struct member_need needs[] = {
		{"task_struct", "tasks", &ret->tasks},
		{"task_struct", "thread_node", &ret->thread_node},
		{"task_struct", "pid", &ret->pid},
		{"task_struct", "tgid", &ret->tgid},
		{"task_struct", "real_parent", &ret->parent},
		{"task_struct", "real_cred", &ret->cred},
		{"task_struct", "signal", &ret->signal},
		{"task_struct", "mm", &ret->mm},
		{"task_struct", "flags", &ret->flags},
		/* Renamed in 5.14 (2f064a59a11f). */
		{"task_struct", types_find(guest->types, "task_struct", "__state").present ? "__state" : "state",
		 &ret->state},
		{"task_struct", "exit_state", &ret->exit_state},
		{"task_struct", "static_prio", &ret->static_prio},
		/* Called real_start_time before 5.5. */
		{"task_struct",
		 types_find(guest->types, "task_struct", "start_boottime").present ? "start_boottime"
										   : "real_start_time",
		 &ret->start},
		{"task_struct", "comm", &ret->comm},
		{"task_struct", "cgroups", &ret->css_set},
		{"task_struct", "files", &ret->files},
		{"task_struct", "fs", &ret->fs},
		{"task_struct", "nsproxy", &ret->nsproxy},
		{"task_struct", "thread_pid", &ret->thread_pid},
		/* A kernel thread's struct kthread; before 5.17 (e32cf5dfbe22) in a field that it does not use. */
		{"task_struct",
		 types_find(guest->types, "task_struct", "worker_private").present ? "worker_private" : "set_child_tid",
		 &ret->kthread},
		{"task_struct", "utime", &ret->times.user},
		{"task_struct", "stime", &ret->times.system},
		{"task_struct", "se.sum_exec_runtime", &ret->times.runtime},
		{"task_struct", "prev_cputime.utime", &ret->times.last_user, .optional = true},
		{"task_struct", "prev_cputime.stime", &ret->times.last_system, .optional = true},
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

static struct error *load_signal(struct guest *guest, struct signal_members *ret)
{
	const struct member_need needs[] = {
		{"signal_struct", "thread_head", &ret->thread_head},
		{"signal_struct", "nr_threads", &ret->n_threads},
		{"signal_struct", "pids[2]", &ret->group},   /* PIDTYPE_PGID */
		{"signal_struct", "pids[3]", &ret->session}, /* PIDTYPE_SID */
		{"signal_struct", "tty", &ret->tty},
		{"signal_struct", "utime", &ret->times.user},
		{"signal_struct", "stime", &ret->times.system},
		{"signal_struct", "sum_sched_runtime", &ret->times.runtime},
		{"signal_struct", "prev_cputime.utime", &ret->times.last_user, .optional = true},
		{"signal_struct", "prev_cputime.stime", &ret->times.last_system, .optional = true},
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

static struct error *load_cred(struct guest *guest, struct cred_members *ret)
{
	const struct member_need needs[] = {
		{"cred", "uid", &ret->uid},     {"cred", "euid", &ret->euid},   {"cred", "suid", &ret->suid},
		{"cred", "gid", &ret->gid},     {"cred", "egid", &ret->egid},   {"cred", "sgid", &ret->sgid},
		{"cred", "fsuid", &ret->fsuid}, {"cred", "fsgid", &ret->fsgid}, {"cred", "user_ns", &ret->user_ns},
	};

	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

/*
 * The counters of resident pages: numbers in a structure of their own until 6.2 (f1a7941243c1), then counters that
 * keep some of it per CPU, of which /proc/PID/stat shows the common part.
 */
static struct error *load_rss(struct guest *guest, struct mm_members *ret)
{
	const struct member_need numbers[] = {
		{"mm_struct", "rss_stat.count[0]", &ret->rss[0]},
		{"mm_struct", "rss_stat.count[1]", &ret->rss[1]},
		{"mm_struct", "rss_stat.count[3]", &ret->rss[2]},
	};
	const struct member_need counters[] = {
		{"mm_struct", "rss_stat[0].count", &ret->rss[0], .optional = true},
		{"mm_struct", "rss_stat[1].count", &ret->rss[1], .optional = true},
		{"mm_struct", "rss_stat[3].count", &ret->rss[2], .optional = true},
	};

	if (types_find(guest->types, "mm_struct", "rss_stat").count == 0)
		return object_need(guest->types, numbers, ARRAY_SIZE(numbers), &ret->span);
	return object_need(guest->types, counters, ARRAY_SIZE(counters), &ret->span);
}

static struct error *load_mm(struct guest *guest, struct mm_members *ret)
{
	const struct member_need needs[] = {
		{"mm_struct", "total_vm", &ret->total_vm},
		{"mm_struct", "exe_file", &ret->exe_file},
		{"mm_struct", "arg_start", &ret->arg_start},
		{"mm_struct", "arg_end", &ret->arg_end},
		{"mm_struct", "env_start", &ret->env_start},
		{"mm_struct", "env_end", &ret->env_end},
		{"mm_struct", "start_brk", &ret->start_brk},
		{"mm_struct", "brk", &ret->brk},
		{"mm_struct", "start_stack", &ret->start_stack},
		{"mm_struct", "context.flags", &ret->context, .optional = true},
		{"mm_struct", "mm_mt", &ret->maple, .optional = true},
		{"mm_struct", "mmap", &ret->mmap, .optional = true},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	return error ? error : load_rss(guest, ret);
}

static struct error *load_kthread(struct guest *guest, struct process_layout *ret)
{
	const struct member_need kthread[] = {
		{"kthread", "data", &ret->kthread.data},
		/* 5.17 and later (d6986ce24fc0). */
		{"kthread", "full_name", &ret->kthread.full_name, .optional = true},
	};
	const struct member_need worker[] = {
		{"worker", "current_work", &ret->worker.current_work},
		{"worker", "pool", &ret->worker.pool},
		{"worker", "desc", &ret->worker.desc},
		{"worker", "rescue_wq", &ret->worker.rescue},
	};
	struct error *error = object_need(guest->types, kthread, ARRAY_SIZE(kthread), &ret->kthread.span);

	if (!error)
		error = object_need(guest->types, worker, ARRAY_SIZE(worker), &ret->worker.span);
	if (!error)
		error = types_need(guest->types,
				   &(struct member_need){"workqueue_struct", "name", &ret->worker.queue_name}, 1);
	return error;
}

static struct error *load_rest(struct guest *guest, struct process_layout *ret)
{
	const struct member_need needs[] = {
		{"tty_struct", "driver", &ret->tty.driver},
		{"tty_struct", "index", &ret->tty.index},
		{"tty_driver", "major", &ret->tty.major},
		{"tty_driver", "minor_start", &ret->tty.minor_start},
		{"pid", "numbers.nr", &ret->pid_number},
		{"files_struct", "fdt", &ret->descriptors.table},
		{"fdtable", "max_fds", &ret->descriptors.size},
		{"fdtable", "fd", &ret->descriptors.pointers},
		{"fdtable", "close_on_exec", &ret->descriptors.close_on_exec},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = cgroup_layout_load(guest, &ret->cgroup);
	return error ? error : path_layout_get(guest, &ret->path);
}

static struct error *load_layout(struct guest *guest, struct process_layout *ret)
{
	struct error *error = load_task(guest, &ret->task);

	if (!error)
		error = load_signal(guest, &ret->signal);
	if (!error)
		error = load_cred(guest, &ret->cred);
	if (!error)
		error = load_mm(guest, &ret->mm);
	if (!error)
		error = load_kthread(guest, ret);
	if (!error)
		error = load_rest(guest, ret);
	if (error)
		return error;
	ret->tasks_max = image_ram_size(guest->memory.image) / (types_size(guest->types, "task_struct") + 1) + 1;
	return NULL;
}

DEFINE_LAYOUT_GET(, process_layout_get, process_layout, processes, load_layout)
