/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of one task: its namespaces, working directory and root. */
#include <stdlib.h>

#include "guest/task.h"

/* Kinds of namespaces that tasks have in common with others, in their nsproxy. */
static const struct {
	const char *member, *type;
} proxy_spaces[] = {
	{"uts_ns", "uts_namespace"}, {"ipc_ns", "ipc_namespace"},   {"mnt_ns", "mnt_namespace"},
	{"net_ns", "net"},           {"time_ns", "time_namespace"}, {"cgroup_ns", "cgroup_namespace"},
};

struct space_layout {
	struct member proxy[ARRAY_SIZE(proxy_spaces)];  /* in struct nsproxy; not present: no such kind */
	struct member number[ARRAY_SIZE(proxy_spaces)]; /* ns.inum of each kind */
	struct member user_number, pid_number;          /* the same of user and process namespaces */
	struct member pid_level, pid_space;
	uint32_t pid_step; /* bytes from one level's number to the next */
};

static struct error *load_layout(struct guest *guest, struct space_layout *ret)
{
	const struct member_need needs[] = {
		{"pid", "level", &ret->pid_level},
		{"pid", "numbers.ns", &ret->pid_space},
	};

	for (size_t i = 0; i < ARRAY_SIZE(proxy_spaces); i++) {
		ret->proxy[i] = types_find(guest->types, "nsproxy", proxy_spaces[i].member);
		ret->number[i] = types_find(guest->types, proxy_spaces[i].type, "ns.inum");
	}
	ret->user_number = types_find(guest->types, "user_namespace", "ns.inum");
	ret->pid_number = types_find(guest->types, "pid_namespace", "ns.inum");
	ret->pid_step = types_size(guest->types, "upid");
	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

DEFINE_LAYOUT_GET(static, get_layout, space_layout, spaces, load_layout)

/* The number of the namespace at `space`, where there is one. */
static struct error *read_number(struct guest *guest, uint64_t space, const struct member *number, uint32_t *ret)
{
	uint64_t value;
	struct error *error;

	if (!space || !number->present)
		return NULL;
	error = guest_read_member(guest, (struct gva){space}, number, &value);
	if (!error)
		*ret = (uint32_t)value;
	return error;
}

/* An ending task has no nsproxy any more. */
static struct error *read_proxy(struct guest *guest, const struct space_layout *layout, uint64_t proxy,
				struct guest_namespaces *ret)
{
	uint32_t *const numbers[ARRAY_SIZE(proxy_spaces)] = {&ret->uts, &ret->ipc,  &ret->mnt,
							     &ret->net, &ret->time, &ret->cgroup};

	for (size_t i = 0; proxy && i < ARRAY_SIZE(proxy_spaces); i++) {
		uint64_t space = 0;
		struct error *error = NULL;

		if (layout->proxy[i].present)
			error = guest_read_member(guest, (struct gva){proxy}, &layout->proxy[i], &space);
		if (!error)
			error = read_number(guest, space, &layout->number[i], numbers[i]);
		if (error)
			return error_wrap(error, "struct %s", proxy_spaces[i].type);
	}
	return NULL;
}

/* A task's process namespace is that of its id at the deepest level. */
static struct error *read_pid_space(struct guest *guest, const struct space_layout *layout, uint64_t pid, uint32_t *ret)
{
	uint64_t depth, address;
	struct error *error;

	if (!pid)
		return NULL;
	error = guest_read_member(guest, (struct gva){pid}, &layout->pid_level, &depth);
	if (!error && depth > 32) /* MAX_PID_NS_LEVEL */
		error = error_format(NULL, pid, "a process id of %llu levels", (unsigned long long)depth);
	if (!error)
		error = guest_read_member(guest, (struct gva){pid + depth * layout->pid_step}, &layout->pid_space,
					  &address);
	return error ? error : read_number(guest, address, &layout->pid_number, ret);
}

struct error *guest_task_namespaces(struct guest *guest, uint64_t address, struct guest_namespaces *ret)
{
	struct guest_namespaces result = {0};
	const struct process_layout *layout;
	const struct space_layout *spaces = NULL;
	struct object task, cred;
	struct error *error = process_layout_get(guest, &layout);

	if (!error)
		error = get_layout(guest, &spaces);
	if (!error)
		error = task_read(guest, layout, address, &task);
	if (!error)
		error = read_proxy(guest, spaces, object_get(&task, &layout->task.nsproxy), &result);
	if (!error)
		error = read_pid_space(guest, spaces, object_get(&task, &layout->task.thread_pid), &result.pid);
	if (!error)
		error = object_load(guest, layout->cred.span, object_get(&task, &layout->task.cred), &cred);
	if (!error)
		error = read_number(guest, object_get(&cred, &layout->cred.user_ns), &spaces->user_number,
				    &result.user);
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
