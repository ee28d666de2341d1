/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/interrupts. */
#include "shadow/proc/system.h"

/* The first column: three digits, or as many as the numbers can have. */
static int number_width(const struct guest_interrupt_list *list)
{
	uint64_t limit = 1000;
	int width = 3;

	if (list->number_width)
		return (int)list->number_width;
	for (; width < 10 && limit <= list->n_numbers; width++)
		limit *= 10;
	return width;
}

static void write_device(const struct guest_interrupt *one, const struct guest_interrupt_list *list, FILE *out)
{
	int width = number_width(list);

	fprintf(out, "%*u:", width, one->number);
	for (size_t i = 0; i < list->n_cpus; i++)
		fprintf(out, " %10u", (unsigned)one->counts[i]);
	/* From 7.1 on the names of the chips stand left. */
	if (list->chip_width)
		fprintf(out, "  %-*s", (int)list->chip_width, one->text);
	else
		fprintf(out, "  %8s", one->text);
	if (one->has_hardware_number)
		fprintf(out, " %*llu", width, (unsigned long long)one->hardware_number);
	else
		fprintf(out, " %*s", width, "");
	if (*one->flow)
		fprintf(out, "-%-8s", one->flow);
	if (one->actions)
		fprintf(out, "  %s", one->actions);
	fputc('\n', out);
}

static void write_own(const struct guest_interrupt *one, const struct guest_interrupt_list *list, FILE *out)
{
	fprintf(out, "%*s:", number_width(list), one->label);
	for (size_t i = 0; i < (one->is_total ? 1 : list->n_cpus); i++)
		fprintf(out, " %10u", (unsigned)one->counts[i]);
	if (!one->is_total)
		fprintf(out, "%s%s", list->chip_width ? "  " : "   ", one->text);
	fputc('\n', out);
}

struct error *proc_write_interrupts(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_interrupt_list_deinit) struct guest_interrupt_list list = {0};
	struct error *error = PROC_LIST(guest_interrupts(facts->guest, &list), list);

	if (error)
		return error;
	fprintf(out, "%*s", number_width(&list) + 8, "");
	for (size_t i = 0; i < list.n_cpus; i++)
		fprintf(out, "CPU%-8u", list.cpus[i]);
	fputc('\n', out);
	for (size_t i = 0; i < list.n; i++) {
		if (!list.items[i].shown || !list.items[i].counts)
			continue;
		if (list.items[i].is_architecture)
			write_own(&list.items[i], &list, out);
		else
			write_device(&list.items[i], &list, out);
	}
	return NULL;
}
