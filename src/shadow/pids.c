/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of the shadow's processes: none is one of the guest's. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

/* Own numbers begin at a multiple of it: they are told from the guest's at a glance. */
#define PIDS_ROUND 1000u

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

static struct error *write_number(int procfs, const char *path, uint32_t number)
{
	_cleanup_(close_fd) int fd = openat(procfs, path, O_WRONLY | O_CLOEXEC);
	char text[16];

	if (fd < 0)
		return error_system(errno, path, "cannot open");
	snprintf(text, sizeof(text), "%u\n", number);
	return io_write(fd, text, strlen(text), path);
}

struct error *pids_begin_above(uint32_t highest)
{
	_cleanup_(close_fd) int procfs = -1;
	uint32_t first = (highest / PIDS_ROUND + 1) * PIDS_ROUND;
	struct error *error = open_sysctls(&procfs);

	return error ? error : write_number(procfs, "sys/kernel/ns_last_pid", first - 1);
}
