/* SPDX-License-Identifier: Apache-2.0 */
/* What is in memory of a process's mappings, by its page tables (smaps_pte_range() in fs/proc/task_mmu.c). */
#include "guest/map_usage.h"

#include <stdlib.h>
#include <string.h>

#include "guest/map_swap.h"
#include "guest/page_state.h"
#include "guest/swap_slots.h"
#include "guest/task.h"

#define ENTRIES       512u
#define SHIFT_PAGE    12u
#define SHIFT_LARGE   21u
#define LARGE_SIZE    (UINT64_C(1) << SHIFT_LARGE)
#define ADDRESS_MASK  UINT64_C(0x000ffffffffff000)

/* Bits of an entry */
#define PRESENT       UINT64_C(1)
#define ACCESSED      (UINT64_C(1) << 5)
#define DIRTY         (UINT64_C(1) << 6)
#define LARGE         (UINT64_C(1) << 7)
#define PROT_NONE     (UINT64_C(1) << 8)  /* where not present; in memory all the same */
#define SPECIAL       (UINT64_C(1) << 9)  /* no page of the process: zero page, device memory */
#define SAVED_DIRTY   (UINT64_C(1) << 58) /* with shadow stacks (6.6 and later) */

#define VM_WRITE      UINT64_C(0x02)
#define VM_SHARED     UINT64_C(0x08)
#define VM_LOCKED     UINT64_C(0x2000)
#define VM_HUGETLB    UINT64_C(0x400000)
#define VM_HUGEPAGE   UINT64_C(0x20000000)
#define VM_NOHUGEPAGE UINT64_C(0x40000000)
#define VM_PFN_OR_IO  UINT64_C(0x4400)

#define PAGES_A_STEP  16u /* of effort */
#define HOLE_STEPS    16u

struct walk {
	struct guest *guest;
	struct page_state_layout pages;
	uint64_t sme_mask;
	uint64_t saved_dirty; /* SAVED_DIRTY or 0 */
	struct map_swap_layout shared_memory;
	struct swap_counts swap_counts;
	bool swap_counted; /* swap_counts was begun */
	bool whole_tables; /* pages in swap below a table that is not there are counted, too */
	/* Of a private mapping of shared memory: its file's address_space, with pages that the mapping has not touched.
	 */
	uint64_t swap_cache;
	uint64_t hole, hole_end; /* addresses of such pages, not looked at yet */
	const struct guest_map *map;
	struct guest_usage *usage;
	uint64_t *page_size;
};

static void add_share(const struct walk *walk, const struct page_state *page, uint64_t share, bool dirty)
{
	struct guest_usage *usage = walk->usage;

	usage->share += share;
	if (page->mapping & PAGE_MAPPING_ANONYMOUS)
		usage->share_anonymous += share;
	else if (page->flags & walk->pages.swap_backed)
		usage->share_memory += share;
	else
		usage->share_file += share;
	if (walk->map->flags & VM_LOCKED)
		usage->share_locked += share;
	if (dirty)
		usage->share_dirty += share;
}

/* Part of a folio that is mapped by one entry (smaps_account()). */
static void add_page(const struct walk *walk, const struct page_state *page, uint64_t size, uint64_t entry)
{
	struct guest_usage *usage = walk->usage;
	bool soft_dirty = entry & (DIRTY | walk->saved_dirty), dirty = soft_dirty || page->flags & walk->pages.dirty;
	bool private = page->references == 1 || page->mapped < 2;
	uint64_t share = size << GUEST_SHARE_SHIFT;

	usage->resident += size;
	if (page->mapping & PAGE_MAPPING_ANONYMOUS) {
		usage->anonymous += size;
		if (!(page->flags & walk->pages.swap_backed) && !dirty)
			usage->lazy_free += size;
	}
	if ((page->mapping & PAGE_MAPPING_MERGED) == PAGE_MAPPING_MERGED)
		usage->merged += size;
	if (entry & ACCESSED || page->flags & (walk->pages.referenced | walk->pages.young))
		usage->referenced += size;
	add_share(walk, page, private ? share : share / page->mapped, dirty);
	if (private)
		*(dirty ? &usage->private_dirty : &usage->private_clean) += size;
	else
		*(dirty ? &usage->shared_dirty : &usage->shared_clean) += size;
}

static void add_huge(const struct walk *walk, const struct page_state *page)
{
	if (page->mapping & PAGE_MAPPING_ANONYMOUS)
		walk->usage->anonymous_huge += LARGE_SIZE;
	else if (page->flags & walk->pages.swap_backed)
		walk->usage->shared_memory_huge += LARGE_SIZE;
	else
		walk->usage->file_huge += LARGE_SIZE;
}

/* A page in memory of 2^shift bytes. */
static struct error *add_present(const struct walk *walk, uint64_t entry, unsigned shift)
{
	uint64_t size = UINT64_C(1) << shift;
	uint64_t value = entry & PRESENT ? entry : ~entry;
	struct page_state page;
	struct error *error;

	if (entry & SPECIAL)
		return NULL;
	error = page_state_read(walk->guest, &walk->pages, (value & ADDRESS_MASK & ~walk->sme_mask & ~(size - 1)) >> 12,
				&page);
	if (error)
		return error;
	if (walk->map->flags & VM_HUGETLB) {
		*walk->page_size = size;
		*(page.mapped >= 2 ? &walk->usage->shared_hugetlb : &walk->usage->private_hugetlb) += size;
		return NULL;
	}
	if (shift == SHIFT_LARGE)
		add_huge(walk, &page);
	add_page(walk, &page, size, entry);
	return NULL;
}

/* A page in swap is shared by as many as have its entry. */
static struct error *add_swapped(struct walk *walk, const struct swap_slot *slot)
{
	uint64_t share = (uint64_t)PAGE_SIZE << GUEST_SHARE_SHIFT, count = 0;
	struct error *error = NULL;

	if (!walk->swap_counted)
		error = swap_counts_begin(walk->guest, &walk->swap_counts);
	walk->swap_counted = !error;
	if (!error)
		error = swap_count(walk->guest, &walk->swap_counts, slot, &count);
	walk->usage->swapped += PAGE_SIZE;
	walk->usage->share_swapped += count > 1 ? share / count : share;
	return error;
}

static struct error *add_entry(struct walk *walk, uint64_t entry, unsigned shift)
{
	struct swap_slot slot;

	if (entry & (PRESENT | PROT_NONE))
		return add_present(walk, entry, shift);
	return shift == SHIFT_PAGE && swap_slot_of_entry(entry, &slot) ? add_swapped(walk, &slot) : NULL;
}

/* Of the pages that the process has not touched those that are in swap (smaps_pte_hole()). */
static struct error *count_hole(struct walk *walk)
{
	uint64_t first = (walk->map->offset + (walk->hole - walk->map->start)) / PAGE_SIZE;
	uint64_t n = (walk->hole_end - walk->hole) / PAGE_SIZE, pages = 0;
	struct error *error;

	if (n == 0)
		return NULL;
	error = guest_effort(walk->guest, HOLE_STEPS, walk->hole);
	if (!error)
		error = map_swap_count(walk->guest, &walk->shared_memory, walk->swap_cache, first, first + n - 1,
				       &pages);
	walk->usage->swapped += pages * PAGE_SIZE;
	return error;
}

/* Neighbours are looked at together. */
static struct error *add_hole(struct walk *walk, uint64_t start, uint64_t end)
{
	struct error *error = NULL;

	if (!walk->swap_cache)
		return NULL;
	if (start != walk->hole_end) {
		error = count_hole(walk);
		walk->hole = start;
	}
	walk->hole_end = end;
	return error;
}

/* The part of one table that the addresses from `start` to `end` (exclusive, in its reach) use. */
static struct error *walk_table(struct walk *walk, uint64_t table, unsigned shift, uint64_t start, uint64_t end)
{
	uint64_t entries[ENTRIES], size = UINT64_C(1) << shift;
	size_t first = start >> shift & (ENTRIES - 1), last = (end - 1) >> shift & (ENTRIES - 1);
	struct error *error = guest_effort(walk->guest, 1 + (last - first) / PAGES_A_STEP, start);

	if (!error)
		error = image_read(walk->guest->memory.image, (struct gpa){table + first * 8}, entries + first,
				   (last - first + 1) * 8);
	for (size_t i = first; !error && i <= last; i++) {
		uint64_t base = (start & ~(size * ENTRIES - 1)) + i * size, entry = entries[i];
		uint64_t from = base > start ? base : start, to = base + size < end ? base + size : end;

		if (!entry && (shift == SHIFT_PAGE || walk->whole_tables))
			error = add_hole(walk, from, to);
		else if (!entry)
			continue;
		else if (shift == SHIFT_PAGE || (shift <= 30 && entry & LARGE))
			error = add_entry(walk, entry, shift);
		else if (entry & PRESENT)
			error = walk_table(walk, entry & ADDRESS_MASK & ~walk->sme_mask, shift - 9, from, to);
	}
	return error;
}

/* ---- Pages of other sizes ---- */

static bool fits_large(const struct guest_map *map)
{
	uint64_t start = (map->start + LARGE_SIZE - 1) & ~(LARGE_SIZE - 1);

	return start >= map->start && map->end >= LARGE_SIZE && start <= map->end - LARGE_SIZE;
}

/*
 * Whether the kernel may use a transparent huge page there: for anonymous memory. Files and shared memory have settings
 * of their own, off in all distributions.
 */
static bool may_be_large(const struct guest_map *map, uint64_t settings, bool forbidden)
{
	bool always = settings & 1, on_request = settings & 2; /* TRANSPARENT_HUGEPAGE_FLAG, …_REQ_MADV_FLAG */

	if (!map->anonymous || map->kernel || forbidden || map->flags & (VM_NOHUGEPAGE | VM_HUGETLB | VM_PFN_OR_IO))
		return false;
	return (always || (on_request && map->flags & VM_HUGEPAGE)) && fits_large(map);
}

/* Of hugetlbfs the entry that maps it tells another size. */
static uint64_t usual_page_size(const struct guest_map *map)
{
	return map->flags & VM_HUGETLB ? LARGE_SIZE : PAGE_SIZE;
}

/* ---- All of it ---- */

static struct error *find_memory(struct guest *guest, uint64_t task, struct gva *ret, struct memory *ret_memory)
{
	const struct process_layout *layout;
	struct object record;
	struct error *error = process_layout_get(guest, &layout);

	if (!error)
		error = task_read(guest, layout, task, &record);
	if (error)
		return error;
	ret->v = task_mm(layout, &record);
	if (!ret->v)
		return error_create(ERROR_NOT_FOUND, "the task has no memory of its own");
	return guest_user_memory(guest, *ret, ret_memory);
}

static struct error *read_settings(struct guest *guest, struct gva mm, uint64_t *ret, bool *ret_forbidden)
{
	struct member flags = types_find(guest->types, "mm_struct", "flags");
	struct gva symbol;
	uint64_t value = 0;
	struct error *error = NULL;

	*ret = 0;
	if (symbols_find(guest->symbols, "transparent_hugepage_flags", &symbol))
		error = memory_read_u64(&guest->memory, symbol, ret);
	if (!error && flags.present)
		error = memory_read_u64(&guest->memory, (struct gva){mm.v + flags.offset}, &value);
	*ret_forbidden = value >> 24 & 1; /* MMF_DISABLE_THP */
	return error;
}

/* What the file has in swap is the mapping's, unless that may have pages of its own (smap_gather_stats()). */
static struct error *add_shared_memory(struct walk *walk)
{
	struct map_swap swap;
	struct error *error = map_swap_find(walk->guest, &walk->shared_memory, walk->map, &swap);

	walk->swap_cache = walk->hole = walk->hole_end = 0;
	if (error || !swap.pages)
		return error;
	if (walk->map->flags & VM_SHARED || !(walk->map->flags & VM_WRITE))
		walk->usage->swapped += swap.pages * PAGE_SIZE;
	else
		walk->swap_cache = swap.mapping;
	return NULL;
}

struct error *guest_map_usage(struct guest *guest, uint64_t task, const struct guest_map_list *maps,
			      struct guest_map_usage *ret)
{
	struct walk walk = {.guest = guest, .sme_mask = guest->memory.sme_mask};
	_cleanup_(free_ptr) struct memory *memory = calloc(1, sizeof(*memory));
	uint64_t settings = 0, end = 0;
	bool forbidden = false;
	struct gva mm;
	struct error *error;

	if (!memory)
		return error_no_memory();
	guest_effort_begin(guest);
	memset(ret, 0, maps->n * sizeof(*ret));
	error = find_memory(guest, task, &mm, memory);
	if (!error)
		error = page_state_layout_load(guest, &walk.pages);
	if (!error)
		error = read_settings(guest, mm, &settings, &forbidden);
	if (!error)
		error = map_swap_begin(guest, &walk.shared_memory);
	/* Until 5.15 it counted at the wrong place (10c848c8b480); the same version's last member of this name. */
	walk.whole_tables = !types_find(guest->types, "task_struct", "worker_private").present;
	walk.saved_dirty = types_find(guest->types, "thread_struct", "features").present ? SAVED_DIRTY : 0;
	for (size_t i = 0; !error && i < maps->n; i++) {
		walk.map = &maps->items[i];
		walk.usage = &ret[i].usage;
		walk.page_size = &ret[i].page_size;
		ret[i].page_size = usual_page_size(walk.map);
		ret[i].huge_pages = may_be_large(walk.map, settings, forbidden);
		/* Backwards or beyond user space: not what a process can have. */
		if (walk.map->kernel || walk.map->start < end || walk.map->end <= walk.map->start ||
		    walk.map->end > UINT64_C(1) << (memory->five_levels ? 56 : 47))
			continue;
		end = walk.map->end;
		error = add_shared_memory(&walk);
		if (!error)
			error = walk_table(&walk, memory->top.v, memory->five_levels ? 48 : 39, walk.map->start, end);
		if (!error)
			error = count_hole(&walk);
	}
	return error_wrap(error, "page tables of a process");
}

#define WORD_KEYS 16u /* of x86_capability: X86_FEATURE_OSPKE is its bit 4 */

struct error *guest_usage_format(struct guest *guest, struct guest_usage_format *ret)
{
	const struct types *types = guest->types;
	struct member words = types_find(types, "cpuinfo_x86", "x86_capability");
	uint32_t word = 0;
	struct gva data;
	struct error *error = NULL;

	if (words.present && symbols_find(guest->symbols, "boot_cpu_data", &data))
		error = memory_read_u32(&guest->memory, (struct gva){data.v + words.offset + 4 * WORD_KEYS}, &word);
	if (error)
		return error;
	*ret = (struct guest_usage_format){
		/* Each by what came with the same version, or went. */
		.has_share_dirty = types_find(types, "file", "f_iocb_flags").present,
		.has_merged = types_find(types, "backing_file", "user_path").present,
		.wide = !types_find(types, "inode", "i_ctime").present,
		.has_keys = word >> 4 & 1,
		.has_deny_write = !types_find(types, "task_struct", "worker_private").present, /* went in 5.16 */
		.has_shadow_stack = types_find(types, "thread_struct", "features").present,
		.has_sealed = types_find(types, "file_lock", "c").present, /* 6.10, one after 6.9 */
	};
	return NULL;
}
