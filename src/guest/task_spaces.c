/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/task_spaces.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/task.h"

#define RANGES_INLINE 5u          /* UID_GID_MAP_MAX_BASE_EXTENTS: more lie elsewhere */
#define RANGE_SIZE    12u         /* of a struct uid_gid_extent: its three numbers */
#define SETGROUPS     UINT64_C(1) /* USERNS_SETGROUPS_ALLOWED */

/* Follows pointers, each a member of what the one before leads to; 0 ends the way. */
struct hop {
	const char *type, *path;
};

static struct error *follow(struct guest *guest, uint64_t from, const struct hop *hops, size_t n, uint64_t *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && from && i < n; i++) {
		struct member member;

		error = types_need(guest->types, &(struct member_need){hops[i].type, hops[i].path, &member}, 1);
		if (!error)
			error = guest_read_member(guest, (struct gva){from}, &member, &from);
	}
	if (!error)
		*ret = from;
	return error;
}

/* ---- User namespace ---- */

static struct error *user_namespace(struct guest *guest, uint64_t task, struct gva *ret)
{
	static const struct hop hops[] = {{"task_struct", "real_cred"}, {"cred", "user_ns"}};

	return error_wrap(follow(guest, task, hops, ARRAY_SIZE(hops), &ret->v), "user namespace of a task");
}

static struct error *read_ranges(struct guest *guest, struct gva map, uint64_t n, struct guest_id_map *ret)
{
	struct member extents, forward;
	const struct member_need needs[] = {{"uid_gid_map", "extent", &extents}, {"uid_gid_map", "forward", &forward}};
	struct gva place;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && types_size(guest->types, "uid_gid_extent") != RANGE_SIZE)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel maps ids in an unknown way");
	if (!error && n > GUEST_ID_RANGES_MAX)
		error = error_format(NULL, map.v, "a user namespace with %llu ranges of ids", (unsigned long long)n);
	place.v = map.v + extents.offset;
	if (!error && n > RANGES_INLINE)
		error = guest_read_member(guest, map, &forward, &place.v);
	if (!error)
		error = memory_read(&guest->memory, place, ret->items, n * sizeof(*ret->items));
	if (!error)
		ret->n = (uint32_t)n;
	return error;
}

struct error *guest_task_id_map(struct guest *guest, uint64_t task, enum guest_id_kind kind, struct guest_id_map *ret)
{
	static const char *const names[] = {
		[GUEST_USERS] = "uid_map", [GUEST_GROUPS] = "gid_map", [GUEST_PROJECTS] = "projid_map"};
	struct member map, count;
	const struct member_need needs[] = {{"user_namespace", names[kind], &map},
					    {"uid_gid_map", "nr_extents", &count}};
	struct gva space = {0};
	uint64_t n;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	_Static_assert(sizeof(struct guest_id_range) == RANGE_SIZE, "read as the kernel has it");
	if (!error)
		error = user_namespace(guest, task, &space);
	space.v += error ? 0 : map.offset;
	if (!error)
		error = guest_read_member(guest, space, &count, &n);
	if (!error)
		error = read_ranges(guest, space, n, ret);
	return error_wrap(error, "ids of a user namespace");
}

struct error *guest_task_setgroups(struct guest *guest, uint64_t task, bool *ret)
{
	struct member flags;
	struct gva space = {0};
	uint64_t value;
	struct error *error = types_need(guest->types, &(struct member_need){"user_namespace", "flags", &flags}, 1);

	if (!error)
		error = user_namespace(guest, task, &space);
	if (!error)
		error = guest_read_member(guest, space, &flags, &value);
	if (!error)
		*ret = value & SETGROUPS;
	return error;
}

/* ---- Time namespace ---- */

static struct error *read_offset(struct guest *guest, struct gva offsets, const char *clock, int64_t *ret_s,
				 int32_t *ret_ns)
{
	struct member place, seconds, fraction;
	const struct member_need needs[] = {{"timens_offsets", clock, &place},
					    {"timespec64", "tv_sec", &seconds},
					    {"timespec64", "tv_nsec", &fraction}};
	uint64_t s, ns;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	offsets.v += error ? 0 : place.offset;
	if (!error)
		error = guest_read_member(guest, offsets, &seconds, &s);
	if (!error)
		error = guest_read_member(guest, offsets, &fraction, &ns);
	if (error)
		return error;
	*ret_s = (int64_t)s;
	*ret_ns = (int32_t)ns;
	return NULL;
}

struct error *guest_task_clock_offsets(struct guest *guest, uint64_t task, struct guest_clock_offsets *ret)
{
	static const struct hop hops[] = {{"task_struct", "nsproxy"}, {"nsproxy", "time_ns_for_children"}};
	struct member offsets = types_find(guest->types, "time_namespace", "offsets"); /* 5.6, CONFIG_TIME_NS */
	struct guest_clock_offsets result;
	struct gva space = {0};
	struct error *error;

	if (!offsets.present)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no time namespaces");
	error = follow(guest, task, hops, ARRAY_SIZE(hops), &space.v);
	if (!error && !space.v)
		return error_create(ERROR_NOT_FOUND, "the task has ended");
	space.v += error ? 0 : offsets.offset;
	if (!error)
		error = read_offset(guest, space, "monotonic", &result.monotonic_s, &result.monotonic_ns);
	if (!error)
		error = read_offset(guest, space, "boottime", &result.boottime_s, &result.boottime_ns);
	if (error)
		return error_wrap(error, "time namespace of a task");
	*ret = result;
	return NULL;
}

/* ---- Groups ---- */

struct error *guest_task_cpuset(struct guest *guest, uint64_t task, char **ret)
{
	static const struct hop to_set[] = {{"task_struct", "cgroups"}};
	static const struct hop to_node[] = {{"cgroup_subsys_state", "cgroup"}, {"cgroup", "kn"}};
	struct member states = types_find(guest->types, "css_set", "subsys");
	const struct process_layout *layout;
	struct gva symbol;
	uint64_t index, set, state, node;
	struct error *error;

	/* CONFIG_PROC_PID_CPUSET */
	if (!symbols_find(guest->symbols, "proc_cpuset_show", &symbol) || !states.present ||
	    !types_enum(guest->types, "cgroup_subsys_id", "cpuset_cgrp_id", &index) || index >= states.count)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel shows no cpusets");
	guest_effort_begin(guest);
	error = process_layout_get(guest, &layout);
	if (!error)
		error = follow(guest, task, to_set, ARRAY_SIZE(to_set), &set);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){set + states.offset + 8 * index}, &state);
	if (!error)
		error = follow(guest, state, to_node, ARRAY_SIZE(to_node), &node);
	if (!error)
		error = cgroup_node_path(guest, &layout->cgroup, node, ret);
	return error_wrap(error, "cpuset of a task");
}

struct error *guest_task_autogroup(struct guest *guest, uint64_t task, struct guest_autogroup *ret)
{
	static const struct hop to_group[] = {{"task_struct", "signal"}, {"signal_struct", "autogroup"}};
	static const struct hop to_scheduler[] = {{"autogroup", "tg"}, {"task_group", "autogroup"}};
	struct member id = types_find(guest->types, "autogroup", "id");
	struct member nice = types_find(guest->types, "autogroup", "nice");
	uint64_t group, back = 0, id_value = 0, nice_value = 0;
	struct error *error;

	if (!id.present || !nice.present)
		return error_create(ERROR_NOT_FOUND, "the guest's scheduler groups no sessions");
	error = follow(guest, task, to_group, ARRAY_SIZE(to_group), &group);
	if (!error && group)
		error = follow(guest, group, to_scheduler, ARRAY_SIZE(to_scheduler), &back);
	if (!error && back)
		error = guest_read_member(guest, (struct gva){group}, &id, &id_value);
	if (!error && back)
		error = guest_read_member(guest, (struct gva){group}, &nice, &nice_value);
	if (error)
		return error_wrap(error, "scheduling group of a session");
	*ret = (struct guest_autogroup){.grouped = back != 0, .id = id_value, .nice = (int32_t)(uint32_t)nice_value};
	return NULL;
}

struct error *guest_task_patch_state(struct guest *guest, uint64_t task, int32_t *ret)
{
	struct member state = types_find(guest->types, "task_struct", "patch_state");
	uint64_t value;
	struct error *error;

	if (!state.present)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel was built without live patches");
	error = guest_read_member(guest, (struct gva){task}, &state, &value);
	if (!error)
		*ret = (int32_t)(uint32_t)value;
	return error;
}

/* ---- Children ---- */

struct child_walk {
	const struct process_layout *layout;
	struct guest_child_list *list;
};

static struct error *visit_child(struct guest *guest, struct gva child, void *context)
{
	struct child_walk *walk = context;
	struct guest_child_list *list = walk->list;
	uint64_t pid;
	struct error *error = guest_read_member(guest, child, &walk->layout->task.pid, &pid);

	if (!error && list->n > walk->layout->tasks_max)
		error = error_format(NULL, child.v, "more children than fit into the guest's memory");
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		list->items[list->n++] = (uint32_t)pid;
	return error;
}

struct error *guest_task_children(struct guest *guest, uint64_t task, struct guest_child_list *ret)
{
	_cleanup_(guest_child_list_deinit) struct guest_child_list list = {0};
	struct child_walk walk = {.list = &list};
	struct member children, sibling;
	const struct member_need needs[] = {{"task_struct", "children", &children},
					    {"task_struct", "sibling", &sibling}};
	struct gva symbol;
	struct error *error;

	if (!symbols_find(guest->symbols, "proc_tid_children_operations", &symbol)) /* CONFIG_PROC_CHILDREN */
		return error_create(ERROR_NOT_FOUND, "the guest's kernel lists no children");
	error = process_layout_get(guest, &walk.layout);
	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (error)
		return error_wrap(error, "children of a task");
	error = walk_note(&list.incomplete, error_wrap(list_walk(guest, (struct gva){task + children.offset},
								 sibling.offset, visit_child, &walk),
						       "children of a task"));
	if (error)
		return error;
	*ret = list;
	list = (struct guest_child_list){0};
	return NULL;
}

void guest_child_list_deinit(struct guest_child_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_child_list){0};
}
