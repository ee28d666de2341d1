/* SPDX-License-Identifier: Apache-2.0 */
/* What open files of some kinds tell of themselves (file_operations.show_fdinfo), and the locks that they hold. */
#include "guest/fd_info.h"

#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/fds.h"

#define SEMAPHORE      1u  /* EFD_SEMAPHORE */
#define DATAGRAM       2u  /* SOCK_DGRAM */
#define ESTABLISHED    1u  /* TCP_ESTABLISHED, which unix sockets use as well */
#define LISTENING      10u /* TCP_LISTEN */
#define FAMILY_UNIX    1u
#define CLOCK_WALL     0
#define CLOCK_BOOT     7
#define CLOCK_WALL_RTC 8 /* CLOCK_REALTIME_ALARM */
#define CLOCK_BOOT_RTC 9
#define QUEUE_MAX      65536u /* connections that wait at a listener */

static struct error *load_members(struct guest *guest, struct fd_layout *ret)
{
	const struct member_need needs[] = {
		{"file", "f_op", &ret->operations},
		{"file", "private_data", &ret->private_data},
		{"mount", "mnt_id", &ret->mount_id},
		{"inode", "i_sb", &ret->inode_super},
		{"super_block", "s_dev", &ret->super_device},
		{"inode", "i_generation", &ret->inode_generation},
		{"inode", "i_fsnotify_marks", &ret->inode_marks, .optional = true},
		{"inode", "i_flctx", &ret->inode_locks, .optional = true},
		{"super_block", "s_export_op", &ret->super_export},
		{"export_operations", "encode_fh", &ret->encode},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static uint64_t find(const struct guest *guest, const char *name)
{
	struct gva symbol;

	return symbols_find(guest->symbols, name, &symbol) ? symbol.v : 0;
}

static struct error *load_layout(struct guest *guest, struct fd_layout *ret)
{
	static const char *const functions[GUEST_FD_UNIX + 1] = {
		[GUEST_FD_EVENT] = "eventfd_fops",   [GUEST_FD_TIMER] = "timerfd_fops",
		[GUEST_FD_SIGNAL] = "signalfd_fops", [GUEST_FD_EPOLL] = "eventpoll_fops",
		[GUEST_FD_INOTIFY] = "inotify_fops", [GUEST_FD_PROCESS] = "pidfd_fops",
		[GUEST_FD_TERMINAL] = "ptmx_fops",   [GUEST_FD_UNIX] = "socket_file_ops",
	};
	struct error *error = load_members(guest, ret);

	if (error)
		return error;
	for (size_t i = 1; i < ARRAY_SIZE(functions); i++)
		ret->functions[i] = find(guest, functions[i]);
	ret->pidfs = find(guest, "pidfs_file_operations");
	ret->encode_default = find(guest, "generic_encode_ino32_fh"); /* 6.6 and later; before, no function */
	ret->encode_tmpfs = find(guest, "shmem_encode_fh");
	ret->encode_kernfs = find(guest, "kernfs_encode_fh");
	/* 5.14, like this name (3845f256a8b5, 2f064a59a11f). */
	ret->has_inode = types_find(guest->types, "task_struct", "__state").present;
	/* 6.5, in which this went away (dc97391e6610). */
	ret->has_semaphore = !types_find(guest->types, "proto_ops", "sendpage").present;
	return NULL;
}

DEFINE_LAYOUT_GET(, fd_layout_get, fd_layout, fds, load_layout)

/* Reads members of the structure at `object` by name. */
struct named_read {
	const char *path;
	uint64_t *ret;
};

static struct error *read_named(struct guest *guest, const char *type, uint64_t object, const struct named_read *reads,
				size_t n)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n; i++) {
		struct member member;

		error = types_need(guest->types, &(struct member_need){type, reads[i].path, &member}, 1);
		if (!error)
			error = guest_read_member(guest, (struct gva){object}, &member, reads[i].ret);
	}
	return error;
}

/* ---- Kinds ---- */

static struct error *event_info(struct guest *guest, const struct fd_layout *layout, uint64_t context,
				struct guest_fd_info *ret)
{
	uint64_t flags, id;
	const struct named_read reads[] = {{"count", &ret->count}, {"flags", &flags}, {"id", &id}};
	struct error *error = read_named(guest, "eventfd_ctx", context, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	ret->id = (int32_t)(uint32_t)id;
	ret->semaphore = flags & SEMAPHORE;
	ret->has_semaphore = layout->has_semaphore;
	return NULL;
}

/* When the guest was suspended, by the clock of a timer. */
static int64_t clock_value(const struct guest_clock *clock, int32_t which)
{
	if (which == CLOCK_WALL || which == CLOCK_WALL_RTC)
		return clock->realtime_ns;
	return (int64_t)(which == CLOCK_BOOT || which == CLOCK_BOOT_RTC ? clock->boottime_ns : clock->monotonic_ns);
}

static struct error *timer_info(struct guest *guest, const struct fd_layout *layout, uint64_t context,
				struct guest_fd_info *ret)
{
	uint64_t id, flags, interval, expires, alarm;
	const struct named_read reads[] = {
		{"clockid", &id},     {"ticks", &ret->ticks},           {"settime_flags", &flags},
		{"tintv", &interval}, {"t.tmr.node.expires", &expires}, {"t.alarm.node.expires", &alarm},
	};
	struct guest_clock clock;
	struct error *error = read_named(guest, "timerfd_ctx", context, reads, ARRAY_SIZE(reads));

	(void)layout;
	if (!error)
		error = guest_clock(guest, &clock);
	if (error)
		return error;
	ret->clock = (int32_t)(uint32_t)id;
	ret->settime_flags = (uint32_t)flags;
	ret->interval_ns = (int64_t)interval;
	if (ret->clock == CLOCK_WALL_RTC || ret->clock == CLOCK_BOOT_RTC)
		expires = alarm;
	if ((int64_t)expires > clock_value(&clock, ret->clock))
		ret->remaining_ns = (int64_t)expires - clock_value(&clock, ret->clock);
	return NULL;
}

static struct error *signal_info(struct guest *guest, const struct fd_layout *layout, uint64_t context,
				 struct guest_fd_info *ret)
{
	uint64_t mask;
	const struct named_read reads[] = {{"sigmask", &mask}};
	struct error *error = read_named(guest, "signalfd_ctx", context, reads, ARRAY_SIZE(reads));

	(void)layout;
	/* It is kept the other way round. */
	if (!error)
		ret->signals = ~mask;
	return error;
}

static struct error *process_info(struct guest *guest, const struct fd_layout *layout, uint64_t pid,
				  struct guest_fd_info *ret)
{
	struct member numbers = types_find(guest->types, "pid", "numbers"), tasks;
	uint64_t level, size = types_size(guest->types, "upid"), first = 0;
	const struct named_read reads[] = {{"level", &level}};
	struct error *error = read_named(guest, "pid", pid, reads, ARRAY_SIZE(reads));

	(void)layout;
	if (!error)
		error = types_need(guest->types, &(struct member_need){"pid", "tasks", &tasks}, 1);
	if (!error && (level >= GUEST_PID_LEVELS || !numbers.present))
		error = error_format(NULL, pid, "a process id of %llu levels", (unsigned long long)level);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){pid + tasks.offset}, &first);
	ret->process_ended = first == 0;
	for (uint32_t i = 0; !error && i <= level; i++) {
		error = memory_read_u32(&guest->memory, (struct gva){pid + numbers.offset + i * size}, &ret->pids[i]);
		ret->n_pids = i + 1;
	}
	return error;
}

static struct error *terminal_info(struct guest *guest, const struct fd_layout *layout, uint64_t private,
				   struct guest_fd_info *ret)
{
	uint64_t tty, index;
	const struct named_read of_file[] = {{"tty", &tty}};
	const struct named_read of_tty[] = {{"index", &index}};
	struct error *error = read_named(guest, "tty_file_private", private, of_file, ARRAY_SIZE(of_file));

	(void)layout;
	if (!error)
		error = read_named(guest, "tty_struct", tty, of_tty, ARRAY_SIZE(of_tty));
	if (!error)
		ret->terminal = (int32_t)(uint32_t)index;
	return error;
}

/* Descriptors on their way to the sockets that wait in a listener's queue (unix_count_nr_fds()). */
static struct error *count_waiting(struct guest *guest, uint64_t sock, const struct member *passed, uint32_t *ret)
{
	struct member queue, owner;
	const struct member_need needs[] = {{"sock", "sk_receive_queue", &queue}, {"sk_buff", "sk", &owner}};
	uint64_t next;
	uint32_t sum = 0;
	struct loop_guard guard = {0};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){sock + queue.offset}, &next);
	/* A list of buffers, linked by their first member. */
	while (!error && next != sock + queue.offset) {
		uint64_t waiting, n;

		if (!loop_guard_step(&guard, next) || guard.steps > QUEUE_MAX)
			return error_format(NULL, next, "a socket's queue does not end");
		error = guest_read_member(guest, (struct gva){next}, &owner, &waiting);
		if (!error)
			error = guest_read_member(guest, (struct gva){waiting}, passed, &n);
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
		sum += error ? 0 : (uint32_t)n;
	}
	*ret = sum;
	return error;
}

static struct error *unix_info(struct guest *guest, const struct fd_layout *layout, uint64_t socket,
			       struct guest_fd_info *ret)
{
	struct member passed = types_find(guest->types, "unix_sock", "scm_stat.nr_fds"); /* 5.8 and later */
	uint64_t sock, type, family, state, n;
	const struct named_read of_socket[] = {{"sk", &sock}, {"type", &type}};
	const struct named_read of_sock[] = {{"__sk_common.skc_family", &family}, {"__sk_common.skc_state", &state}};
	struct error *error = read_named(guest, "socket", socket, of_socket, ARRAY_SIZE(of_socket));

	if (error || !sock || !passed.present) {
		ret->kind = GUEST_FD_OTHER;
		return error;
	}
	error = read_named(guest, "sock", sock, of_sock, ARRAY_SIZE(of_sock));
	if (!error && family != FAMILY_UNIX)
		ret->kind = GUEST_FD_OTHER;
	if (error || family != FAMILY_UNIX)
		return error;
	/* Listeners count those of their queue only where the other states are told apart, too (6.1 and stable ones).
	 */
	if (state == LISTENING && type != DATAGRAM && layout->has_inode)
		return count_waiting(guest, sock, &passed, &ret->passed);
	if (type != DATAGRAM && state != ESTABLISHED && layout->has_inode)
		return NULL;
	error = guest_read_member(guest, (struct gva){sock}, &passed, &n);
	ret->passed = error ? 0 : (uint32_t)n;
	return error;
}

/* ---- All of it ---- */

static enum guest_fd_kind find_kind(const struct fd_layout *layout, uint64_t operations)
{
	if (operations && operations == layout->pidfs)
		return GUEST_FD_PROCESS;
	for (unsigned i = 1; operations && i < ARRAY_SIZE(layout->functions); i++)
		if (operations == layout->functions[i])
			return (enum guest_fd_kind)i;
	return GUEST_FD_OTHER;
}

static struct error *load_kind(struct guest *guest, const struct fd_layout *layout, uint64_t private,
			       struct guest_fd_info *ret)
{
	static struct error *(*const kinds[])(struct guest *, const struct fd_layout *, uint64_t,
					      struct guest_fd_info *) = {
		[GUEST_FD_EVENT] = event_info,           [GUEST_FD_TIMER] = timer_info,
		[GUEST_FD_SIGNAL] = signal_info,         [GUEST_FD_EPOLL] = fd_epoll_items,
		[GUEST_FD_INOTIFY] = fd_inotify_watches, [GUEST_FD_PROCESS] = process_info,
		[GUEST_FD_TERMINAL] = terminal_info,     [GUEST_FD_UNIX] = unix_info,
	};

	if (ret->kind == GUEST_FD_OTHER || !private)
		return NULL;
	return kinds[ret->kind](guest, layout, private, ret);
}

static struct error *load_file(struct guest *guest, const struct fd_layout *layout, uint64_t file,
			       struct file_facts *facts, struct guest_fd_info *ret)
{
	const struct path_layout *paths;
	uint64_t operations, private, mount;
	const struct member_read reads[] = {{&layout->operations, &operations}, {&layout->private_data, &private}};
	struct error *error = path_layout_get(guest, &paths);

	if (!error)
		error = file_read(guest, paths, file, facts);
	if (!error)
		error = guest_read_members(guest, (struct gva){file}, reads, ARRAY_SIZE(reads));
	if (!error)
		error = guest_read_member(guest, (struct gva){facts->place.mount}, &layout->mount_id, &mount);
	if (error)
		return error;
	ret->mount = (int32_t)(uint32_t)mount;
	ret->has_inode = layout->has_inode;
	ret->kind = find_kind(layout, operations);
	/* A pidfd of 6.9 and later has its process in its inode (cb12fd8e0dab). */
	if (operations == layout->pidfs && operations)
		error = guest_read_member(guest, (struct gva){facts->inode}, &paths->inode_private, &private);
	return error ? error : walk_note(&ret->incomplete, load_kind(guest, layout, private, ret));
}

struct error *guest_fd_info(struct guest *guest, uint64_t task, uint64_t file, struct guest_fd_info *ret)
{
	_cleanup_(guest_fd_info_deinit) struct guest_fd_info info = {0};
	const struct process_layout *process;
	const struct fd_layout *layout = NULL;
	struct file_facts facts;
	uint64_t files;
	struct error *error = process_layout_get(guest, &process);

	guest_effort_begin(guest);
	if (!error)
		error = fd_layout_get(guest, &layout);
	if (!error)
		error = guest_read_member(guest, (struct gva){task}, &process->task.files, &files);
	if (!error)
		error = load_file(guest, layout, file, &facts, &info);
	if (!error)
		error = walk_note(&info.incomplete, fd_locks(guest, layout, facts.inode, file, files, &info));
	if (error)
		return error_wrap(error, "an open file");
	*ret = info;
	info = (struct guest_fd_info){0};
	return NULL;
}

void guest_fd_info_deinit(struct guest_fd_info *info)
{
	free(info->items);
	free(info->watches);
	free(info->locks);
	error_destroy(info->incomplete);
	*info = (struct guest_fd_info){0};
}
