/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks in the middle of a change of a file system: task_struct.journal_info is not NULL while a handle is open. */
#include "guest/containers.h"
#include "guest/newer.h"
#include "guest/task.h"

struct changes_walk {
	const struct process_layout *layout;
	struct member journal;
	uint64_t n, threads;
};

static struct error *visit_thread(struct guest *guest, struct gva task, void *context)
{
	struct changes_walk *walk = context;
	uint64_t handle;
	struct error *error = guest_read_member(guest, task, &walk->journal, &handle);

	if (!error && walk->threads++ > walk->layout->tasks_max)
		error = error_format(NULL, task.v, "more threads than fit into the guest's memory");
	if (!error)
		walk->n += handle != 0;
	return error;
}

static struct error *visit_process(struct guest *guest, struct gva task, void *context)
{
	struct changes_walk *walk = context;
	uint64_t signal;
	struct error *error = guest_read_member(guest, task, &walk->layout->task.signal, &signal);

	if (error)
		return error;
	return list_walk(guest, (struct gva){signal + walk->layout->signal.thread_head.offset},
			 walk->layout->task.thread_node.offset, visit_thread, walk);
}

struct error *guest_open_changes(struct guest *guest, uint64_t *ret)
{
	struct changes_walk walk = {0};
	struct gva init;
	struct error *error = process_layout_get(guest, &walk.layout);

	if (!error)
		error = types_need(guest->types, &(struct member_need){"task_struct", "journal_info", &walk.journal},
				   1);
	if (!error)
		error = symbols_get(guest->symbols, "init_task", &init);
	if (!error)
		error = list_walk(guest, (struct gva){init.v + walk.layout->task.tasks.offset},
				  walk.layout->task.tasks.offset, visit_process, &walk);
	if (!error)
		*ret = walk.n;
	return error_wrap(error, "changes of file systems in progress");
}
