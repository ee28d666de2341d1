/* SPDX-License-Identifier: Apache-2.0 */
/* What one task tells of itself, as /proc/PID/stat and /proc/PID/status show it. */
#include "guest/task.h"

/* include/linux/sched.h: the same since 4.2, but for those that say so. */
#define TASK_UNINTERRUPTIBLE UINT64_C(0x0002)
#define TASK_IDLE            UINT64_C(0x0402) /* uninterruptible, and no load */
#define TASK_RTLOCK_WAIT     UINT64_C(0x1000) /* 5.16 and later; no state before that */
#define TASK_FROZEN          UINT64_C(0x8000) /* 6.1 and later */
#define TASK_REPORT          UINT64_C(0x007f)

#define NICE_ZERO            120u /* static_prio of nice 0 */

/* As task_state_index() finds it. */
static char state_letter(uint64_t state, uint64_t exit_state)
{
	static const char letters[] = "RSDTtXZP";
	uint64_t reported = (state | exit_state) & TASK_REPORT;
	unsigned index = 0;

	if ((state & TASK_IDLE) == TASK_IDLE)
		return 'I';
	/* A lock's waiter and a frozen task are shown as sleeping in the kernel. */
	if (state & (TASK_RTLOCK_WAIT | TASK_FROZEN))
		reported = TASK_UNINTERRUPTIBLE;
	for (; reported; reported >>= 1)
		index++;
	return letters[index];
}

void task_plain_fields(const struct process_layout *layout, const struct object *task, struct guest_task *ret)
{
	const struct task_members *m = &layout->task;

	ret->address = task->address.v;
	ret->pid = (uint32_t)object_get(task, &m->pid);
	ret->tgid = (uint32_t)object_get(task, &m->tgid);
	/* A number of 32 bits since 5.14, a long before: its upper half is never used. */
	ret->state = state_letter(object_get(task, &m->state), object_get(task, &m->exit_state));
	ret->nice = (int32_t)((uint32_t)object_get(task, &m->static_prio) - NICE_ZERO);
	ret->start_ns = object_get(task, &m->start);
	ret->kernel_thread = object_get(task, &m->flags) & PF_KTHREAD;
	ret->dumpable = task_mm(layout, task) != 0;
}

struct error *task_credentials(struct guest *guest, const struct process_layout *layout, const struct object *task,
			       struct guest_task *ret)
{
	const struct cred_members *m = &layout->cred;
	struct object cred;
	struct error *error = object_load(guest, m->span, object_get(task, &layout->task.cred), &cred);

	if (error)
		return error_wrap(error, "credentials of process %u", ret->pid);
	ret->uid = (uint32_t)object_get(&cred, &m->uid);
	ret->euid = (uint32_t)object_get(&cred, &m->euid);
	ret->suid = (uint32_t)object_get(&cred, &m->suid);
	ret->fsuid = (uint32_t)object_get(&cred, &m->fsuid);
	ret->gid = (uint32_t)object_get(&cred, &m->gid);
	ret->egid = (uint32_t)object_get(&cred, &m->egid);
	ret->sgid = (uint32_t)object_get(&cred, &m->sgid);
	ret->fsgid = (uint32_t)object_get(&cred, &m->fsgid);
	return NULL;
}

/* The device number as stat(2) encodes it in 32 bits (new_encode_dev()). */
static struct error *read_tty(struct guest *guest, const struct tty_members *m, uint64_t tty, uint32_t *ret)
{
	uint64_t driver = 0, index = 0, major = 0, first = 0;
	const struct member_read of_tty[] = {{&m->driver, &driver}, {&m->index, &index}};
	const struct member_read of_driver[] = {{&m->major, &major}, {&m->minor_start, &first}};
	struct error *error = guest_read_members(guest, (struct gva){tty}, of_tty, ARRAY_SIZE(of_tty));
	uint32_t minor;

	if (!error)
		error = guest_read_members(guest, (struct gva){driver}, of_driver, ARRAY_SIZE(of_driver));
	if (error)
		return error;
	minor = (uint32_t)(first + index) & 0xfffff;
	*ret = (minor & 0xff) | (uint32_t)major << 8 | (minor & ~UINT32_C(0xff)) << 12;
	return NULL;
}

struct error *task_group_fields(struct guest *guest, const struct process_layout *layout, const struct object *signal,
				struct guest_task *ret)
{
	const struct signal_members *m = &layout->signal;
	uint64_t group = object_get(signal, &m->group), session = object_get(signal, &m->session);
	uint64_t tty = object_get(signal, &m->tty), number = 0;
	struct error *error = NULL;

	ret->n_threads = (uint32_t)object_get(signal, &m->n_threads);
	if (group)
		error = guest_read_member(guest, (struct gva){group}, &layout->pid_number, &number);
	if (!error)
		ret->pgid = (uint32_t)number;
	number = 0;
	if (!error && session)
		error = guest_read_member(guest, (struct gva){session}, &layout->pid_number, &number);
	if (!error)
		ret->sid = (uint32_t)number;
	if (!error && tty)
		error = read_tty(guest, &layout->tty, tty, &ret->tty);
	return error_wrap(error, "process group of %u", ret->pid);
}

/* ---- CPU times ---- */

struct cpu_times times_get(const struct object *object, const struct times_members *members)
{
	return (struct cpu_times){
		.user = object_get(object, &members->user),
		.system = object_get(object, &members->system),
		.runtime = object_get(object, &members->runtime),
	};
}

/*
 * User and system time are counted in ticks, the time on a CPU exactly: /proc divides the exact sum in the proportion
 * of the ticks and never lets either part go back behind what it said before (cputime_adjust() in
 * kernel/sched/cputime.c). `object` has what it said before.
 */
void times_adjust(const struct object *object, const struct times_members *members, const struct cpu_times *sum,
		  struct guest_task *ret)
{
	uint64_t last_user = object_get(object, &members->last_user);
	uint64_t last_system = object_get(object, &members->last_system);
	uint64_t system = sum->system, user;

	if (last_user + last_system >= sum->runtime) {
		ret->user_ns = last_user;
		ret->system_ns = last_system;
		return;
	}
	if (system != 0 && sum->user == 0)
		system = sum->runtime;
	else if (system != 0)
		system = (uint64_t)((unsigned __int128)system * sum->runtime / ((unsigned __int128)system + sum->user));
	if (system < last_system)
		system = last_system;
	user = sum->runtime - system;
	if (user < last_user) {
		user = last_user;
		system = sum->runtime - user;
	}
	ret->user_ns = user;
	ret->system_ns = system;
}
