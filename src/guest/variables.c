/* SPDX-License-Identifier: Apache-2.0 */
/* Single variables of the kernel: numbers, per-CPU copies, the sets of processors. */
#include <string.h>

#include "guest/internal.h"

struct error *guest_symbol_u64(struct guest *guest, const char *name, uint64_t *ret)
{
	struct gva address;
	struct error *error = symbols_get(guest->symbols, name, &address);

	if (!error)
		error = memory_read_u64(&guest->memory, address, ret);
	return error_wrap(error, "variable %s", name);
}

struct error *guest_symbol_u32(struct guest *guest, const char *name, uint32_t *ret)
{
	struct gva address;
	struct error *error = symbols_get(guest->symbols, name, &address);

	if (!error)
		error = memory_read_u32(&guest->memory, address, ret);
	return error_wrap(error, "variable %s", name);
}

struct error *guest_percpu(struct guest *guest, struct gva variable, uint32_t cpu, struct gva *ret)
{
	struct gva offsets;
	uint64_t offset;
	struct error *error;

	/* A kernel for one processor (CONFIG_SMP=n) has just the variable. */
	if (!symbols_find(guest->symbols, "__per_cpu_offset", &offsets)) {
		if (cpu > 0)
			return error_create(ERROR_NOT_FOUND, "the guest's kernel knows no CPU %u", cpu);
		*ret = variable;
		return NULL;
	}
	if (cpu >= CPUS_MAX)
		return error_create(ERROR_NOT_FOUND, "the guest has no CPU %u", cpu);
	error = memory_read_u64(&guest->memory, (struct gva){offsets.v + 8 * (uint64_t)cpu}, &offset);
	if (error)
		return error_wrap(error, "per-CPU variables of CPU %u", cpu);
	ret->v = variable.v + offset;
	return NULL;
}

/* Reads a cpumask of `n` bits and counts it. */
static struct error *read_mask(struct guest *guest, const char *name, uint32_t n, uint64_t set[CPUS_MAX / 64],
			       uint32_t *ret)
{
	struct gva mask;
	uint32_t count = 0;
	struct error *error = symbols_get(guest->symbols, name, &mask);

	memset(set, 0, CPUS_MAX / 8);
	if (!error)
		error = memory_read(&guest->memory, mask, set, (n + 63) / 64 * 8);
	if (error)
		return error;
	if (n % 64)
		set[n / 64] &= UINT64_MAX >> (64 - n % 64);
	for (uint32_t i = 0; i < CPUS_MAX / 64; i++)
		count += (uint32_t)__builtin_popcountll(set[i]);
	*ret = count;
	return NULL;
}

struct error *cpu_sets_load(struct guest *guest, struct cpu_sets *ret)
{
	struct cpu_sets cpus = {.possible = 1, .present = 1, .online = 1, .possible_set = {1}, .online_set = {1}};
	uint64_t present_set[CPUS_MAX / 64];
	struct member bits = types_find(guest->types, "cpumask", "bits");
	struct gva address;
	uint32_t n;
	struct error *error = NULL;

	if (!symbols_find(guest->symbols, "__per_cpu_offset", &address)) {
		*ret = cpus; /* CONFIG_SMP=n */
		return NULL;
	}
	n = bits.size > CPUS_MAX / 8 ? CPUS_MAX : bits.size * 8;
	/* Before the masks' unused bits are ever looked at: with CONFIG_FORCE_NR_CPUS (6.1) it is a constant. */
	if (symbols_find(guest->symbols, "nr_cpu_ids", &address)) {
		uint32_t ids;

		error = memory_read_u32(&guest->memory, address, &ids);
		if (!error && ids < n)
			n = ids;
	}
	if (!error && n == 0)
		error = error_create(ERROR_FORMAT, "the guest has no CPUs");
	if (!error)
		error = read_mask(guest, "__cpu_possible_mask", n, cpus.possible_set, &cpus.possible);
	if (!error)
		error = read_mask(guest, "__cpu_present_mask", n, present_set, &cpus.present);
	if (!error)
		error = read_mask(guest, "__cpu_online_mask", n, cpus.online_set, &cpus.online);
	if (error)
		return error_wrap(error, "the guest's processors");
	*ret = cpus;
	return NULL;
}

uint32_t cpu_sets_next(const uint64_t set[CPUS_MAX / 64], uint32_t from)
{
	while (from < CPUS_MAX && !(set[from / 64] >> from % 64 & 1))
		from++;
	return from;
}

struct error *guest_percpu_counter(struct guest *guest, struct gva counter, uint64_t *ret)
{
	struct member count, counters;
	const struct member_need needs[] = {{"percpu_counter", "count", &count},
					    {"percpu_counter", "counters", &counters, .optional = true}}; /* SMP */
	uint64_t sum, variable = 0;
	struct cpu_sets cpus = {0};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_read_member(guest, counter, &count, &sum);
	if (!error && counters.present)
		error = guest_read_member(guest, counter, &counters, &variable);
	if (!error && variable)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.online_set) {
		uint32_t part;
		struct gva place;

		error = guest_percpu(guest, (struct gva){variable}, cpu, &place);
		if (!error)
			error = memory_read_u32(&guest->memory, place, &part);
		if (error)
			return error;
		sum += (uint64_t)(int64_t)(int32_t)part;
	}
	*ret = (int64_t)sum < 0 ? 0 : sum;
	return NULL;
}
