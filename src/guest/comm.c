/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of tasks. A task holds 15 bytes; /proc/PID/comm shows more of a kernel thread's name where the kernel keeps it
 * (kthread.full_name, 5.17 and later), and for a worker what it does or did last (wq_worker_comm()).
 */
#include <stdio.h>
#include <string.h>

#include "guest/task.h"

#define COMM_SIZE     64u
#define RESCUER       "kworker/R-" /* 6.9 and later; cut like every other name */
#define DESC_SIZE_MAX 64u

/* "kworker/0:1" → "kworker/0:1-events", or "+events" while it works. */
static void append_work(const struct worker_members *m, const struct object *worker, char name[COMM_SIZE])
{
	const char *desc = (const char *)worker->bytes + m->desc.offset;
	size_t used = strlen(name), size = strnlen(desc, m->desc.size);

	/* Only while it belongs to a pool: one that ends does not. */
	if (size == 0 || size > DESC_SIZE_MAX || !object_get(worker, &m->pool))
		return;
	snprintf(name + used, COMM_SIZE - used, "%c%.*s", object_get(worker, &m->current_work) ? '+' : '-', (int)size,
		 desc);
}

static struct error *worker_comm(struct guest *guest, const struct process_layout *layout, uint64_t data,
				 char name[COMM_SIZE])
{
	const struct worker_members *m = &layout->worker;
	struct object worker;
	struct error *error = object_load(guest, m->span, data, &worker);
	uint64_t rescue;

	if (error)
		return error;
	rescue = object_get(&worker, &m->rescue);
	if (rescue && strncmp(name, RESCUER, strlen(RESCUER)) == 0) {
		char queue[COMM_SIZE - sizeof(RESCUER)];
		size_t size = m->queue_name.size < sizeof(queue) ? m->queue_name.size : sizeof(queue);

		error = memory_read_string(&guest->memory, (struct gva){rescue + m->queue_name.offset}, queue, size);
		if (error)
			return error;
		snprintf(name, COMM_SIZE, RESCUER "%s", queue);
	}
	append_work(m, &worker, name);
	return NULL;
}

struct error *task_comm(struct guest *guest, const struct process_layout *layout, const struct object *task,
			char ret[64])
{
	const char *comm = (const char *)task->bytes + layout->task.comm.offset;
	uint64_t flags = object_get(task, &layout->task.flags), kthread = object_get(task, &layout->task.kthread);
	uint64_t full_name;
	struct object thread;
	struct error *error;

	snprintf(ret, COMM_SIZE, "%.*s", (int)layout->task.comm.size, comm);
	if (!(flags & PF_KTHREAD) || !kthread)
		return NULL;
	error = object_load(guest, layout->kthread.span, kthread, &thread);
	if (error)
		return error_wrap(error, "name of kernel thread %s", ret);
	full_name = object_get(&thread, &layout->kthread.full_name);
	if (flags & PF_WQ_WORKER)
		error = worker_comm(guest, layout, object_get(&thread, &layout->kthread.data), ret);
	else if (full_name)
		error = memory_read_string(&guest->memory, (struct gva){full_name}, ret, COMM_SIZE);
	return error_wrap(error, "name of kernel thread %.15s", comm);
}
