/* SPDX-License-Identifier: Apache-2.0 */
/* Files of sysfs about processors: which there are, which share what, and their caches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/internal.h"
#include "guest/sysfs.h"

struct mask {
	uint64_t words[CPUS_MAX / 64];
	uint32_t ids; /* numbers are below (nr_cpu_ids) */
};

static struct error *unknown(void)
{
	return error_create(ERROR_NOT_FOUND, "memory does not tell it, or we do not know how");
}

static struct error *done(char **ret, char *made)
{
	*ret = made;
	return made ? NULL : error_no_memory();
}

/* ---- Masks ---- */

/* Without the symbol the width is a constant of the kernel (CONFIG_FORCE_NR_CPUS), or it has one CPU. */
static struct error *mask_begin(struct guest *guest, struct mask *ret)
{
	struct member bits = types_find(guest->types, "cpumask", "bits");
	struct error *error = guest_symbol_u32(guest, "nr_cpu_ids", &ret->ids);

	memset(ret->words, 0, sizeof(ret->words));
	if (!error && (ret->ids == 0 || ret->ids > CPUS_MAX || ret->ids > bits.size * 8))
		error = unknown();
	return error;
}

static struct error *mask_read(struct guest *guest, struct gva place, struct mask *ret)
{
	struct error *error = mask_begin(guest, ret);

	if (!error)
		error = memory_read(&guest->memory, place, ret->words, (ret->ids + 63) / 64 * 8);
	if (!error && ret->ids % 64)
		ret->words[ret->ids / 64] &= UINT64_MAX >> (64 - ret->ids % 64);
	return error;
}

static struct error *mask_read_symbol(struct guest *guest, const char *name, struct mask *ret)
{
	struct gva place;
	struct error *error = symbols_get(guest->symbols, name, &place);

	return error ? error : mask_read(guest, place, ret);
}

static bool has_cpu(const struct mask *mask, uint32_t cpu)
{
	return cpu < mask->ids && (mask->words[cpu / 64] >> cpu % 64 & 1);
}

/* "0-3,5", as %*pbl. */
static void write_list(const struct mask *mask, FILE *out)
{
	const char *comma = "";

	for (uint32_t cpu = 0; cpu < mask->ids; cpu++) {
		uint32_t last = cpu;

		if (!has_cpu(mask, cpu))
			continue;
		while (has_cpu(mask, last + 1))
			last++;
		fprintf(out, last > cpu ? "%s%" PRIu32 "-%" PRIu32 : "%s%" PRIu32, comma, cpu, last);
		comma = ",";
		cpu = last;
	}
}

/* "f,ffffffff", as %*pb: the first word is as wide as it has bits. */
static void write_map(const struct mask *mask, FILE *out)
{
	uint32_t n = (mask->ids + 31) / 32;

	for (uint32_t i = n; i > 0; i--) {
		uint32_t bits = i == n && mask->ids % 32 ? mask->ids % 32 : 32;
		uint32_t word = (uint32_t)(mask->words[(i - 1) / 2] >> (i - 1) % 2 * 32);

		fprintf(out, "%s%0*" PRIx32, i == n ? "" : ",", (int)(bits + 3) / 4, word);
	}
}

static struct error *show_mask(const struct mask *mask, bool list, char **ret)
{
	char *made = NULL;
	size_t size;
	FILE *out = open_memstream(&made, &size);

	if (!out)
		return error_no_memory();
	(list ? write_list : write_map)(mask, out);
	fputc('\n', out);
	if (fclose(out) != 0) {
		free(made);
		return error_no_memory();
	}
	*ret = made;
	return NULL;
}

/* ---- devices/system/cpu ---- */

/* Possible ones that are not online; those that the kernel left out altogether would come behind them. */
static struct error *show_offline(struct guest *guest, char **ret)
{
	struct mask mask, online;
	uint32_t total;
	struct error *error = mask_read_symbol(guest, "__cpu_possible_mask", &mask);

	if (!error)
		error = mask_read_symbol(guest, "__cpu_online_mask", &online);
	if (!error)
		error = guest_symbol_u32(guest, "total_cpus", &total);
	if (!error && mask.ids < total)
		return unknown();
	for (size_t i = 0; !error && i < ARRAY_SIZE(mask.words); i++)
		mask.words[i] &= ~online.words[i];
	return error ? error : show_mask(&mask, true, ret);
}

static struct error *show_set(struct guest *guest, const char *file, char **ret)
{
	char symbol[64];
	struct mask mask;
	struct error *error;

	if (strcmp(file, "offline") == 0)
		return show_offline(guest, ret);
	if (strcmp(file, "possible") != 0 && strcmp(file, "present") != 0 && strcmp(file, "online") != 0)
		return unknown();
	snprintf(symbol, sizeof(symbol), "__cpu_%s_mask", file);
	error = mask_read_symbol(guest, symbol, &mask);
	return error ? error : show_mask(&mask, true, ret);
}

/* ---- devices/system/cpu/cpuN/topology ---- */

/* Symbols of per-CPU masks; a file "NAME" is a map, "NAME_list" a list. */
static const struct {
	const char *file, *symbol;
} shared[] = {
	{"thread_siblings", "cpu_sibling_map"}, {"core_cpus", "cpu_sibling_map"}, {"core_siblings", "cpu_core_map"},
	{"package_cpus", "cpu_core_map"},       {"die_cpus", "cpu_die_map"},
};

static struct error *show_shared(struct guest *guest, uint32_t cpu, const char *symbol, bool list, char **ret)
{
	struct member sample = types_find(guest->types, "root_domain", "span");
	struct gva place;
	struct mask mask;
	struct error *error = symbols_get(guest->symbols, symbol, &place);

	if (!error)
		error = guest_percpu(guest, place, cpu, &place);
	/* A cpumask_var_t, as that member is too, is a pointer with CONFIG_CPUMASK_OFFSTACK. */
	if (!error && sample.present && !sample.count)
		error = memory_read_u64(&guest->memory, place, &place.v);
	if (!error)
		error = mask_read(guest, place, &mask);
	return error ? error : show_mask(&mask, list, ret);
}

/* In struct cpuinfo_x86 itself until they moved to one of their own (6.7). */
static struct error *show_place(struct guest *guest, uint32_t cpu, const char *now, const char *before, char **ret)
{
	struct member member = types_find(guest->types, "cpuinfo_x86", now);
	struct gva place;
	uint64_t value;
	struct error *error = symbols_get(guest->symbols, "cpu_info", &place);

	if (!member.present)
		member = types_find(guest->types, "cpuinfo_x86", before);
	if (!error && !member.present)
		return unknown();
	if (!error)
		error = guest_percpu(guest, place, cpu, &place);
	if (!error)
		error = guest_read_member(guest, place, &member, &value);
	return error ? error : done(ret, string_format("%" PRIu64 "\n", value));
}

static struct error *show_topology(struct guest *guest, uint32_t cpu, const char *file, char **ret)
{
	if (strcmp(file, "physical_package_id") == 0)
		return show_place(guest, cpu, "topo.pkg_id", "phys_proc_id", ret);
	if (strcmp(file, "core_id") == 0)
		return show_place(guest, cpu, "topo.core_id", "cpu_core_id", ret);
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		size_t n = strlen(shared[i].file);

		if (strncmp(file, shared[i].file, n) == 0 && (!file[n] || strcmp(file + n, "_list") == 0))
			return show_shared(guest, cpu, shared[i].symbol, file[n] != '\0', ret);
	}
	return unknown();
}

/* ---- devices/system/cpu/cpuN/cache/indexN ---- */

static struct error *find_cache(struct guest *guest, uint32_t cpu, uint32_t index, struct gva *ret)
{
	struct member list = types_find(guest->types, "cpu_cacheinfo", "info_list");
	struct member count = types_find(guest->types, "cpu_cacheinfo", "num_leaves");
	uint32_t size = types_size(guest->types, "cacheinfo");
	uint64_t n, first;
	struct gva place;
	struct error *error = symbols_get(guest->symbols, "ci_cpu_cacheinfo", &place);

	if (!error && (!list.present || !count.present || !size))
		return unknown();
	if (!error)
		error = guest_percpu(guest, place, cpu, &place);
	if (!error)
		error = guest_read_member(guest, place, &count, &n);
	if (!error)
		error = guest_read_member(guest, place, &list, &first);
	if (!error && (index >= n || !first))
		return unknown();
	ret->v = error ? 0 : first + (uint64_t)index * size;
	return error;
}

static struct error *show_cache_kind(uint64_t kind, char **ret)
{
	static const char *const kinds[] = {[1] = "Instruction\n", [2] = "Data\n", [4] = "Unified\n"};

	return kind < ARRAY_SIZE(kinds) && kinds[kind] ? done(ret, strdup(kinds[kind])) : unknown();
}

static struct error *show_cache(struct guest *guest, uint32_t cpu, uint32_t index, const char *file, char **ret)
{
	static const char *const numbers[] = {"level", "coherency_line_size", "number_of_sets", "ways_of_associativity",
					      "physical_line_partition"};
	struct member member = types_find(guest->types, "cacheinfo", file);
	struct gva cache = {0};
	struct mask mask;
	uint64_t value;
	struct error *error = find_cache(guest, cpu, index, &cache);

	if (error)
		return error;
	if (strcmp(file, "shared_cpu_list") == 0 || strcmp(file, "shared_cpu_map") == 0) {
		member = types_find(guest->types, "cacheinfo", "shared_cpu_map");
		error = member.present ? mask_read(guest, (struct gva){cache.v + member.offset}, &mask) : unknown();
		return error ? error : show_mask(&mask, strcmp(file, "shared_cpu_list") == 0, ret);
	}
	if (!member.present)
		return unknown();
	error = guest_read_member(guest, cache, &member, &value);
	if (error)
		return error;
	if (strcmp(file, "type") == 0)
		return show_cache_kind(value, ret);
	if (strcmp(file, "size") == 0)
		return done(ret, string_format("%" PRIu64 "K\n", value >> 10));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcmp(file, numbers[i]) == 0)
			return done(ret, string_format("%" PRIu64 "\n", value));
	return unknown();
}

/* ---- devices/system/node/nodeN ---- */

/* The online ones that are said to be near it. */
static struct error *show_near(struct guest *guest, uint32_t node, bool list, char **ret)
{
	struct mask online, near;
	struct gva variable, place;
	struct error *error = mask_read_symbol(guest, "__cpu_online_mask", &online);

	if (!error)
		error = mask_begin(guest, &near);
	if (!error)
		error = symbols_get(guest->symbols, "numa_node", &variable);
	for (uint32_t cpu = 0; !error && cpu < online.ids; cpu++) {
		uint32_t at = 0;

		if (!has_cpu(&online, cpu))
			continue;
		error = guest_percpu(guest, variable, cpu, &place);
		if (!error)
			error = memory_read_u32(&guest->memory, place, &at);
		if (!error && at == node)
			near.words[cpu / 64] |= UINT64_C(1) << cpu % 64;
	}
	return error ? error : show_mask(&near, list, ret);
}

/* ---- All of them ---- */

/* "cpu12" with the prefix "cpu": 12. */
static bool number_of(const char *name, const char *prefix, uint32_t *ret)
{
	size_t n = strlen(prefix);
	char *end;
	unsigned long value;

	if (strncmp(name, prefix, n) != 0 || name[n] < '0' || name[n] > '9')
		return false;
	value = strtoul(name + n, &end, 10);
	*ret = (uint32_t)value;
	return !*end && value < CPUS_MAX;
}

/* Whether the node is /devices/system/NAME. */
static bool is_system(const struct guest_kernfs *tree, const struct guest_kernfs_node *node, const char *name)
{
	const struct guest_kernfs_node *system = &tree->items[node->parent], *devices = &tree->items[system->parent];

	return strcmp(node->name, name) == 0 && strcmp(system->name, "system") == 0 &&
	       strcmp(devices->name, "devices") == 0 && devices->parent == 0;
}

struct error *sysfs_cpu_text(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
{
	const struct guest_kernfs_node *file = &tree->items[index], *above[3];
	uint32_t cpu, leaf;

	above[0] = &tree->items[file->parent];
	above[1] = &tree->items[above[0]->parent];
	above[2] = &tree->items[above[1]->parent];
	if (is_system(tree, above[0], "cpu"))
		return show_set(guest, file->name, ret);
	if (is_system(tree, above[1], "node") && number_of(above[0]->name, "node", &leaf) &&
	    (strcmp(file->name, "cpumap") == 0 || strcmp(file->name, "cpulist") == 0))
		return show_near(guest, leaf, strcmp(file->name, "cpulist") == 0, ret);
	if (is_system(tree, above[2], "cpu") && strcmp(above[0]->name, "topology") == 0 &&
	    number_of(above[1]->name, "cpu", &cpu))
		return show_topology(guest, cpu, file->name, ret);
	if (is_system(tree, &tree->items[above[2]->parent], "cpu") && strcmp(above[1]->name, "cache") == 0 &&
	    number_of(above[2]->name, "cpu", &cpu) && number_of(above[0]->name, "index", &leaf))
		return show_cache(guest, cpu, leaf, file->name, ret);
	return unknown();
}
