/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that are answered from the guest's memory instead of by the host's kernel. */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

/* NUL-terminated in any case: the strings come out of guest memory. */
static void set_field(char field[65], const char value[65])
{
	memcpy(field, value, 64);
	field[64] = '\0';
}

static void fill(const struct shadow *shadow, struct utsname *ret)
{
	uname(ret);
	/* The shadow's own UTS namespace has the guest's name, ours has the host's. */
	memset(ret->domainname, 0, sizeof(ret->domainname));
	strcpy(ret->nodename, "localhost");
	if (!shadow->has_uts)
		return;
	set_field(ret->sysname, shadow->uts.sysname);
	set_field(ret->nodename, shadow->uts.nodename);
	set_field(ret->release, shadow->uts.release);
	set_field(ret->version, shadow->uts.version);
	set_field(ret->machine, shadow->uts.machine);
	set_field(ret->domainname, shadow->uts.domainname);
}

/*
 * Returns the errno for the caller. Between the request and our write the caller may have died and its
 * pid may be another's: the memory is opened first, and the request checked afterwards.
 */
static int write_uts(const struct shadow *shadow, int listener, const struct seccomp_notif *request)
{
	_cleanup_(close_fd) int memory = -1;
	struct utsname uts = {0};
	uint64_t id = request->id;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/mem", request->pid);
	memory = open(path, O_WRONLY | O_CLOEXEC);
	if (memory < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0)
		return ESRCH;
	fill(shadow, &uts);
	if (request->data.args[0] > INT64_MAX ||
	    pwrite(memory, &uts, sizeof(uts), (off_t)request->data.args[0]) != (ssize_t)sizeof(uts))
		return EFAULT;
	return 0;
}

struct error *answer_one(const struct shadow *shadow, int listener)
{
	/* The kernel's structures may be longer than those this was compiled with. */
	union {
		struct seccomp_notif request;
		char space[1024];
	} in = {0};
	union {
		struct seccomp_notif_resp response;
		char space[1024];
	} out = {0};

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &in.request) < 0) {
		/* ENOENT: the caller was killed meanwhile. */
		if (errno == ENOENT || errno == EINTR || errno == EAGAIN)
			return NULL;
		return error_system(errno, NULL, "cannot receive a system call");
	}
	out.response.id = in.request.id;
	if (in.request.data.nr == SYS_uname)
		out.response.error = -write_uts(shadow, listener, &in.request);
	else
		out.response.error = -ENOSYS;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &out.response) < 0 && errno != ENOENT && errno != EINTR)
		return error_system(errno, NULL, "cannot answer a system call");
	return NULL;
}
