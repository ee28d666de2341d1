/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of /proc/meminfo that only some kernels have (fs/proc/meminfo.c). */
#include <string.h>

#include "guest/containers.h"
#include "guest/counters.h"

#define HUGE_PAGES 512u /* pages of 4 KiB in one of 2 MiB */
#define POOLS_MAX  1024u

static struct error *read_counters(struct guest *guest, struct guest_memory_uses *d)
{
	const struct {
		const char *name;
		uint64_t *ret;
	} counters[] = {
		{"NR_SECONDARY_PAGETABLE", &d->secondary_page_tables},
		{"NR_BOUNCE", &d->bounce},
		{"NR_WRITEBACK_TEMP", &d->writeback_temporary},
		{"NR_UNACCEPTED", &d->unaccepted},
		{"NR_BALLOON_PAGES", &d->balloon},
		{"NR_GPU_ACTIVE", &d->gpu_active},
		{"NR_GPU_RECLAIM", &d->gpu_reclaim},
	};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(counters); i++)
		error = counter_read(guest, counters[i].name, counters[i].ret);
	/* Lines that outlived what they counted. */
	d->bounce = d->bounce == COUNTER_UNKNOWN ? 0 : d->bounce;
	d->writeback_temporary = d->writeback_temporary == COUNTER_UNKNOWN ? 0 : d->writeback_temporary;
	return error;
}

/* In huge pages up to 5.11, then in small ones (69473e5de873), as NR_SWAPCACHE is from 5.12 on. */
static struct error *read_transparent(struct guest *guest, struct guest_memory_uses *d)
{
	const struct {
		const char *name;
		uint64_t *ret;
	} counters[] = {
		{"NR_ANON_THPS", &d->anonymous_huge},     {"NR_SHMEM_THPS", &d->shmem_huge},
		{"NR_SHMEM_PMDMAPPED", &d->shmem_mapped}, {"NR_FILE_THPS", &d->file_huge},
		{"NR_FILE_PMDMAPPED", &d->file_mapped},
	};
	struct error *error = NULL;
	struct gva flags;
	uint64_t index;
	bool whole = !types_enum(guest->types, "node_stat_item", "NR_SWAPCACHE", &index);

	for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
		*counters[i].ret = COUNTER_UNKNOWN;
	if (!symbols_find(guest->symbols, "transparent_hugepage_flags", &flags))
		return NULL; /* CONFIG_TRANSPARENT_HUGEPAGE=n */
	for (size_t i = 0; !error && i < ARRAY_SIZE(counters); i++) {
		error = counter_read(guest, counters[i].name, counters[i].ret);
		if (!error && whole && *counters[i].ret != COUNTER_UNKNOWN)
			*counters[i].ret *= HUGE_PAGES;
	}
	return error;
}

/* ---- Compressed swap ---- */

struct pools {
	struct member memory, inner, allocated; /* inner: where a zpool comes between (until 6.17) */
	uint64_t pages;
	uint32_t n;
};

static struct error *add_pool(struct guest *guest, struct gva pool, void *context)
{
	struct pools *pools = context;
	uint64_t memory, pages;
	struct error *error = guest_read_member(guest, pool, &pools->memory, &memory);

	if (!error && pools->n++ == POOLS_MAX)
		error = error_format(NULL, pool.v, "the guest has more than %u pools of compressed memory", POOLS_MAX);
	if (!error && pools->inner.present)
		error = guest_read_member(guest, (struct gva){memory}, &pools->inner, &memory);
	if (!error)
		error = guest_read_member(guest, (struct gva){memory}, &pools->allocated, &pages);
	if (!error)
		pools->pages += pages;
	return error;
}

/* What zsmalloc has taken for it. That of another allocator is not known. */
static struct error *read_pools(struct guest *guest, uint64_t *ret)
{
	struct pools pools = {0};
	const struct types *types;
	struct member list = types_find(guest->types, "zswap_pool", "list");
	struct gva head;
	struct error *error = guest_module_types(guest, "zsmalloc", &types);

	*ret = COUNTER_UNKNOWN;
	if (error)
		return error;
	pools.memory = types_find(guest->types, "zswap_pool", "zs_pool");
	if (!pools.memory.present) {
		pools.memory = types_find(guest->types, "zswap_pool", "zpool");
		pools.inner = types_find(guest->types, "zpool", "pool");
	}
	pools.allocated = types_find(types, "zs_pool", "pages_allocated");
	if (!list.present || !pools.memory.present || !pools.allocated.present ||
	    !symbols_find(guest->symbols, "zswap_pools", &head))
		return NULL;
	error = list_walk(guest, head, list.offset, add_pool, &pools);
	if (!error)
		*ret = pools.pages * PAGE_SIZE;
	return error;
}

/* There since 5.19 (f6498b776d28), as the events of the same. */
static struct error *read_zswap(struct guest *guest, struct guest_memory_uses *d)
{
	struct gva symbol;
	uint64_t index;
	uint32_t stored;
	struct error *error;

	d->zswap = d->zswapped = COUNTER_UNKNOWN;
	if (!types_enum(guest->types, "vm_event_item", "ZSWPIN", &index) ||
	    !symbols_find(guest->symbols, "zswap_stored_pages", &symbol))
		return NULL;
	/* An atomic_t until 6.12, an atomic_long_t in 7.2 (6e1fa555ec77): its low half, which is 16 TiB of pages. */
	error = memory_read_u32(&guest->memory, symbol, &stored);
	if (error)
		return error;
	d->zswapped = stored * (uint64_t)PAGE_SIZE;
	if (symbols_find(guest->symbols, "zswap_pool_total_size", &symbol))
		return memory_read_u64(&guest->memory, symbol, &d->zswap);
	d->zswap = 0;
	return stored ? read_pools(guest, &d->zswap) : NULL;
}

/* ---- Huge pages set aside ---- */

static struct error *read_huge(struct guest *guest, struct guest_memory_uses *d)
{
	struct member order, total, free, reserved, surplus;
	const struct member_need needs[] = {
		{"hstate", "order", &order},
		{"hstate", "nr_huge_pages", &total},
		{"hstate", "free_huge_pages", &free},
		{"hstate", "resv_huge_pages", &reserved},
		{"hstate", "surplus_huge_pages", &surplus},
	};
	uint64_t shift;
	const struct member_read reads[] = {{&order, &shift},
					    {&total, &d->huge_total},
					    {&free, &d->huge_free},
					    {&reserved, &d->huge_reserved},
					    {&surplus, &d->huge_surplus}};
	struct gva states;
	uint32_t index;
	struct error *error;

	if (!symbols_find(guest->symbols, "hstates", &states))
		return NULL; /* CONFIG_HUGETLBFS=n */
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = guest_symbol_u32(guest, "default_hstate_idx", &index);
	if (!error)
		error = guest_read_members(
			guest, (struct gva){states.v + index * (uint64_t)types_size(guest->types, "hstate")}, reads,
			ARRAY_SIZE(reads));
	if (error || shift > 32)
		return error;
	/* A machine without them has order 0 there. */
	d->has_huge = shift > 0;
	d->huge_size = (uint64_t)PAGE_SIZE << shift;
	return NULL;
}

/* ---- The rest ---- */

/* By the levels of the page tables: 4 KiB, 2 MiB, 1 GiB. */
static struct error *read_direct(struct guest *guest, struct guest_memory_uses *d)
{
	uint64_t counts[4];
	uint32_t has_1g;
	struct gva symbol;
	struct error *error;

	d->direct_4k = d->direct_2m = d->direct_1g = COUNTER_UNKNOWN;
	if (!symbols_find(guest->symbols, "direct_pages_count", &symbol))
		return NULL;
	error = memory_read(&guest->memory, symbol, counts, sizeof(counts));
	if (!error)
		error = guest_symbol_u32(guest, "direct_gbpages", &has_1g);
	if (error)
		return error;
	d->direct_4k = counts[1] << 12;
	d->direct_2m = counts[2] << 21;
	if (has_1g)
		d->direct_1g = counts[3] << 30;
	return NULL;
}

static struct error *read_variables(struct guest *guest, struct guest_memory_uses *d)
{
	uint64_t value;
	uint32_t units, populated, done = 0;
	struct gva symbol;
	struct error *error = guest_symbol_u32(guest, "pcpu_nr_units", &units);

	d->per_cpu = COUNTER_UNKNOWN;
	if (!error && symbols_find(guest->symbols, "pcpu_nr_populated", &symbol)) {
		error = guest_symbol_u32(guest, "pcpu_nr_populated", &populated);
		if (!error)
			d->per_cpu = (uint64_t)populated * units * PAGE_SIZE;
	}
	if (!error)
		error = counter_read_variable(guest, "num_poisoned_pages", &d->hardware_corrupted);
	/* With CONFIG_CMA alone. */
	d->cma_total = d->cma_free = d->memtest_bad = COUNTER_UNKNOWN;
	if (!error && types_enum(guest->types, "migratetype", "MIGRATE_CMA", &value)) {
		error = counter_read_variable(guest, "totalcma_pages", &d->cma_total);
		if (!error)
			error = counter_read(guest, "NR_FREE_CMA_PAGES", &d->cma_free);
	}
	if (error || !symbols_find(guest->symbols, "early_memtest_bad_size", &symbol))
		return error;
	error = guest_symbol_u32(guest, "early_memtest_done", &done);
	if (!error && (done & 0xff))
		error = memory_read_u64(&guest->memory, symbol, &d->memtest_bad);
	return error;
}

struct error *guest_memory_uses(struct guest *guest, struct guest_memory_uses *ret)
{
	struct error *(*const reads[])(struct guest *, struct guest_memory_uses *) = {
		read_counters, read_transparent, read_zswap, read_huge, read_direct, read_variables};
	struct guest_memory_uses details = {0};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(reads); i++)
		error = reads[i](guest, &details);
	if (error)
		return error_wrap(error, "the guest's counters of memory");
	/* VMALLOC_SIZE_TB: 32 or, with five levels of page tables, 12800. */
	details.vmalloc_total = ((guest->memory.five_levels ? UINT64_C(12800) : 32) << 40) - 1;
	*ret = details;
	return NULL;
}
