/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Actions that are data: no shell and, but for modprobe, which knows what a module needs, no program. Each is checked
 * against the guest as it is now.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "apply/act.h"
#include "apply/run.h"
#include "base/io.h"

#define MODULE_TIMEOUT_MS 90000
#define CLOCK_TICKS       100 /* USER_HZ: what /proc/PID/stat counts in */

struct error *outcome_fail(struct outcome *ret, int errnum, const char *what)
{
	ret->status = 1;
	ret->output = string_format("%s: %s", what, strerror(errnum));
	return ret->output ? NULL : error_no_memory();
}

/* Ticks since the boot at which the process began: word 22 of its stat, of which the second may hold anything. */
static bool read_start(uint32_t pid, uint64_t *ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	char path[64], *p;
	size_t size;
	struct error *error;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	error = io_read_file(path, 4096, &text, &size);
	error_destroy(error);
	p = error ? NULL : strrchr(text, ')');
	for (unsigned word = 2; p && word < 22; word++)
		p = strchr(p + 1, ' ');
	if (!p)
		return false;
	*ret = strtoull(p, NULL, 10);
	return true;
}

/* By a descriptor, so that the process that was looked at is the one that gets it (5.1; 5.3 for the descriptor). */
static int send_signal(int pidfd, const struct action *action)
{
	siginfo_t info = {.si_signo = action->signal, .si_code = SI_QUEUE};

	info.si_value.sival_int = action->value;
	info.si_pid = getpid();
	if (pidfd < 0)
		return kill((pid_t)action->pid, action->signal);
	return (int)syscall(SYS_pidfd_send_signal, pidfd, action->signal, action->queued ? &info : NULL, 0);
}

const char *process_gone(const struct action *action)
{
	uint64_t start;

	if (!read_start(action->pid, &start))
		return "the process has ended";
	return start == action->start_ns / (1000000000 / CLOCK_TICKS) ? NULL : "another process has its number now";
}

static struct error *act_signal(const struct action *action, struct outcome *ret)
{
	_cleanup_(close_fd) int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)action->pid, 0);

	ret->skipped = process_gone(action);
	if (ret->skipped || send_signal(pidfd, action) == 0)
		return NULL;
	if (errno != ESRCH)
		return outcome_fail(ret, errno, "cannot send the signal");
	ret->skipped = "the process has ended";
	return NULL;
}

/* Files of the kernel alone: a path below /sys may lead to something else by now. */
static bool is_kernels(int fd)
{
	static const unsigned long types[] = {PROC_SUPER_MAGIC,    SYSFS_MAGIC,   CGROUP_SUPER_MAGIC,
					      CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
					      SECURITYFS_MAGIC,    SELINUX_MAGIC, 0x62656570 /* configfs */};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((unsigned long)fs.f_type == types[i])
			return true;
	return false;
}

static struct error *act_write(const struct action *action, struct outcome *ret)
{
	_cleanup_(close_fd) int fd = open(action->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		ret->skipped = "the guest has no such file";
		return NULL;
	}
	if (fd < 0)
		return outcome_fail(ret, errno, "cannot open");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_kernels(fd)) {
		ret->skipped = "it is no file of the kernel";
		return NULL;
	}
	return write(fd, action->data, action->size) < 0 ? outcome_fail(ret, errno, "cannot write") : NULL;
}

static struct error *load_module(const struct action *action, struct outcome *ret)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	_cleanup_(free_ptr) char **argv = NULL;
	size_t n = 0;
	struct error *error;

	while (action->argv[n])
		n++;
	argv = calloc(n + 3, sizeof(*argv));
	if (!argv)
		return error_no_memory();
	argv[0] = (char *)"modprobe";
	argv[1] = (char *)"--";
	memcpy(argv + 2, action->argv, n * sizeof(*argv));
	error = run(argv, MODULE_TIMEOUT_MS, &result);
	if (error)
		return error;
	ret->status = result.status;
	ret->output = take_ptr(result.output);
	return NULL;
}

static struct error *unload_module(const struct action *action, struct outcome *ret)
{
	if (syscall(SYS_delete_module, action->argv[0], O_NONBLOCK) == 0)
		return NULL;
	if (errno == ENOENT)
		ret->skipped = "the module is not loaded";
	return ret->skipped ? NULL : outcome_fail(ret, errno, "cannot unload the module");
}

static int do_mount(const struct action *action)
{
	int flags = (int)action->flags;

	if (!strcmp(action->verb, "mount"))
		return mount(*action->argv[0] ? action->argv[0] : NULL, action->path,
			     *action->argv[1] ? action->argv[1] : NULL, action->flags,
			     *action->argv[2] ? action->argv[2] : NULL);
	if (!strcmp(action->verb, "umount"))
		return umount2(action->path, flags);
	return !strcmp(action->verb, "swapon") ? swapon(action->path, flags) : swapoff(action->path);
}

static struct error *act_mount(const struct action *action, struct outcome *ret)
{
	if (do_mount(action) == 0)
		return NULL;
	if (errno == EBUSY && (!strcmp(action->verb, "mount") || !strcmp(action->verb, "swapon")))
		ret->skipped = "it is in use there already";
	else if (errno == EINVAL && (!strcmp(action->verb, "umount") || !strcmp(action->verb, "swapoff")))
		ret->skipped = "nothing is mounted there";
	else if (errno == ENOENT)
		ret->skipped = "the guest has no such path";
	return ret->skipped ? NULL : outcome_fail(ret, errno, action->path);
}

struct error *act_data(const struct action *action, struct outcome *ret)
{
	switch (action->kind) {
	case ACTION_SIGNAL:
		return act_signal(action, ret);
	case ACTION_WRITE:
		return act_write(action, ret);
	case ACTION_MODULE:
		return strcmp(action->verb, "load") ? unload_module(action, ret) : load_module(action, ret);
	case ACTION_MOUNT:
		return act_mount(action, ret);
	case ACTION_SYSTEMD:
	case ACTION_COMMAND:
	case ACTION_RUNTIME:
		break;
	}
	return error_create(ERROR_FAILED, "an action of kind %d is no data", action->kind);
}
