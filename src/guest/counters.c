/* SPDX-License-Identifier: Apache-2.0 */
/* Load average and the memory counters of /proc/meminfo (fs/proc/meminfo.c, mm/show_mem.c). */
#include <string.h>

#include "guest/containers.h"
#include "guest/counters.h"
#include "guest/object.h"

/* ---- Load ---- */

#define LOAD_ROUNDED 10u /* what /proc/loadavg adds before it cuts to two digits: FIXED_1 / 200 */

/* Tasks that run or wait for a CPU: of all run queues together. */
static struct error *count_running(struct guest *guest, uint32_t *ret)
{
	struct member running;
	struct cpu_sets cpus;
	struct gva queues;
	uint32_t count = 0;
	struct error *error = types_need(guest->types, &(struct member_need){"rq", "nr_running", &running}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "runqueues", &queues);
	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.online_set) {
		uint64_t value;
		struct gva queue;

		error = guest_percpu(guest, queues, cpu, &queue);
		if (!error)
			error = guest_read_member(guest, queue, &running, &value);
		if (error)
			return error;
		count += (uint32_t)value;
	}
	*ret = count;
	return NULL;
}

static struct error *read_last_pid(struct guest *guest, uint32_t *ret)
{
	struct member next;
	struct gva namespace;
	uint64_t value;
	struct error *error =
		types_need(guest->types, &(struct member_need){"pid_namespace", "idr.idr_next", &next}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "init_pid_ns", &namespace);
	if (!error)
		error = guest_read_member(guest, namespace, &next, &value);
	if (!error)
		*ret = (uint32_t)value - 1;
	return error;
}

struct error *guest_load_average(struct guest *guest, struct guest_load *ret)
{
	struct guest_load load;
	uint64_t averages[3];
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "avenrun", &symbol);

	if (!error)
		error = memory_read(&guest->memory, symbol, averages, sizeof(averages));
	if (!error)
		error = guest_symbol_u32(guest, "nr_threads", &load.tasks);
	if (!error)
		error = count_running(guest, &load.running);
	if (!error)
		error = read_last_pid(guest, &load.last_pid);
	if (error)
		return error_wrap(error, "the guest's load");
	memcpy(load.raw, averages, sizeof(load.raw));
	for (unsigned i = 0; i < 3; i++)
		load.milli[i] = (uint32_t)(((averages[i] + LOAD_ROUNDED) * 1000) >> GUEST_LOAD_SHIFT);
	*ret = load;
	return NULL;
}

/* ---- Memory ---- */

/* Counters can be below zero for a moment: the kernel shows none then. */
static uint64_t pages_to_bytes(uint64_t pages)
{
	return (int64_t)pages < 0 ? 0 : pages * PAGE_SIZE;
}

/*
 * A counter of pages by its name in one of two enumerations: which of the two has it, and its place there, differ
 * (NR_PAGETABLE: of a zone up to 5.10). The sums that /proc/meminfo shows are kept beside those of each CPU and do not
 * contain what a CPU has not yet added.
 */
struct error *counter_read(struct guest *guest, const char *name, uint64_t *ret)
{
	const struct {
		const char *enumeration, *array;
	} kinds[] = {{"node_stat_item", "vm_node_stat"}, {"zone_stat_item", "vm_zone_stat"}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct gva array;
		struct error *error;
		uint64_t index;

		if (!types_enum(guest->types, kinds[i].enumeration, name, &index) || index > 1024)
			continue;
		error = symbols_get(guest->symbols, kinds[i].array, &array);
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){array.v + index * sizeof(uint64_t)}, ret);
		if (!error)
			*ret = pages_to_bytes(*ret);
		return error;
	}
	*ret = COUNTER_UNKNOWN;
	return NULL;
}

struct error *counter_read_variable(struct guest *guest, const char *name, uint64_t *ret)
{
	struct gva symbol;
	struct error *error;

	*ret = COUNTER_UNKNOWN;
	if (!symbols_find(guest->symbols, name, &symbol))
		return NULL;
	error = memory_read_u64(&guest->memory, symbol, ret);
	if (!error)
		*ret = pages_to_bytes(*ret);
	return error;
}

struct mapping_sum {
	struct member mapping, pages;
	uint64_t sum;
};

static struct error *add_mapping(struct guest *guest, struct gva inode, void *context)
{
	struct mapping_sum *sum = context;
	uint64_t mapping, pages;
	struct error *error = guest_read_member(guest, inode, &sum->mapping, &mapping);

	if (!error)
		error = guest_read_member(guest, (struct gva){mapping}, &sum->pages, &pages);
	if (!error)
		sum->sum += pages;
	return error;
}

/* "Buffers": the page cache of block devices themselves. */
static struct error *read_buffers(struct guest *guest, uint64_t *ret)
{
	struct mapping_sum sum = {0};
	struct member inodes, link;
	const struct member_need needs[] = {
		{"super_block", "s_inodes", &inodes},
		{"inode", "i_sb_list", &link},
		{"inode", "i_mapping", &sum.mapping},
		{"address_space", "nrpages", &sum.pages},
	};
	uint64_t super_block;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_symbol_u64(guest, "blockdev_superblock", &super_block);
	if (!error)
		error = list_walk(guest, (struct gva){super_block + inodes.offset}, link.offset, add_mapping, &sum);
	if (!error)
		*ret = pages_to_bytes(sum.sum);
	return error;
}

#define SWAP_FILES_MAX 32u    /* MAX_SWAPFILES is less, by kinds of special entries */
#define SWAP_PARTS_MAX 65536u /* one for each 64 MiB of swap: 4 TiB */

static struct error *add_swap_file(struct guest *guest, struct gva spaces, uint64_t n, uint64_t size,
				   const struct member *pages, uint64_t *sum)
{
	if (n > SWAP_PARTS_MAX)
		return error_format(NULL, spaces.v, "a swap file of the guest has %llu parts", (unsigned long long)n);
	for (uint64_t i = 0; i < n; i++) {
		uint64_t value;
		struct error *error = guest_read_member(guest, (struct gva){spaces.v + i * size}, pages, &value);

		if (error)
			return error;
		*sum += value;
	}
	return NULL;
}

/* "SwapCached" before NR_SWAPCACHE (5.12, b6038942480e): the pages of all swap files' address spaces. */
static struct error *read_old_swap_cache(struct guest *guest, uint64_t *ret)
{
	struct member pages = types_find(guest->types, "address_space", "nrpages");
	struct gva numbers, pointers;
	uint64_t sum = 0, spaces[SWAP_FILES_MAX];
	uint32_t counts[SWAP_FILES_MAX];
	struct error *error;

	if (!pages.present || !symbols_find(guest->symbols, "swapper_spaces", &pointers) ||
	    !symbols_find(guest->symbols, "nr_swapper_spaces", &numbers))
		return NULL;
	error = memory_read(&guest->memory, pointers, spaces, sizeof(spaces));
	if (!error)
		error = memory_read(&guest->memory, numbers, counts, sizeof(counts));
	for (size_t i = 0; !error && i < SWAP_FILES_MAX - 5; i++)
		if (spaces[i])
			error = add_swap_file(guest, (struct gva){spaces[i]}, counts[i],
					      types_size(guest->types, "address_space"), &pages, &sum);
	if (!error)
		*ret = pages_to_bytes(sum);
	return error;
}

/* ---- "MemAvailable" (si_mem_available) ---- */

#define NODES_MAX 1024u /* MAX_NUMNODES */
#define ZONES_MAX 16u

struct zone_layout {
	struct member zones, watermark, boost;
	uint32_t zone_size;
	uint64_t low; /* WMARK_LOW */
};

static struct error *add_node(struct guest *guest, const struct zone_layout *layout, struct gva node, uint64_t *sum)
{
	for (uint32_t i = 0; i < layout->zones.count && i < ZONES_MAX; i++) {
		struct gva zone = {node.v + layout->zones.offset + i * (uint64_t)layout->zone_size};
		uint64_t boost, mark;
		struct error *error = guest_read_member(guest, zone, &layout->boost, &boost);

		if (!error)
			error = memory_read_u64(&guest->memory,
						(struct gva){zone.v + layout->watermark.offset + 8 * layout->low},
						&mark);
		if (error)
			return error;
		*sum += mark + boost;
	}
	return NULL;
}

/* What the kernel begins to reclaim below, of all zones together, in pages. */
static struct error *read_low_watermarks(struct guest *guest, uint64_t *ret)
{
	struct zone_layout layout = {0};
	const struct member_need needs[] = {
		{"pglist_data", "node_zones", &layout.zones},
		{"zone", "_watermark", &layout.watermark},
		{"zone", "watermark_boost", &layout.boost},
	};
	uint64_t sum = 0, nodes[NODES_MAX];
	struct gva symbol;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = types_get_enum(guest->types, "zone_watermarks", "WMARK_LOW", &layout.low);
	if (error)
		return error;
	layout.zone_size = layout.zones.count ? layout.zones.size / layout.zones.count : 0;
	if (layout.low >= layout.watermark.count)
		return error_create(ERROR_UNSUPPORTED, "the guest's zones have no low watermark");
	if (symbols_find(guest->symbols, "node_data", &symbol)) {
		struct member mask = types_find(guest->types, "nodemask_t", "bits");
		/* Pointers for as many nodes as the kernel was built for. */
		size_t n = mask.present && mask.size * 8 < NODES_MAX ? mask.size * 8 : NODES_MAX;

		memset(nodes, 0, sizeof(nodes));
		error = memory_read(&guest->memory, symbol, nodes, n * sizeof(*nodes));
		for (size_t i = 0; !error && i < n; i++)
			if (nodes[i])
				error = add_node(guest, &layout, (struct gva){nodes[i]}, &sum);
	} else {
		error = symbols_get(guest->symbols, "contig_page_data", &symbol); /* CONFIG_NUMA=n */
		if (!error)
			error = add_node(guest, &layout, symbol, &sum);
	}
	if (!error)
		*ret = sum * PAGE_SIZE;
	return error;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct error *read_available(struct guest *guest, const struct guest_memory_counters *counters, uint64_t *ret)
{
	uint64_t reserved, low, cache, reclaimable = counters->kernel_reclaimable;
	struct error *error = guest_symbol_u64(guest, "totalreserve_pages", &reserved);
	int64_t available;

	if (!error)
		error = read_low_watermarks(guest, &low);
	if (error)
		return error;
	cache = counters->active_file + counters->inactive_file;
	cache -= min_u64(cache / 2, low);
	reclaimable -= min_u64(reclaimable / 2, low);
	available = (int64_t)(counters->free - reserved * PAGE_SIZE + cache + reclaimable);
	*ret = available < 0 ? 0 : (uint64_t)available;
	return NULL;
}

/* ---- "CommitLimit" and huge pages ---- */

#define HSTATES_MAX 8u

static struct error *read_huge(struct guest *guest, uint64_t *ret)
{
	struct member order, number;
	const struct member_need needs[] = {{"hstate", "order", &order}, {"hstate", "nr_huge_pages", &number}};
	uint64_t sum = 0, size = types_size(guest->types, "hstate");
	struct gva states;
	uint32_t n;
	struct error *error;

	*ret = 0;
	if (!symbols_find(guest->symbols, "hstates", &states))
		return NULL; /* CONFIG_HUGETLBFS=n */
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = guest_symbol_u32(guest, "hugetlb_max_hstate", &n);
	for (uint32_t i = 0; !error && i < n && i < HSTATES_MAX; i++) {
		struct gva state = {states.v + i * size};
		uint64_t shift, pages;
		const struct member_read reads[] = {{&order, &shift}, {&number, &pages}};

		error = guest_read_members(guest, state, reads, ARRAY_SIZE(reads));
		if (!error && shift < 32)
			sum += pages << shift;
	}
	if (!error)
		*ret = pages_to_bytes(sum);
	return error;
}

static struct error *read_commit_limit(struct guest *guest, const struct guest_memory_counters *counters, uint64_t *ret)
{
	uint64_t kbytes, limit;
	uint32_t ratio;
	struct error *error = guest_symbol_u64(guest, "sysctl_overcommit_kbytes", &kbytes);

	if (!error)
		error = guest_symbol_u32(guest, "sysctl_overcommit_ratio", &ratio);
	if (error)
		return error;
	/* In whole pages, as the kernel counts. */
	if (kbytes)
		limit = kbytes / (PAGE_SIZE / 1024);
	else
		limit = (counters->total - counters->huge) / PAGE_SIZE * ratio / 100;
	*ret = limit * PAGE_SIZE + counters->swap_total;
	return NULL;
}

/* ---- All of them ---- */

static struct error *read_counters(struct guest *guest, struct guest_memory_counters *c)
{
	const struct {
		const char *name;
		uint64_t *ret;
	} counters[] = {
		{"NR_FREE_PAGES", &c->free},
		{"NR_SWAPCACHE", &c->swap_cached},
		{"NR_ACTIVE_ANON", &c->active_anonymous},
		{"NR_INACTIVE_ANON", &c->inactive_anonymous},
		{"NR_ACTIVE_FILE", &c->active_file},
		{"NR_INACTIVE_FILE", &c->inactive_file},
		{"NR_UNEVICTABLE", &c->unevictable},
		{"NR_MLOCK", &c->locked},
		{"NR_FILE_DIRTY", &c->dirty},
		{"NR_WRITEBACK", &c->writeback},
		{"NR_ANON_MAPPED", &c->anonymous},
		{"NR_FILE_MAPPED", &c->mapped},
		{"NR_SHMEM", &c->shmem},
		{"NR_SLAB_RECLAIMABLE_B", &c->slab_reclaimable}, /* counted in pages, whatever it is called */
		{"NR_SLAB_UNRECLAIMABLE_B", &c->slab_unreclaimable},
		{"NR_KERNEL_MISC_RECLAIMABLE", &c->kernel_reclaimable},
		{"NR_KERNEL_STACK_KB", &c->kernel_stack},
		{"NR_PAGETABLE", &c->page_tables},
		{"NR_VMALLOC", &c->vmalloc_used}, /* 7.0 and later; before, a variable */
		{"NR_FILE_PAGES", &c->cached},
	};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(counters); i++)
		error = counter_read(guest, counters[i].name, counters[i].ret);
	if (!error && c->kernel_stack != COUNTER_UNKNOWN)
		c->kernel_stack = c->kernel_stack / PAGE_SIZE * 1024;
	if (!error && c->vmalloc_used == COUNTER_UNKNOWN)
		error = counter_read_variable(guest, "nr_vmalloc_pages", &c->vmalloc_used);
	return error;
}

static struct error *read_variables(struct guest *guest, struct guest_memory_counters *c)
{
	uint64_t committed;
	struct gva counter;
	struct error *error = counter_read_variable(guest, "_totalram_pages", &c->total);

	if (!error)
		error = counter_read_variable(guest, "total_swap_pages", &c->swap_total);
	if (!error)
		error = counter_read_variable(guest, "nr_swap_pages", &c->swap_free);
	if (!error)
		error = symbols_get(guest->symbols, "vm_committed_as", &counter);
	if (!error)
		error = guest_percpu_counter(guest, counter, &committed);
	if (!error)
		c->committed = pages_to_bytes(committed);
	if (!error)
		error = read_huge(guest, &c->huge);
	return error;
}

/* A kernel without swap (CONFIG_SWAP=n) has none of its variables; a counter that is not kept counts as none. */
static uint64_t known(uint64_t value)
{
	return value == COUNTER_UNKNOWN ? 0 : value;
}

struct error *guest_memory_counters(struct guest *guest, struct guest_memory_counters *ret)
{
	struct guest_memory_counters c;
	struct error *error = read_counters(guest, &c);

	if (!error)
		error = read_variables(guest, &c);
	if (!error && c.swap_cached == COUNTER_UNKNOWN)
		error = read_old_swap_cache(guest, &c.swap_cached);
	if (!error)
		error = read_buffers(guest, &c.buffers);
	if (error)
		return error_wrap(error, "the guest's memory counters");
	c.swap_total = known(c.swap_total);
	c.swap_free = known(c.swap_free);
	c.swap_cached = known(c.swap_cached);
	c.kernel_reclaimable = known(c.kernel_reclaimable) + c.slab_reclaimable;
	c.active = c.active_anonymous + c.active_file;
	c.inactive = c.inactive_anonymous + c.inactive_file;
	c.cached -= min_u64(c.cached, c.swap_cached + c.buffers);
	error = read_available(guest, &c, &c.available);
	if (!error)
		error = read_commit_limit(guest, &c, &c.commit_limit);
	if (error)
		return error_wrap(error, "the guest's memory counters");
	*ret = c;
	return NULL;
}
