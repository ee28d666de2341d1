/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control files. Version 2 (Documentation/admin-guide/cgroup-v2.rst): cgroup.freeze is 0 or 1 as it was written, and
 * cgroup.events tells what is. Version 1 (cgroup-v1/freezer-subsystem.rst): THAWED and FROZEN are written to
 * freezer.state, which then is FREEZING until everybody stands still; it is brought up to date when it is read.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "apply/events.h"
#include "apply/freezer_find.h"
#include "base/io.h"

#define WAIT_STEP_NS 200000

static const struct control {
	const char *file, *freeze, *thaw;
	const char *state, *still; /* another file, and what it holds once all stand still */
} controls[] = {
	[FREEZER_UNIFIED] = {"cgroup.freeze", "1", "0", "cgroup.events", "frozen 1"},
	[FREEZER_ONE] = {"freezer.state", "FROZEN", "THAWED", "freezer.state", "FROZEN"},
};

static struct error *open_control(enum freezer_version version, const char *directory, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, controls[version].file);
	int fd;

	if (!path)
		return error_no_memory();
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_system(errno, path, "cannot open");
	*ret = fd;
	return NULL;
}

/* Somebody has stopped it, and wants it so. One that went away is neither. */
static bool is_thawed(const struct freezable *f, int fd)
{
	char state = '\0';

	return pread(fd, &state, 1, 0) == 1 && state == *controls[f->version].thaw;
}

struct error *freezable_open(struct freezable *f)
{
	struct cgroup_list found = f->list;
	struct error *error = NULL;
	size_t kept = 0;

	f->fds = calloc(found.n ? found.n : 1, sizeof(*f->fds));
	if (!f->fds)
		return error_no_memory();
	f->list.n = 0;
	for (size_t i = 0; i < found.n; i++) {
		int fd = -1;

		if (!error)
			error = open_control(f->version, found.paths[i], &fd);
		if (error && error->errnum == ENOENT) {
			error_destroy(error);
			error = NULL;
		}
		if (fd >= 0 && !is_thawed(f, fd))
			close_fd(&fd);
		if (fd < 0) {
			free(found.paths[i]);
			continue;
		}
		f->fds[kept] = fd;
		found.paths[kept++] = found.paths[i];
		f->list.n = kept;
	}
	return error;
}

static void set(int fd, const char *state)
{
	/* A cgroup that went away has nothing to freeze. */
	if (pwrite(fd, state, strlen(state), 0) < 0)
		errno = 0;
}

void freezable_set(const struct freezable *f, bool frozen)
{
	for (size_t i = 0; i < f->list.n; i++)
		set(f->fds[i], frozen ? controls[f->version].freeze : controls[f->version].thaw);
}

/* Whether all tasks stand still; what went away does. */
static bool stands_still(const struct freezable *f, const char *directory)
{
	const struct control *control = &controls[f->version];
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, control->state);
	_cleanup_(close_fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[256];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return true;
	text[n] = '\0';
	return strstr(text, control->still);
}

const char *freezable_wait(const struct freezable *f, uint64_t at_most_ns)
{
	uint64_t deadline = clock_monotonic_ns() + at_most_ns;

	for (size_t i = 0; i < f->list.n; i++)
		while (!stands_still(f, f->list.paths[i])) {
			if (clock_monotonic_ns() > deadline)
				return f->list.paths[i];
			nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
		}
	return NULL;
}

void freezer_thaw_directory(const char *directory)
{
	enum freezer_version version = FREEZER_UNIFIED;
	_cleanup_(close_fd) int fd = -1;
	struct statfs s;

	if (*directory != '/' || statfs(directory, &s) < 0)
		return;
	if (s.f_type == CGROUP_SUPER_MAGIC)
		version = FREEZER_ONE;
	else if (s.f_type != CGROUP2_SUPER_MAGIC)
		return;
	error_destroy(open_control(version, directory, &fd));
	if (fd >= 0)
		set(fd, controls[version].thaw);
}
