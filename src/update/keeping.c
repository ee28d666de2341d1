/* SPDX-License-Identifier: Apache-2.0 */
#include "update/keeping.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "changes/changes.h"

/* The next name in it, "" if there is none. */
static const char *first_name(DIR *directory)
{
	struct dirent *entry;

	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return entry->d_name;
	return "";
}

static struct error *refuse_full(int fd, const char *path)
{
	/* A position of its own. */
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *directory = again >= 0 ? fdopendir(again) : NULL;
	const char *name;

	if (!directory)
		return error_system(errno, path, "cannot read the directory");
	name = first_name(directory);
	if (!*name)
		return NULL;
	return error_remedy(error_create(ERROR_USAGE, "%s is not empty: it has %s", path, name),
			    "name a directory that does not exist");
}

static struct error *prepare(const char *path, struct keeping *keeping)
{
	struct error *error;

	if (mkdir(path, 0700) == 0)
		keeping->made = true;
	else if (errno != EEXIST)
		return error_system(errno, path, "cannot create the directory");
	keeping->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (keeping->fd < 0)
		return error_system(errno, path, "cannot open the directory");
	error = refuse_full(keeping->fd, path);
	/* What will be in it has the guest's owners and set-user-id bits. */
	if (!error && fchmod(keeping->fd, 0700) < 0)
		error = error_system(errno, path, "cannot close the directory to others");
	if (error)
		return error;
	keeping->started = true;
	return error_wrap(changes_keep_probe(keeping->fd), "%s", path);
}

struct error *keeping_begin(const char *path, struct keeping *ret)
{
	struct keeping keeping = {.path = path, .fd = -1};
	struct error *error = path ? prepare(path, &keeping) : NULL;

	if (error) {
		keeping_end(&keeping);
		return error_wrap(error, "--keep-changes");
	}
	*ret = keeping;
	return NULL;
}

static struct error *empty(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *directory = again >= 0 ? fdopendir(again) : NULL;
	struct error *error = NULL;
	const char *name;

	while (!error && directory && *(name = first_name(directory))) {
		_cleanup_(free_ptr) char *path = string_format("/proc/self/fd/%d/%s", fd, name);

		error = path ? io_remove_tree(path) : error_no_memory();
	}
	return error;
}

void keeping_end(struct keeping *keeping)
{
	/* A directory that was not empty never had anything of ours. */
	if (keeping->fd >= 0 && !keeping->done && keeping->started) {
		struct error *error = empty(keeping->fd);

		if (error)
			log_warning("%s", error->message);
		error_destroy(error);
	}
	if (keeping->made && !keeping->done)
		rmdir(keeping->path);
	close_fd(&keeping->fd);
}
