/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the kernel a task sleeps, as /proc/PID/wchan, stack and syscall tell. */
#include "guest/task_stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/unwind.h"

#define STATE_WAKING  UINT64_C(0x0200) /* TASK_WAKING */
#define STATE_ZOMBIE  UINT64_C(0x0030) /* exit_state: EXIT_DEAD, EXIT_ZOMBIE */
#define POINTER_STEPS 16u              /* of the old search by frame pointers */

static struct error *read_task(struct guest *guest, uint64_t address, const struct stack_layout **ret_layout,
			       struct object *ret)
{
	struct object_span span = {0};
	const struct stack_layout *layout;
	struct error *error = stack_layout_get(guest, &layout);

	if (error)
		return error;
	span = layout->process->task.span;
	if (span.size < layout->stack_pointer.offset + 8)
		span.size = layout->stack_pointer.offset + 8;
	*ret_layout = layout;
	if (span.size > OBJECT_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest's tasks are too large");
	return object_load(guest, span, address, ret);
}

/* On a CPU at this moment: what is saved of it is old. */
static bool is_running(struct guest *guest, const struct object *task)
{
	struct member member = types_find(guest->types, "task_struct", "on_cpu");
	uint64_t value = 0;
	struct error *error = member.present ? guest_read_member(guest, task->address, &member, &value) : NULL;

	error_destroy(error);
	return value != 0;
}

/* ---- wchan ---- */

/* The first return address outside of the scheduler; 0: none. */
static uint64_t wait_by_orc(struct guest *guest, const struct stack_layout *layout, const struct object *task)
{
	struct unwind unwind;
	struct error *error = unwind_start(guest, layout, task, &unwind);

	if (error) {
		error_destroy(error);
		return 0;
	}
	for (unsigned i = 0; i < GUEST_FRAMES_MAX && !unwind.done && text_is_kernel(layout, unwind.ip); i++) {
		if (!text_is_scheduler(layout, unwind.ip))
			return unwind.ip;
		unwind_next(guest, &unwind);
	}
	return 0;
}

/* Before 5.16: by frame pointers, which kernels with ORC do not keep, so that hardly anything is ever found. */
static uint64_t wait_by_pointers(struct guest *guest, const struct stack_layout *layout, const struct object *task)
{
	uint64_t low = object_get(task, &layout->stack), frame, ip;
	uint64_t top = low + layout->stack_size - layout->top_padding - 16;
	uint64_t saved = object_get(task, &layout->stack_pointer);
	struct error *error;

	if (saved < low || saved > top)
		return 0;
	error = memory_read_u64(&guest->memory, (struct gva){saved + layout->saved_bp.offset}, &frame);
	for (unsigned i = 0; !error && i <= POINTER_STEPS; i++) {
		if (frame < low || frame > top)
			return 0;
		error = memory_read_u64(&guest->memory, (struct gva){frame + 8}, &ip);
		if (!error && !text_is_scheduler(layout, ip))
			return ip;
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){frame}, &frame);
	}
	error_destroy(error);
	return 0;
}

static uint64_t find_wait(struct guest *guest, const struct stack_layout *layout, const struct object *task)
{
	uint64_t state = object_get(task, &layout->state);

	if (state == 0)
		return 0;
	if (!layout->by_orc)
		return wait_by_pointers(guest, layout, task);
	if (state == STATE_WAKING || object_get(task, &layout->on_queue))
		return 0;
	return wait_by_orc(guest, layout, task);
}

struct error *guest_task_wchan(struct guest *guest, uint64_t address, char ret[512])
{
	const struct stack_layout *layout;
	struct object task;
	uint64_t wait, start, end;
	struct error *error = read_task(guest, address, &layout, &task);

	if (error)
		return error_wrap(error, "what a task waits for");
	/* Another way of unwinding would find other functions. */
	if (layout->by_orc && layout->orc.n == 0)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel was built without ORC unwind tables");
	wait = find_wait(guest, layout, &task);
	ret[0] = '\0';
	if (wait && text_is_kernel(layout, wait))
		error = text_name(guest, layout, wait, ret, &start, &end);
	if (!error && !ret[0])
		strcpy(ret, "0");
	return error_wrap(error, "what a task waits for");
}

/* ---- stack ---- */

static struct error *append(struct guest *guest, const struct stack_layout *layout, uint64_t ip,
			    struct guest_stack *stack)
{
	const struct module_text *module = text_module(layout, ip - 1);
	struct guest_frame *frame = &stack->items[stack->n];
	uint64_t start, end;
	/* As "%pB" shows it: the function with the call, not what may follow it. */
	struct error *error = text_name(guest, layout, ip - 1, frame->name, &start, &end);

	if (error)
		return error;
	frame->address = ip;
	frame->offset = ip - start;
	frame->size = end - start;
	snprintf(frame->module, sizeof(frame->module), "%s", module ? module->name : "");
	stack->n++;
	return NULL;
}

struct error *guest_task_stack(struct guest *guest, uint64_t address, struct guest_stack *ret)
{
	_cleanup_(guest_stack_deinit) struct guest_stack stack = {0};
	const struct stack_layout *layout;
	struct object task;
	struct unwind unwind;
	struct error *error = read_task(guest, address, &layout, &task);

	if (!error && layout->orc.n == 0)
		error = error_create(ERROR_NOT_FOUND, "the guest's kernel was built without ORC unwind tables");
	if (error)
		return error_wrap(error, "kernel stack of a task");
	stack.items = calloc(GUEST_FRAMES_MAX, sizeof(*stack.items));
	if (!stack.items)
		return error_no_memory();
	/* An ended task has none any more. */
	if (!object_get(&task, &layout->stack) || is_running(guest, &task)) {
		*ret = (struct guest_stack){.items = take_ptr(stack.items)};
		return NULL;
	}
	error = unwind_start(guest, layout, &task, &unwind);
	while (!error && !unwind.done && stack.n < GUEST_FRAMES_MAX && text_is_kernel(layout, unwind.ip)) {
		if (!text_is_scheduler(layout, unwind.ip))
			error = append(guest, layout, unwind.ip, &stack);
		unwind_next(guest, &unwind);
	}
	if (error)
		return error_wrap(error, "kernel stack of a task");
	*ret = stack;
	stack.items = NULL;
	return NULL;
}

void guest_stack_deinit(struct guest_stack *stack)
{
	free(stack->items);
	*stack = (struct guest_stack){0};
}

/* ---- syscall ---- */

struct error *guest_task_syscall(struct guest *guest, uint64_t address, struct guest_task_syscall *ret)
{
	struct guest_task_syscall call = {0};
	const struct stack_layout *layout;
	struct object task;
	struct gva regs;
	uint64_t number = 0;
	struct error *error = read_task(guest, address, &layout, &task);

	if (error)
		return error_wrap(error, "system call of a task");
	call.running = object_get(&task, &layout->state) == 0;
	call.number = -1;
	if (call.running || !object_get(&task, &layout->stack)) {
		*ret = call;
		return NULL;
	}
	regs.v = object_get(&task, &layout->stack) + layout->stack_size - layout->top_padding - layout->regs_size;
	for (size_t i = 0; !error && i < ARRAY_SIZE(call.arguments); i++)
		error = guest_read_member(guest, regs, &layout->regs_arguments[i], &call.arguments[i]);
	if (!error)
		error = guest_read_member(guest, regs, &layout->regs_number, &number);
	if (!error)
		error = guest_read_member(guest, regs, &layout->regs_sp, &call.stack_pointer);
	if (!error)
		error = guest_read_member(guest, regs, &layout->regs_ip, &call.instruction_pointer);
	if (error)
		return error_wrap(error, "system call of a task");
	call.number = (int32_t)(uint32_t)number;
	*ret = call;
	return NULL;
}
