/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the kernel a task is: wchan, stack, syscall (fs/proc/base.c). */
#include <inttypes.h>

#include "shadow/proc/process.h"

struct error *process_write_wchan(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	char name[512];
	struct error *error = guest_task_wchan(facts->guest, task->address, name);

	if (!error)
		fputs(name, out);
	return error;
}

struct error *process_write_stack(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_stack stack = {0};
	struct error *error = guest_task_stack(facts->guest, task->address, &stack);

	if (error)
		return error;
	for (size_t i = 0; i < stack.n; i++) {
		const struct guest_frame *frame = &stack.items[i];

		fprintf(out, "[<0>] %s+0x%" PRIx64 "/0x%" PRIx64, frame->name, frame->offset, frame->size);
		if (frame->module[0])
			fprintf(out, " [%s]", frame->module);
		fputc('\n', out);
	}
	guest_stack_deinit(&stack);
	return NULL;
}

struct error *process_write_syscall(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_task_syscall call;
	struct error *error = guest_task_syscall(facts->guest, task->address, &call);

	if (error)
		return error;
	if (call.running) {
		fputs("running\n", out);
		return NULL;
	}
	fprintf(out, "%d", call.number);
	for (size_t i = 0; call.number >= 0 && i < ARRAY_SIZE(call.arguments); i++)
		fprintf(out, " 0x%" PRIx64, call.arguments[i]);
	fprintf(out, " 0x%" PRIx64 " 0x%" PRIx64 "\n", call.stack_pointer, call.instruction_pointer);
	return NULL;
}
