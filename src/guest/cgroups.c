/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: which a task is in, and the options of a mounted hierarchy of version 1. */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/mount_options.h"
#include "guest/task.h"

#define SUBSYSTEMS_MAX  32u /* bits of cgroup_root.subsys_mask */
#define HIERARCHIES_MAX 64u

struct hierarchy_layout {
	struct member mask, id, name, flags, agent, group_flags, roots;
	struct member subsystem_name;
	struct gva subsystems; /* an array of pointers to struct cgroup_subsys */
	uint32_t n_subsystems;
};

static struct error *load_hierarchies(struct guest *guest, struct hierarchy_layout *ret)
{
	const struct member_need needs[] = {
		{"cgroup_root", "subsys_mask", &ret->mask},
		{"cgroup_root", "hierarchy_id", &ret->id},
		{"cgroup_root", "name", &ret->name},
		{"cgroup_root", "flags", &ret->flags},
		{"cgroup_root", "release_agent_path", &ret->agent},
		{"cgroup_root", "cgrp.flags", &ret->group_flags},
		{"cgroup_root", "root_list", &ret->roots},
		{"cgroup_subsys", "legacy_name", &ret->subsystem_name},
	};
	uint64_t n = 0;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "cgroup_subsys", &ret->subsystems);
	if (!error)
		error = types_get_enum(guest->types, "cgroup_subsys_id", "CGROUP_SUBSYS_COUNT", &n);
	ret->n_subsystems = n < SUBSYSTEMS_MAX ? (uint32_t)n : SUBSYSTEMS_MAX;
	return error;
}

/* Writes the names of the controllers in `mask`, each with `before` in front but for the first if it is `bare`. */
static struct error *show_controllers(struct guest *guest, const struct hierarchy_layout *layout, uint64_t mask,
				      bool bare, FILE *out)
{
	struct error *error = NULL;

	for (uint32_t i = 0; !error && i < layout->n_subsystems; i++) {
		uint64_t subsystem, name;
		char text[64];

		if (!(mask >> i & 1))
			continue;
		error = memory_read_u64(&guest->memory, (struct gva){layout->subsystems.v + i * 8}, &subsystem);
		if (!error)
			error = guest_read_member(guest, (struct gva){subsystem}, &layout->subsystem_name, &name);
		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){name}, text, sizeof(text));
		if (!error)
			fprintf(out, "%s%s", bare ? "" : ",", text);
		bare = false;
	}
	return error;
}

/* ---- Options of version 1 ---- */

static struct error *show_flags(const struct option_context *context, uint64_t flags)
{
	static const struct {
		const char *constant, *text;
	} words[] = {
		{"CGRP_ROOT_NOPREFIX", ",noprefix"},
		{"CGRP_ROOT_XATTR", ",xattr"},
		{"CGRP_ROOT_CPUSET_V2_MODE", ",cpuset_v2_mode"},
		{"CGRP_ROOT_FAVOR_DYNMODS", ",favordynmods"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		uint64_t bit;

		if (types_enum(context->types, NULL, words[i].constant, &bit) && flags & bit)
			fputs(words[i].text, context->out);
	}
	return NULL;
}

static struct error *show_text(const struct option_context *context, struct gva address, const char *text)
{
	_cleanup_(free_ptr) char *value = NULL;
	struct error *error = vfs_string(context->guest, address.v, &value);

	if (!error && *value)
		fprintf(context->out, "%s%s", text, value);
	return error;
}

/* super_block → kernfs_super_info → kernfs_root → kernfs_node → cgroup → cgroup_root */
static struct error *find_hierarchy(const struct option_context *context, struct gva *ret)
{
	static const struct {
		const char *structure, *member;
	} hops[] = {{"kernfs_super_info", "root"}, {"kernfs_root", "kn"}, {"kernfs_node", "priv"}, {"cgroup", "root"}};
	struct gva address = {context->super->info};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(hops); i++) {
		struct member member;
		const struct member_need need = {hops[i].structure, hops[i].member, &member};

		error = types_need(context->types, &need, 1);
		if (!error)
			error = guest_read_member(context->guest, address, &member, &address.v);
	}
	if (!error)
		*ret = address;
	return error;
}

struct error *option_show_cgroup1(const struct option_context *context, uint64_t unused)
{
	struct hierarchy_layout layout;
	uint64_t mask, flags, group_flags, bit;
	const struct member_read reads[] = {
		{&layout.mask, &mask}, {&layout.flags, &flags}, {&layout.group_flags, &group_flags}};
	struct gva root;
	struct error *error = load_hierarchies(context->guest, &layout);

	if (!error)
		error = find_hierarchy(context, &root);
	if (!error)
		error = guest_read_members(context->guest, root, reads, ARRAY_SIZE(reads));
	if (!error)
		error = show_controllers(context->guest, &layout, mask, false, context->out);
	if (!error)
		error = show_flags(context, flags);
	if (!error)
		error = show_text(context, (struct gva){root.v + layout.agent.offset}, ",release_agent=");
	if (!error && types_enum(context->types, NULL, "CGRP_CPUSET_CLONE_CHILDREN", &bit) && bit < 64 &&
	    group_flags >> bit & 1)
		fputs(",clone_children", context->out);
	return error ? error : show_text(context, (struct gva){root.v + layout.name.offset}, ",name=");
}

/* ---- A task's ---- */

struct task_walk {
	const struct hierarchy_layout *layout;
	const struct cgroup_layout *groups;
	struct gva css_set, initial_set, version2; /* version2: the root of its hierarchy */
	bool version2_visible;
	bool exiting; /* PF_EXITING */
	struct guest_cgroup_list list;
};

void guest_cgroup_list_deinit(struct guest_cgroup_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].controllers);
		free(list->items[i].path);
	}
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_cgroup_list){0};
}

struct link_search {
	const struct cgroup_layout *groups;
	uint64_t root, found;
};

static struct error *visit_link(struct guest *guest, struct gva link, void *context)
{
	struct link_search *search = context;
	uint64_t cgroup, root;
	struct error *error = guest_read_member(guest, link, &search->groups->link_cgroup, &cgroup);

	if (!error)
		error = guest_read_member(guest, (struct gva){cgroup}, &search->groups->cgroup_root, &root);
	if (!error && root == search->root)
		search->found = cgroup;
	return error;
}

/* The task's cgroup in the hierarchy at `root` (cset_cgroup_from_root). */
static struct error *find_cgroup(struct guest *guest, const struct task_walk *walk, struct gva root, uint64_t *ret)
{
	struct member own = types_find(guest->types, "cgroup_root", "cgrp");
	struct link_search search = {.groups = walk->groups, .root = root.v};
	struct error *error;

	if (walk->css_set.v == walk->initial_set.v && own.present) {
		*ret = root.v + own.offset;
		return NULL;
	}
	if (root.v == walk->version2.v)
		return guest_read_member(guest, walk->css_set, &walk->groups->css_set_dfl, ret);
	error = list_walk(guest, (struct gva){walk->css_set.v + walk->groups->css_set_links.offset},
			  walk->groups->link_next.offset, visit_link, &search);
	if (!error && !search.found)
		error = error_format(NULL, walk->css_set.v, "a process is in no cgroup of a hierarchy");
	*ret = search.found;
	return error;
}

/* "cpu,cpuacct", "name=systemd"; "" for version 2. */
static struct error *name_hierarchy(struct guest *guest, const struct task_walk *walk, struct gva root, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	char name[64];
	uint64_t mask;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct error *error;

	if (!out)
		return error_no_memory();
	error = guest_read_member(guest, root, &walk->layout->mask, &mask);
	if (root.v == walk->version2.v)
		mask = 0;
	if (!error)
		error = show_controllers(guest, walk->layout, mask, true, out);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){root.v + walk->layout->name.offset}, name,
					   sizeof(name));
	if (!error && *name && root.v != walk->version2.v)
		fprintf(out, "%sname=%s", mask ? "," : "", name);
	if (fclose(out) != 0 && !error)
		error = error_no_memory();
	if (!error)
		*ret = take_ptr(text);
	return error;
}

static struct error *append(struct guest_cgroup_list *list, struct guest_cgroup *cgroup)
{
	struct error *error = array_room(&list->items, list->n, sizeof(*list->items));

	if (error)
		return error;
	list->items[list->n++] = *cgroup;
	*cgroup = (struct guest_cgroup){0};
	return NULL;
}

static struct error *visit_hierarchy(struct guest *guest, struct gva root, void *context)
{
	struct task_walk *walk = context;
	struct guest_cgroup cgroup = {0};
	uint64_t address, node, id;
	struct error *error;

	if (root.v == walk->version2.v && !walk->version2_visible)
		return NULL;
	if (walk->list.n >= HIERARCHIES_MAX)
		return error_format(NULL, root.v, "the guest has more than %u cgroup hierarchies", HIERARCHIES_MAX);
	error = find_cgroup(guest, walk, root, &address);
	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &walk->groups->cgroup_node, &node);
	if (!error)
		error = guest_read_member(guest, root, &walk->layout->id, &id);
	/* On version 1 every ended task shows up in the root (proc_cgroup_show()). */
	if (!error && walk->exiting && root.v != walk->version2.v)
		error = (cgroup.path = strdup("/")) ? NULL : error_no_memory();
	else if (!error)
		error = cgroup_node_path(guest, walk->groups, node, &cgroup.path);
	if (!error)
		error = name_hierarchy(guest, walk, root, &cgroup.controllers);
	if (!error) {
		cgroup.hierarchy = (uint32_t)id;
		error = append(&walk->list, &cgroup);
	}
	free(cgroup.path);
	free(cgroup.controllers);
	return error;
}

static struct error *find_roots(struct guest *guest, struct task_walk *walk, struct gva *ret)
{
	struct gva visible;
	uint8_t value = 1;
	struct error *error = symbols_get(guest->symbols, "cgroup_roots", ret);

	if (!error)
		error = symbols_get(guest->symbols, "cgrp_dfl_root", &walk->version2);
	if (!error)
		error = symbols_get(guest->symbols, "init_css_set", &walk->initial_set);
	/* Version 2 is shown once somebody has mounted it. */
	if (!error && symbols_find(guest->symbols, "cgrp_dfl_visible", &visible))
		error = memory_read(&guest->memory, visible, &value, sizeof(value));
	walk->version2_visible = value;
	return error;
}

struct error *guest_task_cgroups(struct guest *guest, uint64_t task, struct guest_cgroup_list *ret)
{
	struct hierarchy_layout layout;
	struct cgroup_layout groups;
	struct task_walk walk = {.layout = &layout, .groups = &groups};
	struct member css_set, flags;
	const struct member_need needs[] = {{"task_struct", "cgroups", &css_set}, {"task_struct", "flags", &flags}};
	struct gva roots;
	uint64_t task_flags = 0;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	guest_effort_begin(guest);
	if (!error)
		error = load_hierarchies(guest, &layout);
	if (!error)
		error = cgroup_layout_load(guest, &groups);
	if (!error)
		error = find_roots(guest, &walk, &roots);
	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &css_set, &walk.css_set.v);
	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &flags, &task_flags);
	walk.exiting = task_flags & PF_EXITING;
	if (!error)
		error = list_walk(guest, roots, layout.roots.offset, visit_hierarchy, &walk);
	error = error_wrap(error, "cgroups of a process");
	if (error && (walk.list.n == 0 || error->code == ERROR_NO_MEMORY)) {
		guest_cgroup_list_deinit(&walk.list);
		return error;
	}
	walk.list.incomplete = error;
	*ret = walk.list;
	return NULL;
}
