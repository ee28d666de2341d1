/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/stat and statm (fs/proc/array.c). */
#include "shadow/proc/process.h"

#define TICK_NS     UINT64_C(10000000)   /* USER_HZ is 100 */
#define OLD_SIGNALS UINT64_C(0x7fffffff) /* those that stat shows */

static unsigned long long ticks(uint64_t ns)
{
	return ns / TICK_NS;
}

/* Fields 1 to 27. */
static void write_head(const struct guest_task *task, const struct guest_task_details *details, FILE *out)
{
	fprintf(out, "%u (%s) %c %u %u %u %u %d %llu", task->pid, task->comm, task->state, task->ppid, task->pgid,
		task->sid, task->tty, details->tty_group, (unsigned long long)details->flags);
	fprintf(out, " %llu %llu %llu %llu", (unsigned long long)details->minor_faults,
		(unsigned long long)details->child_minor_faults, (unsigned long long)details->major_faults,
		(unsigned long long)details->child_major_faults);
	fprintf(out, " %llu %llu %llu %llu %d %d %u 0 %llu", ticks(details->user_ns), ticks(details->system_ns),
		ticks(details->child_user_ns), ticks(details->child_system_ns), details->priority, task->nice,
		task->n_threads, ticks(task->start_ns));
	fprintf(out, " %llu %llu %llu", (unsigned long long)task->virtual_size,
		(unsigned long long)task->resident_size / 4096, (unsigned long long)details->limits[5]);
}

/* The addresses in fields 45 to 51. */
static void write_addresses(const struct guest_task_memory *memory, FILE *out)
{
	fprintf(out, " %llu %llu %llu %llu %llu %llu %llu", (unsigned long long)memory->start_data,
		(unsigned long long)memory->end_data, (unsigned long long)memory->start_brk,
		(unsigned long long)memory->arg_start, (unsigned long long)memory->arg_end,
		(unsigned long long)memory->env_start, (unsigned long long)memory->env_end);
}

static void write_tail(const struct guest_task_details *details, bool waits, FILE *out)
{
	const struct guest_task_memory *memory = &details->memory;

	/* The stack and instruction pointers that follow are shown only of a process that dumps its core. */
	fprintf(out, " %llu %llu %llu 0 0", (unsigned long long)memory->start_code,
		(unsigned long long)memory->end_code, (unsigned long long)memory->start_stack);
	fprintf(out, " %llu %llu %llu %llu %d 0 0", (unsigned long long)(details->pending & OLD_SIGNALS),
		(unsigned long long)(details->blocked & OLD_SIGNALS),
		(unsigned long long)(details->ignored & OLD_SIGNALS),
		(unsigned long long)(details->caught & OLD_SIGNALS), waits);
	fprintf(out, " %d %u %u %u %llu %llu %llu", details->exit_signal, details->cpu, details->real_time_priority,
		details->policy, ticks(details->block_wait_ns), ticks(details->guest_ns),
		ticks(details->child_guest_ns));
	write_addresses(memory, out);
	fprintf(out, " %d\n", details->exit_code);
}

static struct error *write_stat(const struct proc_facts *facts, const struct guest_task *task, bool whole, FILE *out)
{
	struct guest_task_details details;
	struct error *error = guest_task_details(facts->guest, task->address, whole, &details);

	if (error)
		return error;
	write_head(task, &details, out);
	/* Not told of a process with several threads. */
	write_tail(&details, (!whole || task->n_threads < 2) && details.waits, out);
	guest_task_details_deinit(&details);
	return NULL;
}

struct error *process_write_stat(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_stat(facts, task, task->pid == task->tgid, out);
}

struct error *process_write_thread_stat(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	return write_stat(facts, task, false, out);
}

struct error *process_write_statm(const struct proc_facts *facts, const struct guest_task *task, FILE *out)
{
	struct guest_task_details details;
	const struct guest_task_memory *memory = &details.memory;
	struct error *error = guest_task_details(facts->guest, task->address, false, &details);
	uint64_t shared, text;

	if (error)
		return error;
	shared = memory->file + memory->shared;
	text = (memory->end_code + 4095) / 4096 - memory->start_code / 4096;
	fprintf(out, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)memory->total,
		(unsigned long long)(shared + memory->anonymous), (unsigned long long)shared, (unsigned long long)text,
		(unsigned long long)(memory->data + memory->stack));
	guest_task_details_deinit(&details);
	return NULL;
}
