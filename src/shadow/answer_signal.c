/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals to the guest's processes: checked as its kernel would check them, written down, and not sent. A process that
 * was "killed" therefore goes on sleeping there.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/array.h"
#include "base/io.h"
#include "shadow/answer.h"

/* In <linux/pidfd.h>. */
#define OPEN_NONBLOCK 04000u /* PIDFD_NONBLOCK */
#define OPEN_THREAD   0200u  /* PIDFD_THREAD, 6.9 */

/* Guest processes of which a run may hold descriptors. */
#define PIDFDS_MAX    1024u

#define LAST_SIGNAL   64

const struct guest_task *answer_task(const struct answer_call *call, uint32_t pid)
{
	return guest_task_list_find(&call->shadow->threads, pid);
}

static bool may_signal(const struct answer_caller *caller, const struct guest_task *task)
{
	return answer_capable(caller, CAP_KILL) || caller->euid == task->suid || caller->euid == task->uid ||
	       caller->uid == task->suid || caller->uid == task->uid;
}

/* Nothing happens to a kernel thread, nor to what has ended. */
static bool takes_notice(const struct guest_task *task)
{
	return !task->kernel_thread && task->state != 'Z' && task->state != 'X';
}

/*
 * `value` is sigqueue(3)'s or NULL. A signal to one thread is one to its process: who it was meant for may be gone by
 * then. When it began goes with it, so that no other process ever gets it.
 */
static int record(struct answer_call *call, int number, const struct guest_task *process, const int *value)
{
	const struct action action = {.kind = ACTION_SIGNAL,
				      .pid = process->tgid,
				      .start_ns = process->start_ns,
				      .signal = number,
				      .queued = value != NULL,
				      .value = value ? *value : 0};
	int errnum = answer_record_action(call, &action);

	if (errnum == 0)
		answer_sleeps_note(call);
	return errnum;
}

/* A signal to one task, of which only its process `tgid` is meant if that is not 0. */
static int signal_task(struct answer_call *call, uint32_t pid, uint32_t tgid, int number, const int *value)
{
	const struct guest_task *task = answer_task(call, pid);
	struct answer_caller caller;
	int errnum;

	if (!task || (tgid && task->tgid != tgid))
		return ESRCH;
	if (number < 0 || number > LAST_SIGNAL)
		return EINVAL;
	errnum = answer_caller(call, &caller);
	if (errnum)
		return errnum;
	if (!may_signal(&caller, task))
		return EPERM;
	if (number == 0 || !takes_notice(task))
		return 0;
	task = answer_task(call, task->tgid);
	return task ? record(call, number, task, value) : ESRCH;
}

static bool is_in_group(const struct guest_task *task, uint32_t group)
{
	return task->pgid == group && task->pid == task->tgid;
}

/* To each process of the group that takes notice: the group's number may be another's by then, too. */
static int record_group(struct answer_call *call, const struct answer_caller *caller, uint32_t group, int number)
{
	const struct guest_task_list *list = &call->shadow->threads;
	int errnum = 0;

	for (size_t i = 0; i < list->n && !errnum; i++) {
		const struct guest_task *task = &list->items[i];

		if (is_in_group(task, group) && may_signal(caller, task) && takes_notice(task))
			errnum = record(call, number, task, NULL);
	}
	return errnum;
}

static int signal_group(struct answer_call *call, uint32_t group, int number)
{
	const struct guest_task_list *list = &call->shadow->threads;
	bool found = false, permitted = false;
	struct answer_caller caller;
	int errnum = answer_caller(call, &caller);

	if (errnum)
		return errnum;
	for (size_t i = 0; i < list->n && !permitted; i++) {
		if (!is_in_group(&list->items[i], group))
			continue;
		found = true;
		permitted = may_signal(&caller, &list->items[i]);
	}
	if (!found)
		return ESRCH;
	if (number < 0 || number > LAST_SIGNAL)
		return EINVAL;
	if (!permitted)
		return EPERM;
	return number == 0 ? 0 : record_group(call, &caller, group, number);
}

int answer_kill(struct answer_call *call)
{
	int32_t target = (int32_t)call->args[0];
	int number = (int)call->args[1];

	return target < 0 ? signal_group(call, -(uint32_t)target, number)
			  : signal_task(call, (uint32_t)target, 0, number, NULL);
}

int answer_tkill(struct answer_call *call)
{
	return signal_task(call, (uint32_t)call->args[0], 0, (int)call->args[1], NULL);
}

int answer_tgkill(struct answer_call *call)
{
	int32_t tid = (int32_t)call->args[1];

	if (tid <= 0)
		return EINVAL;
	return signal_task(call, (uint32_t)tid, (uint32_t)call->args[0], (int)call->args[2], NULL);
}

/* The value that a siginfo_t of the caller carries. One that pretends to come from the kernel is refused. */
static int read_value(struct answer_call *call, uint64_t address, int *ret)
{
	siginfo_t info;
	int errnum = answer_read(call, address, &info, sizeof(info));

	if (errnum)
		return errnum;
	if (info.si_code >= 0 || info.si_code == SI_TKILL)
		return EPERM;
	*ret = info.si_value.sival_int;
	return 0;
}

int answer_rt_sigqueueinfo(struct answer_call *call)
{
	int value, errnum = read_value(call, call->args[2], &value);

	return errnum ? errnum : signal_task(call, (uint32_t)call->args[0], 0, (int)call->args[1], &value);
}

int answer_rt_tgsigqueueinfo(struct answer_call *call)
{
	int32_t tid = (int32_t)call->args[1];
	int value, errnum;

	if (tid <= 0)
		return EINVAL;
	errnum = read_value(call, call->args[3], &value);
	return errnum ? errnum : signal_task(call, (uint32_t)tid, (uint32_t)call->args[0], (int)call->args[2], &value);
}

/* ---- Descriptors of processes ---- */

/*
 * What the shadow's programs get for a guest's process: an eventfd that nobody writes to. It never becomes
 * readable, as a pidfd does not while its process lives. The kernel numbers eventfds, and tells the number in
 * /proc/PID/fdinfo: so one is known again. There is one for each process; it is kept open, or its number would be
 * given to another.
 */
struct answer_pidfds {
	struct pidfd {
		uint32_t pid;
		int fd;
		unsigned long long id; /* "eventfd-id" */
	} * items;
	size_t n;
};

void answer_pidfds_destroy(struct answer_pidfds *pidfds)
{
	if (!pidfds)
		return;
	for (size_t i = 0; i < pidfds->n; i++)
		close(pidfds->items[i].fd);
	free(pidfds->items);
	free(pidfds);
}

static bool parse_id(int fdinfo, unsigned long long *ret)
{
	char text[512];
	ssize_t n = fdinfo < 0 ? -1 : read(fdinfo, text, sizeof(text) - 1);
	const char *line;

	if (n <= 0)
		return false;
	text[n] = '\0';
	line = strstr(text, "\neventfd-id:");
	return line && sscanf(line, "\neventfd-id: %llu", ret) == 1;
}

static bool eventfd_id(int fd, unsigned long long *ret)
{
	_cleanup_(close_fd) int info = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	return parse_id(info, ret);
}

/* The one for `pid`, made where there is none yet; NULL: none can be had. */
static struct pidfd *get_pidfd(struct answers *answers, uint32_t pid)
{
	struct answer_pidfds *pidfds = answers->pidfds;
	struct pidfd made = {.pid = pid};
	struct error *error;

	if (!pidfds)
		pidfds = answers->pidfds = calloc(1, sizeof(*pidfds));
	if (!pidfds)
		return NULL;
	for (size_t i = 0; i < pidfds->n; i++)
		if (pidfds->items[i].pid == pid)
			return &pidfds->items[i];
	if (pidfds->n >= PIDFDS_MAX)
		return NULL;
	error = array_room(&pidfds->items, pidfds->n, sizeof(*pidfds->items));
	if (error) {
		error_destroy(error);
		return NULL;
	}
	made.fd = eventfd(0, EFD_CLOEXEC);
	if (made.fd < 0)
		return NULL;
	if (!eventfd_id(made.fd, &made.id)) {
		close(made.fd);
		return NULL;
	}
	pidfds->items[pidfds->n] = made;
	return &pidfds->items[pidfds->n++];
}

int answer_pidfd_open(struct answer_call *call)
{
	const struct guest_task *task = answer_task(call, (uint32_t)call->args[0]);
	struct seccomp_notif_addfd add = {
		.id = call->request->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .newfd_flags = O_CLOEXEC};
	uint32_t flags = (uint32_t)call->args[1];
	struct pidfd *pidfd;

	if (flags & ~(OPEN_NONBLOCK | OPEN_THREAD))
		return EINVAL;
	if (!task)
		return ESRCH;
	if (task->pid != task->tgid && !(flags & OPEN_THREAD))
		return EINVAL;
	pidfd = get_pidfd(call->answers, task->pid);
	if (!pidfd)
		return EMFILE;
	add.srcfd = (uint32_t)pidfd->fd;
	if (ioctl(call->answers->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		return errno == ENOENT ? ESRCH : errno;
	call->sent = true;
	return 0;
}

/* The N of a descriptor of the directory /proc/N, which Linux takes in place of a pidfd; 0: it is none. */
static uint32_t process_directory(struct answer_call *call, int fd)
{
	_cleanup_(close_fd) int descriptors = answer_open_proc(call, "fd", O_RDONLY | O_DIRECTORY);
	char name[16], path[64];
	unsigned pid;
	ssize_t n;
	int end;

	snprintf(name, sizeof(name), "%d", fd);
	n = descriptors < 0 ? -1 : readlinkat(descriptors, name, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return sscanf(path, "/proc/%u%n", &pid, &end) == 1 && !path[end] ? pid : 0;
}

int answer_pidfd_send_signal(struct answer_call *call)
{
	struct answer_pidfds *pidfds = call->answers->pidfds;
	_cleanup_(close_fd) int info = -1;
	unsigned long long id;
	char path[32];
	uint32_t pid;

	snprintf(path, sizeof(path), "fdinfo/%d", (int)call->args[0]);
	info = answer_open_proc(call, path, O_RDONLY);
	if (parse_id(info, &id))
		for (size_t i = 0; pidfds && i < pidfds->n; i++)
			if (pidfds->items[i].id == id)
				return signal_task(call, pidfds->items[i].pid, 0, (int)call->args[1], NULL);
	pid = process_directory(call, (int)call->args[0]);
	if (answer_task(call, pid))
		return signal_task(call, pid, 0, (int)call->args[1], NULL);
	/* The kernel does not know ours for those of a procfs: killall then calls kill(). */
	if (pid)
		return ENOSYS;
	/* A process of the shadow's own. */
	call->proceed = true;
	return 0;
}
