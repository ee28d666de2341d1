/* SPDX-License-Identifier: Apache-2.0 */
/* The small files of a task (fs/proc/base.c). */
#include <string.h>

#include "shadow/proc/process.h"

/* A file out of one of a task's details. */
#define DETAIL_WRITER(name, whole, ...)                                                                                \
	struct error *name(const struct proc_facts *facts, const struct guest_task *task, FILE *out)                   \
	{                                                                                                              \
		struct guest_task_details details;                                                                     \
		struct error *error = guest_task_details(facts->guest, task->address, whole, &details);                \
                                                                                                                       \
		if (error)                                                                                             \
			return error;                                                                                  \
		__VA_ARGS__;                                                                                           \
		guest_task_details_deinit(&details);                                                                   \
		return error;                                                                                          \
	}

void proc_write_escaped(FILE *out, const char *text, const char *special)
{
	for (const char *c = text; *c; c++) {
		if (strchr(special, *c))
			fprintf(out, "\\%03o", (unsigned char)*c);
		else
			fputc(*c, out);
	}
}

static struct error *unknown(const char *what)
{
	return error_create(ERROR_NOT_FOUND, "the guest's memory does not hold the task's %s", what);
}

/* ---- Words of the process itself ---- */

struct error *process_write_cmdline(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	(void)facts;
	if (!task->dumpable)
		return NULL;
	if (!task->cmdline.data)
		return unknown("command line");
	fwrite(task->cmdline.data, 1, task->cmdline.size, out);
	return NULL;
}

struct error *process_write_comm(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	(void)facts;
	fprintf(out, "%s\n", task->comm);
	return NULL;
}

struct error *process_write_environ(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_bytes bytes = {0};
	struct error *error;

	if (!task->dumpable)
		return NULL;
	error = guest_task_environ(facts->guest, task->address, &bytes);
	if (error)
		return error;
	fwrite(bytes.data, 1, bytes.size, out);
	free(bytes.data);
	return NULL;
}

/* ---- Where it belongs ---- */

struct error *process_write_cgroup(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(guest_cgroup_list_deinit) struct guest_cgroup_list list = {0};
	struct error *error = PROC_LIST(guest_task_cgroups(facts->guest, task->address, &list), list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		fprintf(out, "%u:%s:%s\n", list.items[i].hierarchy, list.items[i].controllers, list.items[i].path);
	return NULL;
}

static struct error *write_id(bool known, uint32_t id, FILE *out)
{
	if (!known)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel was built without audit");
	fprintf(out, "%u", id);
	return NULL;
}

DETAIL_WRITER(process_write_loginuid, false, error = write_id(details.has_login, details.login_uid, out))
DETAIL_WRITER(process_write_sessionid, false, error = write_id(details.has_login, details.session, out))
DETAIL_WRITER(process_write_personality, false, fprintf(out, "%08x\n", details.personality))
DETAIL_WRITER(process_write_timerslack, false, fprintf(out, "%llu\n", (unsigned long long)details.timer_slack_ns))

/* ---- Limits ---- */

static void write_limit(uint64_t value, FILE *out)
{
	if (value == UINT64_MAX)
		fprintf(out, "%-20s ", "unlimited");
	else
		fprintf(out, "%-20llu ", (unsigned long long)value);
}

static void write_limits(const struct guest_task_details *details, FILE *out)
{
	static const struct {
		const char *name, *unit;
	} limits[GUEST_RLIMITS] = {
		{"Max cpu time", "seconds"},    {"Max file size", "bytes"},      {"Max data size", "bytes"},
		{"Max stack size", "bytes"},    {"Max core file size", "bytes"}, {"Max resident set", "bytes"},
		{"Max processes", "processes"}, {"Max open files", "files"},     {"Max locked memory", "bytes"},
		{"Max address space", "bytes"}, {"Max file locks", "locks"},     {"Max pending signals", "signals"},
		{"Max msgqueue size", "bytes"}, {"Max nice priority", NULL},     {"Max realtime priority", NULL},
		{"Max realtime timeout", "us"},
	};

	fprintf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (size_t i = 0; i < GUEST_RLIMITS; i++) {
		fprintf(out, "%-25s ", limits[i].name);
		write_limit(details->limits[i], out);
		write_limit(details->limits_max[i], out);
		if (limits[i].unit)
			fprintf(out, "%-10s", limits[i].unit);
		fputc('\n', out);
	}
}

DETAIL_WRITER(process_write_limits, false, write_limits(&details, out))

/* ---- Out of memory ---- */

#define OOM_SCORE_ADJ_MAX 1000
#define OOM_ADJUST_MAX    15
#define OOM_DISABLE       (-17)

/* The scale of kernels before 2.6.36, which oom_adj still shows. */
static int old_oom_adjust(int adjust)
{
	int old = adjust == OOM_SCORE_ADJ_MAX ? OOM_ADJUST_MAX : adjust * -OOM_DISABLE / OOM_SCORE_ADJ_MAX;

	return old > OOM_ADJUST_MAX ? OOM_ADJUST_MAX : old;
}

/* What the OOM killer would make of it (oom_badness() and proc_oom_score()); `pages`: of memory and swap together. */
static uint64_t oom_score(const struct guest_task *task, const struct guest_task_details *details, int64_t pages)
{
	const struct guest_task_memory *memory = &details->memory;
	int64_t points = (int64_t)(task->resident_size / 4096 + memory->swapped + memory->page_table_bytes / 4096);

	if (task->tgid == 1 || !details->has_memory || memory->oom_skip || details->forked_now ||
	    details->oom_score_adjust == -OOM_SCORE_ADJ_MAX || pages <= 0)
		return 0;
	points += details->oom_score_adjust * (pages / 1000);
	return (uint64_t)((1000 + points * 1000 / pages) * 2) / 3;
}

/* The first thread of the process that still has memory: its own thread may have ended before the others. */
static const struct guest_task *find_living(const struct proc_facts *facts, const struct guest_task *task)
{
	if (task->dumpable || task->kernel_thread || task->n_threads < 2)
		return task;
	for (size_t i = 0; i < facts->tasks->n; i++)
		if (facts->tasks->items[i].tgid == task->tgid && facts->tasks->items[i].dumpable)
			return &facts->tasks->items[i];
	return task;
}

struct error *process_write_oom_score(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	const struct guest_task *living = find_living(facts, task);
	struct guest_memory_counters counters;
	struct guest_task_details details;
	struct error *error = guest_memory_counters(facts->guest, &counters);

	if (!error)
		error = guest_task_details(facts->guest, living->address, false, &details);
	if (error)
		return error;
	fprintf(out, "%llu\n",
		(unsigned long long)oom_score(living, &details,
					      (int64_t)((counters.total + counters.swap_total) / 4096)));
	guest_task_details_deinit(&details);
	return NULL;
}

DETAIL_WRITER(process_write_oom_score_adj, false, fprintf(out, "%d\n", details.oom_score_adjust))
DETAIL_WRITER(process_write_oom_adj, false, fprintf(out, "%d\n", old_oom_adjust(details.oom_score_adjust)))

/* ---- Counters ---- */

static struct error *write_schedstat(const struct guest_task_details *details, FILE *out)
{
	if (!details->has_schedstat)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel was built without scheduler statistics");
	fprintf(out, "%llu %llu %llu\n", (unsigned long long)details->run_ns, (unsigned long long)details->wait_ns,
		(unsigned long long)details->slices);
	return NULL;
}

static struct error *write_io(const struct guest_task_io *io, FILE *out)
{
	if (!io->known)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel was built without I/O accounting");
	fprintf(out, "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\n", (unsigned long long)io->read_chars,
		(unsigned long long)io->written_chars, (unsigned long long)io->read_calls,
		(unsigned long long)io->write_calls);
	fprintf(out, "read_bytes: %llu\nwrite_bytes: %llu\ncancelled_write_bytes: %llu\n",
		(unsigned long long)io->read_bytes, (unsigned long long)io->written_bytes,
		(unsigned long long)io->cancelled_bytes);
	return NULL;
}

DETAIL_WRITER(process_write_schedstat, false, error = write_schedstat(&details, out))
DETAIL_WRITER(process_write_io, true, error = write_io(&details.io, out))
DETAIL_WRITER(process_write_thread_io, false, error = write_io(&details.io, out))
