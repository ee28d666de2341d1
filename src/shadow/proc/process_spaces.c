/* SPDX-License-Identifier: Apache-2.0 */
/* What surrounds a task: id maps, clocks, groups, children (kernel/user_namespace.c, fs/proc/base.c, array.c). */
#include <inttypes.h>

#include "shadow/proc/process.h"

/* Reads as an empty file: the kernel has the file, and nothing to say in it. */
static struct error *empty_if_absent(struct error *error)
{
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	return NULL;
}

static struct error *write_ids(const struct proc_facts *facts, const struct guest_task *task, enum guest_id_kind kind,
			       FILE *out)
{
	struct guest_id_map map;
	struct error *error = guest_task_id_map(facts->guest, task->address, kind, &map);

	for (uint32_t i = 0; !error && i < map.n; i++)
		fprintf(out, "%10u %10u %10u\n", map.items[i].first, map.items[i].lower, map.items[i].count);
	return error;
}

struct error *process_write_uid_map(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_ids(facts, task, GUEST_USERS, out);
}

struct error *process_write_gid_map(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_ids(facts, task, GUEST_GROUPS, out);
}

struct error *process_write_projid_map(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_ids(facts, task, GUEST_PROJECTS, out);
}

struct error *process_write_setgroups(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	bool allowed;
	struct error *error = guest_task_setgroups(facts->guest, task->address, &allowed);

	if (!error)
		fputs(allowed ? "allow\n" : "deny\n", out);
	return error;
}

struct error *process_write_timens_offsets(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_clock_offsets offsets;
	struct error *error = guest_task_clock_offsets(facts->guest, task->address, &offsets);

	if (error)
		return task->state == 'Z' ? empty_if_absent(error) : error;
	fprintf(out, "%-10s %10" PRId64 " %9d\n", "monotonic", offsets.monotonic_s, offsets.monotonic_ns);
	fprintf(out, "%-10s %10" PRId64 " %9d\n", "boottime", offsets.boottime_s, offsets.boottime_ns);
	return NULL;
}

struct error *process_write_cpuset(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = guest_task_cpuset(facts->guest, task->address, &path);

	if (!error)
		fprintf(out, "%s\n", path);
	return error;
}

struct error *process_write_autogroup(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_autogroup group;
	struct error *error = guest_task_autogroup(facts->guest, task->address, &group);

	if (!error && group.grouped)
		fprintf(out, "/autogroup-%" PRIu64 " nice %d\n", group.id, group.nice);
	return error;
}

struct error *process_write_patch_state(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	int32_t state;
	struct error *error = guest_task_patch_state(facts->guest, task->address, &state);

	if (!error)
		fprintf(out, "%d\n", state);
	return error;
}

struct error *process_write_children(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	_cleanup_(guest_child_list_deinit) struct guest_child_list list = {0};
	struct error *error = PROC_LIST(guest_task_children(facts->guest, task->address, &list), list);

	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		fprintf(out, "%u ", list.items[i]);
	return NULL;
}
