/* SPDX-License-Identifier: Apache-2.0 */
/* The processors, as the kernel found them (arch/x86/kernel/cpu/proc.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/object.h"

#define WORDS_MAX   64u /* of x86_capability; there are 24 */
#define BITS_MAX    (WORDS_MAX * 32)
#define NAME_SIZE   32u
#define FEATURE_TSC 4u
#define FEATURE_VMX (4 * 32 + 5u)
#define FLAG_EFFORT 4u /* so that all names together stay below some tens of MiB */

/* The names of bits; "" for one that has none. */
struct names {
	uint32_t n;
	char (*items)[NAME_SIZE];
	bool(*known); /* false: a null pointer, which is not the same as an empty name */
};

struct processor_layout {
	struct object_span span;
	struct member family, model, stepping, cpuid_level, microcode, cache, package, core, cores, apicid, initial;
	struct member capability, vmx, vendor, model_name, power, loops, tlb, flush, alignment, physical_bits;
	struct member virtual_bits, number, policy_khz;
	bool masks_apart;                 /* a cpumask_var_t is a pointer (CONFIG_CPUMASK_OFFSTACK) */
	struct gva core_map, policies;    /* of each CPU; 0: none */
	uint32_t khz, n_features, n_bugs; /* bits */
	struct names features, bugs, vmx_names, power_names;
};

static void names_deinit(struct names *names)
{
	free(names->items);
	free(names->known);
}

/* `n` pointers to names. */
static struct error *names_read(struct guest *guest, const char *symbol, uint32_t n, struct names *ret)
{
	uint64_t pointers[BITS_MAX];
	struct gva address;
	struct error *error = symbols_get(guest->symbols, symbol, &address);

	if (!error)
		error = memory_read(&guest->memory, address, pointers, n * sizeof(*pointers));
	if (error)
		return error;
	ret->items = calloc(n, sizeof(*ret->items));
	ret->known = calloc(n, sizeof(*ret->known));
	if (!ret->items || !ret->known)
		return error_no_memory();
	ret->n = n;
	for (uint32_t i = 0; !error && i < n; i++) {
		ret->known[i] = pointers[i] != 0;
		if (pointers[i])
			error = memory_read_string(&guest->memory, (struct gva){pointers[i]}, ret->items[i], NAME_SIZE);
	}
	return error;
}

/*
 * How many of the words say what a processor can; the last ones say what is wrong with it: one, or two since 6.7 and
 * in stable kernels before. The tables of names lie behind one another.
 */
static uint32_t count_features(struct guest *guest, uint32_t words)
{
	static const char *const others[] = {"x86_bug_flags", "x86_power_flags", "x86_vmx_flags"};
	uint64_t nearest = UINT64_MAX;
	struct gva table, other;

	if (symbols_find(guest->symbols, "x86_cap_flags", &table))
		for (size_t i = 0; i < ARRAY_SIZE(others); i++)
			if (symbols_find(guest->symbols, others[i], &other) && other.v > table.v &&
			    other.v - table.v < nearest)
				nearest = other.v - table.v;
	if (nearest / 256 < words && nearest / 256 + 4 > words)
		return (uint32_t)(nearest / 256);
	return words - 2;
}

static struct error *load_names(struct guest *guest, struct processor_layout *ret)
{
	uint32_t words = ret->capability.count, features;
	struct error *error;

	if (words < 3 || words > WORDS_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel knows %u words of features", words);
	features = count_features(guest, words);
	error = names_read(guest, "x86_cap_flags", features * 32, &ret->features);
	if (!error)
		error = names_read(guest, "x86_bug_flags", (words - features) * 32, &ret->bugs);
	if (!error)
		error = names_read(guest, "x86_power_flags", 32, &ret->power_names);
	/* Only kernels that can be hypervisors on Intel's processors name these. */
	if (!error && ret->vmx.present && ret->vmx.count <= WORDS_MAX &&
	    symbols_find(guest->symbols, "x86_vmx_flags", &(struct gva){0}))
		error = names_read(guest, "x86_vmx_flags", ret->vmx.count * 32, &ret->vmx_names);
	return error;
}

/* Ids of its place among the others: since 6.7 (02fb601d27a7) in a structure of their own. */
static struct error *load_topology(struct guest *guest, struct processor_layout *ret)
{
	bool apart = types_find(guest->types, "cpuinfo_x86", "topo.apicid").present;
	const struct member_need needs[] = {
		{"cpuinfo_x86", apart ? "topo.pkg_id" : "phys_proc_id", &ret->package},
		{"cpuinfo_x86", apart ? "topo.core_id" : "cpu_core_id", &ret->core},
		{"cpuinfo_x86", apart ? "topo.apicid" : "apicid", &ret->apicid},
		{"cpuinfo_x86", apart ? "topo.initial_apicid" : "initial_apicid", &ret->initial},
		{"cpuinfo_x86", "booted_cores", &ret->cores},
	};
	struct member mask = types_find(guest->types, "root_domain", "span");

	symbols_find(guest->symbols, "cpu_core_map", &ret->core_map);
	ret->masks_apart = mask.present && !mask.count;
	return object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);
}

static struct error *load_layout(struct guest *guest, struct processor_layout *ret)
{
	const struct member_need needs[] = {
		{"cpuinfo_x86", "x86", &ret->family},
		{"cpuinfo_x86", "x86_model", &ret->model},
		{"cpuinfo_x86", "x86_stepping", &ret->stepping},
		{"cpuinfo_x86", "cpuid_level", &ret->cpuid_level},
		{"cpuinfo_x86", "microcode", &ret->microcode},
		{"cpuinfo_x86", "x86_cache_size", &ret->cache},
		{"cpuinfo_x86", "x86_capability", &ret->capability},
		{"cpuinfo_x86", "vmx_capability", &ret->vmx, .optional = true},
		{"cpuinfo_x86", "x86_vendor_id", &ret->vendor},
		{"cpuinfo_x86", "x86_model_id", &ret->model_name},
		{"cpuinfo_x86", "x86_power", &ret->power},
		{"cpuinfo_x86", "loops_per_jiffy", &ret->loops},
		{"cpuinfo_x86", "x86_tlbsize", &ret->tlb},
		{"cpuinfo_x86", "x86_clflush_size", &ret->flush},
		{"cpuinfo_x86", "x86_cache_alignment", &ret->alignment},
		{"cpuinfo_x86", "x86_phys_bits", &ret->physical_bits},
		{"cpuinfo_x86", "x86_virt_bits", &ret->virtual_bits},
		{"cpuinfo_x86", "cpu_index", &ret->number, .optional = true},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	if (!error)
		error = load_topology(guest, ret);
	if (!error)
		error = load_names(guest, ret);
	if (!error)
		error = guest_symbol_u32(guest, "cpu_khz", &ret->khz);
	ret->policy_khz = types_find(guest->types, "cpufreq_policy", "cur");
	if (ret->policy_khz.present)
		symbols_find(guest->symbols, "cpufreq_cpu_data", &ret->policies);
	return error;
}

/* ---- One processor ---- */

static bool has_bit(const uint8_t *words, uint32_t bit)
{
	return words[bit / 8] >> bit % 8 & 1;
}

/* The names of the bits that are set in `words`; for `numbered` a bit without one is shown by its number. */
static struct error *join(struct guest *guest, const struct names *names, const uint8_t *words, bool numbered,
			  char **ret)
{
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);
	struct error *error = out ? NULL : error_no_memory();

	for (uint32_t i = 0; !error && i < names->n; i++) {
		if (!has_bit(words, i))
			continue;
		if (names->known[i])
			fprintf(out, "%s%s", !numbered || *names->items[i] ? " " : "", names->items[i]);
		else if (numbered)
			fprintf(out, " [%u]", i);
		error = guest_effort(guest, FLAG_EFFORT, 0);
	}
	if (out && fclose(out) != 0 && !error)
		error = error_no_memory();
	if (error) {
		free(text);
		return error;
	}
	*ret = text;
	return NULL;
}

static struct error *read_flags(struct guest *guest, const struct processor_layout *layout, const struct object *object,
				struct guest_processor *ret)
{
	const uint8_t *words = object->bytes + layout->capability.offset;
	const uint8_t *vmx = object->bytes + layout->vmx.offset;
	struct error *error = join(guest, &layout->features, words, false, &ret->flags);

	if (!error)
		error = join(guest, &layout->bugs, words + layout->features.n / 8, false, &ret->bugs);
	if (!error)
		error = join(guest, &layout->power_names, object->bytes + layout->power.offset, true, &ret->power);
	if (!error && layout->vmx_names.n && has_bit(words, FEATURE_VMX) && memcmp(vmx, (uint8_t[4]){0}, 4) != 0)
		error = join(guest, &layout->vmx_names, vmx, false, &ret->vmx_flags);
	ret->has_tsc = has_bit(words, FEATURE_TSC);
	return error;
}

/* How many CPUs share its package. */
static struct error *read_siblings(struct guest *guest, const struct processor_layout *layout, uint32_t cpu,
				   struct guest_processor *ret)
{
	uint64_t words[CPUS_MAX / 64] = {0};
	struct member bits = types_find(guest->types, "cpumask", "bits");
	struct gva mask;
	uint32_t ids;
	struct error *error = guest_percpu(guest, layout->core_map, cpu, &mask);

	ret->has_topology = true;
	if (!error && layout->masks_apart)
		error = memory_read_u64(&guest->memory, mask, &mask.v);
	if (!error)
		error = guest_symbol_u32(guest, "nr_cpu_ids", &ids);
	if (error)
		return error;
	if (ids > bits.size * 8)
		ids = bits.size * 8;
	if (ids > CPUS_MAX)
		ids = CPUS_MAX;
	error = memory_read(&guest->memory, mask, words, (ids + 63) / 64 * 8);
	for (uint32_t i = 0; !error && i < CPUS_MAX / 64; i++)
		ret->siblings += (uint32_t)__builtin_popcountll(words[i]);
	return error;
}

/* What its governor has set; most guests have none. */
static struct error *read_frequency(struct guest *guest, const struct processor_layout *layout, uint32_t cpu,
				    struct guest_processor *ret)
{
	uint64_t policy = 0, khz = 0;
	struct gva address;
	struct error *error = NULL;

	ret->khz = layout->khz;
	if (!layout->policies.v)
		return NULL;
	error = guest_percpu(guest, layout->policies, cpu, &address);
	if (!error)
		error = memory_read_u64(&guest->memory, address, &policy);
	if (!error && policy)
		error = guest_read_member(guest, (struct gva){policy}, &layout->policy_khz, &khz);
	if (!error && khz)
		ret->khz = (uint32_t)khz;
	return error;
}

static void copy_name(const struct object *object, const struct member *member, char *ret, size_t size)
{
	memcpy(ret, object->bytes + member->offset, member->size < size - 1 ? member->size : size - 1);
}

static void set_numbers(const struct processor_layout *layout, const struct object *object, struct guest_processor *ret)
{
	const struct {
		const struct member *member;
		uint32_t *ret;
	} numbers[] = {
		{&layout->family, &ret->family},
		{&layout->model, &ret->model},
		{&layout->stepping, &ret->stepping},
		{&layout->microcode, &ret->microcode},
		{&layout->cache, &ret->cache_kib},
		{&layout->package, &ret->package},
		{&layout->core, &ret->core},
		{&layout->cores, &ret->cores},
		{&layout->apicid, &ret->apicid},
		{&layout->initial, &ret->initial_apicid},
		{&layout->flush, &ret->flush_size},
		{&layout->alignment, &ret->alignment},
		{&layout->physical_bits, &ret->physical_bits},
		{&layout->virtual_bits, &ret->virtual_bits},
		{&layout->number, &ret->number},
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i].ret = (uint32_t)object_get(object, numbers[i].member);
	ret->cpuid_level = (int32_t)object_get(object, &layout->cpuid_level);
	ret->tlb_size = (int32_t)object_get(object, &layout->tlb);
	ret->loops_per_tick = object_get(object, &layout->loops);
	copy_name(object, &layout->vendor, ret->vendor, sizeof(ret->vendor));
	copy_name(object, &layout->model_name, ret->model_name, sizeof(ret->model_name));
}

static struct error *read_processor(struct guest *guest, const struct processor_layout *layout, struct gva variable,
				    uint32_t cpu, struct guest_processor *ret)
{
	struct object object;
	struct gva address;
	struct error *error = guest_percpu(guest, variable, cpu, &address);

	if (!error)
		error = object_load(guest, layout->span, address.v, &object);
	if (error)
		return error;
	set_numbers(layout, &object, ret);
	error = read_flags(guest, layout, &object, ret);
	if (!error && layout->core_map.v)
		error = read_siblings(guest, layout, cpu, ret);
	return error ? error : read_frequency(guest, layout, cpu, ret);
}

/* A kernel for one processor has only what it found at the boot. */
static struct error *find_variable(struct guest *guest, struct gva *ret)
{
	if (symbols_find(guest->symbols, "cpu_info", ret))
		return NULL;
	return symbols_get(guest->symbols, "boot_cpu_data", ret);
}

static void processor_deinit(struct guest_processor *processor)
{
	free(processor->flags);
	free(processor->bugs);
	free(processor->power);
	free(processor->vmx_flags);
}

static struct error *walk(struct guest *guest, const struct processor_layout *layout, struct guest_processor_list *list)
{
	struct cpu_sets cpus;
	struct gva variable;
	struct error *error = find_variable(guest, &variable);

	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.online_set) {
		struct guest_processor processor = {0};

		error = read_processor(guest, layout, variable, cpu, &processor);
		if (!error)
			error = array_room(&list->items, list->n, sizeof(*list->items));
		if (error) {
			processor_deinit(&processor);
			return error;
		}
		list->items[list->n++] = processor;
	}
	return NULL;
}

struct error *guest_processors(struct guest *guest, struct guest_processor_list *ret)
{
	struct guest_processor_list list = {0};
	struct processor_layout layout = {0};
	struct error *error = load_layout(guest, &layout);

	guest_effort_begin(guest);
	if (!error)
		error = guest_tick_rate(guest, &list.tick_rate);
	if (!error)
		error = walk_note(&list.incomplete, walk(guest, &layout, &list));
	names_deinit(&layout.features);
	names_deinit(&layout.bugs);
	names_deinit(&layout.vmx_names);
	names_deinit(&layout.power_names);
	if (error) {
		guest_processor_list_deinit(&list);
		return error_wrap(error, "the guest's processors");
	}
	*ret = list;
	return NULL;
}

void guest_processor_list_deinit(struct guest_processor_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		processor_deinit(&list->items[i]);
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_processor_list){0};
}
