/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/cpuinfo. */
#include "shadow/proc/system.h"

static const char *or_unknown(const char *text)
{
	return *text ? text : "unknown";
}

static void write_model(const struct guest_processor *p, FILE *out)
{
	fprintf(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n", p->number,
		or_unknown(p->vendor), p->family, p->model, or_unknown(p->model_name));
	if (p->stepping || p->cpuid_level >= 0)
		fprintf(out, "stepping\t: %u\n", p->stepping);
	else
		fputs("stepping\t: unknown\n", out);
	if (p->microcode)
		fprintf(out, "microcode\t: 0x%x\n", p->microcode);
	if (p->has_tsc)
		fprintf(out, "cpu MHz\t\t: %u.%03u\n", p->khz / 1000, p->khz % 1000);
	if (p->cache_kib)
		fprintf(out, "cache size\t: %u KB\n", p->cache_kib);
}

static void write_topology(const struct guest_processor *p, FILE *out)
{
	if (p->has_topology)
		fprintf(out,
			"physical id\t: %u\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n"
			"apicid\t\t: %u\ninitial apicid\t: %u\n",
			p->package, p->siblings, p->core, p->cores, p->apicid, p->initial_apicid);
}

static void write_speed(const struct guest_processor *p, uint32_t tick_rate, FILE *out)
{
	uint64_t hundredths = tick_rate <= 5000 ? p->loops_per_tick / (5000 / tick_rate) : 0;

	fprintf(out, "\nbogomips\t: %llu.%02llu\n", (unsigned long long)(p->loops_per_tick / (500000 / tick_rate)),
		(unsigned long long)(hundredths % 100));
	if (p->tlb_size > 0)
		fprintf(out, "TLB size\t: %d 4K pages\n", p->tlb_size);
	fprintf(out,
		"clflush size\t: %u\ncache_alignment\t: %u\naddress sizes\t: %u bits physical, %u bits virtual\n"
		"power management:%s\n\n",
		p->flush_size, p->alignment, p->physical_bits, p->virtual_bits, p->power);
}

struct error *proc_write_cpuinfo(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_processor_list_deinit) struct guest_processor_list list = {0};
	struct error *error = PROC_LIST(guest_processors(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_processor *p = &list.items[i];

		write_model(p, out);
		write_topology(p, out);
		fprintf(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %d\nwp\t\t: yes\nflags\t\t:%s",
			p->cpuid_level, p->flags);
		if (p->vmx_flags)
			fprintf(out, "\nvmx flags\t:%s", p->vmx_flags);
		fprintf(out, "\nbugs\t\t:%s", p->bugs);
		write_speed(p, list.tick_rate, out);
	}
	return error;
}
