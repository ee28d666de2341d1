/* SPDX-License-Identifier: Apache-2.0 */
/* Interrupts of the processor's own: the lower part of /proc/interrupts (arch/x86/kernel/irq.c). */
#include <stdlib.h>
#include <string.h>

#include "guest/interrupts.h"

/*
 * Up to 7.0 each is a member of irq_cpustat_t or a variable, and its words stand in the code. Which there are is a
 * matter of configuration, so that the member decides.
 */
struct own {
	const char *label, *text;
	const char *member;   /* of irq_cpustat_t; NULL: */
	const char *variable; /* of each CPU; for `is_total` of all */
	bool is_total;        /* one number for all CPUs */
	bool in_sums;         /* counts as interrupts in /proc/stat */
	const char *if_set;   /* only if this pointer of the kernel is not NULL */
	uint8_t vector;       /* only if the kernel uses this one; 0: always */
};
static const struct own own_interrupts[] = {
	{"NMI", "Non-maskable interrupts", "__nmi_count", .in_sums = true},
	{"LOC", "Local timer interrupts", "apic_timer_irqs", .in_sums = true},
	{"SPU", "Spurious interrupts", "irq_spurious_count", .in_sums = true},
	{"PMI", "Performance monitoring interrupts", "apic_perf_irqs", .in_sums = true},
	{"IWI", "IRQ work interrupts", "apic_irq_work_irqs", .in_sums = true},
	{"RTR", "APIC ICR read retries", "icr_read_retry_count", .in_sums = true},
	{"PLT", "Platform interrupts", "x86_platform_ipis", .in_sums = true, .if_set = "x86_platform_ipi_callback"},
	{"RES", "Rescheduling interrupts", "irq_resched_count", .in_sums = true},
	{"CAL", "Function call interrupts", "irq_call_count", .in_sums = true},
	{"TLB", "TLB shootdowns", "irq_tlb_count"}, /* function calls, too */
	{"TRM", "Thermal event interrupts", "irq_thermal_count", .in_sums = true},
	{"THR", "Threshold APIC interrupts", "irq_threshold_count", .in_sums = true},
	{"DFR", "Deferred Error APIC interrupts", "irq_deferred_error_count"},
	{"MCE", "Machine check exceptions", .variable = "mce_exception_count", .in_sums = true},
	{"MCP", "Machine check polls", .variable = "mce_poll_count", .in_sums = true},
	{"HYP", "Hypervisor callback interrupts", "irq_hv_callback_count", .in_sums = true, .vector = 0xf3},
	{"HRE", "Hyper-V reenlightenment interrupts", "irq_hv_reenlightenment_count", .in_sums = true, .vector = 0xee},
	{"HVS", "Hyper-V stimer0 interrupts", "hyperv_stimer0_count", .in_sums = true, .vector = 0xed},
	{"ERR", "", .variable = "irq_err_count", .is_total = true, .in_sums = true},
	{"MIS", "", .variable = "irq_mis_count", .is_total = true},
	{"PIN", "Posted-interrupt notification event", "kvm_posted_intr_ipis"},
	{"NPI", "Nested posted-interrupt event", "kvm_posted_intr_nested_ipis"},
	{"PIW", "Posted-interrupt wakeup event", "kvm_posted_intr_wakeup_ipis"},
	{"PMN", "Posted MSI notification event", "posted_msi_notification_count"},
	{"VPMI", "Perf Guest Mediated PMI", "perf_guest_mediated_pmis"},
};

/* Whether the kernel has set up this vector: those that depend on the hypervisor. */
static bool uses_vector(struct guest *guest, uint8_t vector)
{
	struct gva vectors;
	uint64_t word;
	struct error *error = symbols_get(guest->symbols, "system_vectors", &vectors);

	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){vectors.v + vector / 64 * 8}, &word);
	if (error) {
		error_destroy(error);
		return false;
	}
	return word >> vector % 64 & 1;
}

static bool is_set(struct guest *guest, const char *variable)
{
	uint64_t pointer = 0;
	struct error *error = guest_symbol_u64(guest, variable, &pointer);

	error_destroy(error);
	return pointer != 0;
}

/* Where its numbers are; false: this kernel does not count it. */
static bool find_own(struct guest *guest, const struct own *own, struct gva *ret)
{
	struct member member;

	if ((own->vector && !uses_vector(guest, own->vector)) || (own->if_set && !is_set(guest, own->if_set)))
		return false;
	if (own->variable)
		return symbols_find(guest->symbols, own->variable, ret);
	member = types_find(guest->types, "irq_cpustat_t", own->member);
	if (!member.present || !symbols_find(guest->symbols, "irq_stat", ret))
		return false;
	ret->v += member.offset;
	return true;
}

/* One more line, with 32-bit counts of each CPU at `place`. */
static struct error *append(struct guest *guest, struct guest_interrupt_list *list, const char *label, const char *text,
			    struct gva place, bool is_total)
{
	struct guest_interrupt one = {.is_architecture = true, .is_total = is_total, .shown = true};
	struct error *error = array_room(&list->items, list->n, sizeof(*list->items));

	if (error)
		return error;
	snprintf(one.label, sizeof(one.label), "%s", label);
	snprintf(one.text, sizeof(one.text), "%s", text);
	one.counts = calloc(list->n_cpus, sizeof(*one.counts));
	if (!one.counts)
		return error_no_memory();
	for (size_t i = 0; !error && i < (is_total ? 1 : list->n_cpus); i++) {
		struct gva address = place;
		uint32_t count = 0;

		if (!is_total)
			error = guest_percpu(guest, place, list->cpus[i], &address);
		if (!error)
			error = memory_read_u32(&guest->memory, address, &count);
		one.counts[i] = count;
		one.total += count;
	}
	list->items[list->n++] = one;
	return error;
}

/* ---- Since 7.1: an array of counts, and a table of their words ---- */

#define KINDS_MAX 64u

struct table {
	struct member skip, symbol, text;
	uint32_t size; /* of an entry */
	struct gva entries, counts;
	uint32_t n;
};

/* *ret_n 0: this kernel has no such table. */
static struct error *load_table(struct guest *guest, struct table *ret)
{
	const struct member_need needs[] = {
		{"irq_stat_info", "skip_vector", &ret->skip},
		{"irq_stat_info", "symbol", &ret->symbol},
		{"irq_stat_info", "text", &ret->text},
	};
	struct member counts = types_find(guest->types, "irq_cpustat_t", "counts");
	struct error *error;

	ret->n = 0;
	if (!counts.present || !symbols_find(guest->symbols, "irq_stat_info", &ret->entries))
		return NULL;
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (!error)
		error = symbols_get(guest->symbols, "irq_stat", &ret->counts);
	if (error)
		return error;
	ret->counts.v += counts.offset;
	ret->size = types_size(guest->types, "irq_stat_info");
	ret->n = counts.count < KINDS_MAX ? counts.count : KINDS_MAX;
	return NULL;
}

/* The kernel keeps them with the blanks before and the end of the line behind them. */
static void trim(char *text)
{
	size_t blanks = strspn(text, " ");

	memmove(text, text + blanks, strlen(text) - blanks + 1);
	text[strcspn(text, "\n")] = '\0';
}

/* Those that never came, or whose vector is not set up, are left out by the kernel, as is one that nobody handles. */
static bool is_shown(struct guest *guest, uint64_t skip, const char *label)
{
	if (skip > UINT8_MAX || (skip && !uses_vector(guest, (uint8_t)skip)))
		return false;
	return strcmp(label, "PLT") != 0 || is_set(guest, "x86_platform_ipi_callback");
}

static struct error *append_entry(struct guest *guest, const struct table *table, uint32_t i, bool all,
				  struct guest_interrupt_list *list)
{
	struct gva entry = {table->entries.v + i * (uint64_t)table->size};
	uint64_t skip, symbol, text;
	const struct member_read reads[] = {{&table->skip, &skip}, {&table->symbol, &symbol}, {&table->text, &text}};
	char label[8] = "", words[64] = "";
	struct error *error = guest_read_members(guest, entry, reads, ARRAY_SIZE(reads));

	if (!error && symbol)
		error = memory_read_string(&guest->memory, (struct gva){symbol}, label, sizeof(label));
	if (!error && text)
		error = memory_read_string(&guest->memory, (struct gva){text}, words, sizeof(words));
	if (error || (!all && !is_shown(guest, skip, label)))
		return error;
	trim(words);
	return append(guest, list, label, words, (struct gva){table->counts.v + i * sizeof(uint32_t)}, false);
}

static struct error *append_own(struct guest *guest, struct guest_interrupt_list *list, bool sums)
{
	struct table table;
	struct error *error = load_table(guest, &table);

	for (uint32_t i = 0; !error && i < table.n; i++)
		error = append_entry(guest, &table, i, sums, list);
	if (error || table.n)
		return error;
	for (size_t i = 0; !error && i < ARRAY_SIZE(own_interrupts); i++) {
		const struct own *own = &own_interrupts[i];
		struct gva place;

		if ((own->in_sums || !sums) && find_own(guest, own, &place))
			error = append(guest, list, own->label, own->text, place, own->is_total);
	}
	return error;
}

struct error *interrupts_append_own(struct guest *guest, struct guest_interrupt_list *list)
{
	return append_own(guest, list, false);
}

struct error *interrupts_read_own(struct guest *guest, struct guest_interrupt_list *list)
{
	struct error *error = interrupts_load_cpus(guest, list);

	return error ? error : append_own(guest, list, true);
}
