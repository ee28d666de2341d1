/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of one task: its namespaces, working directory and root. */
#include "guest/task.h"

/* Reads a pointer and, where there is one, the number of the namespace behind it. */
static struct error *read_number(struct guest *guest, uint64_t space, const char *type, uint32_t *ret)
{
	struct member number = types_find(guest->types, type, "ns.inum");
	uint64_t value;
	struct error *error;

	if (!space || !number.present)
		return NULL;
	error = guest_read_member(guest, (struct gva){space}, &number, &value);
	if (!error)
		*ret = (uint32_t)value;
	return error_wrap(error, "struct %s", type);
}

/* Those that a task has in common with others, in its nsproxy; an ending task has none any more. */
static struct error *read_proxy(struct guest *guest, uint64_t proxy, struct guest_namespaces *ret)
{
	const struct {
		const char *member, *type;
		uint32_t *number;
	} spaces[] = {
		{"uts_ns", "uts_namespace", &ret->uts},    {"ipc_ns", "ipc_namespace", &ret->ipc},
		{"mnt_ns", "mnt_namespace", &ret->mnt},    {"net_ns", "net", &ret->net},
		{"time_ns", "time_namespace", &ret->time}, {"cgroup_ns", "cgroup_namespace", &ret->cgroup},
	};

	for (size_t i = 0; proxy && i < ARRAY_SIZE(spaces); i++) {
		struct member member = types_find(guest->types, "nsproxy", spaces[i].member);
		uint64_t space = 0;
		struct error *error = NULL;

		if (member.present)
			error = guest_read_member(guest, (struct gva){proxy}, &member, &space);
		if (!error)
			error = read_number(guest, space, spaces[i].type, spaces[i].number);
		if (error)
			return error;
	}
	return NULL;
}

/* A task's process namespace is that of its id at the deepest level. */
static struct error *read_pid_space(struct guest *guest, uint64_t pid, uint32_t *ret)
{
	struct member level, numbers, space;
	const struct member_need needs[] = {
		{"pid", "level", &level},
		{"pid", "numbers.nr", &numbers},
		{"pid", "numbers.ns", &space},
	};
	uint32_t size = types_size(guest->types, "upid");
	uint64_t depth, address;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (error || !pid)
		return error;
	error = guest_read_member(guest, (struct gva){pid}, &level, &depth);
	if (!error && depth > 32) /* MAX_PID_NS_LEVEL */
		error = error_format(NULL, pid, "a process id of %llu levels", (unsigned long long)depth);
	if (!error)
		error = guest_read_member(guest, (struct gva){pid + depth * size}, &space, &address);
	return error ? error : read_number(guest, address, "pid_namespace", ret);
}

struct error *guest_task_namespaces(struct guest *guest, uint64_t address, struct guest_namespaces *ret)
{
	struct guest_namespaces result = {0};
	const struct process_layout *layout;
	struct object task, cred;
	struct error *error = process_layout_get(guest, &layout);

	if (!error)
		error = task_read(guest, layout, address, &task);
	if (!error)
		error = read_proxy(guest, object_get(&task, &layout->task.nsproxy), &result);
	if (!error)
		error = read_pid_space(guest, object_get(&task, &layout->task.thread_pid), &result.pid);
	if (!error)
		error = object_load(guest, layout->cred.span, object_get(&task, &layout->task.cred), &cred);
	if (!error)
		error = read_number(guest, object_get(&cred, &layout->cred.user_ns), "user_namespace", &result.user);
	if (error)
		return error_wrap(error, "namespaces of a task");
	*ret = result;
	return NULL;
}

/* The path of a directory in the task's fs_struct. */
static struct error *directory(struct guest *guest, uint64_t address, const char *which, char **ret)
{
	const struct process_layout *layout;
	struct member path = types_find(guest->types, "fs_struct", which);
	struct object task;
	struct place place;
	uint64_t fs;
	struct error *error = process_layout_get(guest, &layout);

	if (!error)
		error = task_read(guest, layout, address, &task);
	if (error)
		return error;
	fs = object_get(&task, &layout->task.fs);
	if (!fs || !path.present)
		return error_create(ERROR_NOT_FOUND, "the task is ending and has no directories any more");
	guest_effort_begin(guest);
	error = place_read(guest, layout->path, (struct gva){fs + path.offset}, &place);
	if (!error)
		error = place_path(guest, layout->path, &place, ret);
	return error_wrap(error, "directory of a task");
}

struct error *guest_task_cwd(struct guest *guest, uint64_t task, char **ret)
{
	return directory(guest, task, "pwd", ret);
}

struct error *guest_task_root(struct guest *guest, uint64_t task, char **ret)
{
	return directory(guest, task, "root", ret);
}
