/* SPDX-License-Identifier: Apache-2.0 */
/* The types of file systems that can be mounted (fs/filesystems.c). */
#include <stdlib.h>

#include "guest/internal.h"

#define TYPES_MAX    4096u
#define REQUIRES_DEV 1u /* FS_REQUIRES_DEV */

struct type_layout {
	struct member name, flags, next;
};

/* Leaves in *address the next one, or 0. */
static struct error *read_type(struct guest *guest, const struct type_layout *layout, uint64_t *address,
			       struct guest_file_system_type *ret)
{
	uint64_t name, flags, next;
	const struct member_read reads[] = {{&layout->name, &name}, {&layout->flags, &flags}, {&layout->next, &next}};
	struct error *error = guest_read_members(guest, (struct gva){*address}, reads, ARRAY_SIZE(reads));

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){name}, ret->name, sizeof(ret->name));
	if (error)
		return error;
	ret->needs_device = flags & REQUIRES_DEV;
	*address = next;
	return NULL;
}

static struct error *walk_types(struct guest *guest, const struct type_layout *layout, uint64_t node, bool old,
				struct guest_file_system_type_list *list)
{
	while (node) {
		uint64_t address = old ? node : node - layout->next.offset;
		struct guest_file_system_type type;
		struct error *error = NULL;

		if (list->n == TYPES_MAX)
			error = error_format(NULL, address, "the list of the guest's file system types does not end");
		if (!error)
			error = read_type(guest, layout, &address, &type);
		node = address;
		if (!error)
			error = array_room(&list->items, list->n, sizeof(*list->items));
		if (error)
			return error;
		list->items[list->n++] = type;
	}
	return NULL;
}

struct error *guest_file_system_types(struct guest *guest, struct guest_file_system_type_list *ret)
{
	struct guest_file_system_type_list list = {0};
	struct type_layout layout;
	/* A list of its own, since 7.2 the kernel's usual one. */
	bool old = types_find(guest->types, "file_system_type", "next").present;
	const struct member_need needs[] = {
		{"file_system_type", "name", &layout.name},
		{"file_system_type", "fs_flags", &layout.flags},
		{"file_system_type", old ? "next" : "list.next", &layout.next},
	};
	uint64_t first;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_symbol_u64(guest, "file_systems", &first);
	if (!error)
		error = walk_note(&list.incomplete, walk_types(guest, &layout, first, old, &list));
	if (error) {
		guest_file_system_type_list_deinit(&list);
		return error_wrap(error, "the guest's file system types");
	}
	*ret = list;
	return NULL;
}

void guest_file_system_type_list_deinit(struct guest_file_system_type_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_file_system_type_list){0};
}
