/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a class: a klist in a structure of the driver core (drivers/base/class.c). */
#include "guest/classes.h"

#define NODE_DEAD UINT64_C(1) /* a bit of klist_node.n_klist */

struct class_layout {
	struct member devices, node, node_klist, private_node, private_device;
	struct member kset_list, kset_object, object_entry, subsystem_class;
};

/* The structure that stands for the class: what it points to, since 6.4 (7b884b7f24b4) what points to it. */
struct find {
	const struct class_layout *layout;
	struct gva class, found;
};

static struct error *compare_class(struct guest *guest, struct gva subsystem, void *context)
{
	struct find *find = context;
	uint64_t class;
	struct error *error = guest_read_member(guest, subsystem, &find->layout->subsystem_class, &class);

	if (!error && class == find->class.v)
		find->found = subsystem;
	return error;
}

static struct error *find_subsystem(struct guest *guest, const struct class_layout *layout, const char *name,
				    struct gva *ret)
{
	struct member private = types_find(guest->types, "class", "p");
	struct find find = {.layout = layout};
	uint64_t all;
	struct error *error = symbols_get(guest->symbols, name, &find.class);

	if (!error && private.present)
		return guest_read_member(guest, find.class, &private, &ret->v);
	if (!error)
		error = guest_symbol_u64(guest, "class_kset", &all);
	if (!error)
		error = list_walk(guest, (struct gva){all + layout->kset_list.offset},
				  layout->kset_object.offset + layout->object_entry.offset, compare_class, &find);
	if (!error && !find.found.v)
		error = error_create(ERROR_NOT_FOUND, "the guest has no class %s", name);
	if (!error)
		*ret = find.found;
	return error;
}

struct devices {
	const struct class_layout *layout;
	list_visit visit;
	void *context;
};

static struct error *visit_node(struct guest *guest, struct gva node, void *context)
{
	const struct devices *devices = context;
	const struct class_layout *layout = devices->layout;
	uint64_t klist, device;
	struct error *error = guest_read_member(guest, node, &layout->node_klist, &klist);

	if (error || klist & NODE_DEAD)
		return error;
	error = guest_read_member(guest, (struct gva){node.v - layout->private_node.offset}, &layout->private_device,
				  &device);
	return error ? error : devices->visit(guest, (struct gva){device}, devices->context);
}

struct error *class_walk(struct guest *guest, const char *name, list_visit visit, void *context)
{
	struct class_layout layout;
	const struct member_need needs[] = {
		{"subsys_private", "klist_devices.k_list", &layout.devices},
		{"subsys_private", "class", &layout.subsystem_class},
		{"subsys_private", "subsys.kobj", &layout.kset_object},
		{"kset", "list", &layout.kset_list},
		{"kobject", "entry", &layout.object_entry},
		{"klist_node", "n_node", &layout.node},
		{"klist_node", "n_klist", &layout.node_klist},
		{"device_private", "knode_class", &layout.private_node},
		{"device_private", "device", &layout.private_device},
	};
	struct devices devices = {&layout, visit, context};
	struct gva subsystem;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = find_subsystem(guest, &layout, name, &subsystem);
	if (!error)
		error = list_walk(guest, (struct gva){subsystem.v + layout.devices.offset}, layout.node.offset,
				  visit_node, &devices);
	return error_wrap(error, "class %s", name);
}
