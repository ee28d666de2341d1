/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/fdinfo/N (fs/proc/fd.c, and the show_fdinfo of each kind of file), and /proc/locks (fs/locks.c). */
#include <inttypes.h>

#include "shadow/proc/process.h"
#include "shadow/proc/system.h"

#define CLOSE_ON_EXEC        02000000u /* O_CLOEXEC */
#define NS_PER_S             INT64_C(1000000000)

/* fl_flags (include/linux/filelock.h) */
#define FL_POSIX             UINT64_C(1)
#define FL_FLOCK             UINT64_C(2)
#define FL_DELEG             UINT64_C(4)
#define FL_ACCESS            UINT64_C(8)
#define FL_LEASE             UINT64_C(32)
#define FL_DOWNGRADE_PENDING UINT64_C(256)
#define FL_UNLOCK_PENDING    UINT64_C(512)
#define FL_OPEN_FILE         UINT64_C(1024)
#define F_READ               0
#define F_WRITE              1
#define F_NONE               2

/* ---- Locks ---- */

static const char *lock_kind(uint64_t flags)
{
	if (flags & FL_POSIX && flags & FL_ACCESS)
		return "ACCESS ADVISORY  ";
	if (flags & FL_POSIX)
		return flags & FL_OPEN_FILE ? "OFDLCK ADVISORY  " : "POSIX  ADVISORY  ";
	if (flags & FL_FLOCK)
		return "FLOCK  ADVISORY  ";
	if (!(flags & FL_LEASE))
		return "UNKNOWN UNKNOWN  ";
	if (flags & (FL_DOWNGRADE_PENDING | FL_UNLOCK_PENDING))
		return flags & FL_DELEG ? "DELEG  BREAKING  " : "LEASE  BREAKING  ";
	return flags & FL_DELEG ? "DELEG  ACTIVE    " : "LEASE  ACTIVE    ";
}

static const char *lock_type(const struct guest_file_lock *lock)
{
	int type = lock->type;

	if (lock->flags & FL_LEASE && lock->flags & FL_UNLOCK_PENDING)
		type = F_NONE;
	else if (lock->flags & FL_LEASE && lock->flags & FL_DOWNGRADE_PENDING)
		type = F_READ;
	return type == F_WRITE ? "WRITE" : type == F_READ ? "READ" : "UNLCK";
}

static void write_lock(const struct guest_file_lock *lock, FILE *out)
{
	fprintf(out, "%s%s %d %02x:%02x:%" PRIu64 " ", lock_kind(lock->flags), lock_type(lock), lock->pid,
		lock->device >> 20, lock->device & 0xfffff, lock->inode);
	if (!(lock->flags & FL_POSIX))
		fputs("0 EOF\n", out);
	else if (lock->end == INT64_MAX)
		fprintf(out, "%" PRId64 " EOF\n", lock->start);
	else
		fprintf(out, "%" PRId64 " %" PRId64 "\n", lock->start, lock->end);
}

struct error *proc_write_locks(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_lock_list_deinit) struct guest_lock_list list = {0};
	struct error *error = PROC_LIST(guest_file_locks(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_file_lock *lock = &list.items[i];

		fprintf(out, "%u: ", lock->number);
		if (lock->waits)
			fprintf(out, "%*s", (int)lock->waits + 2, "-> ");
		write_lock(lock, out);
	}
	return error;
}

/* ---- Kinds ---- */

static void write_event(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "eventfd-count: %16" PRIx64 "\neventfd-id: %d\n", info->count, info->id);
	if (info->has_semaphore)
		fprintf(out, "eventfd-semaphore: %d\n", info->semaphore);
}

static void write_timer(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "clockid: %d\nticks: %" PRIu64 "\nsettime flags: 0%o\n", info->clock, info->ticks,
		info->settime_flags);
	fprintf(out, "it_value: (%" PRId64 ", %" PRId64 ")\nit_interval: (%" PRId64 ", %" PRId64 ")\n",
		info->remaining_ns / NS_PER_S, info->remaining_ns % NS_PER_S, info->interval_ns / NS_PER_S,
		info->interval_ns % NS_PER_S);
}

static void write_signal(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "sigmask:\t%016" PRIx64 "\n", info->signals);
}

static void write_epoll(const struct guest_fd_info *info, FILE *out)
{
	for (size_t i = 0; i < info->n_items; i++) {
		const struct guest_epoll_item *item = &info->items[i];

		fprintf(out, "tfd: %8d events: %8x data: %16" PRIx64 "  pos:%" PRId64 " ino:%" PRIx64 " sdev:%x\n",
			item->fd, item->events, item->data, item->position, item->inode, item->device);
	}
}

static void write_inotify(const struct guest_fd_info *info, FILE *out)
{
	for (size_t i = 0; i < info->n_watches; i++) {
		const struct guest_watch *watch = &info->watches[i];

		fprintf(out, "inotify wd:%x ino:%" PRIx64 " sdev:%x mask:%x ignored_mask:0 ", watch->descriptor,
			watch->inode, watch->device, watch->mask);
		if (watch->handle_type)
			fprintf(out, "fhandle-bytes:%x fhandle-type:%x f_handle:", watch->handle_size,
				watch->handle_type);
		for (size_t k = 0; k < watch->handle_size; k++)
			fprintf(out, "%02x", watch->handle[k]);
		fputc('\n', out);
	}
}

static void write_process(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "Pid:\t%d", info->process_ended ? -1 : (int)info->pids[0]);
	fprintf(out, "\nNSpid:\t%d", info->process_ended ? -1 : (int)info->pids[0]);
	for (uint32_t i = 1; !info->process_ended && i < info->n_pids; i++)
		fprintf(out, "\t%u", info->pids[i]);
	fputc('\n', out);
}

static void write_terminal(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "tty-index:\t%d\n", info->terminal);
}

static void write_unix(const struct guest_fd_info *info, FILE *out)
{
	fprintf(out, "scm_fds: %u\n", info->passed);
}

static void write_kind(const struct guest_fd_info *info, FILE *out)
{
	static void (*const kinds[])(const struct guest_fd_info *, FILE *) = {
		[GUEST_FD_EVENT] = write_event,       [GUEST_FD_TIMER] = write_timer,
		[GUEST_FD_SIGNAL] = write_signal,     [GUEST_FD_EPOLL] = write_epoll,
		[GUEST_FD_INOTIFY] = write_inotify,   [GUEST_FD_PROCESS] = write_process,
		[GUEST_FD_TERMINAL] = write_terminal, [GUEST_FD_UNIX] = write_unix,
	};

	if (info->kind != GUEST_FD_OTHER)
		kinds[info->kind](info, out);
}

struct error *proc_write_fdinfo(const struct proc_facts *facts, const struct guest_task *task,
				const struct guest_fd *fd, FILE *out)
{
	uint32_t flags = (fd->flags & ~CLOSE_ON_EXEC) | (fd->close_on_exec ? CLOSE_ON_EXEC : 0);
	struct guest_fd_info info;
	struct error *error = guest_fd_info(facts->guest, task->address, fd->file, &info);

	if (error)
		return error;
	fprintf(out, "pos:\t%" PRId64 "\nflags:\t0%o\nmnt_id:\t%d\n", (int64_t)fd->position, flags, info.mount);
	if (info.has_inode)
		fprintf(out, "ino:\t%" PRIu64 "\n", fd->inode);
	for (size_t i = 0; i < info.n_locks; i++) {
		fprintf(out, "lock:\t%zu: ", i + 1);
		write_lock(&info.locks[i], out);
	}
	write_kind(&info, out);
	/* What could be read is worth more than nothing. */
	guest_fd_info_deinit(&info);
	return NULL;
}
