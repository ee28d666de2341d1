/* SPDX-License-Identifier: Apache-2.0 */
/* See guest/map_swap.h. In the kernel: mm/shmem.c. */
#include "guest/map_swap.h"

#include "guest/containers.h"
#include "guest/paths.h"
#include "guest/swap_slots.h"

struct error *map_swap_begin(struct guest *guest, struct map_swap_layout *ret)
{
	const struct member_need needs[] = {
		{"inode", "i_mapping", &ret->inode_mapping},          {"inode", "i_size", &ret->inode_size},
		{"address_space", "a_ops", &ret->mapping_operations}, {"address_space", "i_pages", &ret->mapping_pages},
		{"shmem_inode_info", "swapped", &ret->swapped},       {"shmem_inode_info", "vfs_inode", &ret->inode},
	};
	struct gva operations;
	struct error *error;

	*ret = (struct map_swap_layout){0};
	error = swap_in_use(guest, &ret->in_use);
	if (error || !ret->in_use)
		return error;
	ret->in_use = symbols_find(guest->symbols, "shmem_aops", &operations);
	if (!ret->in_use)
		return NULL;
	ret->operations = operations.v;
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	return error ? error : path_layout_get(guest, &ret->paths);
}

static struct error *count_values(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	uint64_t *pages = context;

	if (entry & 1)
		*pages += last - first + 1;
	return guest_effort(guest, 1, entry);
}

struct error *map_swap_count(struct guest *guest, const struct map_swap_layout *layout, uint64_t mapping,
			     uint64_t first, uint64_t last, uint64_t *ret)
{
	*ret = 0;
	return xarray_walk_range(guest, (struct gva){mapping + layout->mapping_pages.offset}, first, last, count_values,
				 ret);
}

struct error *map_swap_find(struct guest *guest, const struct map_swap_layout *layout, const struct guest_map *map,
			    struct map_swap *ret)
{
	uint64_t mapping, operations, size, swapped, pages = (map->end - map->start) / PAGE_SIZE;
	struct file_facts file;
	struct error *error;

	*ret = (struct map_swap){0};
	if (!layout->in_use || !map->file)
		return NULL;
	error = file_read(guest, layout->paths, map->file, &file);
	if (!error)
		error = guest_read_member(guest, (struct gva){file.inode}, &layout->inode_mapping, &mapping);
	if (!error)
		error = guest_read_member(guest, (struct gva){mapping}, &layout->mapping_operations, &operations);
	if (error || operations != layout->operations)
		return error;
	error = guest_read_member(guest, (struct gva){file.inode - layout->inode.offset}, &layout->swapped, &swapped);
	if (!error)
		error = guest_read_member(guest, (struct gva){file.inode}, &layout->inode_size, &size);
	if (error || swapped == 0)
		return error;
	ret->mapping = mapping;
	ret->pages = swapped;
	if (map->offset == 0 && pages * PAGE_SIZE >= size)
		return NULL;
	return map_swap_count(guest, layout, mapping, map->offset / PAGE_SIZE, map->offset / PAGE_SIZE + pages - 1,
			      &ret->pages);
}
