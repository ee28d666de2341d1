/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of /proc/vmstat (mm/vmstat.c): their names are the kernel's own table. */
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/zones.h"

#define COUNTS_MAX 1024u
#define HUGE_PAGES 512u /* pages of 4 KiB in one of 2 MiB */

/* One of the groups of counters, in the order of the table of names. */
struct group {
	uint64_t n;
	uint64_t values[COUNTS_MAX];
};

/* How many a group has; one that this kernel does not have: 0. */
static uint64_t count_of(struct guest *guest, const char *enumeration, const char *last)
{
	uint64_t n;

	return types_enum(guest->types, enumeration, last, &n) && n <= COUNTS_MAX ? n : 0;
}

/* `n` numbers of 64 bits at a variable. */
static struct error *read_sums(struct guest *guest, const char *variable, uint64_t n, uint64_t *values)
{
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, variable, &symbol);

	return error ? error : memory_read(&guest->memory, symbol, values, n * sizeof(*values));
}

/* A sum that is below zero for a moment is shown as none. */
static struct error *read_group(struct guest *guest, const char *enumeration, const char *last, const char *variable,
				struct group *ret)
{
	struct error *error = NULL;

	ret->n = count_of(guest, enumeration, last);
	if (ret->n)
		error = read_sums(guest, variable, ret->n, ret->values);
	for (uint64_t i = 0; !error && i < ret->n; i++)
		if ((int64_t)ret->values[i] < 0)
			ret->values[i] = 0;
	return error;
}

/* Huge pages are counted in small ones since 5.12 (69473e5de873), as NR_SWAPCACHE is from 5.12 on, and shown whole. */
static struct error *read_nodes(struct guest *guest, struct group *ret)
{
	static const char *const huge[] = {"NR_ANON_THPS", "NR_FILE_THPS", "NR_SHMEM_THPS", "NR_SHMEM_PMDMAPPED",
					   "NR_FILE_PMDMAPPED"};
	struct error *error = read_group(guest, "node_stat_item", "NR_VM_NODE_STAT_ITEMS", "vm_node_stat", ret);
	uint64_t index;

	if (error || !types_enum(guest->types, "node_stat_item", "NR_SWAPCACHE", &index))
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(huge); i++)
		if (types_enum(guest->types, "node_stat_item", huge[i], &index) && index < ret->n)
			ret->values[index] /= HUGE_PAGES;
	return NULL;
}

/* ---- What each node's memory was taken from ---- */

struct numa_sum {
	struct member pageset, events;
	struct group *group;
	struct cpu_sets cpus;
};

/* What CPUs have not yet added; it is added up whenever the file is read. */
static struct error *add_zone(struct guest *guest, const struct guest_zone_place *zone, void *context)
{
	struct numa_sum *sum = context;
	uint64_t variable, values[8];
	struct error *error = guest_read_member(guest, zone->address, &sum->pageset, &variable);

	if (error || !variable)
		return error;
	for_each_cpu(cpu, sum->cpus.online_set) {
		struct gva address;

		error = guest_percpu(guest, (struct gva){variable}, cpu, &address);
		if (!error)
			error = memory_read(&guest->memory, (struct gva){address.v + sum->events.offset}, values,
					    sum->group->n * sizeof(*values));
		if (error)
			return error;
		for (uint64_t i = 0; i < sum->group->n; i++)
			sum->group->values[i] += values[i];
	}
	return NULL;
}

/* Up to 5.13 they were counters like the others, and what CPUs hold back was not added (f19298b9516c). */
static struct error *read_numa(struct guest *guest, struct group *ret)
{
	struct numa_sum sum = {.group = ret};
	const struct member_need needs[] = {{"zone", "per_cpu_zonestats", &sum.pageset},
					    {"per_cpu_zonestat", "vm_numa_event", &sum.events}};
	struct error *error;

	if (!count_of(guest, "numa_stat_item", "NR_VM_NUMA_EVENT_ITEMS"))
		return read_group(guest, "numa_stat_item", "NR_VM_NUMA_STAT_ITEMS", "vm_numa_stat", ret);
	error = read_group(guest, "numa_stat_item", "NR_VM_NUMA_EVENT_ITEMS", "vm_numa_event", ret);
	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error && ret->n > 8)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel counts %llu events of its nodes",
				     (unsigned long long)ret->n);
	if (!error)
		error = cpu_sets_load(guest, &sum.cpus);
	return error ? error : zones_walk(guest, add_zone, &sum);
}

/* ---- When writing begins ---- */

struct dirty_settings {
	uint64_t bytes, background_bytes;
	uint32_t ratio, background_ratio;
};

static struct error *read_settings(struct guest *guest, struct dirty_settings *ret)
{
	struct error *error = guest_symbol_u64(guest, "vm_dirty_bytes", &ret->bytes);

	if (!error)
		error = guest_symbol_u64(guest, "dirty_background_bytes", &ret->background_bytes);
	if (!error)
		error = guest_symbol_u32(guest, "vm_dirty_ratio", &ret->ratio);
	if (!error)
		error = guest_symbol_u32(guest, "dirty_background_ratio", &ret->background_ratio);
	return error;
}

/* As mm/page-writeback.c computes it, for a task that has no real-time priority. */
static struct error *read_dirty_limits(struct guest *guest, uint64_t values[2])
{
	struct guest_memory_counters counters;
	struct dirty_settings set;
	uint64_t reserved, available, limit, background;
	struct error *error = guest_memory_counters(guest, &counters);

	if (!error)
		error = guest_symbol_u64(guest, "totalreserve_pages", &reserved);
	if (!error)
		error = read_settings(guest, &set);
	if (error)
		return error;
	available = counters.free / PAGE_SIZE;
	available -= reserved < available ? reserved : available;
	available += (counters.inactive_file + counters.active_file) / PAGE_SIZE + 1;
	limit = set.bytes ? (set.bytes + PAGE_SIZE - 1) / PAGE_SIZE
			  : set.ratio * (uint64_t)PAGE_SIZE / 100 * available / PAGE_SIZE;
	background = set.background_bytes ? (set.background_bytes + PAGE_SIZE - 1) / PAGE_SIZE
					  : set.background_ratio * (uint64_t)PAGE_SIZE / 100 * available / PAGE_SIZE;
	values[0] = limit;
	values[1] = background >= limit ? limit / 2 : background;
	return NULL;
}

static struct error *read_limits(struct guest *guest, struct group *ret)
{
	static const char *const variables[] = {"nr_memmap_pages", "nr_memmap_boot_pages"};
	struct error *error;

	/* Renamed by 6.12 (9d8573111024), which has two more. */
	ret->n = count_of(guest, "vm_stat_item", "NR_VM_STAT_ITEMS");
	if (!ret->n)
		ret->n = count_of(guest, "writeback_stat_item", "NR_VM_WRITEBACK_STAT_ITEMS");
	if (ret->n != 2 && ret->n != 4)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has %llu counters of its own of memory",
				    (unsigned long long)ret->n);
	error = read_dirty_limits(guest, ret->values);
	for (size_t i = 0; !error && i < ret->n - 2; i++)
		error = guest_symbol_u64(guest, variables[i], &ret->values[2 + i]);
	return error;
}

/* ---- Events ---- */

static struct error *read_events(struct guest *guest, struct group *ret)
{
	static const char *const halved[] = {"PGPGIN", "PGPGOUT"}; /* counted in sectors, shown in KiB */
	uint64_t values[COUNTS_MAX], index;
	struct cpu_sets cpus;
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "vm_event_states", &symbol);

	ret->n = count_of(guest, "vm_event_item", "NR_VM_EVENT_ITEMS");
	memset(ret->values, 0, ret->n * sizeof(*values));
	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.online_set) {
		struct gva address;

		error = guest_percpu(guest, symbol, cpu, &address);
		if (!error)
			error = memory_read(&guest->memory, address, values, ret->n * sizeof(*values));
		if (error)
			return error;
		for (uint64_t i = 0; i < ret->n; i++)
			ret->values[i] += values[i];
	}
	for (size_t i = 0; i < ARRAY_SIZE(halved); i++)
		if (types_enum(guest->types, "vm_event_item", halved[i], &index) && index < ret->n)
			ret->values[index] /= 2;
	return NULL;
}

/* ---- All of them ---- */

static struct error *append_group(struct guest *guest, const struct group *group, struct gva *names,
				  struct guest_count_list *list)
{
	for (uint64_t i = 0; i < group->n; i++, names->v += 8) {
		struct guest_count count = {.value = group->values[i]};
		uint64_t pointer;
		struct error *error = memory_read_u64(&guest->memory, *names, &pointer);

		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){pointer}, count.name,
						   sizeof(count.name));
		if (!error)
			error = array_room(&list->items, list->n, sizeof(*list->items));
		if (error)
			return error;
		list->items[list->n++] = count;
	}
	return NULL;
}

struct error *guest_vm_counts(struct guest *guest, struct guest_count_list *ret)
{
	struct error *(*const reads[])(struct guest *, struct group *) = {read_numa, read_nodes, read_limits,
									  read_events};
	struct guest_count_list list = {0};
	_cleanup_(free_ptr) struct group *group = malloc(sizeof(*group));
	struct gva names;
	struct error *error = group ? symbols_get(guest->symbols, "vmstat_text", &names) : error_no_memory();

	if (!error)
		error = read_group(guest, "zone_stat_item", "NR_VM_ZONE_STAT_ITEMS", "vm_zone_stat", group);
	if (!error)
		error = append_group(guest, group, &names, &list);
	for (size_t i = 0; !error && i < ARRAY_SIZE(reads); i++) {
		error = reads[i](guest, group);
		if (!error)
			error = append_group(guest, group, &names, &list);
	}
	if (error) {
		guest_count_list_deinit(&list);
		return error_wrap(error, "the guest's counters of memory");
	}
	*ret = list;
	return NULL;
}

void guest_count_list_deinit(struct guest_count_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_count_list){0};
}
