/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts and swap. A program that mounts reads there next: only file systems of the kernel, which hold nothing that a
 * script needs, and changes of flags are written down and answered as done. The rest is refused.
 */
#include <linux/capability.h>
#include <string.h>
#include <sys/mount.h>

#include "shadow/answer.h"
#include "shadow/need.h"

#define OPTIONS_MAX 1024u

static int check(struct answer_call *call)
{
	struct answer_caller caller;
	int errnum = answer_caller(call, &caller);

	if (errnum)
		return errnum;
	return answer_capable(&caller, CAP_SYS_ADMIN) && call->shadow->guest ? 0 : EPERM;
}

/* Where a path of the caller leads in the guest's tree. */
static int read_path(struct answer_call *call, uint64_t address, char ret[PATH_MAX])
{
	_cleanup_(close_fd) int fd = -1;
	char path[PATH_MAX];
	int errnum = answer_read_string(call, address, path, sizeof(path), ENAMETOOLONG);

	if (errnum)
		return errnum;
	fd = answer_open_path(call, AT_FDCWD, path);
	return fd >= 0 && answer_path_of(fd, ret) ? 0 : ENOENT;
}

/* An absent one is "". */
static int read_optional(struct answer_call *call, uint64_t address, char *ret, size_t size)
{
	ret[0] = '\0';
	return address ? answer_read_string(call, address, ret, size, EINVAL) : 0;
}

static bool is_kernels(const char *type)
{
	static const char *const types[] = {"binfmt_misc", "bpf",    "cgroup",     "cgroup2", "configfs",  "debugfs",
					    "fusectl",     "mqueue", "pstore",     "tracefs", "hugetlbfs", "efivarfs",
					    "securityfs",  "proc",   "rpc_pipefs", "nfsd",    "sysfs"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* What the sleeping kernel has mounted there; without its table everything is believed. */
static bool is_mounted(const struct shadow *shadow, const char *target)
{
	for (size_t i = 0; i < shadow->mounts.n; i++)
		if (!strcmp(shadow->mounts.items[i].target, target))
			return true;
	return shadow->mounts.n == 0;
}

int answer_mount(struct answer_call *call)
{
	char source[PATH_MAX], target[PATH_MAX], type[64], options[OPTIONS_MAX];
	char *argv[] = {source, type, options, NULL};
	const struct action action = {
		.kind = ACTION_MOUNT, .verb = (char *)"mount", .argv = argv, .flags = call->args[3], .path = target};
	int errnum = check(call);

	if (!errnum)
		errnum = read_path(call, call->args[1], target);
	if (!errnum)
		errnum = read_optional(call, call->args[0], source, sizeof(source));
	if (!errnum)
		errnum = read_optional(call, call->args[2], type, sizeof(type));
	if (!errnum)
		errnum = read_optional(call, call->args[4], options, sizeof(options));
	if (errnum)
		return errnum;
	if (call->args[3] & (MS_BIND | MS_MOVE | MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE) ||
	    (!(call->args[3] & MS_REMOUNT) && !is_kernels(type))) {
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, target, "mounts something at %s",
			  target);
		return EPERM;
	}
	if (call->args[3] & MS_REMOUNT && !is_mounted(call->shadow, target))
		return EINVAL;
	return answer_record_action(call, &action);
}

static int record_path(struct answer_call *call, const char *verb, uint64_t flags)
{
	char path[PATH_MAX];
	const struct action action = {.kind = ACTION_MOUNT, .verb = (char *)verb, .path = path, .flags = flags};
	int errnum = check(call);

	if (!errnum)
		errnum = read_path(call, call->args[0], path);
	/* Nothing there: refused as all is that cannot be recorded. */
	if (errnum == ENOENT)
		return EPERM;
	return errnum ? errnum : answer_record_action(call, &action);
}

/* What was mounted there would still be seen. */
int answer_umount2(struct answer_call *call)
{
	need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL, "unmounts something");
	return EPERM;
}

int answer_swapon(struct answer_call *call)
{
	return record_path(call, "swapon", (uint32_t)call->args[1]);
}

int answer_swapoff(struct answer_call *call)
{
	return record_path(call, "swapoff", 0);
}
