/* SPDX-License-Identifier: Apache-2.0 */
/* Areas of swap (mm/swapfile.c). */
#include <stdlib.h>

#include "guest/paths.h"

#define SWAPS_MAX 32u /* MAX_SWAPFILES is less, by kinds of special entries */
#define SWP_USED  1u
#define OFF_LIST  (UINT64_C(1) << 30) /* SWAP_USAGE_OFFLIST_BIT, since the count is a long (6.13) */
#define S_IFMT_   0170000u
#define S_IFBLK_  0060000u

struct swap_layout {
	struct member flags, priority, pages, used, file, map, inode_mode;
	const struct path_layout *paths;
};

static struct error *load_layout(struct guest *guest, struct swap_layout *ret)
{
	const struct member_need needs[] = {
		{"swap_info_struct", "flags", &ret->flags},
		{"swap_info_struct", "prio", &ret->priority},
		{"swap_info_struct", "pages", &ret->pages},
		{"swap_info_struct", "inuse_pages", &ret->used},
		{"swap_info_struct", "swap_file", &ret->file},
		{"swap_info_struct", "swap_map", &ret->map, .optional = true},
		{"inode", "i_mode", &ret->inode_mode},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	return error ? error : path_layout_get(guest, &ret->paths);
}

static struct error *read_swap(struct guest *guest, const struct swap_layout *layout, struct gva area,
			       struct guest_swap *ret, bool *ret_used)
{
	uint64_t flags, priority, pages, used, file, map = 1, mode;
	const struct member_read reads[] = {{&layout->flags, &flags},
					    {&layout->priority, &priority},
					    {&layout->pages, &pages},
					    {&layout->used, &used},
					    {&layout->file, &file}};
	struct file_facts facts;
	struct error *error = guest_read_members(guest, area, reads, ARRAY_SIZE(reads));

	if (!error && layout->map.present)
		error = guest_read_member(guest, area, &layout->map, &map);
	*ret_used = !error && flags & SWP_USED && map && file;
	if (error || !*ret_used)
		return error;
	if (layout->used.size == 8)
		used &= ~OFF_LIST;
	error = file_read(guest, layout->paths, file, &facts);
	if (!error)
		error = guest_read_member(guest, (struct gva){facts.inode}, &layout->inode_mode, &mode);
	if (!error)
		error = file_path(guest, layout->paths, (struct gva){file}, &ret->path);
	if (error)
		return error;
	ret->is_file = (mode & S_IFMT_) != S_IFBLK_;
	ret->size = pages * PAGE_SIZE;
	ret->used = used * PAGE_SIZE;
	ret->priority = (int16_t)priority;
	return NULL;
}

static struct error *walk(struct guest *guest, const struct swap_layout *layout, struct guest_swap_list *list)
{
	uint64_t areas[SWAPS_MAX];
	uint32_t n;
	struct gva symbol;
	struct error *error = NULL;

	/* A kernel without swap. */
	if (!symbols_find(guest->symbols, "swap_info", &symbol))
		return NULL;
	error = guest_symbol_u32(guest, "nr_swapfiles", &n);
	if (!error)
		error = memory_read(&guest->memory, symbol, areas, (n < SWAPS_MAX ? n : SWAPS_MAX) * sizeof(*areas));
	for (uint32_t i = 0; !error && i < n && i < SWAPS_MAX; i++) {
		struct guest_swap swap = {0};
		bool used = false;

		error = array_room(&list->items, list->n, sizeof(*list->items));
		if (!error && areas[i])
			error = walk_note(&list->incomplete,
					  read_swap(guest, layout, (struct gva){areas[i]}, &swap, &used));
		if (!error && used)
			list->items[list->n++] = swap;
	}
	return error;
}

struct error *guest_swaps(struct guest *guest, struct guest_swap_list *ret)
{
	struct guest_swap_list list = {0};
	struct swap_layout layout = {0};
	struct error *error = load_layout(guest, &layout);

	guest_effort_begin(guest);
	if (!error)
		error = walk_note(&list.incomplete, walk(guest, &layout, &list));
	if (error) {
		guest_swap_list_deinit(&list);
		return error_wrap(error, "the guest's swap");
	}
	*ret = list;
	return NULL;
}

void guest_swap_list_deinit(struct guest_swap_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_swap_list){0};
}
