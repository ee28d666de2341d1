/* SPDX-License-Identifier: Apache-2.0 */
/* The controllers of control groups (kernel/cgroup/cgroup-v1.c). */
#include <stdlib.h>

#include "guest/internal.h"

#define CONTROLLERS_MAX 64u

struct controller_layout {
	struct member name, root, legacy, modern, hierarchy, groups;
	bool skips; /* those that have no files of the first version are left out */
};

static struct error *read_controller(struct guest *guest, const struct controller_layout *layout, uint64_t subsystem,
				     uint64_t key, struct guest_controller *ret, bool *ret_absent)
{
	uint64_t name, root, legacy, modern, hierarchy, groups;
	const struct member_read reads[] = {
		{&layout->name, &name}, {&layout->root, &root}, {&layout->legacy, &legacy}, {&layout->modern, &modern}};
	const struct member_read more[] = {{&layout->hierarchy, &hierarchy}, {&layout->groups, &groups}};
	uint32_t enabled;
	struct error *error = guest_read_members(guest, (struct gva){subsystem}, reads, ARRAY_SIZE(reads));

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, ret->name, sizeof(ret->name));
	if (!error)
		error = guest_read_members(guest, (struct gva){root}, more, ARRAY_SIZE(more));
	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){key}, &enabled);
	if (error)
		return error;
	ret->hierarchy = (uint32_t)hierarchy;
	ret->groups = (uint32_t)groups;
	ret->enabled = (int32_t)enabled > 0;
	*ret_absent = layout->skips && !legacy && modern;
	return NULL;
}

static struct error *walk(struct guest *guest, const struct controller_layout *layout,
			  struct guest_controller_list *list)
{
	uint64_t n, subsystems[CONTROLLERS_MAX], keys[CONTROLLERS_MAX];
	struct gva all, enabled;
	struct error *error = types_get_enum(guest->types, "cgroup_subsys_id", "CGROUP_SUBSYS_COUNT", &n);

	if (!error && n > CONTROLLERS_MAX)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel has %llu controllers",
				     (unsigned long long)n);
	if (!error)
		error = symbols_get(guest->symbols, "cgroup_subsys", &all);
	if (!error)
		error = symbols_get(guest->symbols, "cgroup_subsys_enabled_key", &enabled);
	if (!error)
		error = memory_read(&guest->memory, all, subsystems, n * sizeof(*subsystems));
	if (!error)
		error = memory_read(&guest->memory, enabled, keys, n * sizeof(*keys));
	for (uint64_t i = 0; !error && i < n; i++) {
		struct guest_controller one = {0};
		bool absent;

		error = read_controller(guest, layout, subsystems[i], keys[i], &one, &absent);
		if (!error)
			error = array_room(&list->items, list->n, sizeof(*list->items));
		if (!error && !absent)
			list->items[list->n++] = one;
	}
	return error;
}

struct error *guest_controllers(struct guest *guest, struct guest_controller_list *ret)
{
	struct guest_controller_list list = {0};
	struct controller_layout layout;
	const struct member_need needs[] = {
		{"cgroup_subsys", "legacy_name", &layout.name},      {"cgroup_subsys", "root", &layout.root},
		{"cgroup_subsys", "legacy_cftypes", &layout.legacy}, {"cgroup_subsys", "dfl_cftypes", &layout.modern},
		{"cgroup_root", "hierarchy_id", &layout.hierarchy},  {"cgroup_root", "nr_cgrps", &layout.groups},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	/* Since 6.13 a controller that was built without the first version is left out; nothing else tells that. */
	layout.skips = types_size(guest->types, "tk_data") != 0;
	if (!error)
		error = walk_note(&list.incomplete, walk(guest, &layout, &list));
	if (error) {
		guest_controller_list_deinit(&list);
		return error_wrap(error, "the guest's controllers");
	}
	*ret = list;
	return NULL;
}

void guest_controller_list_deinit(struct guest_controller_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_controller_list){0};
}
