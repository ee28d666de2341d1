/* SPDX-License-Identifier: Apache-2.0 */
/* What each CPU has done: /proc/stat and /proc/softirqs (fs/proc/stat.c, kernel/time/tick-sched.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/interrupts.h"
#include "guest/object.h"

/* tick_sched.flags since 6.9 (a478ffb2ae23); a bit field before. */
#define IDLE_ACTIVE (UINT64_C(1) << 2)

struct work_layout {
	struct member times;                                           /* of kernel_cpustat */
	struct member stat_elapse, stat_entry;                         /* the same, since 7.1 */
	struct member tick_active, tick_flags, tick_entry, tick_sleep; /* of tick_sched */
	struct member tick_iowait;
	struct member irqs_sum, softirqs;            /* of kernel_stat */
	struct member running, switches, waiting;    /* of rq */
	struct gva stat, kernel_stat, queues, ticks; /* of the boot CPU's section */
	bool ticks_count;                            /* idle times are those of tick_sched */
	struct object_span stat_span, kernel_span, tick_span;
	uint64_t now_ns;               /* CLOCK_MONOTONIC */
	uint64_t columns[GUEST_TIMES]; /* where each time stands in the array */
};

/* Where the kernel keeps idle times that go on while a CPU sleeps; without it they are in the array as all others. */
static struct error *load_ticks(struct guest *guest, struct work_layout *ret)
{
	const struct member_need needs[] = {
		{"tick_sched", "idle_entrytime", &ret->tick_entry},
		{"tick_sched", "idle_sleeptime", &ret->tick_sleep},
		{"tick_sched", "iowait_sleeptime", &ret->tick_iowait},
		{"tick_sched", "idle_active", &ret->tick_active, .optional = true},
		{"tick_sched", "flags", &ret->tick_flags, .optional = true},
	};
	uint32_t active;
	struct error *error;

	/* Since 7.1 in kernel_cpustat. */
	if (!types_find(guest->types, "tick_sched", "idle_sleeptime").present ||
	    !symbols_find(guest->symbols, "tick_cpu_sched", &ret->ticks))
		return NULL;
	error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->tick_span);
	if (!error)
		error = guest_symbol_u32(guest, "tick_nohz_active", &active);
	if (!error)
		ret->ticks_count = active;
	return error;
}

static struct error *load_columns(struct guest *guest, struct work_layout *ret)
{
	static const char *const names[GUEST_TIMES] = {
		[GUEST_TIME_USER] = "CPUTIME_USER",       [GUEST_TIME_NICE] = "CPUTIME_NICE",
		[GUEST_TIME_SYSTEM] = "CPUTIME_SYSTEM",   [GUEST_TIME_IDLE] = "CPUTIME_IDLE",
		[GUEST_TIME_IOWAIT] = "CPUTIME_IOWAIT",   [GUEST_TIME_IRQ] = "CPUTIME_IRQ",
		[GUEST_TIME_SOFTIRQ] = "CPUTIME_SOFTIRQ", [GUEST_TIME_STEAL] = "CPUTIME_STEAL",
		[GUEST_TIME_GUEST] = "CPUTIME_GUEST",     [GUEST_TIME_GUEST_NICE] = "CPUTIME_GUEST_NICE",
	};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < GUEST_TIMES; i++) {
		error = types_get_enum(guest->types, "cpu_usage_stat", names[i], &ret->columns[i]);
		if (!error && ret->columns[i] >= ret->times.count)
			error = error_create(ERROR_UNSUPPORTED, "the guest's kernel keeps no %s", names[i]);
	}
	return error;
}

static struct error *load_layout(struct guest *guest, struct work_layout *ret)
{
	const struct member_need stat_needs[] = {
		{"kernel_cpustat", "cpustat", &ret->times},
		{"kernel_cpustat", "idle_elapse", &ret->stat_elapse, .optional = true},
		{"kernel_cpustat", "idle_entrytime", &ret->stat_entry, .optional = true},
	};
	const struct member_need kernel_needs[] = {
		{"kernel_stat", "irqs_sum", &ret->irqs_sum},
		{"kernel_stat", "softirqs", &ret->softirqs},
	};
	const struct member_need needs[] = {
		{"rq", "nr_running", &ret->running},
		{"rq", "nr_switches", &ret->switches},
		{"rq", "nr_iowait", &ret->waiting},
	};
	struct guest_clock clock;
	struct error *error = object_need(guest->types, stat_needs, ARRAY_SIZE(stat_needs), &ret->stat_span);

	if (!error)
		error = object_need(guest->types, kernel_needs, ARRAY_SIZE(kernel_needs), &ret->kernel_span);
	if (!error)
		error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = load_columns(guest, ret);
	if (!error)
		error = load_ticks(guest, ret);
	if (!error)
		error = symbols_get(guest->symbols, "kernel_cpustat", &ret->stat);
	if (!error)
		error = symbols_get(guest->symbols, "kstat", &ret->kernel_stat);
	if (!error)
		error = symbols_get(guest->symbols, "runqueues", &ret->queues);
	if (!error)
		error = guest_clock(guest, &clock);
	if (!error)
		ret->now_ns = clock.monotonic_ns;
	return error;
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* A CPU that sleeps has not yet added how long: to the time of idling, or of waiting for a disk. */
static void add_sleep(struct guest_cpu_work *work, uint64_t slept_ns)
{
	work->times_ns[work->waiting > 0 ? GUEST_TIME_IOWAIT : GUEST_TIME_IDLE] += slept_ns;
}

static struct error *read_idle(struct guest *guest, const struct work_layout *layout, struct guest_cpu_work *work)
{
	struct object tick;
	struct gva address;
	struct error *error = guest_percpu(guest, layout->ticks, work->cpu, &address);
	bool idle;

	if (!error)
		error = object_load(guest, layout->tick_span, address.v, &tick);
	if (error)
		return error;
	work->times_ns[GUEST_TIME_IDLE] = object_get(&tick, &layout->tick_sleep);
	work->times_ns[GUEST_TIME_IOWAIT] = object_get(&tick, &layout->tick_iowait);
	idle = layout->tick_active.present ? object_get(&tick, &layout->tick_active)
					   : object_get(&tick, &layout->tick_flags) & IDLE_ACTIVE;
	if (idle)
		add_sleep(work, since(layout->now_ns, object_get(&tick, &layout->tick_entry)));
	return NULL;
}

static struct error *read_times(struct guest *guest, const struct work_layout *layout, struct guest_cpu_work *work)
{
	struct object stat;
	struct gva address;
	struct error *error = guest_percpu(guest, layout->stat, work->cpu, &address);

	if (!error)
		error = object_load(guest, layout->stat_span, address.v, &stat);
	if (error)
		return error;
	for (size_t i = 0; i < GUEST_TIMES; i++)
		memcpy(&work->times_ns[i], stat.bytes + layout->times.offset + 8 * layout->columns[i], 8);
	if (!work->online)
		return NULL;
	if (layout->ticks_count)
		return read_idle(guest, layout, work);
	if (object_get(&stat, &layout->stat_elapse))
		add_sleep(work, since(layout->now_ns, object_get(&stat, &layout->stat_entry)));
	return NULL;
}

static struct error *read_queue(struct guest *guest, const struct work_layout *layout, struct guest_cpu_work *work)
{
	uint64_t running, waiting;
	const struct member_read reads[] = {{&layout->running, &running},
					    {&layout->switches, &work->context_switches},
					    {&layout->waiting, &waiting}};
	struct gva address;
	struct error *error = guest_percpu(guest, layout->queues, work->cpu, &address);

	if (!error)
		error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));
	if (error)
		return error;
	work->running = (uint32_t)running;
	work->waiting = (int32_t)waiting;
	return NULL;
}

static struct error *read_work(struct guest *guest, const struct work_layout *layout, struct guest_cpu_work *work)
{
	uint32_t n = layout->softirqs.count < GUEST_SOFTIRQS ? layout->softirqs.count : GUEST_SOFTIRQS;
	struct object stat;
	struct gva address;
	struct error *error = read_queue(guest, layout, work);

	if (!error)
		error = read_times(guest, layout, work);
	if (!error)
		error = guest_percpu(guest, layout->kernel_stat, work->cpu, &address);
	if (!error)
		error = object_load(guest, layout->kernel_span, address.v, &stat);
	if (error)
		return error;
	work->interrupts = object_get(&stat, &layout->irqs_sum);
	memcpy(work->softirqs, stat.bytes + layout->softirqs.offset, n * sizeof(*work->softirqs));
	return NULL;
}

/* Interrupts of the processor's own, which kernel_stat does not count; none of a total for all CPUs. */
static struct error *add_own_interrupts(struct guest *guest, struct guest_cpu_work_list *list)
{
	struct guest_interrupt_list own = {0};
	struct error *error = interrupts_read_own(guest, &own);

	for (size_t i = 0; i < own.n; i++)
		for (size_t cpu = 0; own.items[i].counts && cpu < own.n_cpus; cpu++)
			for (size_t j = 0; j < list->n; j++)
				if (list->items[j].cpu == own.cpus[cpu])
					list->items[j].interrupts += own.items[i].counts[cpu];
	guest_interrupt_list_deinit(&own);
	return error;
}

struct error *guest_cpu_work(struct guest *guest, struct guest_cpu_work_list *ret)
{
	struct guest_cpu_work_list list = {0};
	struct work_layout layout = {0};
	struct cpu_sets cpus;
	struct error *error = load_layout(guest, &layout);

	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error_wrap(error, "the guest's processors' work");
	for_each_cpu(cpu, cpus.possible_set) {
		struct guest_cpu_work work = {.cpu = cpu, .online = cpus.online_set[cpu / 64] >> cpu % 64 & 1};

		error = walk_note(&list.incomplete, read_work(guest, &layout, &work));
		if (!error)
			error = array_room(&list.items, list.n, sizeof(*list.items));
		if (error)
			break;
		list.items[list.n++] = work;
	}
	if (!error)
		error = walk_note(&list.incomplete, add_own_interrupts(guest, &list));
	if (error) {
		guest_cpu_work_list_deinit(&list);
		return error;
	}
	*ret = list;
	return NULL;
}

void guest_cpu_work_list_deinit(struct guest_cpu_work_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_cpu_work_list){0};
}

struct error *guest_softirq_names(struct guest *guest, char ret[GUEST_SOFTIRQS][16])
{
	char names[GUEST_SOFTIRQS][16] = {0};
	uint64_t pointers[GUEST_SOFTIRQS];
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "softirq_to_name", &symbol);

	if (!error)
		error = memory_read(&guest->memory, symbol, pointers, sizeof(pointers));
	for (size_t i = 0; !error && i < GUEST_SOFTIRQS; i++)
		error = memory_read_string(&guest->memory, (struct gva){pointers[i]}, names[i], sizeof(names[i]));
	if (!error)
		memcpy(ret, names, sizeof(names));
	return error_wrap(error, "the guest's soft interrupts");
}
