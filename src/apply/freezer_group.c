/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where systemd does not use the unified hierarchy, or there is no systemd, all processes lie in the root of version
 * 1's freezer, which cannot be frozen. They are moved into one group below it, that is frozen and thawed, and back.
 * Moving takes the kernel up to milliseconds each, so it is done while they run. A child is where its parent was when
 * it was started: what was started meanwhile by one not moved yet is found by looking again.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "apply/freezer_find.h"
#include "base/array.h"
#include "base/io.h"

#define GROUP      "ouassister-frozen"
#define PROCS_MAX  (1u << 22)
#define PASSES_MAX 16
#define PAUSE_NS   5000000
#define MOUNT      "/run/.ouassister-freezer"

static bool is_group(const char *path)
{
	const char *slash = strrchr(path, '/');
	struct statfs s;

	return *path == '/' && !strcmp(slash + 1, GROUP) && statfs(path, &s) == 0 && s.f_type == CGROUP_SUPER_MAGIC;
}

static char *read_procs(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.procs", directory);
	struct error *error;
	char *text = NULL;

	if (!path)
		return NULL;
	error = io_read_file(path, PROCS_MAX, &text, NULL);
	error_destroy(error);
	return error ? NULL : text;
}

static int open_procs(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.procs", directory);

	return path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
}

/* False if it has ended, or cannot be moved. */
static bool move(int procs_fd, pid_t pid)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%d", pid);

	return write(procs_fd, text, (size_t)n) == n;
}

char *freezer_mount(void)
{
	if (mkdir(MOUNT, 0700) < 0 && errno != EEXIST)
		return NULL;
	/* A hierarchy that was unmounted just now is on its way out for a moment. */
	for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
		if (mount("cgroup", MOUNT, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, "freezer") == 0)
			return strdup(MOUNT);
		if (errno != EBUSY)
			break;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
	rmdir(MOUNT);
	return NULL;
}

void freezer_unmount(void)
{
	/* Mostly there is none. */
	if (rmdir(MOUNT) < 0 && errno == EBUSY && umount2(MOUNT, MNT_DETACH) == 0)
		rmdir(MOUNT);
}

struct error *freezer_group_make(const char *top, char **ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s%s" GROUP, top, top[strlen(top) - 1] == '/' ? "" : "/");

	if (!path)
		return error_no_memory();
	if (access(path, F_OK) == 0) {
		freezer_thaw_directory(path);
		freezer_group_empty(path);
	}
	if (mkdir(path, 0755) < 0)
		return error_system(errno, path, "cannot make");
	*ret = take_ptr(path);
	return NULL;
}

static bool was_seen(const struct freezer_seen *seen, pid_t pid)
{
	for (size_t i = 0; i < seen->n; i++)
		if (seen->pids[i] == pid)
			return true;
	return false;
}

static void remember(struct freezer_seen *seen, pid_t pid)
{
	struct error *error = array_room(&seen->pids, seen->n, sizeof(*seen->pids));

	/* Then it is looked at again. */
	if (!error)
		seen->pids[seen->n++] = pid;
	error_destroy(error);
}

void freezer_group_fill(const char *group, const struct freezer_spared *spared, pid_t also_spared,
			struct freezer_seen *seen)
{
	_cleanup_(free_ptr) char *above = strndup(group, (size_t)(strrchr(group, '/') - group));
	_cleanup_(close_fd) int procs_fd = open_procs(group);
	size_t n_moved = 1;

	for (unsigned pass = 0; pass < PASSES_MAX && n_moved && above && procs_fd >= 0; pass++) {
		_cleanup_(free_ptr) char *text = read_procs(above);
		char *next = text;

		n_moved = 0;
		while (next && *next) {
			pid_t pid = (pid_t)strtol(next, &next, 10);

			next += *next == '\n';
			if (pid <= 0 || pid == also_spared || was_seen(seen, pid))
				continue;
			if (freezer_is_kernels(pid))
				remember(seen, pid);
			else if (!freezer_spares(spared, pid))
				n_moved += move(procs_fd, pid);
		}
	}
}

void freezer_group_empty(const char *group)
{
	_cleanup_(free_ptr) char *above = NULL;
	_cleanup_(close_fd) int procs_fd = -1;

	if (!is_group(group))
		return;
	above = strndup(group, (size_t)(strrchr(group, '/') - group));
	procs_fd = above ? open_procs(above) : -1;
	/* One that is just ending keeps it for a moment. */
	for (unsigned pass = 0; pass < PASSES_MAX && procs_fd >= 0; pass++) {
		_cleanup_(free_ptr) char *text = read_procs(group);
		char *next = text;

		while (next && *next) {
			move(procs_fd, (pid_t)strtol(next, &next, 10));
			next += *next == '\n';
		}
		if (rmdir(group) == 0 || errno == ENOENT)
			return;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
}
