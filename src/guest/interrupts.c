/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of devices: /proc/interrupts (kernel/irq/proc.c). */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/containers.h"
#include "guest/interrupts.h"
#include "guest/object.h"

#define NUMBERS_MAX    (1u << 20) /* far above NR_IRQS of any configuration */
#define INTERRUPTS_MAX 65536u
#define ACTIONS_MAX    256u /* listeners of one interrupt */
#define IRQ_PER_CPU    (1u << 9)
#define IRQ_DEVID      (1u << 17)
#define IRQ_HIDDEN     (1u << 20)

struct interrupt_layout {
	struct object_span span;
	struct member number, hardware_number, chip, domain, counts, flow, action, status, total;
	struct member chip_name, action_next, action_name;
	struct gva chained; /* stands in for the listeners of one that leads to others */
};

static struct error *load_layout(struct guest *guest, struct interrupt_layout *ret)
{
	const struct member_need needs[] = {
		{"irq_desc", "irq_data.irq", &ret->number},
		{"irq_desc", "irq_data.hwirq", &ret->hardware_number},
		{"irq_desc", "irq_data.chip", &ret->chip},
		{"irq_desc", "irq_data.domain", &ret->domain, .optional = true},
		{"irq_desc", "kstat_irqs", &ret->counts},
		{"irq_desc", "name", &ret->flow},
		{"irq_desc", "action", &ret->action},
		{"irq_desc", "status_use_accessors", &ret->status},
		{"irq_desc", "tot_count", &ret->total},
	};
	const struct member_need more[] = {
		{"irq_chip", "name", &ret->chip_name},
		{"irqaction", "next", &ret->action_next},
		{"irqaction", "name", &ret->action_name},
	};
	struct error *error = object_need(guest->types, needs, ARRAY_SIZE(needs), &ret->span);

	if (!error)
		error = types_need(guest->types, more, ARRAY_SIZE(more));
	symbols_find(guest->symbols, "chained_action", &ret->chained);
	return error;
}

struct walk {
	const struct interrupt_layout *layout;
	struct guest_interrupt_list *list;
};

/* A name that a structure points to; "" for none. */
static struct error *read_name(struct guest *guest, uint64_t pointer, char *ret, size_t size)
{
	*ret = '\0';
	return pointer ? memory_read_string(&guest->memory, (struct gva){pointer}, ret, size) : NULL;
}

/* Who listens, separated by commas; none: *ret is left alone. */
static struct error *read_actions(struct guest *guest, const struct interrupt_layout *layout, uint64_t action,
				  char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;

	for (uint32_t n = 0; action; n++) {
		uint64_t next, pointer;
		const struct member_read reads[] = {{&layout->action_next, &next}, {&layout->action_name, &pointer}};
		char name[64], *longer;
		struct error *error = guest_read_members(guest, (struct gva){action}, reads, ARRAY_SIZE(reads));

		if (!error && n == ACTIONS_MAX)
			error = error_format(NULL, action, "too many listen to one interrupt of the guest");
		if (!error)
			error = read_name(guest, pointer, name, sizeof(name));
		if (error)
			return error;
		/* What has no name is printed so by the kernel. */
		longer = string_format("%s%s%s", text ? text : "", text ? ", " : "", pointer ? name : "(null)");
		free(text);
		text = longer;
		if (!text)
			return error_no_memory();
		action = next;
	}
	*ret = take_ptr(text);
	return NULL;
}

static struct error *read_counts(struct guest *guest, uint64_t variable, const struct guest_interrupt_list *list,
				 struct guest_interrupt *interrupt, uint64_t *ret_sum)
{
	*ret_sum = 0;
	interrupt->counts = calloc(list->n_cpus, sizeof(*interrupt->counts));
	if (!interrupt->counts)
		return error_no_memory();
	for (size_t i = 0; variable && i < list->n_cpus; i++) {
		struct gva address;
		uint32_t count;
		struct error *error = guest_percpu(guest, (struct gva){variable}, list->cpus[i], &address);

		if (!error)
			error = memory_read_u32(&guest->memory, address, &count);
		if (error)
			return error;
		interrupt->counts[i] = count;
		*ret_sum += count;
	}
	return NULL;
}

static struct error *read_chip(struct guest *guest, const struct interrupt_layout *layout, uint64_t chip, char *ret,
			       size_t size)
{
	uint64_t pointer;
	struct error *error;

	strcpy(ret, chip ? "-" : "None");
	if (!chip)
		return NULL;
	error = guest_read_member(guest, (struct gva){chip}, &layout->chip_name, &pointer);
	return error || !pointer ? error : read_name(guest, pointer, ret, size);
}

static struct error *read_interrupt(struct guest *guest, const struct walk *walk, uint64_t address,
				    struct guest_interrupt *ret)
{
	const struct interrupt_layout *layout = walk->layout;
	struct object desc;
	struct error *error = object_load(guest, layout->span, address, &desc);
	uint64_t sum, status, action;

	if (error)
		return error;
	status = object_get(&desc, &layout->status);
	action = object_get(&desc, &layout->action);
	ret->number = (uint32_t)object_get(&desc, &layout->number);
	ret->hardware_number = object_get(&desc, &layout->hardware_number);
	ret->has_hardware_number = object_get(&desc, &layout->domain) != 0;
	error = read_counts(guest, object_get(&desc, &layout->counts), walk->list, ret, &sum);
	if (!error)
		error = read_chip(guest, layout, object_get(&desc, &layout->chip), ret->text, sizeof(ret->text));
	if (!error)
		error = read_name(guest, object_get(&desc, &layout->flow), ret->flow, sizeof(ret->flow));
	if (!error)
		error = read_actions(guest, layout, action, &ret->actions);
	ret->total = status & (IRQ_PER_CPU | IRQ_DEVID) ? sum : object_get(&desc, &layout->total);
	ret->shown = !(status & IRQ_HIDDEN) && ((action && action != layout->chained.v) || sum);
	return error;
}

static struct error *visit(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	const struct walk *walk = context;
	struct guest_interrupt_list *list = walk->list;
	struct guest_interrupt interrupt = {0};
	struct error *error;

	if (list->n == INTERRUPTS_MAX)
		return error_format(NULL, entry, "the guest has more than %u interrupts", INTERRUPTS_MAX);
	error = guest_effort(guest, list->n_cpus, entry);
	if (error)
		return error;
	error = walk_note(&list->incomplete, read_interrupt(guest, walk, entry, &interrupt));
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (error) {
		free(interrupt.actions);
		free(interrupt.counts);
		return error;
	}
	/* What could not be read is still there. */
	interrupt.number = (uint32_t)first;
	list->items[list->n++] = interrupt;
	return NULL;
}

/* By number: a radix tree, since 6.5 (721255b9826b) a maple tree. */
static struct error *walk_numbers(struct guest *guest, struct walk *walk)
{
	struct gva tree;
	struct error *error;

	if (symbols_find(guest->symbols, "sparse_irqs", &tree))
		return maple_walk(guest, tree, visit, walk);
	error = symbols_get(guest->symbols, "irq_desc_tree", &tree);
	return error ? error : xarray_walk(guest, tree, visit, walk);
}

struct error *interrupts_load_cpus(struct guest *guest, struct guest_interrupt_list *list)
{
	struct cpu_sets cpus;
	struct error *error = cpu_sets_load(guest, &cpus);

	if (error)
		return error;
	list->cpus = calloc(cpus.online ? cpus.online : 1, sizeof(*list->cpus));
	if (!list->cpus)
		return error_no_memory();
	for_each_cpu(cpu, cpus.online_set)
		list->cpus[list->n_cpus++] = cpu;
	return NULL;
}

/* How many numbers there are (of two names: 6.12 has the old one, 7.2 the new), and how wide the columns. */
static struct error *read_shape(struct guest *guest, struct guest_interrupt_list *list)
{
	struct member chip, number;
	const struct member_need needs[] = {{"irq_proc_constraints", "chip_width", &chip},
					    {"irq_proc_constraints", "num_prec", &number}};
	struct gva symbol;
	uint64_t chip_width, number_width;
	const struct member_read reads[] = {{&chip, &chip_width}, {&number, &number_width}};
	struct error *error = symbols_find(guest->symbols, "total_nr_irqs", &symbol)
				      ? NULL
				      : symbols_get(guest->symbols, "nr_irqs", &symbol);

	if (!error)
		error = memory_read_u32(&guest->memory, symbol, &list->n_numbers);
	if (error)
		return error;
	if (list->n_numbers > NUMBERS_MAX)
		return error_format(NULL, symbol.v, "the guest has %u interrupts", list->n_numbers);
	if (!symbols_find(guest->symbols, "irq_proc_constraints", &symbol))
		return NULL;
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = guest_read_members(guest, symbol, reads, ARRAY_SIZE(reads));
	if (!error && (chip_width > sizeof(list->items->text) || number_width > 16))
		error = error_format(NULL, symbol.v, "the table of the guest's interrupts has absurd columns");
	if (error)
		return error;
	list->chip_width = (uint32_t)chip_width;
	list->number_width = (uint32_t)number_width;
	return NULL;
}

struct error *guest_interrupts(struct guest *guest, struct guest_interrupt_list *ret)
{
	struct guest_interrupt_list list = {0};
	struct interrupt_layout layout = {0};
	struct walk walk = {&layout, &list};
	struct error *error = load_layout(guest, &layout);

	guest_effort_begin(guest);
	if (!error)
		error = interrupts_load_cpus(guest, &list);
	if (!error)
		error = read_shape(guest, &list);
	if (!error)
		error = walk_note(&list.incomplete, walk_numbers(guest, &walk));
	if (!error)
		error = walk_note(&list.incomplete, interrupts_append_own(guest, &list));
	if (error) {
		guest_interrupt_list_deinit(&list);
		return error_wrap(error, "the guest's interrupts");
	}
	*ret = list;
	return NULL;
}

void guest_interrupt_list_deinit(struct guest_interrupt_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].actions);
		free(list->items[i].counts);
	}
	free(list->items);
	free(list->cpus);
	error_destroy(list->incomplete);
	*list = (struct guest_interrupt_list){0};
}
