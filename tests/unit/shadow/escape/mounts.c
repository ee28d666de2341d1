/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to change what is mounted, and to reach devices. */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Not <sys/mount.h>, whose names are those of <linux/mount.h>. */
static int mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	return (int)syscall(SYS_mount, source, target, type, flags, data);
}

static int mount_new(void)
{
	return mount_at("none", "/data", "tmpfs", 0, NULL);
}

static int mount_bind(void)
{
	return mount_at("/data", "/boot", NULL, MS_BIND, NULL);
}

static int mount_writable(void)
{
	return mount_at(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
}

static int mount_shared(void)
{
	return mount_at(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

static int unmask(void)
{
	return (int)syscall(SYS_umount2, "/proc/sys", 2 /* MNT_DETACH */);
}

static int pivot_root(void)
{
	return chdir("/run") < 0 ? -1 : (int)syscall(SYS_pivot_root, ".", ".");
}

static int mount_api(void)
{
	int fs = (int)syscall(SYS_fsopen, "tmpfs", 0), fd;

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	fd = (int)syscall(SYS_fsmount, fs, 0, 0);
	return fd < 0 ? -1 : (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, "/data", MOVE_MOUNT_F_EMPTY_PATH);
}

static int mount_clone(void)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | 0x8000 /* AT_RECURSIVE */);
}

static int mount_attributes(void)
{
	struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};

	return (int)syscall(SYS_mount_setattr, AT_FDCWD, "/proc/sys", 0, &attr, sizeof(attr));
}

/* A mount of the host's that was left open somewhere. */
static int mount_inherited(void)
{
	int mount = (int)given_number("CANARY_MOUNT");

	return syscall(SYS_move_mount, mount, "", AT_FDCWD, "/data", MOVE_MOUNT_F_EMPTY_PATH) < 0
		       ? -1
		       : read_secret("/data/secret");
}

static int make_node(mode_t type, unsigned major_number, unsigned minor_number)
{
	if (mknod("/data/node", type | 0600, makedev(major_number, minor_number)) < 0)
		return -1;
	return open("/data/node", O_RDONLY | O_NONBLOCK);
}

static int node_disk(void)
{
	long device = given_number("CANARY_DEVICE");
	int fd = make_node(S_IFBLK, major(device), minor(device));

	return fd < 0 ? -1 : read_secret_of(fd);
}

static int node_log(void)
{
	char buffer[8192];
	int fd = make_node(S_IFCHR, 1, 11);

	return fd < 0 ? -1 : (int)read(fd, buffer, sizeof(buffer));
}

static int node_loop(void)
{
	int fd = make_node(S_IFCHR, 10, 237);

	return fd < 0 ? -1 : ioctl(fd, LOOP_CTL_GET_FREE);
}

static int disk_write(void)
{
	int fd = open("/dev/vda", O_RDWR);

	return fd < 0 || pwrite(fd, "overwritten", 11, 0) != 11 ? -1 : fsync(fd);
}

static int disk_release(void)
{
	int fd = open("/dev/vda", O_RDONLY);

	return fd < 0 ? -1 : ioctl(fd, LOOP_CLR_FD, 0);
}

/* Out of the group that counts us, by its own file system. */
static int cgroup_leave(void)
{
	int fd;

	if (mount_at("cgroup", "/data", "cgroup", 0, "pids") < 0 && mount_at("none", "/data", "cgroup2", 0, NULL) < 0)
		return -1;
	fd = open("/data/cgroup.procs", O_WRONLY);
	return fd < 0 || write(fd, "0", 1) != 1 ? -1 : 0;
}

/* A node where a link leads that is none in our root, made by who answers for the kernel. */
static int node_link(void)
{
	char host[512];

	snprintf(host, sizeof(host), "%s", given("CANARY_PATH"));
	*strrchr(host, '/') = '\0';
	unlink("/data/out");
	if (symlink(host, "/data/out") < 0)
		return -1;
	return mknod("/data/out/node", S_IFCHR | 0666, makedev(1, 3));
}

/* The same with a directory that becomes the link, and back, and a path that changes, while it is answered. */
static int node_race(void)
{
	static char *path;
	pid_t pid;

	path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (path == MAP_FAILED || (node_link() < 0 && errno == EPERM))
		return -1;
	strcpy(path, "/data/in/node");
	mkdir("/data/in", 0755);
	pid = fork();
	if (pid == 0)
		for (;;) {
			syscall(SYS_renameat2, AT_FDCWD, "/data/in", AT_FDCWD, "/data/out", 2 /* RENAME_EXCHANGE */);
			strcpy(path, "/data/out/node");
			strcpy(path, "/data/in/node");
		}
	for (int i = 0; i < 2000; i++) {
		(void)mknod(path, S_IFCHR | 0666, makedev(1, 3));
		unlink("/data/in/node");
		unlink("/data/out/node");
	}
	kill(pid, SIGKILL);
	errno = ENOENT;
	return -1;
}

const struct attempt mount_attempts[] = {
	{"node-link", node_link},
	{"node-race", node_race},
	{"mount-new", mount_new},
	{"mount-bind", mount_bind},
	{"mount-writable", mount_writable},
	{"mount-shared", mount_shared},
	{"unmask", unmask},
	{"pivot-root", pivot_root},
	{"mount-api", mount_api},
	{"mount-clone", mount_clone},
	{"mount-attributes", mount_attributes},
	{"mount-inherited", mount_inherited},
	{"node-disk", node_disk},
	{"node-log", node_log},
	{"node-loop", node_loop},
	{"disk-write", disk_write},
	{"disk-release", disk_release},
	{"cgroup-leave", cgroup_leave},
	{0},
};
