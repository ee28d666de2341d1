/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of the shadow's processes: none is one of the guest's. They begin above the highest; where so many could
 * be used that they would begin anew, a process holds those of the guest, so that the kernel gives them to nobody.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

/* Own numbers begin at a multiple of it: they are told from the guest's at a glance. */
#define PIDS_ROUND 1000u
/* Processes of one run that are certain not to come round; a full upgrade starts some ten thousand. */
#define PIDS_ROOM  2000000u

/* A procfs of the calling process's pid namespace that nobody else sees. */
static struct error *open_sysctls(int *ret)
{
	_cleanup_(close_fd) int fs = fsopen("proc", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, NULL, "cannot use procfs");
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (fd < 0)
		return error_system(errno, NULL, "cannot mount procfs");
	*ret = fd;
	return NULL;
}

/* The number that this namespace's processes stay below. */
static struct error *read_pid_max(int procfs, uint32_t *ret)
{
	_cleanup_(close_fd) int fd = openat(procfs, "sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return error_system(errno, "sys/kernel/pid_max", "cannot read");
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return NULL;
}

static uint32_t first_above(uint32_t highest)
{
	return (highest / PIDS_ROUND + 1) * PIDS_ROUND;
}

struct error *pids_begin_above(uint32_t highest)
{
	_cleanup_(close_fd) int procfs = -1, fd = -1;
	uint32_t first = first_above(highest), max;
	struct error *error = open_sysctls(&procfs);
	char text[16];

	if (!error)
		error = read_pid_max(procfs, &max);
	/* The guest's numbers are held: any other will do. */
	if (error || first >= max)
		return error;
	fd = openat(procfs, "sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "sys/kernel/ns_last_pid", "cannot open");
	snprintf(text, sizeof(text), "%u\n", first - 1);
	return io_write(fd, text, strlen(text), "sys/kernel/ns_last_pid");
}

static bool may_come_round(uint32_t highest, uint32_t max)
{
	return max < PIDS_ROOM || first_above(highest) > max - PIDS_ROOM;
}

size_t pids_held_max(const struct guest_task_list *tasks, uint32_t highest)
{
	_cleanup_(free_ptr) char *text = NULL;
	/* From Linux 6.14 on that is the host's limit, which is less than the namespace's or the same. */
	struct error *error = io_read_file("/proc/sys/kernel/pid_max", 64, &text, NULL);
	uint32_t max = error ? 0 : (uint32_t)strtoul(text, NULL, 10);

	error_destroy(error);
	return may_come_round(highest, max) ? tasks->n : 0;
}

/* fork() with a chosen number. The kernel lets the host's root choose (CAP_SYS_ADMIN). */
static pid_t fork_as(uint32_t pid)
{
	pid_t number = (pid_t)pid;
	struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static struct error *hold_rest(const struct guest_task_list *tasks, uint32_t max)
{
	for (size_t i = 0; i < tasks->n; i++) {
		uint32_t number = tasks->items[i].pid;
		pid_t pid;

		if (number <= 1 || number >= max)
			continue;
		pid = fork_as(number);
		/* A process that nobody waits for keeps its number. */
		if (pid == 0)
			_exit(0);
		/* The one that holder itself has. */
		if (pid < 0 && errno != EEXIST)
			return error_system(errno, NULL, "cannot hold process number %u", number);
	}
	return NULL;
}

struct error *pids_hold(const struct guest_task_list *tasks, uint32_t highest, bool *ret)
{
	_cleanup_(close_fd) int procfs = -1;
	struct error *error = open_sysctls(&procfs);
	uint32_t max = 0;
	bool needed;

	if (!error)
		error = read_pid_max(procfs, &max);
	if (error)
		return error;
	needed = may_come_round(highest, max);
	if (needed)
		error = hold_rest(tasks, max);
	if (!error)
		*ret = needed;
	return error;
}

pid_t pids_fork_holder(const struct guest_task_list *tasks)
{
	for (size_t i = 0; i < tasks->n; i++) {
		pid_t pid = tasks->items[i].pid > 1 ? fork_as(tasks->items[i].pid) : -1;

		/* A number above what this kernel gives: the next. */
		if (pid >= 0 || (tasks->items[i].pid > 1 && errno != EINVAL))
			return pid;
	}
	/* The guest has its first process and no other. */
	errno = ENOENT;
	return -1;
}
