/* SPDX-License-Identifier: Apache-2.0 */
/* What mapped shared memory (tmpfs, memfd, System V) has in swap. Private to guest/. */
#ifndef GUEST_MAP_SWAP_H
#define GUEST_MAP_SWAP_H

#include "guest/internal.h"
#include "guest/process.h"

struct map_swap_layout {
	bool in_use; /* nothing is in swap otherwise, and the rest was not looked up */
	struct member inode_mapping, inode_size, mapping_operations, mapping_pages, swapped, inode;
	uint64_t operations; /* shmem_aops */
	const struct path_layout *paths;
};
struct error *map_swap_begin(struct guest *guest, struct map_swap_layout *ret) _must_check_;

struct map_swap {
	uint64_t pages;   /* in swap, of those that the mapping shows */
	uint64_t mapping; /* the file's address_space; 0: not shared memory, or nothing of it is in swap */
};
struct error *map_swap_find(struct guest *guest, const struct map_swap_layout *layout, const struct guest_map *map,
			    struct map_swap *ret) _must_check_;
/* Pages of the file from `first` to `last` that are in swap (shmem_partial_swap_usage()). */
struct error *map_swap_count(struct guest *guest, const struct map_swap_layout *layout, uint64_t mapping,
			     uint64_t first, uint64_t last, uint64_t *ret) _must_check_;

#endif
