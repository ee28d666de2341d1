/* SPDX-License-Identifier: Apache-2.0 */
/* Init's part of /proc: the mounts. Who answers is another process (proc/server.h). */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shadow/internal.h"
#include "shadow/setup.h"

#define HARMLESS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

struct option {
	const char *key, *value; /* NULL: a flag */
};

static struct error *make(const char *type, const struct option *options, size_t n, int *ret)
{
	_cleanup_(close_fd) int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return error_system(errno, NULL, "cannot use the file system %s", type);
	for (size_t i = 0; i < n; i++)
		if (fsconfig(fs, options[i].value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[i].key,
			     options[i].value, 0) < 0)
			return error_system(errno, NULL, "cannot set option %s of %s", options[i].key, type);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, NULL, "cannot create a file system %s", type);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, HARMLESS);
	if (fd < 0)
		return error_system(errno, NULL, "cannot mount a file system %s", type);
	*ret = fd;
	return NULL;
}

/*
 * The real procfs that magic links lead into: nothing but processes is in it, and of these only such as the one who
 * looks may trace.
 */
static struct error *make_own(int *ret)
{
	static const struct option options[] = {{"subset", "pid"}, {"hidepid", "ptraceable"}};

	return error_remedy(make("proc", options, ARRAY_SIZE(options), ret), "Linux 5.8 or newer is needed");
}

/* Its pid namespace is that of the process that makes it: in its numbers the server hears who asks. */
static struct error *make_fuse(int fuse_fd, int *ret)
{
	char fd[16], id[16];
	const struct option options[] = {{"source", "proc"},
					 {"fd", fd},
					 {"rootmode", "40555"},
					 {"user_id", id},
					 {"group_id", id},
					 {"allow_other", NULL},
					 {"default_permissions", NULL}};

	snprintf(fd, sizeof(fd), "%d", fuse_fd);
	snprintf(id, sizeof(id), "%u", SHADOW_ID_BASE);
	return make("fuse", options, ARRAY_SIZE(options), ret);
}

static struct error *send_descriptor(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} space = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {"", 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};

	memcpy(CMSG_DATA(&space.header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		return error_system(errno, NULL, "cannot reach the server of /proc");
	return NULL;
}

struct error *setup_proc(struct setup_state *state, const char *path)
{
	const struct setup *setup = state->setup;
	_cleanup_(close_fd) int own = -1, fuse = -1;
	struct error *error = make_own(&own);

	if (!error)
		error = make_fuse(setup->fuse_fd, &fuse);
	/* The server has nothing to serve yet, and so no reason to wait for us. */
	if (!error)
		error = send_descriptor(setup->proc_socket, own);
	if (!error)
		error = setup_attach(state->root, fuse, path);
	if (!error)
		error = setup_attach(state->root, own, "/proc/.own");
	return error ? error : pids_begin_above(setup->shadow->highest_pid);
}
