/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long tasks waited for I/O, memory, processors (kernel/sched/psi.c). Whoever reads /proc/pressure makes the kernel
 * add up what each CPU has counted since the last time, and bring the averages up to date; so it is done here.
 */
#include <string.h>

#include "guest/containers.h"
#include "guest/machine.h"
#include "guest/object.h"

#define STATES_MAX 16u
#define FIXED      2048u /* of an average: one percent */
#define FIXED_BITS 11u
#define NS_PER_S   UINT64_C(1000000000)

struct psi_layout {
	struct member cpu_data, avg_total, last_update, next_update, total, averages; /* struct psi_group */
	struct member mask, times, start, times_before;                               /* struct psi_group_cpu */
	struct member clock;                                                          /* struct rq */
	uint64_t n_states, nonidle;
	uint32_t tick_rate;
};

struct psi {
	struct psi_layout layout;
	struct gva group;
	uint64_t now, last_update, next_update;
	uint64_t totals[STATES_MAX], counted[STATES_MAX]; /* nanoseconds; counted: in the averages already */
	uint64_t averages[STATES_MAX][3];
};

static struct error *load_layout(struct guest *guest, struct psi_layout *ret)
{
	const struct member_need needs[] = {
		{"psi_group", "pcpu", &ret->cpu_data},
		{"psi_group", "avg_total", &ret->avg_total},
		{"psi_group", "avg_last_update", &ret->last_update},
		{"psi_group", "avg_next_update", &ret->next_update},
		{"psi_group", "total", &ret->total},
		{"psi_group", "avg", &ret->averages},
		{"psi_group_cpu", "state_mask", &ret->mask},
		{"psi_group_cpu", "times", &ret->times},
		{"psi_group_cpu", "state_start", &ret->start},
		{"psi_group_cpu", "times_prev", &ret->times_before},
		{"rq", "clock", &ret->clock},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = types_get_enum(guest->types, "psi_states", "NR_PSI_STATES", &ret->n_states);
	if (!error)
		error = types_get_enum(guest->types, "psi_states", "PSI_NONIDLE", &ret->nonidle);
	if (!error)
		error = guest_tick_rate(guest, &ret->tick_rate);
	if (error)
		return error;
	/* Two kinds of readers have their own sums; those of the averages come first. */
	if (ret->n_states > STATES_MAX || ret->nonidle + 1 != ret->n_states ||
	    ret->times.size != ret->n_states * sizeof(uint32_t) || ret->times_before.size < ret->times.size ||
	    ret->avg_total.size != ret->nonidle * sizeof(uint64_t) || ret->total.size < ret->avg_total.size ||
	    ret->averages.size != ret->nonidle * 3 * sizeof(uint64_t))
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel counts pressure in an unknown way");
	return NULL;
}

/* What the scheduler took for the time when it last looked: the clock that pressure is counted in. */
static struct error *find_now(struct guest *guest, const struct cpu_sets *cpus, const struct psi_layout *layout,
			      uint64_t *ret)
{
	struct gva variable, queue;
	uint64_t clock, latest = 0;
	struct error *error = symbols_get(guest->symbols, "runqueues", &variable);

	for_each_cpu(cpu, cpus->online_set) {
		if (!error)
			error = guest_percpu(guest, variable, cpu, &queue);
		if (!error)
			error = guest_read_member(guest, queue, &layout->clock, &clock);
		if (!error && clock > latest)
			latest = clock;
	}
	*ret = latest;
	return error;
}

/* What a CPU has counted since it was last added; the state that it is in goes on until now. */
static struct error *read_cpu(struct guest *guest, const struct psi *psi, struct gva cpu, uint32_t ret[STATES_MAX])
{
	const struct psi_layout *layout = &psi->layout;
	uint32_t before[STATES_MAX];
	uint64_t mask, start;
	const struct member_read reads[] = {{&layout->mask, &mask}, {&layout->start, &start}};
	struct error *error = guest_read_members(guest, cpu, reads, ARRAY_SIZE(reads));

	if (!error)
		error = memory_read(&guest->memory, (struct gva){cpu.v + layout->times.offset}, ret,
				    layout->times.size);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){cpu.v + layout->times_before.offset}, before,
				    layout->times.size);
	for (uint64_t i = 0; !error && i < layout->n_states; i++) {
		if (mask >> i & 1 && psi->now > start)
			ret[i] += (uint32_t)(psi->now - start);
		ret[i] -= before[i];
	}
	return error;
}

/* Each CPU counts for as long as it had something to do. */
static struct error *add_cpus(struct guest *guest, struct psi *psi, const struct cpu_sets *cpus)
{
	const struct psi_layout *layout = &psi->layout;
	uint64_t base, busy_total = 0, sums[STATES_MAX] = {0};
	struct error *error = guest_read_member(guest, psi->group, &layout->cpu_data, &base);

	for_each_cpu(cpu, cpus->possible_set) {
		uint32_t times[STATES_MAX];
		uint64_t busy;
		struct gva data;

		if (!error)
			error = guest_percpu(guest, (struct gva){base}, cpu, &data);
		if (!error)
			error = read_cpu(guest, psi, data, times);
		if (error)
			return error;
		busy = times[layout->nonidle] / (NS_PER_S / layout->tick_rate);
		busy_total += busy;
		for (uint64_t i = 0; i < layout->nonidle; i++)
			sums[i] += times[i] * busy;
	}
	for (uint64_t i = 0; !error && i < layout->nonidle; i++)
		psi->totals[i] += sums[i] / (busy_total ? busy_total : 1);
	return error;
}

/* ---- Averages (kernel/sched/loadavg.c) ---- */

static uint64_t fixed_power(uint64_t x, uint64_t n)
{
	uint64_t result = FIXED;

	for (; n; n >>= 1) {
		if (n & 1)
			result = (result * x + FIXED / 2) >> FIXED_BITS;
		x = (x * x + FIXED / 2) >> FIXED_BITS;
	}
	return result;
}

static uint64_t decay(uint64_t load, uint64_t factor, uint64_t active)
{
	uint64_t sum = load * factor + active * (FIXED - factor);

	if (active >= load)
		sum += FIXED - 1;
	return sum / FIXED;
}

static void update_averages(struct psi *psi)
{
	static const uint64_t factors[] = {1677, 1981, 2034}; /* of 10, 60 and 300 seconds */
	const uint64_t interval = (2 * psi->layout.tick_rate + 1) * (NS_PER_S / psi->layout.tick_rate);
	uint64_t missed = (psi->now - psi->next_update) / interval;
	uint64_t length = psi->now - (psi->last_update + missed * interval);

	for (uint64_t i = 0; length && i < psi->layout.nonidle; i++) {
		uint32_t sample = (uint32_t)(psi->totals[i] - psi->counted[i]);
		uint64_t percent = (sample > length ? length : sample) * 100 / length * FIXED;

		for (unsigned k = 0; k < ARRAY_SIZE(factors); k++) {
			if (missed)
				psi->averages[i][k] = decay(psi->averages[i][k], fixed_power(factors[k], missed), 0);
			psi->averages[i][k] = decay(psi->averages[i][k], factors[k], percent);
		}
	}
}

/* ---- All of it ---- */

static struct error *read_group(struct guest *guest, struct psi *psi)
{
	const struct psi_layout *layout = &psi->layout;
	const struct member_read reads[] = {{&layout->last_update, &psi->last_update},
					    {&layout->next_update, &psi->next_update}};
	const struct {
		const struct member *member;
		void *ret;
		size_t size;
	} arrays[] = {
		{&layout->total, psi->totals, layout->nonidle * sizeof(uint64_t)},
		{&layout->avg_total, psi->counted, layout->nonidle * sizeof(uint64_t)},
		{&layout->averages, psi->averages, layout->nonidle * sizeof(psi->averages[0])},
	};
	struct error *error = symbols_get(guest->symbols, "psi_system", &psi->group);

	if (!error)
		error = guest_read_members(guest, psi->group, reads, ARRAY_SIZE(reads));
	for (size_t i = 0; !error && i < ARRAY_SIZE(arrays); i++)
		error = memory_read(&guest->memory, (struct gva){psi->group.v + arrays[i].member->offset},
				    arrays[i].ret, arrays[i].size);
	return error;
}

static struct error *load(struct guest *guest, struct psi *psi)
{
	struct cpu_sets cpus;
	struct gva symbol;
	uint8_t enabled;
	struct error *error = symbols_get(guest->symbols, "psi_enable", &symbol);

	if (!error)
		error = memory_read(&guest->memory, symbol, &enabled, 1);
	if (!error && !enabled)
		error = error_create(ERROR_NOT_FOUND, "the guest does not count pressure");
	if (!error)
		error = load_layout(guest, &psi->layout);
	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (!error)
		error = find_now(guest, &cpus, &psi->layout, &psi->now);
	if (!error)
		error = read_group(guest, psi);
	if (!error)
		error = add_cpus(guest, psi, &cpus);
	if (!error && psi->now >= psi->next_update && psi->now > psi->last_update)
		update_averages(psi);
	return error;
}

static void take(const struct psi *psi, uint64_t state, struct guest_pressure_line *ret)
{
	for (unsigned k = 0; k < ARRAY_SIZE(ret->averages); k++)
		ret->averages[k] = psi->averages[state][k];
	ret->total_us = psi->totals[state] / 1000;
}

struct error *guest_pressure(struct guest *guest, enum guest_pressure_kind kind, struct guest_pressure *ret)
{
	static const char *const some[] = {"PSI_IO_SOME", "PSI_MEM_SOME", "PSI_CPU_SOME"};
	static const char *const full[] = {"PSI_IO_FULL", "PSI_MEM_FULL", "PSI_CPU_FULL"};
	struct guest_pressure pressure = {0};
	struct psi psi = {0};
	uint64_t state;
	struct error *error = load(guest, &psi);

	if (!error)
		error = types_get_enum(guest->types, "psi_states", some[kind], &state);
	if (!error && state >= psi.layout.nonidle)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel counts pressure in an unknown way");
	if (error)
		return error_wrap(error, "the guest's pressure");
	take(&psi, state, &pressure.some);
	/* Since 5.13; of processors it is nothing for the whole system, and shown as such (890d550d7dba). */
	pressure.has_full = types_enum(guest->types, "psi_states", full[kind], &state) && state < psi.layout.nonidle;
	if (pressure.has_full && kind != GUEST_PRESSURE_CPU)
		take(&psi, state, &pressure.full);
	*ret = pressure;
	return NULL;
}
