/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O priority of a task. */
#include "guest/internal.h"

struct error *guest_task_io_priority(struct guest *guest, uint64_t task, uint32_t *ret)
{
	struct member context, priority;
	const struct member_need needs[] = {{"task_struct", "io_context", &context},
					    {"io_context", "ioprio", &priority}};
	uint64_t address, value = 0;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &context, &address);
	/* A task that never did any I/O has none: no class, level 0. */
	if (!error && address)
		error = guest_read_member(guest, (struct gva){address}, &priority, &value);
	if (!error)
		*ret = (uint32_t)value;
	return error_wrap(error, "I/O priority of a task");
}
