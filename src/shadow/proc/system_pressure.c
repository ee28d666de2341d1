/* SPDX-License-Identifier: Apache-2.0 */
/* pressure/{cpu,memory,io} (kernel/sched/psi.c). */
#include <inttypes.h>

#include "shadow/proc/system.h"

#define FIXED 2048u

static void write_line(const char *name, const struct guest_pressure_line *line, FILE *out)
{
	static const char *const spans[] = {"avg10", "avg60", "avg300"};

	fputs(name, out);
	for (unsigned i = 0; i < ARRAY_SIZE(spans); i++)
		fprintf(out, " %s=%" PRIu64 ".%02" PRIu64, spans[i], line->averages[i] / FIXED,
			line->averages[i] % FIXED * 100 / FIXED);
	fprintf(out, " total=%" PRIu64 "\n", line->total_us);
}

static struct error *write_pressure(const struct proc_facts *facts, enum guest_pressure_kind kind, FILE *out)
{
	struct guest_pressure pressure;
	struct error *error = guest_pressure(facts->guest, kind, &pressure);

	if (error)
		return error;
	write_line("some", &pressure.some, out);
	if (pressure.has_full)
		write_line("full", &pressure.full, out);
	return NULL;
}

struct error *proc_write_pressure_io(const struct proc_facts *facts, FILE *out)
{
	return write_pressure(facts, GUEST_PRESSURE_IO, out);
}

struct error *proc_write_pressure_memory(const struct proc_facts *facts, FILE *out)
{
	return write_pressure(facts, GUEST_PRESSURE_MEMORY, out);
}

struct error *proc_write_pressure_cpu(const struct proc_facts *facts, FILE *out)
{
	return write_pressure(facts, GUEST_PRESSURE_CPU, out);
}
