/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/refusals.h"

#include <linux/loop.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>

#include "shadow/need.h"

/* A program must hear "not permitted" (EPERM), where most need privileges that it does not have either; or that there
 * is no such call (ENOSYS), which is what the list of allowed calls says by itself. */
#define WHOLE(name, errnum, why)                                                                                       \
	{                                                                                                              \
		name, errnum, why, 0, 0, 0                                                                             \
	}
#define FLAG(name, flag)                                                                                               \
	{                                                                                                              \
		name, EPERM, "makes a namespace", 0, flag, flag                                                        \
	}
#define IOCTL(number, why)                                                                                             \
	{                                                                                                              \
		"ioctl", EPERM, why, 1, UINT32_MAX, number                                                             \
	}

static const char accounts[] = "turns accounting of processes on or off";
static const char clock[] = "sets the clock";
static const char console[] = "sets up a console";
static const char fanotify[] = "watches file systems (fanotify)";
static const char handle[] = "opens a file by its handle";
static const char kernel[] = "loads a kernel to boot";
static const char keys[] = "uses the kernel's keyrings";
static const char loads[] = "loads a program into the kernel (bpf)";
static const char loops[] = "sets up a loop device";
static const char mounts[] = "changes mounts";
static const char namespaces[] = "enters another namespace";
static const char other[] = "looks into another process";
static const char pages[] = "moves the memory of a process";
static const char performance[] = "measures performance (perf)";
static const char ports[] = "uses ports of the hardware";
static const char quota[] = "sets or reads quotas";
static const char asynchronous[] = "uses asynchronous input and output of the kernel";
static const char faults[] = "handles page faults";
static const char terminal[] = "hangs up its terminal";

const struct refusal refusals[] = {
	WHOLE("acct", EPERM, accounts),
	WHOLE("bpf", EPERM, loads),
	WHOLE("clock_settime", EPERM, clock),
	WHOLE("settimeofday", EPERM, clock),
	WHOLE("fanotify_init", EPERM, fanotify),
	WHOLE("fanotify_mark", EPERM, fanotify),
	/* libmount (util-linux 2.39 and newer) takes mount(2) where these do not exist: that one can be recorded. */
	WHOLE("fsconfig", ENOSYS, mounts),
	WHOLE("fsmount", ENOSYS, mounts),
	WHOLE("fsopen", ENOSYS, mounts),
	WHOLE("fspick", ENOSYS, mounts),
	WHOLE("mount_setattr", ENOSYS, mounts),
	WHOLE("move_mount", ENOSYS, mounts),
	WHOLE("open_tree", ENOSYS, mounts),
	WHOLE("pivot_root", EPERM, mounts),
	WHOLE("ioperm", EPERM, ports),
	WHOLE("iopl", EPERM, ports),
	WHOLE("kcmp", EPERM, other),
	WHOLE("pidfd_getfd", EPERM, other),
	WHOLE("process_madvise", EPERM, other),
	WHOLE("process_vm_readv", EPERM, other),
	WHOLE("process_vm_writev", EPERM, other),
	WHOLE("ptrace", EPERM, other),
	WHOLE("kexec_file_load", EPERM, kernel),
	WHOLE("kexec_load", EPERM, kernel),
	WHOLE("open_by_handle_at", EPERM, handle),
	WHOLE("perf_event_open", EPERM, performance),
	WHOLE("quotactl", EPERM, quota),
	WHOLE("quotactl_fd", EPERM, quota),
	WHOLE("setns", EPERM, namespaces),
	WHOLE("vhangup", EPERM, terminal),
	WHOLE("add_key", ENOSYS, keys),
	WHOLE("keyctl", ENOSYS, keys),
	WHOLE("request_key", ENOSYS, keys),
	WHOLE("io_setup", ENOSYS, asynchronous),
	WHOLE("io_uring_setup", ENOSYS, asynchronous),
	WHOLE("migrate_pages", ENOSYS, pages),
	WHOLE("move_pages", ENOSYS, pages),
	WHOLE("userfaultfd", ENOSYS, faults),
	FLAG("clone", CLONE_NEWNS),
	FLAG("clone", CLONE_NEWCGROUP),
	FLAG("clone", CLONE_NEWUTS),
	FLAG("clone", CLONE_NEWIPC),
	FLAG("clone", CLONE_NEWUSER),
	FLAG("clone", CLONE_NEWPID),
	FLAG("clone", CLONE_NEWNET),
	FLAG("unshare", CLONE_NEWNS),
	FLAG("unshare", CLONE_NEWCGROUP),
	FLAG("unshare", CLONE_NEWUTS),
	FLAG("unshare", CLONE_NEWIPC),
	FLAG("unshare", CLONE_NEWUSER),
	FLAG("unshare", CLONE_NEWPID),
	FLAG("unshare", CLONE_NEWNET),
	/* For unshare alone; in clone this bit belongs to the signal. */
	FLAG("unshare", CLONE_NEWTIME),
	IOCTL(TIOCSTI, console),
	IOCTL(TIOCLINUX, console),
	IOCTL(TIOCSETD, console),
	IOCTL(TIOCCONS, console),
	/* The guest's disk is a loop device: letting go of its file (LOOP_CLR_FD) would free it for others of the host.
	 */
	{"ioctl", EPERM, loops, 1, 0xffffff00, LOOP_SET_FD},
};
const size_t n_refusals = ARRAY_SIZE(refusals);

int refusal_call(const struct refusal *refusal)
{
	return seccomp_syscall_resolve_name(refusal->name);
}

bool refusal_stands(const struct refusal *refusal)
{
	return refusal->mask ? DEFENCE("arguments") : DEFENCE(refusal->name);
}

static bool applies(const struct refusal *refusal, const struct answer_call *call)
{
	return refusal_call(refusal) == call->request->data.nr &&
	       ((uint32_t)call->args[refusal->argument] & refusal->mask) == refusal->value;
}

bool refusal_answer(struct answer_call *call, int *ret_errnum)
{
	for (size_t i = 0; call->shadow->note_refusals && i < n_refusals; i++) {
		if (!applies(&refusals[i], call))
			continue;
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL, "%s", refusals[i].why);
		*ret_errnum = refusals[i].errnum;
		return true;
	}
	return false;
}
