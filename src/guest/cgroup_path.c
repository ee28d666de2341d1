/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of control groups, put together from their last part to their first. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/internal.h"
#include "guest/path_text.h"

#define DEPTH_MAX (FILE_PATH_SIZE / 2)

struct error *cgroup_layout_load(struct guest *guest, struct cgroup_layout *ret)
{
	const struct member_need needs[] = {
		{"css_set", "dfl_cgrp", &ret->css_set_dfl},
		{"css_set", "cgrp_links", &ret->css_set_links},
		{"cgrp_cset_link", "cgrp_link", &ret->link_next},
		{"cgrp_cset_link", "cgrp", &ret->link_cgroup},
		{"cgroup", "kn", &ret->cgroup_node},
		{"cgroup", "root", &ret->cgroup_root},
		{"cgroup_root", "name", &ret->root_name},
		{"cgroup", "self.flags", &ret->cgroup_flags, .optional = true},
		{"kernfs_node", "name", &ret->node_name},
		{"kernfs_node", "parent", &ret->node_parent, .optional = true},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!types_enum(guest->types, NULL, "CSS_ONLINE", &ret->css_online))
		ret->css_online = 0;
	/* Renamed when it became RCU-protected (6.15). */
	if (!error && !ret->node_parent.present)
		error = types_need(guest->types, &(struct member_need){"kernfs_node", "__parent", &ret->node_parent},
				   1);
	return error;
}

struct error *cgroup_node_path(struct guest *guest, const struct cgroup_layout *layout, uint64_t node, char **ret)
{
	struct path_text path;

	path_text_init(&path);
	for (unsigned depth = 0;; depth++) {
		uint64_t name, parent;
		const struct member_read reads[] = {{&layout->node_name, &name}, {&layout->node_parent, &parent}};
		char part[FILE_NAME_SIZE];
		struct error *error = guest_effort(guest, 1, node);

		if (!error)
			error = guest_read_members(guest, (struct gva){node}, reads, ARRAY_SIZE(reads));
		if (!error && !parent)
			return path_text_take(&path, "", ret);
		if (!error && depth > DEPTH_MAX)
			error = error_format(NULL, node, "a cgroup's path goes in circles");
		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){name}, part, sizeof(part));
		if (!error)
			error = path_text_prepend(&path, part);
		if (error)
			return error;
		node = parent;
	}
}

static struct error *is_systemd(struct guest *guest, const struct cgroup_layout *layout, uint64_t cgroup, bool *ret)
{
	uint64_t root;
	char name[16];
	struct error *error = guest_read_member(guest, (struct gva){cgroup}, &layout->cgroup_root, &root);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){root + layout->root_name.offset}, name,
					   sizeof(name));
	if (!error)
		*ret = strcmp(name, "systemd") == 0;
	return error;
}

/* The cgroup in the version 1 hierarchy named "systemd"; 0: there is none. */
static struct error *find_systemd(struct guest *guest, const struct cgroup_layout *layout, struct gva css_set,
				  uint64_t *ret)
{
	struct gva head = {css_set.v + layout->css_set_links.offset};
	struct loop_guard guard = {0};
	uint64_t next;
	struct error *error = memory_read_u64(&guest->memory, head, &next);

	while (!error && next != head.v) {
		uint64_t cgroup;
		bool found = false;

		if (!loop_guard_step(&guard, next))
			return error_format(NULL, next, "a list of cgroups goes in circles");
		error = guest_effort(guest, 1, next);
		if (!error)
			error = guest_read_member(guest, (struct gva){next - layout->link_next.offset},
						  &layout->link_cgroup, &cgroup);
		if (!error)
			error = is_systemd(guest, layout, cgroup, &found);
		if (!error && found) {
			*ret = cgroup;
			return NULL;
		}
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	if (!error)
		*ret = 0;
	return error;
}

/* A cgroup of version 2 that was removed; only a task that is ending can still be in it. */
static struct error *is_dead(struct guest *guest, const struct cgroup_layout *layout, uint64_t cgroup, bool *ret)
{
	uint64_t flags = layout->css_online;
	struct error *error = NULL;

	if (layout->cgroup_flags.present)
		error = guest_read_member(guest, (struct gva){cgroup}, &layout->cgroup_flags, &flags);
	*ret = !(flags & layout->css_online) && layout->css_online;
	return error;
}

struct error *cgroup_path(struct guest *guest, const struct cgroup_layout *layout, struct gva css_set, bool exiting,
			  char **ret)
{
	uint64_t cgroup, node;
	bool dead = false;
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error = find_systemd(guest, layout, css_set, &cgroup);

	/* Version 1 lets go of a task that is ending. */
	if (!error && cgroup && exiting) {
		*ret = strdup("/");
		return *ret ? NULL : error_no_memory();
	}
	if (!error && !cgroup) {
		error = guest_read_member(guest, css_set, &layout->css_set_dfl, &cgroup);
		if (!error && exiting)
			error = is_dead(guest, layout, cgroup, &dead);
	}
	if (!error)
		error = guest_read_member(guest, (struct gva){cgroup}, &layout->cgroup_node, &node);
	if (!error)
		error = cgroup_node_path(guest, layout, node, &path);
	if (error)
		return error_wrap(error, "a process's cgroup");
	*ret = dead ? string_format("%s (deleted)", path) : take_ptr(path);
	return *ret ? NULL : error_no_memory();
}
