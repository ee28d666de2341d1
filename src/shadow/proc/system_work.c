/* SPDX-License-Identifier: Apache-2.0 */
/* Files that tell what the processors have done. */
#include "shadow/proc/system.h"

#define NS_PER_S    UINT64_C(1000000000)
#define NS_PER_TICK (NS_PER_S / 100) /* USER_HZ */

/* What every CPU slept since the guest was suspended: it goes on in the shadow, and does nothing there. */
static uint64_t slept_ns(const struct proc_facts *facts)
{
	uint64_t now_ns = proc_uptime_ns(facts);

	return now_ns > facts->clock.boottime_ns ? now_ns - facts->clock.boottime_ns : 0;
}

static void add_sleep(const struct proc_facts *facts, struct guest_cpu_work_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].online)
			list->items[i].times_ns[GUEST_TIME_IDLE] += slept_ns(facts);
}

struct error *proc_write_uptime(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_cpu_work_list_deinit) struct guest_cpu_work_list list = {0};
	uint64_t now_ns = proc_uptime_ns(facts), idle_ns = 0;
	struct error *error = PROC_LIST(guest_cpu_work(facts->guest, &list), list);

	if (error)
		return error;
	add_sleep(facts, &list);
	for (size_t i = 0; i < list.n; i++)
		idle_ns += list.items[i].times_ns[GUEST_TIME_IDLE];
	fprintf(out, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(now_ns / NS_PER_S),
		(unsigned long long)(now_ns % NS_PER_S / NS_PER_TICK), (unsigned long long)(idle_ns / NS_PER_S),
		(unsigned long long)(idle_ns % NS_PER_S / NS_PER_TICK));
	return NULL;
}

static void write_times(const uint64_t times_ns[GUEST_TIMES], FILE *out)
{
	for (size_t i = 0; i < GUEST_TIMES; i++)
		fprintf(out, " %llu", (unsigned long long)(times_ns[i] / NS_PER_TICK));
	fputc('\n', out);
}

static void write_cpus(const struct guest_cpu_work_list *list, FILE *out)
{
	uint64_t sums[GUEST_TIMES] = {0};

	for (size_t i = 0; i < list->n; i++)
		for (size_t j = 0; j < GUEST_TIMES; j++)
			sums[j] += list->items[i].times_ns[j];
	fputs("cpu ", out);
	write_times(sums, out);
	for (size_t i = 0; i < list->n; i++) {
		if (!list->items[i].online)
			continue;
		fprintf(out, "cpu%u", list->items[i].cpu);
		write_times(list->items[i].times_ns, out);
	}
}

/* One column for each number that an interrupt can have. */
static struct error *write_interrupts(const struct proc_facts *facts, const struct guest_cpu_work_list *work, FILE *out)
{
	_cleanup_(guest_interrupt_list_deinit) struct guest_interrupt_list list = {0};
	struct error *error = PROC_LIST(guest_interrupts(facts->guest, &list), list);
	uint64_t sum = 0;
	uint32_t next = 0;

	if (error)
		return error;
	for (size_t i = 0; i < work->n; i++)
		sum += work->items[i].interrupts;
	fprintf(out, "intr %llu", (unsigned long long)sum);
	for (size_t i = 0; i < list.n && !list.items[i].is_architecture; i++) {
		if (list.items[i].number >= list.n_numbers || list.items[i].number < next)
			continue;
		for (; next < list.items[i].number; next++)
			fputs(" 0", out);
		fprintf(out, " %llu", (unsigned long long)list.items[i].total);
		next++;
	}
	for (; next < list.n_numbers; next++)
		fputs(" 0", out);
	fputc('\n', out);
	return NULL;
}

static void write_softirq_sums(const struct guest_cpu_work_list *list, FILE *out)
{
	uint64_t sums[GUEST_SOFTIRQS] = {0}, sum = 0;

	for (size_t i = 0; i < list->n; i++) {
		for (size_t j = 0; j < GUEST_SOFTIRQS; j++) {
			sums[j] += list->items[i].softirqs[j];
			sum += list->items[i].softirqs[j];
		}
	}
	fprintf(out, "softirq %llu", (unsigned long long)sum);
	for (size_t j = 0; j < GUEST_SOFTIRQS; j++)
		fprintf(out, " %u", (unsigned)sums[j]);
	fputc('\n', out);
}

struct error *proc_write_stat(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_cpu_work_list_deinit) struct guest_cpu_work_list list = {0};
	struct guest_boot boot;
	uint64_t switches = 0;
	uint32_t running = 0;
	int64_t waiting = 0;
	struct error *error = PROC_LIST(guest_cpu_work(facts->guest, &list), list);

	if (!error)
		error = guest_boot(facts->guest, &boot);
	if (error)
		return error;
	add_sleep(facts, &list);
	for (size_t i = 0; i < list.n; i++) {
		switches += list.items[i].context_switches;
		running += list.items[i].online ? list.items[i].running : 0;
		waiting += list.items[i].waiting;
	}
	write_cpus(&list, out);
	error = write_interrupts(facts, &list, out);
	if (error)
		return error;
	fprintf(out, "ctxt %llu\nbtime %lld\nprocesses %llu\nprocs_running %u\nprocs_blocked %lld\n",
		(unsigned long long)switches, (long long)boot.time_s, (unsigned long long)boot.forks, running,
		(long long)waiting);
	write_softirq_sums(&list, out);
	return NULL;
}

struct error *proc_write_softirqs(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_cpu_work_list_deinit) struct guest_cpu_work_list list = {0};
	char names[GUEST_SOFTIRQS][16];
	struct error *error = PROC_LIST(guest_cpu_work(facts->guest, &list), list);

	if (!error)
		error = guest_softirq_names(facts->guest, names);
	if (error)
		return error;
	fputs("                    ", out);
	for (size_t i = 0; i < list.n; i++)
		fprintf(out, "CPU%-8u", list.items[i].cpu);
	fputc('\n', out);
	for (size_t j = 0; j < GUEST_SOFTIRQS; j++) {
		fprintf(out, "%12s:", names[j]);
		for (size_t i = 0; i < list.n; i++)
			fprintf(out, " %10u", list.items[i].softirqs[j]);
		fputc('\n', out);
	}
	return NULL;
}
