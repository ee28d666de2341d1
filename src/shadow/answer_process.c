/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one process may ask of another, or set for it, where the other is the guest's: read from its memory; what would
 * be set is written down as the command that sets it.
 */
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "shadow/answer.h"

/* The same numbers for setpriority(2), and less one for ioprio_set(2). */
enum who {
	WHO_PROCESS,
	WHO_GROUP,
	WHO_USER,
};

#define IOPRIO_CLASS_SHIFT 13
#define RESET_ON_FORK      0x40000000u

/* struct sched_attr, whose header does not go together with <sched.h>. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t least_load, greatest_load; /* from version 1 on (5.3) */
};
#define ATTRIBUTES_SIZE_0 48u
_Static_assert(sizeof(struct attributes) == 56, "SCHED_ATTR_SIZE_VER1");

/* The task of an argument; ESRCH. */
static int find_task(struct answer_call *call, uint64_t pid, const struct guest_task **ret)
{
	*ret = answer_task(call, (uint32_t)pid);
	return *ret ? 0 : ESRCH;
}

/* What memory says of it; ESRCH where memory fails us. The caller deinits what comes with 0. */
static int find_details(struct answer_call *call, uint64_t pid, struct guest_task_details *ret)
{
	const struct guest_task *task;
	int errnum = find_task(call, pid, &task);
	struct error *error;

	if (errnum)
		return errnum;
	error = guest_task_details(call->shadow->guest, task->address, false, ret);
	error_destroy(error);
	return error ? ESRCH : 0;
}

/* Whether the caller may change how the task runs. */
static int may_set(struct answer_call *call, uint64_t pid, unsigned capability)
{
	const struct guest_task *task;
	struct answer_caller caller;
	int errnum = find_task(call, pid, &task);

	if (!errnum)
		errnum = answer_caller(call, &caller);
	if (errnum)
		return errnum;
	return answer_capable(&caller, capability) || caller.euid == task->uid || caller.euid == task->euid ? 0 : EPERM;
}

static bool is_meant(const struct guest_task *task, unsigned which, uint32_t who)
{
	switch (which) {
	case WHO_PROCESS:
		return task->pid == who;
	case WHO_GROUP:
		return task->pgid == who;
	}
	return task->uid == who;
}

/* `who` 0 as a user is the caller. */
static int resolve_who(struct answer_call *call, unsigned which, uint32_t *who)
{
	struct answer_caller caller;
	int errnum;

	if (which > WHO_USER)
		return EINVAL;
	if (which != WHO_USER || *who != 0)
		return 0;
	errnum = answer_caller(call, &caller);
	*who = caller.uid;
	return errnum;
}

int answer_getpriority(struct answer_call *call)
{
	const struct guest_task_list *list = &call->shadow->threads;
	unsigned which = (unsigned)call->args[0];
	uint32_t who = (uint32_t)call->args[1];
	int64_t best = 0;
	int errnum = resolve_who(call, which, &who);

	if (errnum)
		return errnum;
	/* The kernel counts from 40, the nicest to others, down to 1. */
	for (size_t i = 0; i < list->n; i++)
		if (is_meant(&list->items[i], which, who) && 20 - list->items[i].nice > best)
			best = 20 - list->items[i].nice;
	call->value = best;
	return best ? 0 : ESRCH;
}

int answer_setpriority(struct answer_call *call)
{
	static const char *const options[] = {"-p", "-g", "-u"};
	const struct guest_task_list *list = &call->shadow->threads;
	unsigned which = (unsigned)call->args[0];
	uint32_t who = (uint32_t)call->args[1];
	char level[16], target[16];
	const char *argv[] = {"renice", "-n", level, which <= WHO_USER ? options[which] : "", target, NULL};
	int nice = (int)call->args[2], errnum = resolve_who(call, which, &who);

	if (errnum)
		return errnum;
	errnum = ESRCH;
	for (size_t i = 0; i < list->n && errnum; i++) {
		if (!is_meant(&list->items[i], which, who))
			continue;
		errnum = may_set(call, list->items[i].pid, CAP_SYS_NICE);
	}
	if (errnum)
		return errnum;
	snprintf(level, sizeof(level), "%d", nice < -20 ? -20 : nice > 19 ? 19 : nice);
	snprintf(target, sizeof(target), "%u", who);
	return answer_record(call, argv, which == PRIO_PROCESS ? who : 0);
}

int answer_prlimit64(struct answer_call *call)
{
	/* The options of prlimit(1), by RLIMIT_*. */
	static const char *const names[] = {"cpu",      "fsize",  "data",    "stack", "core",  "rss",
					    "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
					    "msgqueue", "nice",   "rtprio",  "rttime"};
	unsigned resource = (unsigned)call->args[1];
	struct guest_task_details details;
	struct rlimit64 limit;
	char pid[16], soft[24], hard[24], option[80];
	const char *argv[] = {"prlimit", "--pid", pid, option, NULL};
	int errnum;

	if (resource >= GUEST_RLIMITS)
		return EINVAL;
	errnum = may_set(call, call->args[0], CAP_SYS_RESOURCE);
	if (!errnum && call->args[2])
		errnum = answer_read(call, call->args[2], &limit, sizeof(limit));
	if (errnum)
		return errnum;
	if (call->args[2] && limit.rlim_cur > limit.rlim_max)
		return EINVAL;
	errnum = find_details(call, call->args[0], &details);
	if (errnum)
		return errnum;
	if (call->args[3]) {
		struct rlimit64 old = {details.limits[resource], details.limits_max[resource]};

		errnum = answer_write(call, call->args[3], &old, sizeof(old));
	}
	guest_task_details_deinit(&details);
	if (errnum || !call->args[2])
		return errnum;
	snprintf(pid, sizeof(pid), "%u", (uint32_t)call->args[0]);
	snprintf(soft, sizeof(soft), limit.rlim_cur == RLIM64_INFINITY ? "unlimited" : "%llu",
		 (unsigned long long)limit.rlim_cur);
	snprintf(hard, sizeof(hard), limit.rlim_max == RLIM64_INFINITY ? "unlimited" : "%llu",
		 (unsigned long long)limit.rlim_max);
	snprintf(option, sizeof(option), "--%s=%s:%s", names[resource], soft, hard);
	return answer_record(call, argv, (uint32_t)call->args[0]);
}

/* ---- Scheduling ---- */

int answer_sched_getscheduler(struct answer_call *call)
{
	struct guest_task_details details;
	int errnum = find_details(call, call->args[0], &details);

	if (errnum)
		return errnum;
	call->value = details.policy;
	guest_task_details_deinit(&details);
	return 0;
}

int answer_sched_getparam(struct answer_call *call)
{
	struct guest_task_details details;
	struct sched_param param;
	int errnum = find_details(call, call->args[0], &details);

	if (errnum)
		return errnum;
	param.sched_priority = (int)details.real_time_priority;
	guest_task_details_deinit(&details);
	return answer_write(call, call->args[1], &param, sizeof(param));
}

int answer_sched_getattr(struct answer_call *call)
{
	uint32_t space = (uint32_t)call->args[2];
	struct attributes attr = {.size = space < sizeof(attr) ? space : sizeof(attr)};
	const struct guest_task *task;
	struct guest_task_details details;
	int errnum;

	if (space < ATTRIBUTES_SIZE_0 || space > 4096 || call->args[3])
		return EINVAL;
	errnum = find_task(call, call->args[0], &task);
	if (!errnum)
		errnum = find_details(call, call->args[0], &details);
	if (errnum)
		return errnum;
	attr.policy = details.policy;
	attr.priority = details.real_time_priority;
	attr.nice = details.real_time_priority ? 0 : task->nice;
	attr.least_load = details.least_load;
	attr.greatest_load = details.greatest_load;
	guest_task_details_deinit(&details);
	return answer_write(call, call->args[1], &attr, attr.size);
}

/* `chrt` for the task; a policy below 0 keeps the one it has. */
static int record_scheduler(struct answer_call *call, int policy, int priority)
{
	static const char *const options[] = {"--other", "--fifo", "--rr", "--batch", NULL, "--idle", NULL, "--ext"};
	char level[16], pid[16];
	const char *argv[] = {"chrt", NULL, "-p", level, pid, NULL};
	bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
	int errnum = may_set(call, call->args[0], CAP_SYS_NICE);

	if (errnum)
		return errnum;
	/* A deadline needs three more numbers; nobody sets one for somebody else. */
	if (policy < 0 || policy >= (int)ARRAY_SIZE(options) || !options[policy] ||
	    (real_time ? priority < 1 || priority > 99 : priority != 0))
		return EINVAL;
	argv[1] = options[policy];
	snprintf(level, sizeof(level), "%d", priority);
	snprintf(pid, sizeof(pid), "%u", (uint32_t)call->args[0]);
	return answer_record(call, argv, (uint32_t)call->args[0]);
}

static int current_policy(struct answer_call *call, int *ret)
{
	struct guest_task_details details;
	int errnum = find_details(call, call->args[0], &details);

	if (errnum)
		return errnum;
	*ret = (int)details.policy;
	guest_task_details_deinit(&details);
	return 0;
}

int answer_sched_setscheduler(struct answer_call *call)
{
	struct sched_param param;
	int errnum = answer_read(call, call->args[2], &param, sizeof(param));

	if (errnum)
		return errnum;
	return record_scheduler(call, (int)((uint32_t)call->args[1] & ~RESET_ON_FORK), param.sched_priority);
}

int answer_sched_setparam(struct answer_call *call)
{
	struct sched_param param;
	int policy, errnum = answer_read(call, call->args[1], &param, sizeof(param));

	if (!errnum)
		errnum = current_policy(call, &policy);
	return errnum ? errnum : record_scheduler(call, policy, param.sched_priority);
}

int answer_sched_setattr(struct answer_call *call)
{
	struct attributes attr;
	int errnum = answer_read(call, call->args[1], &attr, ATTRIBUTES_SIZE_0);

	if (errnum)
		return errnum;
	return record_scheduler(call, (int)attr.policy, (int)attr.priority);
}

int answer_sched_rr_get_interval(struct answer_call *call)
{
	/* A slice of SCHED_RR; of the others memory does not tell it. */
	struct timespec slice = {0, 100000000};
	int policy, errnum = current_policy(call, &policy);

	if (errnum)
		return errnum;
	if (policy != SCHED_RR)
		slice.tv_nsec = 0;
	return answer_write(call, call->args[1], &slice, sizeof(slice));
}

int answer_ioprio_get(struct answer_call *call)
{
	const struct guest_task_list *list = &call->shadow->threads;
	unsigned which = (unsigned)call->args[0] - 1;
	uint32_t who = (uint32_t)call->args[1], priority, best = 0;
	bool found = false;
	int errnum = resolve_who(call, which, &who);

	if (errnum)
		return errnum;
	for (size_t i = 0; i < list->n; i++) {
		struct error *error;

		if (!is_meant(&list->items[i], which, who))
			continue;
		error = guest_task_io_priority(call->shadow->guest, list->items[i].address, &priority);
		if (error) {
			error_destroy(error);
			continue;
		}
		/* The best of several: the lower the better, but for having none. */
		if (!found || best >> IOPRIO_CLASS_SHIFT == 0 || (priority >> IOPRIO_CLASS_SHIFT && priority < best))
			best = priority;
		found = true;
	}
	call->value = best;
	return found ? 0 : ESRCH;
}

int answer_ioprio_set(struct answer_call *call)
{
	static const char *const options[] = {"-p", "-P", "-u"};
	const struct guest_task_list *list = &call->shadow->threads;
	unsigned which = (unsigned)call->args[0] - 1, class = (uint32_t)call->args[2] >> IOPRIO_CLASS_SHIFT;
	uint32_t who = (uint32_t)call->args[1];
	char kind[16], level[16], target[16];
	const char *argv[] = {"ionice", "-c", kind, "-n", level, which <= WHO_USER ? options[which] : "", target, NULL};
	int errnum = resolve_who(call, which, &who);

	if (errnum)
		return errnum;
	if (class > 3)
		return EINVAL;
	errnum = ESRCH;
	for (size_t i = 0; i < list->n && errnum; i++)
		if (is_meant(&list->items[i], which, who))
			errnum = may_set(call, list->items[i].pid, CAP_SYS_NICE);
	if (errnum)
		return errnum;
	snprintf(kind, sizeof(kind), "%u", class);
	snprintf(level, sizeof(level), "%u", (uint32_t)call->args[2] & 7);
	snprintf(target, sizeof(target), "%u", who);
	return answer_record(call, argv, which == 1 ? who : 0);
}

/* ---- Identity ---- */

int answer_getpgid(struct answer_call *call)
{
	const struct guest_task *task;
	int errnum = find_task(call, call->args[0], &task);

	if (!errnum)
		call->value = task->pgid;
	return errnum;
}

int answer_getsid(struct answer_call *call)
{
	const struct guest_task *task;
	int errnum = find_task(call, call->args[0], &task);

	if (!errnum)
		call->value = task->sid;
	return errnum;
}

/* Two numbers a set, or one in the first version; the caller's header says which, and whose. */
int answer_capget(struct answer_call *call)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];
	struct guest_task_details details;
	int errnum = answer_read(call, call->args[0], &header, sizeof(header));
	size_t n = header.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;

	if (errnum)
		return errnum;
	/* The kernel knows better what to say to nonsense. */
	call->proceed =
		header.pid <= 0 || (uint32_t)header.pid > call->shadow->highest_pid || !call->args[1] ||
		(header.version != _LINUX_CAPABILITY_VERSION_1 && header.version != _LINUX_CAPABILITY_VERSION_2 &&
		 header.version != _LINUX_CAPABILITY_VERSION_3);
	if (call->proceed)
		return 0;
	errnum = find_details(call, (uint64_t)header.pid, &details);
	if (errnum)
		return errnum;
	for (size_t i = 0; i < n; i++)
		data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(details.effective >> 32 * i),
							  .permitted = (uint32_t)(details.permitted >> 32 * i),
							  .inheritable = (uint32_t)(details.inheritable >> 32 * i)};
	guest_task_details_deinit(&details);
	return answer_write(call, call->args[1], data, n * sizeof(data[0]));
}
