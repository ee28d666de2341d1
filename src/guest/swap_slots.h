/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of the guest's swap: which one an entry stands for, and how many use it. Private to guest/.
 *
 * An entry takes the place of a page that is in swap: in page tables, and as a value in the page cache of shared
 * memory.
 */
#ifndef GUEST_SWAP_SLOTS_H
#define GUEST_SWAP_SLOTS_H

#include "guest/internal.h"

struct swap_slot {
	uint32_t area; /* index in swap_info */
	uint64_t page; /* in that area */
};

/* Of a page table's entry that is neither present nor empty; false: it is none of swap (a page being moved, a marker).
 */
bool swap_slot_of_entry(uint64_t entry, struct swap_slot *ret);

/* Whether anything is in swap. Cheap, and reads nothing else of a guest without swap. */
struct error *swap_in_use(struct guest *guest, bool *ret) _must_check_;

struct swap_counts {
	struct member map, max, clusters, table, extended; /* of swap_info_struct and swap_cluster_info */
	struct member page_list;                           /* page.lru */
	struct page_layout pages;
	uint32_t cluster_bytes, cluster_slots;
	/* The area that was asked for last; no address: none yet. */
	uint32_t area;
	uint64_t area_address, map_address, map_size, clusters_address;
};
struct error *swap_counts_begin(struct guest *guest, struct swap_counts *ret) _must_check_;
/* How many page tables have the slot's entry (swp_swapcount()). */
struct error *swap_count(struct guest *guest, struct swap_counts *counts, const struct swap_slot *slot, uint64_t *ret)
	_must_check_;

#endif
