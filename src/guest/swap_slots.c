/* SPDX-License-Identifier: Apache-2.0 */
/* See guest/swap_slots.h. In the kernel: mm/swapfile.c, mm/swap_table.h, arch/x86/include/asm/pgtable_64.h. */
#include "guest/swap_slots.h"

/*
 * An entry of a page table: the area in the upper five bits, below them the page, inverted, down to bit 9. Kinds of
 * entries that are no swap have the highest numbers of areas.
 */
#define AREA_SHIFT      59u
#define AREAS_MAX       23u
#define PAGE_DROP       5u
#define PAGE_SHIFT_     14u

/* Of a byte in swap_map */
#define HAS_CACHE       0x40u
#define CONTINUED       0x80u
#define MAP_COUNT_NEXT  0x3fu /* SWAP_MAP_MAX + 1 */
#define CONTINUED_NEXT  0x80u /* SWAP_CONT_MAX + 1 */
#define CONTINUED_PAGES 8u    /* 7 bits each */

/* Of a word in a cluster's table, where that has the count */
#define TABLE_COUNT     60u
#define TABLE_COUNT_MAX 15u

bool swap_slot_of_entry(uint64_t entry, struct swap_slot *ret)
{
	if (entry == 0 || entry >> AREA_SHIFT >= AREAS_MAX)
		return false;
	ret->area = (uint32_t)(entry >> AREA_SHIFT);
	ret->page = ~entry << PAGE_DROP >> PAGE_SHIFT_;
	return true;
}

struct error *swap_in_use(struct guest *guest, bool *ret)
{
	struct gva symbol;
	uint64_t pages;
	struct error *error;

	*ret = false;
	/* A kernel without swap has the name as a constant, if at all. */
	if (!symbols_find(guest->symbols, "swap_info", &symbol) ||
	    !symbols_find(guest->symbols, "total_swap_pages", &symbol))
		return NULL;
	error = memory_read_u64(&guest->memory, symbol, &pages);
	*ret = !error && pages > 0;
	return error;
}

struct error *swap_counts_begin(struct guest *guest, struct swap_counts *ret)
{
	const struct types *types = guest->types;
	const struct member_need needs[] = {
		{"swap_info_struct", "max", &ret->max},
		/* Gone in 7.0: from then on the clusters' tables count. */
		{"swap_info_struct", "swap_map", &ret->map, .optional = true},
		{"swap_info_struct", "cluster_info", &ret->clusters, .optional = true},
		{"swap_cluster_info", "table", &ret->table, .optional = true},
		{"swap_cluster_info", "extend_table", &ret->extended, .optional = true},
		{"page", "lru", &ret->page_list},
	};
	struct member entries = types_find(types, "swap_table", "entries");
	struct error *error;

	*ret = (struct swap_counts){0};
	error = types_need(types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = page_layout_load(guest, &ret->pages);
	if (error)
		return error;
	ret->cluster_bytes = types_size(types, "swap_cluster_info");
	ret->cluster_slots = entries.present ? entries.count : 0;
	if (!ret->map.present &&
	    (!ret->clusters.present || !ret->table.present || !ret->cluster_bytes || !ret->cluster_slots))
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel counts the users of swap in an unknown way");
	return NULL;
}

static struct error *find_area(struct guest *guest, struct swap_counts *counts, uint32_t area)
{
	uint64_t address, max, map = 0, clusters = 0;
	struct gva symbol;
	struct error *error;

	if (counts->area_address && counts->area == area)
		return NULL;
	counts->area_address = 0;
	if (!symbols_find(guest->symbols, "swap_info", &symbol))
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no swap");
	error = memory_read_u64(&guest->memory, (struct gva){symbol.v + area * sizeof(uint64_t)}, &address);
	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &counts->max, &max);
	if (!error && counts->map.present)
		error = guest_read_member(guest, (struct gva){address}, &counts->map, &map);
	if (!error && !counts->map.present)
		error = guest_read_member(guest, (struct gva){address}, &counts->clusters, &clusters);
	if (error)
		return error_wrap(error, "area %u of the guest's swap", area);
	counts->area = area;
	counts->area_address = address;
	counts->map_address = map;
	counts->map_size = max;
	counts->clusters_address = clusters;
	return NULL;
}

/*
 * A count above 62 goes on in pages of the kernel's that are linked, one after the other, to the page in which the byte
 * lies: seven more bits each, at the same place.
 */
static struct error *count_on(struct guest *guest, const struct swap_counts *counts, uint64_t byte, uint64_t *count)
{
	uint64_t factor = MAP_COUNT_NEXT, page;
	struct gpa physical;
	struct error *error = memory_translate(&guest->memory, (struct gva){byte}, &physical);

	page = counts->pages.vmemmap + physical.v / PAGE_SIZE * counts->pages.page_size;
	for (unsigned i = 0; !error && i < CONTINUED_PAGES; i++) {
		uint8_t more = 0;

		error = memory_read_u64(&guest->memory, (struct gva){page + counts->page_list.offset}, &page);
		page -= counts->page_list.offset;
		if (!error)
			error = page_physical(&counts->pages, (struct gva){page}, &physical);
		if (!error)
			error = image_read(guest->memory.image, (struct gpa){physical.v + byte % PAGE_SIZE}, &more, 1);
		*count += (more & ~CONTINUED) * factor;
		factor *= CONTINUED_NEXT;
		if (!(more & CONTINUED))
			break;
	}
	return error;
}

static struct error *count_in_map(struct guest *guest, const struct swap_counts *counts, uint64_t page, uint64_t *ret)
{
	uint8_t byte;
	struct error *error = memory_read(&guest->memory, (struct gva){counts->map_address + page}, &byte, 1);

	if (error)
		return error;
	*ret = byte & ~(HAS_CACHE | CONTINUED);
	return byte & CONTINUED ? count_on(guest, counts, counts->map_address + page, ret) : NULL;
}

/* A word that says more than its four bits can has its count in a table beside. */
static struct error *count_in_table(struct guest *guest, const struct swap_counts *counts, uint64_t page, uint64_t *ret)
{
	struct gva cluster = {counts->clusters_address + page / counts->cluster_slots * counts->cluster_bytes};
	uint64_t slot = page % counts->cluster_slots, table, word = 0, extended = 0;
	uint32_t count;
	struct error *error = guest_read_member(guest, cluster, &counts->table, &table);

	if (!error && table)
		error = memory_read_u64(&guest->memory, (struct gva){table + slot * sizeof(word)}, &word);
	if (error)
		return error;
	*ret = word >> TABLE_COUNT;
	if (*ret < TABLE_COUNT_MAX || !counts->extended.present)
		return NULL;
	error = guest_read_member(guest, cluster, &counts->extended, &extended);
	if (error || !extended)
		return error;
	error = memory_read_u32(&guest->memory, (struct gva){extended + slot * sizeof(count)}, &count);
	if (!error)
		*ret = count;
	return error;
}

struct error *swap_count(struct guest *guest, struct swap_counts *counts, const struct swap_slot *slot, uint64_t *ret)
{
	uint64_t count = 0;
	struct error *error = find_area(guest, counts, slot->area);

	if (!error && slot->page >= counts->map_size)
		error = error_format(NULL, ERROR_NO_ADDRESS, "page %llu of an area of swap that has %llu",
				     (unsigned long long)slot->page, (unsigned long long)counts->map_size);
	if (!error)
		error = counts->map.present ? count_in_map(guest, counts, slot->page, &count)
					    : count_in_table(guest, counts, slot->page, &count);
	if (!error)
		*ret = count;
	return error_wrap(error, "users of a page in swap");
}
