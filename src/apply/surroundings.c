/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/surroundings.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "apply/events.h"

#define CGROUP_NAME    "ouassister"

#define NICE_FIRST     (-19) /* behind a closed gate nobody waits for anything but us */

/* include/uapi/linux/ioprio.h, which came with Linux 5.15: IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE, IOPRIO_CLASS_SHIFT.
 */
#define IO_WHO_PROCESS 1
#define IO_CLASS_IDLE  3
#define IO_CLASS_SHIFT 13

/* Those systemd may use: the unified one, alone or beside v1, and its own v1 one. */
static const char *const hierarchies[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"};

static void set_environment(void)
{
	static const char *const variables[][2] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOME", "/root"},
		{"LC_ALL", "C"},
		{"DEBIAN_FRONTEND", "noninteractive"},
	};

#ifndef APPLY_FAULT_POINTS
	clearenv();
#endif
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		setenv(variables[i][0], variables[i][1], 1);
	umask(077);
}

static int write_file(const char *path, const char *text)
{
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

/* In a service with a private /tmp or a read-only /usr the agent sees other mounts than the guest. */
static void join_mount_namespace(int report_fd)
{
	_cleanup_(close_fd) int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct stat theirs, ours;

	if (fd >= 0 && fstat(fd, &theirs) == 0 && stat("/proc/self/ns/mnt", &ours) == 0 && theirs.st_ino == ours.st_ino)
		return;
	if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
		event_note(report_fd, "/proc/1/ns/mnt", "cannot join the mount namespace of pid 1: %s",
			   strerror(errno));
}

static void leave_cgroup(int report_fd)
{
	unsigned left = 0;

	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/cgroup.procs", hierarchies[i]);
		if (access(path, W_OK) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/" CGROUP_NAME, hierarchies[i]);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			continue;
		snprintf(path, sizeof(path), "%s/" CGROUP_NAME "/cgroup.procs", hierarchies[i]);
		left += write_file(path, "0") == 0;
	}
	if (!left)
		event_note(report_fd, hierarchies[0], "cannot leave the cgroup of whoever started us: %s",
			   strerror(errno));
}

void surroundings_enter(bool whole_system, int report_fd)
{
	set_environment();
	if (whole_system) {
		join_mount_namespace(report_fd);
		leave_cgroup(report_fd);
		surroundings_priority(PRIORITY_FIRST);
		if (write_file("/proc/self/oom_score_adj", "-1000") < 0)
			event_note(report_fd, "/proc/self/oom_score_adj", "%s", strerror(errno));
	}
	if (chdir("/") < 0)
		event_note(report_fd, "/", "cannot change to it: %s", strerror(errno));
}

void surroundings_priority(enum priority priority)
{
	/* Whatever a kernel or its disk scheduler makes of it. */
	setpriority(PRIO_PROCESS, 0, priority == PRIORITY_FIRST ? NICE_FIRST : 0);
	syscall(SYS_ioprio_set, IO_WHO_PROCESS, 0,
		priority == PRIORITY_BACKGROUND ? IO_CLASS_IDLE << IO_CLASS_SHIFT : 0);
}

void surroundings_join(bool whole_system)
{
	set_environment();
	if (whole_system)
		join_mount_namespace(-1);
}

void surroundings_forget(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/" CGROUP_NAME, hierarchies[i]);
		rmdir(path);
	}
}
