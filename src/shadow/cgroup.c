/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control group around everything that runs in one shadow, so that a fork bomb in it is the
 * guest's own trouble: RLIMIT_NPROC counts each of the guest's 2^30 users for itself.
 *
 * Version 1: below our own group of the hierarchy with the pids controller. Version 2: beside our
 * own group, because there a group with processes in it may not pass controllers on to groups below it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

#define NAME_PREFIX  "ouassister-"
/* Groups of our own process that may be there already: other shadows. */
#define NUMBERS      64
/* The kernel lets a group go a moment after its last process. */
#define REMOVE_TRIES 100
#define REMOVE_NS    (10 * 1000000)

DEFINE_CLEANUP(FILE *, endmntent)

/* Whether `list`, words between commas, holds `word`. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && memcmp(p, word, n) == 0)
			return true;
	return false;
}

/* Our own group in one hierarchy, as /proc/self/cgroup has it ("NUMBER:CONTROLLERS:PATH"); NULL: not listed. */
static char *own_group(const char *table, bool unified)
{
	for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(free_ptr) char *copy = strndup(line, strcspn(line, "\n"));
		char *controllers = copy ? strchr(copy, ':') : NULL;
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		if (unified ? controllers[1] == '\0' : has_word(controllers + 1, "pids"))
			return strdup(path);
	}
	return NULL;
}

/* Groups of processes that were killed before they could remove them; the kernel refuses those in use. */
static void remove_stale(const char *parent)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(parent);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int pid;

		if (sscanf(entry->d_name, NAME_PREFIX "%d-", &pid) == 1 && pid > 0 && kill(pid, 0) < 0 &&
		    errno == ESRCH)
			(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
}

static bool write_number(const char *directory, const char *file, unsigned number)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, file);
	_cleanup_(close_fd) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	return fd >= 0 && dprintf(fd, "%u\n", number) > 0;
}

/* A new group in `parent`, with the limit set; NULL if the kernel does not allow it there. */
static char *make_in(const char *parent, unsigned processes)
{
	for (unsigned i = 0; i < NUMBERS; i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/" NAME_PREFIX "%d-%u", parent, (int)getpid(), i);

		if (!path)
			return NULL;
		if (mkdir(path, 0755) < 0) {
			if (errno == EEXIST)
				continue;
			return NULL;
		}
		if (write_number(path, "pids.max", processes))
			return take_ptr(path);
		rmdir(path);
		return NULL;
	}
	return NULL;
}

/* The directory that a new group belongs in, or NULL. */
static char *parent_of(const struct mntent *mount, const char *table)
{
	bool unified = strcmp(mount->mnt_type, "cgroup2") == 0;
	_cleanup_(free_ptr) char *own = NULL;
	char *path, *slash;

	if (!unified && (strcmp(mount->mnt_type, "cgroup") != 0 || !has_word(mount->mnt_opts, "pids")))
		return NULL;
	own = own_group(table, unified);
	slash = own ? strrchr(own, '/') : NULL;
	if (!slash)
		return NULL;
	if (unified)
		*slash = '\0';
	path = string_format("%s%s", mount->mnt_dir, own);
	/* In a container the path may be one of the host. */
	if (path && access(path, F_OK) < 0) {
		free(path);
		path = strdup(mount->mnt_dir);
	}
	return path;
}

char *cgroup_create(unsigned processes)
{
	_cleanup_(endmntent_ptr) FILE *mounts = setmntent("/proc/self/mounts", "re");
	_cleanup_(free_ptr) char *table = NULL;
	struct error *error = io_read_file("/proc/self/cgroup", 1 << 20, &table, NULL);
	struct mntent *mount;
	char *path = NULL;

	while (!error && mounts && !path && (mount = getmntent(mounts))) {
		_cleanup_(free_ptr) char *parent = parent_of(mount, table);

		if (!parent)
			continue;
		remove_stale(parent);
		path = make_in(parent, processes);
	}
	error_destroy(error);
	return path;
}

struct error *cgroup_enter(const char *path)
{
	if (!write_number(path, "cgroup.procs", 0))
		return error_system(errno, path, "cannot enter the control group");
	return NULL;
}

void cgroup_remove(char *path)
{
	const struct timespec pause = {.tv_nsec = REMOVE_NS};
	int tries = 0;

	if (!path)
		return;
	while (rmdir(path) < 0 && errno == EBUSY && tries++ < REMOVE_TRIES)
		nanosleep(&pause, NULL);
	free(path);
}
