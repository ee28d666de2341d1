/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/unwind.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"

#define STACK_SIZE_USUAL 16384u
#define STACK_SIZE_MAX   65536u
#define FRED_PADDING     16u /* TOP_OF_KERNEL_STACK_PADDING with CONFIG_X86_FRED */
#define ORC_MAX          (1u << 24)
#define SELECTOR_USER    3u /* the bits of CS that say so */

/* Registers in an entry of ORC (ORC_REG_*): constants of the kernel's source, renumbered after 6.12. */
static const struct orc_registers {
	uint8_t sp, bp, sp_indirect, bp_indirect;
	uint8_t previous_sp; /* only of where bp is */
} orc_numberings[] = {
	{.sp = 5, .bp = 4, .sp_indirect = 9, .bp_indirect = 8, .previous_sp = 1},
	{.sp = 3, .bp = 4, .sp_indirect = 9, .bp_indirect = 10, .previous_sp = 8},
};
#define REG_UNDEFINED 0u /* in both */

enum orc_type {
	ORC_UNDEFINED,
	ORC_END,
	ORC_CALL,
	ORC_REGS,
	ORC_REGS_PARTIAL,
};

/* ---- Layout ---- */

static struct error *load_frames(struct guest *guest, struct stack_layout *ret)
{
	static const char *const arguments[] = {"di", "si", "dx", "r10", "r8", "r9"};
	const struct types *types = guest->types;
	const struct member_need needs[] = {
		{"task_struct", "thread.sp", &ret->stack_pointer},
		{"task_struct", "stack", &ret->stack},
		{"task_struct", types_find(types, "task_struct", "__state").present ? "__state" : "state", &ret->state},
		{"task_struct", "on_rq", &ret->on_queue},
		{"inactive_task_frame", "bp", &ret->saved_bp},
		{"inactive_task_frame", "ret_addr", &ret->saved_return},
		{"pt_regs", "ip", &ret->regs_ip},
		{"pt_regs", "sp", &ret->regs_sp},
		{"pt_regs", "cs", &ret->regs_cs},
		{"pt_regs", "bp", &ret->regs_bp},
		{"pt_regs", "orig_ax", &ret->regs_number},
	};
	struct error *error = types_need(types, needs, ARRAY_SIZE(needs));

	for (size_t i = 0; !error && i < ARRAY_SIZE(arguments); i++)
		error = types_need(types, &(struct member_need){"pt_regs", arguments[i], &ret->regs_arguments[i]}, 1);
	if (error)
		return error;
	/* A structure of eight bytes with the selector in its low half since 6.8. */
	if (ret->regs_cs.size > 2)
		ret->regs_cs.size = 2;
	ret->saved_size = types_size(types, "inactive_task_frame");
	ret->regs_size = types_size(types, "pt_regs");
	return NULL;
}

static uint64_t find(const struct guest *guest, const char *name)
{
	struct gva symbol;

	return symbols_find(guest->symbols, name, &symbol) ? symbol.v : 0;
}

static void load_places(struct guest *guest, struct stack_layout *ret)
{
	uint64_t start = find(guest, "__start_init_stack"), end = find(guest, "__end_init_stack");

	if (!start || !end) { /* before 6.8 */
		start = find(guest, "__start_init_task");
		end = find(guest, "__end_init_task");
	}
	ret->stack_size = end > start && end - start <= STACK_SIZE_MAX ? end - start : STACK_SIZE_USUAL;
	ret->top_padding = find(guest, "asm_fred_entrypoint_user") ? FRED_PADDING : 0;
	ret->text = find(guest, "_stext");
	ret->text_end = find(guest, "_etext");
	ret->init_text = find(guest, "_sinittext");
	ret->init_text_end = find(guest, "_einittext");
	ret->scheduler = find(guest, "__sched_text_start");
	ret->scheduler_end = find(guest, "__sched_text_end");
	ret->locks = find(guest, "__lock_text_start");
	ret->locks_end = find(guest, "__lock_text_end");
	ret->first_return = find(guest, "ret_from_fork_asm"); /* 6.6 and later */
	if (!ret->first_return)
		ret->first_return = find(guest, "ret_from_fork");
	ret->by_orc = find(guest, "__get_wchan") != 0; /* 42a20f86dc19, bc9bbb81730e */
}

/* A kernel without ORC unwinds in some other way, which is not told. */
static struct error *load_orc(struct guest *guest, struct stack_layout *ret)
{
	uint64_t places = find(guest, "__start_orc_unwind_ip"), places_end = find(guest, "__stop_orc_unwind_ip");
	uint64_t entries = find(guest, "__start_orc_unwind");
	const struct member_need needs[] = {
		{"orc_entry", "sp_offset", &ret->sp_offset},
		{"orc_entry", "bp_offset", &ret->bp_offset},
		{"orc_entry", "sp_reg", &ret->sp_reg},
		{"orc_entry", "bp_reg", &ret->bp_reg},
		{"orc_entry", "type", &ret->type},
		{"orc_entry", "signal", &ret->signal, .optional = true},
		{"orc_entry", "end", &ret->end, .optional = true},
	};
	struct error *error;

	if (!places || !entries || places_end <= places || (places_end - places) / 4 > ORC_MAX)
		return NULL;
	error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	if (error)
		return error;
	ret->entry_size = types_size(guest->types, "orc_entry");
	ret->types_numbered = ret->type.bits >= 3;
	ret->orc = (struct orc_table){.places = places, .entries = entries, .n = (uint32_t)((places_end - places) / 4)};
	return NULL;
}

static struct error *load_module_members(struct guest *guest, struct stack_layout *ret)
{
	const struct types *types = guest->types;
	bool areas = types_find(types, "module", "mem").present; /* 6.4 and later */
	const struct member_need needs[] = {
		{"module", "list", &ret->module_list},
		{"module", "name", &ret->module_name},
		{"module", "arch.num_orcs", &ret->module_orc_n, .optional = true},
		{"module", "arch.orc_unwind_ip", &ret->module_orc_places, .optional = true},
		{"module", "arch.orc_unwind", &ret->module_orc_entries, .optional = true},
		{"module", areas ? "mem[0].base" : "core_layout.base", &ret->module_text},
		{"module", areas ? "mem[0].size" : "core_layout.text_size", &ret->module_text_size},
		{"module", "kallsyms", &ret->module_symbols},
		{"mod_kallsyms", "symtab", &ret->table_symbols},
		{"mod_kallsyms", "num_symtab", &ret->table_n},
		{"mod_kallsyms", "strtab", &ret->table_names},
	};

	return types_need(types, needs, ARRAY_SIZE(needs));
}

static struct error *visit_module(struct guest *guest, struct gva address, void *context)
{
	struct stack_layout *layout = context;
	struct module_text module = {.address = address.v};
	uint64_t size, n = 0;
	struct error *error = guest_read_member(guest, address, &layout->module_text, &module.start);

	if (layout->n_modules == ARRAY_SIZE(layout->modules))
		return NULL;
	if (!error)
		error = guest_read_member(guest, address, &layout->module_text_size, &size);
	if (!error && layout->module_orc_n.present)
		error = guest_read_member(guest, address, &layout->module_orc_n, &n);
	if (!error && n > 0)
		error = guest_read_member(guest, address, &layout->module_orc_places, &module.orc.places);
	if (!error && n > 0)
		error = guest_read_member(guest, address, &layout->module_orc_entries, &module.orc.entries);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address.v + layout->module_name.offset},
					   module.name, sizeof(module.name));
	if (error)
		return error;
	module.end = module.start + size;
	module.orc.n = n < ORC_MAX ? (uint32_t)n : 0;
	layout->modules[layout->n_modules++] = module;
	return NULL;
}

static struct error *load_modules(struct guest *guest, struct stack_layout *ret)
{
	uint64_t modules = find(guest, "modules");
	struct error *error;

	if (!modules)
		return NULL; /* CONFIG_MODULES=n */
	error = load_module_members(guest, ret);
	return error ? error : list_walk(guest, (struct gva){modules}, ret->module_list.offset, visit_module, ret);
}

/* ---- ORC ---- */

struct orc_entry {
	enum orc_type type;
	uint32_t sp_reg, bp_reg;
	int64_t sp_offset, bp_offset;
	bool signal;
};

static struct error *read_place(struct guest *guest, const struct orc_table *table, uint32_t i, uint64_t *ret)
{
	uint64_t place = table->places + 4 * (uint64_t)i;
	uint32_t offset;
	struct error *error = memory_read_u32(&guest->memory, (struct gva){place}, &offset);

	if (!error)
		*ret = place + (uint64_t)(int64_t)(int32_t)offset;
	return error;
}

/* The last place that is not above `ip`; the first if all are. */
static struct error *find_place(struct guest *guest, const struct orc_table *table, uint64_t ip, uint32_t *ret)
{
	uint32_t low = 0, high = table->n;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		uint64_t place;
		struct error *error = read_place(guest, table, middle, &place);

		if (error)
			return error;
		if (place <= ip)
			low = middle;
		else
			high = middle;
	}
	*ret = low;
	return NULL;
}

static enum orc_type find_type(const struct stack_layout *layout, const uint8_t *bytes, uint32_t sp_reg)
{
	uint64_t type = object_field(bytes, &layout->type);

	if (layout->types_numbered)
		return type <= ORC_REGS_PARTIAL ? (enum orc_type)type : ORC_UNDEFINED;
	/* Before, the two were told by the register, and the rest began at 0. */
	if (sp_reg == REG_UNDEFINED)
		return object_field(bytes, &layout->end) ? ORC_END : ORC_UNDEFINED;
	return type <= 2 ? (enum orc_type)(type + ORC_CALL) : ORC_UNDEFINED;
}

static struct error *find_entry(struct guest *guest, const struct stack_layout *layout, uint64_t ip,
				struct orc_entry *ret)
{
	const struct module_text *module = text_module(layout, ip);
	const struct orc_table *table = module ? &module->orc : &layout->orc;
	uint8_t bytes[64];
	uint32_t i = 0;
	struct error *error;

	*ret = (struct orc_entry){.type = ORC_UNDEFINED};
	if (!text_is_kernel(layout, ip) || table->n == 0 || layout->entry_size > sizeof(bytes))
		return NULL;
	error = find_place(guest, table, ip, &i);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){table->entries + (uint64_t)i * layout->entry_size},
				    bytes, layout->entry_size);
	if (error)
		return error;
	ret->sp_reg = (uint32_t)object_field(bytes, &layout->sp_reg);
	ret->bp_reg = (uint32_t)object_field(bytes, &layout->bp_reg);
	ret->sp_offset = (int16_t)object_field(bytes, &layout->sp_offset);
	ret->bp_offset = (int16_t)object_field(bytes, &layout->bp_offset);
	ret->type = find_type(layout, bytes, ret->sp_reg);
	ret->signal = layout->signal.present ? object_field(bytes, &layout->signal)
					     : ret->type == ORC_REGS || ret->type == ORC_REGS_PARTIAL;
	return NULL;
}

/*
 * A function begins with nothing but its return address on the stack: the entry for one that every kernel has tells
 * the number of the stack pointer. One that we do not know is as good as no ORC.
 */
static struct error *find_numbering(struct guest *guest, struct stack_layout *layout)
{
	struct orc_entry entry;
	struct error *error = find_entry(guest, layout, find(guest, "schedule"), &entry);

	if (error)
		return error;
	for (size_t i = 0; i < ARRAY_SIZE(orc_numberings); i++)
		if (entry.type == ORC_CALL && entry.sp_offset == 8 && entry.sp_reg == orc_numberings[i].sp)
			layout->registers = &orc_numberings[i];
	if (!layout->registers)
		layout->orc.n = 0;
	return NULL;
}

static struct error *load_layout(struct guest *guest, struct stack_layout *ret)
{
	struct error *error = process_layout_get(guest, &ret->process);

	if (!error)
		error = load_frames(guest, ret);
	if (!error)
		error = load_orc(guest, ret);
	if (!error)
		error = load_modules(guest, ret);
	if (error)
		return error_wrap(error, "kernel stacks");
	load_places(guest, ret);
	return find_numbering(guest, ret);
}

DEFINE_LAYOUT_GET(, stack_layout_get, stack_layout, stacks, load_layout)

/* ---- Frames ---- */

static bool read_stack(struct guest *guest, const struct unwind *unwind, uint64_t address, uint64_t *ret)
{
	struct error *error;

	if (address < unwind->low || address > unwind->high - sizeof(*ret))
		return false;
	error = memory_read_u64(&guest->memory, (struct gva){address}, ret);
	error_destroy(error);
	return !error;
}

static bool find_sp(struct guest *guest, const struct unwind *unwind, const struct orc_entry *entry, uint64_t *ret)
{
	const struct orc_registers *registers = unwind->layout->registers;
	uint64_t offset = (uint64_t)entry->sp_offset;

	if (entry->sp_reg == registers->sp || entry->sp_reg == registers->bp) {
		*ret = (entry->sp_reg == registers->sp ? unwind->sp : unwind->bp) + offset;
		return true;
	}
	if (entry->sp_reg == registers->bp_indirect)
		return read_stack(guest, unwind, unwind->bp + offset, ret);
	/* The others are registers that only an interrupted function has at hand. */
	if (entry->sp_reg != registers->sp_indirect || !read_stack(guest, unwind, unwind->sp, ret))
		return false;
	*ret += offset;
	return true;
}

/* The caller's instruction and stack pointer, of a frame whose upper end is `sp`. */
static bool find_caller(struct guest *guest, struct unwind *unwind, const struct orc_entry *entry, uint64_t sp)
{
	const struct stack_layout *layout = unwind->layout;
	uint64_t regs = entry->type == ORC_REGS ? sp : sp - layout->regs_ip.offset;

	if (entry->type == ORC_CALL) {
		unwind->sp = sp;
		unwind->regs = 0;
		return read_stack(guest, unwind, sp - 8, &unwind->ip);
	}
	if (!read_stack(guest, unwind, regs + layout->regs_ip.offset, &unwind->ip) ||
	    !read_stack(guest, unwind, regs + layout->regs_sp.offset, &unwind->sp))
		return false;
	unwind->regs = regs;
	return true;
}

static bool find_bp(struct guest *guest, struct unwind *unwind, const struct orc_entry *entry, uint64_t sp)
{
	if (entry->bp_reg == unwind->layout->registers->previous_sp)
		return read_stack(guest, unwind, sp + (uint64_t)entry->bp_offset, &unwind->bp);
	if (entry->bp_reg == unwind->layout->registers->bp)
		return read_stack(guest, unwind, unwind->bp + (uint64_t)entry->bp_offset, &unwind->bp);
	if (entry->type == ORC_REGS)
		return read_stack(guest, unwind, unwind->regs + unwind->layout->regs_bp.offset, &unwind->bp);
	return entry->bp_reg == REG_UNDEFINED;
}

static bool is_user(struct guest *guest, const struct unwind *unwind)
{
	uint64_t selector;

	return unwind->regs && read_stack(guest, unwind, unwind->regs + unwind->layout->regs_cs.offset, &selector) &&
	       (selector & SELECTOR_USER) == SELECTOR_USER;
}

static bool step(struct guest *guest, struct unwind *unwind)
{
	struct orc_entry entry;
	uint64_t sp, before = unwind->sp;
	struct error *error;

	if (is_user(guest, unwind))
		return false;
	/* What follows a call may belong to another function: what counts is the call. */
	error = find_entry(guest, unwind->layout, unwind->signal ? unwind->ip : unwind->ip - 1, &entry);
	error_destroy(error);
	if (error || entry.type == ORC_UNDEFINED || entry.type == ORC_END || !find_sp(guest, unwind, &entry, &sp))
		return false;
	unwind->signal = entry.signal;
	if (!find_caller(guest, unwind, &entry, sp) || !find_bp(guest, unwind, &entry, sp))
		return false;
	/* A task's own stack only ever leads up; registers of user mode lead away from it. */
	return unwind->sp > before || is_user(guest, unwind);
}

void unwind_next(struct guest *guest, struct unwind *unwind)
{
	unwind->done = unwind->done || !step(guest, unwind);
}

struct error *unwind_start(struct guest *guest, const struct stack_layout *layout, const struct object *task,
			   struct unwind *ret)
{
	uint64_t saved = object_get(task, &layout->stack_pointer);
	struct unwind unwind = {.layout = layout, .low = object_get(task, &layout->stack)};

	unwind.high = unwind.low + layout->stack_size;
	unwind.sp = saved + layout->saved_size;
	if (unwind.high < unwind.low || saved < unwind.low || saved > unwind.high - layout->saved_size)
		return error_format(NULL, saved, "the stack pointer of a task is not in its stack");
	if (!read_stack(guest, &unwind, saved + layout->saved_bp.offset, &unwind.bp) ||
	    !read_stack(guest, &unwind, saved + layout->saved_return.offset, &unwind.ip))
		return error_format(NULL, saved, "the stack of a task cannot be read");
	/* A task that never ran will begin there, and has not called it. */
	unwind.signal = unwind.ip == layout->first_return;
	*ret = unwind;
	return NULL;
}
