/* SPDX-License-Identifier: Apache-2.0 */
/* What one task tells beyond the list of all (fs/proc/array.c and base.c). */
#include "guest/task_details.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/details.h"

#define SIGNALS               64u
#define SIGNAL_IGNORED        1u /* SIG_IGN */
#define RLIMIT_SIGPENDING     11u
#define SIGNAL_STOPPED_EXITED 5u /* SIGNAL_STOP_STOPPED | SIGNAL_GROUP_EXIT */
#define REAL_TIME_PRIORITIES  100
#define NO_NEW_PRIVILEGES     1u     /* of atomic_flags (PFA_NO_NEW_PRIVS) */
#define GROUPS_MAX            65536u /* NGROUPS_MAX */

/* What the walk over one task has at hand. */
struct walk {
	const struct detail_layout *layout;
	struct object task, signal, cred;
	bool dead; /* without a struct sighand: reaped, shown with less */
};

/* ---- Counters ---- */

static void add_io(const struct object *object, const struct counter_members *m, struct guest_task_io *io)
{
	uint64_t *const fields[IO_COUNTERS] = {&io->read_chars,     &io->written_chars, &io->read_calls,
					       &io->write_calls,    &io->read_bytes,    &io->written_bytes,
					       &io->cancelled_bytes};

	for (unsigned i = 0; i < IO_COUNTERS; i++)
		*fields[i] += object_get(object, &m->io[i]);
	/* The first four are counted with CONFIG_TASK_XACCT, the rest with CONFIG_TASK_IO_ACCOUNTING, which needs it.
	 */
	io->known = m->io[0].present && m->io[IO_COUNTERS - 1].present;
}

static void add_counters(const struct object *object, const struct counter_members *m, struct guest_task_details *ret)
{
	ret->minor_faults += object_get(object, &m->minor_faults);
	ret->major_faults += object_get(object, &m->major_faults);
	ret->guest_ns += object_get(object, &m->guest_time);
	add_io(object, m, &ret->io);
}

/* Sums up what the threads of a process have counted. */
struct sum {
	const struct detail_layout *layout;
	struct guest_task_details *ret;
	struct cpu_times times;
	uint64_t threads;
	struct object thread;
};

static struct error *add_thread(struct guest *guest, struct gva address, void *context)
{
	struct sum *sum = context;
	struct cpu_times times;
	struct error *error = object_load(guest, sum->layout->task.span, address.v, &sum->thread);

	if (!error && sum->threads++ > sum->layout->process->tasks_max)
		error = error_format(NULL, address.v, "more threads than fit into the guest's memory");
	if (error)
		return error;
	add_counters(&sum->thread, &sum->layout->task.counters, sum->ret);
	times = times_get(&sum->thread, &sum->layout->process->task.times);
	sum->times.user += times.user;
	sum->times.system += times.system;
	sum->times.runtime += times.runtime;
	return NULL;
}

/* Of the process: those of all its threads, ended ones included. */
static struct error *add_process(struct guest *guest, struct walk *walk, struct guest_task_details *ret)
{
	const struct process_layout *process = walk->layout->process;
	_cleanup_(free_ptr) struct sum *sum = calloc(1, sizeof(*sum));
	struct guest_task shown = {0};
	struct error *error;

	if (!sum)
		return error_no_memory();
	sum->layout = walk->layout;
	sum->ret = ret;
	sum->times = times_get(&walk->signal, &process->signal.times);
	add_counters(&walk->signal, &walk->layout->signal.counters, ret);
	if (object_get(&walk->signal, &process->signal.n_threads) > 1)
		error = list_walk(guest, object_place(&walk->signal, &process->signal.thread_head),
				  process->task.thread_node.offset, add_thread, sum);
	else
		error = add_thread(guest, walk->task.address, sum);
	times_adjust(&walk->signal, &process->signal.times, &sum->times, &shown);
	ret->user_ns = shown.user_ns;
	ret->system_ns = shown.system_ns;
	return error_wrap(error, "threads of process %llu",
			  (unsigned long long)object_get(&walk->task, &process->task.tgid));
}

static void add_own(struct walk *walk, struct guest_task_details *ret)
{
	const struct times_members *m = &walk->layout->process->task.times;
	struct cpu_times own = times_get(&walk->task, m);
	struct guest_task shown = {0};

	add_counters(&walk->task, &walk->layout->task.counters, ret);
	times_adjust(&walk->task, m, &own, &shown);
	ret->user_ns = shown.user_ns;
	ret->system_ns = shown.system_ns;
}

static void load_children(const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_signal_members *m = &walk->layout->signal;

	ret->child_minor_faults = object_get(&walk->signal, &m->child_minor);
	ret->child_major_faults = object_get(&walk->signal, &m->child_major);
	ret->child_user_ns = object_get(&walk->signal, &m->child_user);
	ret->child_system_ns = object_get(&walk->signal, &m->child_system);
	ret->child_guest_ns = object_get(&walk->signal, &m->child_guest);
}

/* ---- The task itself ---- */

static void load_scheduling(const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_task_members *m = &walk->layout->task;
	const struct object *task = &walk->task;

	ret->flags = object_get(task, &m->flags);
	ret->priority = (int32_t)(uint32_t)object_get(task, &m->prio) - REAL_TIME_PRIORITIES;
	ret->real_time_priority = (uint32_t)object_get(task, &m->rt_priority);
	ret->policy = (uint32_t)object_get(task, &m->policy);
	/* struct uclamp_se begins with 11 bits of value. */
	ret->least_load = object_get(task, &m->clamps) & 0x7ff;
	ret->greatest_load = object_get(task, &m->clamps) >> 32 & 0x7ff;
	ret->exit_signal = (int32_t)(uint32_t)object_get(task, &m->exit_signal);
	ret->cpu = (uint32_t)object_get(task, &m->cpu);
	ret->waits = walk->layout->all_sleepers_wait && object_get(task, &m->state) != 0;
	ret->voluntary_switches = object_get(task, &m->voluntary);
	ret->involuntary_switches = object_get(task, &m->involuntary);
	ret->run_ns = object_get(task, &walk->layout->process->task.times.runtime);
	ret->wait_ns = object_get(task, &m->run_delay);
	ret->slices = object_get(task, &m->run_count);
	ret->has_schedstat = m->run_delay.present;
	ret->stack_pointer = object_get(task, &m->stack_pointer);
}

static void load_plain(const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_task_members *m = &walk->layout->task;
	const struct object *task = &walk->task;
	uint64_t atomic_flags = object_get(task, &m->atomic_flags);

	ret->personality = (uint32_t)object_get(task, &m->personality);
	ret->timer_slack_ns = object_get(task, &m->timer_slack);
	ret->login_uid = (uint32_t)object_get(task, &m->login_uid);
	ret->session = (uint32_t)object_get(task, &m->session);
	ret->has_login = m->login_uid.present && m->session.present;
	ret->no_new_privileges = atomic_flags & NO_NEW_PRIVILEGES;
	ret->speculation = speculation_words(walk->layout, atomic_flags);
	ret->has_seccomp = m->seccomp.present;
	ret->seccomp = (uint32_t)object_get(task, &m->seccomp);
	ret->has_seccomp_filters = m->seccomp_filters.present;
	ret->seccomp_filters = (uint32_t)object_get(task, &m->seccomp_filters);
	ret->shows_kernel_thread = walk->layout->shows_kernel_thread;
	ret->has_thread_features = m->features.present;
	ret->thread_features = object_get(task, &m->features);
	ret->thread_features_locked = object_get(task, &m->features_locked);
}

static void load_bits(const struct object *task, const struct member *member, uint32_t n, struct guest_bits *ret)
{
	size_t bytes = member->present ? (n + 63) / 64 * 8 : 0;

	memset(ret->words, 0, sizeof(ret->words));
	memcpy(ret->words, task->bytes + member->offset, bytes < member->size ? bytes : member->size);
	ret->n = n;
	if (n % 64)
		ret->words[n / 64] &= UINT64_MAX >> (64 - n % 64);
}

static struct error *load_references(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	const struct process_layout *process = layout->process;
	uint64_t fs = object_get(&walk->task, &process->task.fs), files = object_get(&walk->task, &process->task.files);
	uint64_t numa = object_get(&walk->task, &layout->task.numa_group), value = 0;
	struct error *error = NULL;

	ret->has_umask = fs != 0;
	if (fs)
		error = guest_read_member(guest, (struct gva){fs}, &layout->umask, &value);
	ret->umask = (uint32_t)value;
	value = 0;
	if (!error && files)
		error = guest_read_member(guest, (struct gva){files}, &process->descriptors.table, &value);
	if (!error && value)
		error = guest_read_member(guest, (struct gva){value}, &process->descriptors.size, &value);
	ret->fd_size = (uint32_t)value;
	value = 0;
	if (!error && numa && layout->numa_gid.present)
		error = guest_read_member(guest, (struct gva){numa}, &layout->numa_gid, &value);
	ret->numa_group = (uint32_t)value;
	value = 0;
	if (!error && object_get(&walk->task, &layout->task.ptrace))
		error = guest_read_member(guest, (struct gva){object_get(&walk->task, &layout->task.tracer)},
					  &process->task.pid, &value);
	ret->tracer = (uint32_t)value;
	return error;
}

static struct error *load_vfork(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct process_layout *process = walk->layout->process;
	uint64_t parent = object_get(&walk->task, &process->task.parent), memory;
	struct error *error;

	if (!parent || !object_get(&walk->task, &walk->layout->task.vfork_done))
		return NULL;
	error = guest_read_member(guest, (struct gva){parent}, &process->task.mm, &memory);
	if (!error)
		ret->forked_now = memory == object_get(&walk->task, &process->task.mm);
	return error;
}

static struct error *load_delays(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	uint64_t delays = object_get(&walk->task, &layout->task.delays), block, swap = 0;
	struct error *error;

	if (!delays || !layout->block_delay.present)
		return NULL;
	error = guest_read_member(guest, (struct gva){delays}, &layout->block_delay, &block);
	if (!error && layout->swap_is_block && layout->swap_delay.present)
		error = guest_read_member(guest, (struct gva){delays}, &layout->swap_delay, &swap);
	if (!error)
		ret->block_wait_ns = block + swap;
	return error;
}

/* ---- Signals, credentials ---- */

static struct error *load_handlers(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	struct object_span span = {layout->action.offset + layout->action.size};
	struct object sighand;
	struct error *error;

	if (layout->action.count < SIGNALS || span.size > OBJECT_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest's processes have %u signals", layout->action.count);
	error = object_load(guest, span, object_get(&walk->task, &layout->task.sighand), &sighand);
	for (uint32_t i = 0; !error && i < SIGNALS; i++) {
		uint64_t handler = object_field(sighand.bytes + layout->action.offset + (size_t)i * layout->action_size,
						&layout->handler);

		if (handler == SIGNAL_IGNORED)
			ret->ignored |= UINT64_C(1) << i;
		else if (handler)
			ret->caught |= UINT64_C(1) << i;
	}
	return error;
}

static struct error *load_queued(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;

	if (layout->user_queued.present)
		return guest_read_member(guest, (struct gva){object_get(&walk->cred, &layout->cred.user)},
					 &layout->user_queued, &ret->queued_signals);
	return guest_read_member(guest, (struct gva){object_get(&walk->cred, &layout->cred.ucounts)},
				 &layout->ucount_queued, &ret->queued_signals);
}

static struct error *load_signals(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	const uint8_t *limits = walk->signal.bytes + layout->signal.limits.offset;
	struct error *error;

	ret->blocked = object_get(&walk->task, &layout->task.blocked);
	ret->pending = object_get(&walk->task, &layout->task.pending);
	ret->shared_pending = object_get(&walk->signal, &layout->signal.shared_pending);
	ret->oom_score_adjust = (int16_t)object_get(&walk->signal, &layout->signal.oom_adjust);
	for (unsigned i = 0; i < GUEST_RLIMITS; i++) {
		memcpy(&ret->limits[i], limits + i * 16u, sizeof(uint64_t));
		memcpy(&ret->limits_max[i], limits + i * 16u + 8, sizeof(uint64_t));
	}
	if (walk->dead)
		return NULL;
	error = load_handlers(guest, walk, ret);
	return error ? error : load_queued(guest, walk, ret);
}

static struct error *load_groups(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	struct gva info = {object_get(&walk->cred, &layout->cred.groups)};
	uint64_t n;
	struct error *error = guest_read_member(guest, info, &layout->n_groups, &n);

	if (!error && n > GROUPS_MAX)
		error = error_format(NULL, info.v, "a process in %llu groups", (unsigned long long)n);
	if (error || n == 0)
		return error;
	ret->groups = calloc(n, sizeof(*ret->groups));
	if (!ret->groups)
		return error_no_memory();
	ret->n_groups = (uint32_t)n;
	return memory_read(&guest->memory, (struct gva){info.v + layout->gids.offset}, ret->groups,
			   n * sizeof(*ret->groups));
}

static struct error *load_credentials(struct guest *guest, struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_cred_members *m = &walk->layout->cred;
	uint64_t address = object_get(&walk->task, &walk->layout->process->task.cred);
	struct error *error = object_load(guest, m->span, address, &walk->cred);

	if (error)
		return error;
	ret->inheritable = object_get(&walk->cred, &m->inheritable);
	ret->permitted = object_get(&walk->cred, &m->permitted);
	ret->effective = object_get(&walk->cred, &m->effective);
	ret->bounding = object_get(&walk->cred, &m->bounding);
	ret->ambient = object_get(&walk->cred, &m->ambient);
	return load_groups(guest, walk, ret);
}

static struct error *load_terminal(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	uint64_t tty = object_get(&walk->signal, &walk->layout->process->signal.tty), group, number = 0;
	struct error *error;

	ret->tty_group = -1;
	if (!tty || walk->dead)
		return NULL;
	error = guest_read_member(guest, (struct gva){tty}, &walk->layout->tty_group, &group);
	if (!error && group)
		error = guest_read_member(guest, (struct gva){group}, &walk->layout->process->pid_number, &number);
	ret->tty_group = (int32_t)(uint32_t)number;
	return error;
}

/* ---- Ids in each process namespace ---- */

struct pid_numbers {
	uint32_t n; /* levels */
	uint32_t number[GUEST_PID_LEVELS];
	uint64_t space[GUEST_PID_LEVELS];
};

/* A struct pid at `address`; 0: none. */
static struct error *read_numbers(struct guest *guest, const struct detail_layout *layout, uint64_t address,
				  struct pid_numbers *ret)
{
	uint8_t upids[GUEST_PID_LEVELS * 32];
	uint64_t level;
	struct error *error;

	ret->n = 0;
	if (!address)
		return NULL;
	error = guest_read_member(guest, (struct gva){address}, &layout->pid_level, &level);
	if (!error && (level >= GUEST_PID_LEVELS || layout->upid_size > 32))
		error = error_format(NULL, address, "a process id of %llu levels", (unsigned long long)level);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){address + layout->pid_numbers.offset}, upids,
				    (level + 1) * layout->upid_size);
	if (error)
		return error;
	for (uint32_t i = 0; i <= level; i++) {
		ret->number[i] = (uint32_t)object_field(upids + (size_t)i * layout->upid_size, &layout->upid_number);
		ret->space[i] = object_field(upids + (size_t)i * layout->upid_size, &layout->upid_space);
	}
	ret->n = (uint32_t)level + 1;
	return NULL;
}

static uint32_t number_in(const struct pid_numbers *numbers, uint32_t level, uint64_t space)
{
	return level < numbers->n && numbers->space[level] == space ? numbers->number[level] : 0;
}

static struct error *load_levels(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	const struct detail_layout *layout = walk->layout;
	const uint64_t addresses[4] = {
		object_get(&walk->task, &layout->process->task.thread_pid),
		object_get(&walk->signal, &layout->signal.tgid),
		object_get(&walk->signal, &layout->process->signal.group),
		object_get(&walk->signal, &layout->process->signal.session),
	};
	struct pid_numbers numbers[4];
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(numbers); i++)
		error = read_numbers(guest, layout, addresses[i], &numbers[i]);
	for (uint32_t i = 0; !error && i < numbers[0].n; i++) {
		uint64_t space = numbers[0].space[i];

		ret->levels[i] = (struct guest_pid_level){.pid = number_in(&numbers[0], i, space),
							  .tgid = number_in(&numbers[1], i, space),
							  .pgid = number_in(&numbers[2], i, space),
							  .sid = number_in(&numbers[3], i, space)};
		ret->n_levels = i + 1;
	}
	return error;
}

/* ---- All of it ---- */

static struct error *load_memory(struct guest *guest, const struct walk *walk, struct guest_task_details *ret)
{
	uint64_t address = task_mm(walk->layout->process, &walk->task);

	if (!address)
		return NULL;
	ret->has_memory = true;
	/* Of all threads (5.16 and later). */
	if (object_get(&walk->signal, &walk->layout->signal.core_state))
		ret->memory.dumping = true;
	return memory_details(guest, walk->layout, address, &ret->memory);
}

static void load_exit_code(const struct walk *walk, bool whole, struct guest_task_details *ret)
{
	const struct detail_signal_members *m = &walk->layout->signal;

	ret->exit_code = (int32_t)(uint32_t)object_get(&walk->task, &walk->layout->task.exit_code);
	if (whole && object_get(&walk->signal, &m->flags) & SIGNAL_STOPPED_EXITED)
		ret->exit_code = (int32_t)(uint32_t)object_get(&walk->signal, &m->exit_code);
}

static struct error *load_all(struct guest *guest, struct walk *walk, bool whole, struct guest_task_details *ret)
{
	struct error *error = NULL;

	load_scheduling(walk, ret);
	load_plain(walk, ret);
	load_children(walk, ret);
	load_exit_code(walk, whole, ret);
	load_bits(&walk->task, &walk->layout->task.cpus, walk->layout->n_cpus, &ret->cpus);
	load_bits(&walk->task, &walk->layout->task.nodes, walk->layout->n_nodes, &ret->nodes);
	if (whole)
		error = add_process(guest, walk, ret);
	else
		add_own(walk, ret);
	if (!error)
		error = load_references(guest, walk, ret);
	if (!error)
		error = load_vfork(guest, walk, ret);
	if (!error)
		error = load_delays(guest, walk, ret);
	if (!error)
		error = load_credentials(guest, walk, ret);
	if (!error)
		error = load_signals(guest, walk, ret);
	if (!error)
		error = load_terminal(guest, walk, ret);
	if (!error)
		error = load_levels(guest, walk, ret);
	return error ? error : load_memory(guest, walk, ret);
}

struct error *guest_task_details(struct guest *guest, uint64_t task, bool whole, struct guest_task_details *ret)
{
	_cleanup_(free_ptr) struct walk *walk = calloc(1, sizeof(*walk));
	_cleanup_(guest_task_details_deinit) struct guest_task_details details = {0};
	struct error *error;

	if (!walk)
		return error_no_memory();
	error = detail_layout_get(guest, &walk->layout);
	if (!error)
		error = object_load(guest, walk->layout->task.span, task, &walk->task);
	if (!error)
		error = object_load(guest, walk->layout->signal.span,
				    object_get(&walk->task, &walk->layout->process->task.signal), &walk->signal);
	if (error)
		return error_wrap(error, "details of a process");
	walk->dead = !object_get(&walk->task, &walk->layout->task.sighand);
	error = load_all(guest, walk, whole, &details);
	if (error)
		return error_wrap(error, "details of process %llu",
				  (unsigned long long)object_get(&walk->task, &walk->layout->process->task.pid));
	*ret = details;
	details.groups = NULL;
	return NULL;
}

void guest_task_details_deinit(struct guest_task_details *details)
{
	free(details->groups);
	*details = (struct guest_task_details){0};
}
