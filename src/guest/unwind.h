/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack of a task that does not run, frame by frame as the guest's own kernel walks it: by ORC, the tables that
 * say for each address of the kernel's code where the caller's frame is (arch/x86/kernel/unwind_orc.c). Private to
 * guest/.
 */
#ifndef GUEST_UNWIND_H
#define GUEST_UNWIND_H

#include "guest/internal.h"
#include "guest/task.h"

/* One table of ORC: for the kernel or a module. */
struct orc_table {
	uint64_t places, entries; /* addresses of the sorted places (4 bytes each) and of their entries */
	uint32_t n;
};

struct orc_registers;

struct stack_layout {
	const struct process_layout *process; /* borrowed from the guest */
	struct member stack_pointer, stack, state, on_queue, thread_status;
	struct member saved_bp, saved_return; /* in inactive_task_frame */
	uint32_t saved_size;
	struct member regs_ip, regs_sp, regs_cs, regs_bp, regs_number, regs_arguments[6];
	uint32_t regs_size;
	uint64_t stack_size, top_padding; /* bytes; padding: above the registers of a system call */
	/* ORC; orc.n 0: this kernel has none */
	struct member sp_offset, bp_offset, sp_reg, bp_reg, type, signal, end;
	uint32_t entry_size;
	bool types_numbered;                   /* 6.4 and later: types for "undefined" and "end" (fb799447ae29) */
	const struct orc_registers *registers; /* how it numbers them */
	struct orc_table orc;
	uint64_t text, text_end, init_text, init_text_end;
	uint64_t scheduler, scheduler_end, locks, locks_end; /* code of functions that are passed over */
	uint64_t first_return;                               /* of a task that has not run yet: ret_from_fork */
	bool by_orc; /* /proc/PID/wchan is (5.16 and later); before, by frame pointers */
	/* In struct module */
	struct member module_list, module_name, module_orc_n, module_orc_places, module_orc_entries;
	struct member module_text, module_text_size, module_symbols;
	struct member table_symbols, table_n, table_names; /* in struct mod_kallsyms */
	/* Modules by their text: read when first needed. */
	struct module_text {
		uint64_t address, start, end;
		struct orc_table orc;
		char name[64];
	} modules[256];
	size_t n_modules;
};
/* Borrowed from the guest, which keeps it. */
struct error *stack_layout_get(struct guest *guest, const struct stack_layout **ret) _must_check_;

struct unwind {
	const struct stack_layout *layout; /* borrowed */
	uint64_t low, high;                /* the stack */
	uint64_t ip, sp, bp;
	uint64_t regs; /* address of the last pt_regs; 0: none */
	bool signal;   /* ip is an interrupted instruction, not one that follows a call */
	bool done;
};
/* A task that sleeps or waits for a CPU; its task_struct as read. */
struct error *unwind_start(struct guest *guest, const struct stack_layout *layout, const struct object *task,
			   struct unwind *ret) _must_check_;
/* What cannot be read, ends the walk: ret->done. */
void unwind_next(struct guest *guest, struct unwind *unwind);

/* The module whose text the address is in; NULL: none. */
const struct module_text *text_module(const struct stack_layout *layout, uint64_t address);
bool text_is_kernel(const struct stack_layout *layout, uint64_t address);
/* Passed over by /proc/PID/wchan and stack (in_sched_functions()). */
bool text_is_scheduler(const struct stack_layout *layout, uint64_t address);
/* The function at `address`; a name that cannot be found is "". */
struct error *text_name(struct guest *guest, const struct stack_layout *layout, uint64_t address, char ret[512],
			uint64_t *ret_start, uint64_t *ret_end) _must_check_;

#endif
