/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses which addresses and ports (kernel/resource.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/object.h"

#define RESOURCES_MAX 65536u
#define NAME_SIZE     256u

struct resource_layout {
	struct object_span span;
	struct member start, end, name, parent, sibling, child;
};

static struct error *append(struct guest *guest, const struct resource_layout *layout, const struct object *object,
			    uint32_t depth, struct guest_resource_list *list)
{
	struct guest_resource one = {
		.start = object_get(object, &layout->start), .end = object_get(object, &layout->end), .depth = depth};
	uint64_t pointer = object_get(object, &layout->name);
	char name[NAME_SIZE] = "<BAD>"; /* as the kernel prints it */
	struct error *error = array_room(&list->items, list->n, sizeof(*list->items));

	if (!error && pointer)
		error = memory_read_string(&guest->memory, (struct gva){pointer}, name, sizeof(name));
	if (error)
		return error;
	one.name = strdup(name);
	if (!one.name)
		return error_no_memory();
	list->items[list->n++] = one;
	return NULL;
}

/*
 * Depth first: to the child, else to the next beside it, else up until there is one. A parent that is not where it was
 * come from ends the walk, and so do too many.
 */
static struct error *walk(struct guest *guest, const struct resource_layout *layout, uint64_t root,
			  struct guest_resource_list *list)
{
	struct object object;
	uint32_t depth = 0;
	uint64_t next;
	struct error *error = object_load(guest, layout->span, root, &object);

	if (error)
		return error;
	list->limit = object_get(&object, &layout->end);
	next = object_get(&object, &layout->child);
	while (next) {
		error = object_load(guest, layout->span, next, &object);
		if (!error && list->n == RESOURCES_MAX)
			error = error_format(NULL, next, "the tree of the guest's resources does not end");
		if (!error)
			error = append(guest, layout, &object, depth, list);
		if (error)
			return error;
		next = object_get(&object, &layout->child);
		if (next) {
			depth++;
			continue;
		}
		next = object_get(&object, &layout->sibling);
		while (!next && depth > 0) {
			uint64_t parent = object_get(&object, &layout->parent);

			error = object_load(guest, layout->span, parent, &object);
			if (error)
				return error;
			depth--;
			next = object_get(&object, &layout->sibling);
		}
	}
	return NULL;
}

static struct error *read_tree(struct guest *guest, const char *root, struct guest_resource_list *ret)
{
	struct guest_resource_list list = {0};
	struct resource_layout layout = {0};
	const struct member_need needs[] = {
		{"resource", "start", &layout.start},     {"resource", "end", &layout.end},
		{"resource", "name", &layout.name},       {"resource", "parent", &layout.parent},
		{"resource", "sibling", &layout.sibling}, {"resource", "child", &layout.child},
	};
	struct gva symbol;
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &layout.span);

	if (!error)
		error = symbols_get(guest->symbols, root, &symbol);
	if (!error)
		error = walk_note(&list.incomplete, walk(guest, &layout, symbol.v, &list));
	if (error) {
		guest_resource_list_deinit(&list);
		return error_wrap(error, "the guest's resources");
	}
	*ret = list;
	return NULL;
}

struct error *guest_memory_resources(struct guest *guest, struct guest_resource_list *ret)
{
	return read_tree(guest, "iomem_resource", ret);
}

struct error *guest_port_resources(struct guest *guest, struct guest_resource_list *ret)
{
	return read_tree(guest, "ioport_resource", ret);
}

void guest_resource_list_deinit(struct guest_resource_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].name);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_resource_list){0};
}
