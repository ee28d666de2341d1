/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side: the process that reads the file system, and the mount that asks it. */
#include "disk/ext4/ext4.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/io.h"
#include "base/process.h"
#include "disk/ext4/confined.h"

static int set_string(int context, const char *key, const char *value)
{
	return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0);
}

/* The kernel asks its first question at once, and the server answers it when it comes to it. */
static struct error *make_mount(int fuse_fd, const char *name, int *ret)
{
	_cleanup_(close_fd) int context = fsopen("fuse", FSOPEN_CLOEXEC);
	char number[16];
	int fd = -1;

	snprintf(number, sizeof(number), "%d", fuse_fd);
	if (context >= 0 && set_string(context, "source", name) == 0 && set_string(context, "subtype", "ext4") == 0 &&
	    set_string(context, "fd", number) == 0 && set_string(context, "rootmode", "40000") == 0 &&
	    set_string(context, "user_id", "0") == 0 && set_string(context, "group_id", "0") == 0 &&
	    fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) == 0 &&
	    fsconfig(context, FSCONFIG_SET_FLAG, "allow_other", NULL, 0) == 0 &&
	    fsconfig(context, FSCONFIG_SET_FLAG, "default_permissions", NULL, 0) == 0 &&
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (fd < 0)
		return error_remedy(error_system(errno, NULL, "mount a FUSE file system"),
				    "load the module fuse, or take --disk=kernel for a guest that you trust");
	*ret = fd;
	return NULL;
}

/* What the server has to say before it serves: nothing, or why it does not. */
static struct error *wait_ready(int socket)
{
	struct confined_report report;
	struct error *error;
	ssize_t n;

	do
		n = recv(socket, &report, sizeof(report), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(report))
		return error_create(ERROR_FAILED, "the reader of the file system ended at once");
	/* Whose words these are has read the image. */
	report.text[sizeof(report.text) - 1] = 0;
	if (report.code == 0)
		return NULL;
	if (report.code < 0 || report.code >= ERROR_CODE_MAX)
		return error_create(ERROR_FAILED, "the reader of the file system makes no sense");
	error = error_create((enum error_code)report.code, "%s", report.text);
	return report.code == ERROR_UNSUPPORTED ? error_remedy(error, "if you trust the guest: --disk=kernel") : error;
}

static struct error *start(const struct ext4_mount_options *options, int fuse_fd, int *ret_socket, pid_t *ret)
{
	struct confined_options child = {
		.mount = options,
		.fuse_fd = fuse_fd,
		.parent = getpid(),
		.threads = sysconf(_SC_NPROCESSORS_ONLN) > 2 ? 4 : 2,
	};
	_cleanup_(close_fd) int ours = -1;
	struct error *error;
	int sockets[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_system(errno, NULL, "cannot create a socket");
	ours = sockets[0];
	child.socket = sockets[1];
	pid = fork();
	if (pid == 0)
		confined_run(&child);
	close(sockets[1]);
	if (pid < 0)
		return error_system(errno, NULL, "cannot fork");
	error = wait_ready(ours);
	if (error) {
		process_stop(&pid, 0);
		return error;
	}
	*ret_socket = take_fd(ours);
	*ret = pid;
	return NULL;
}

struct error *ext4_mount(const struct ext4_mount_options *options, int *ret_mount, pid_t *ret_process)
{
	_cleanup_(close_fd) int fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), mount_fd = -1, socket = -1;
	struct error *error;
	pid_t pid;

	if (fuse_fd < 0)
		return error_remedy(error_system(errno, "/dev/fuse", "open"), "load the module fuse");
	error = start(options, fuse_fd, &socket, &pid);
	if (error)
		return error;
	error = make_mount(fuse_fd, options->name, &mount_fd);
	if (!error && send(socket, "", 1, MSG_NOSIGNAL) != 1)
		error = error_create(ERROR_FAILED, "the reader of the file system ended at once");
	if (error) {
		process_stop(&pid, 0);
		return error;
	}
	*ret_mount = take_fd(mount_fd);
	*ret_process = pid;
	return NULL;
}
