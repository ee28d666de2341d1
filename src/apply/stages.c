/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private directories on which new inodes are made and old ones are kept.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/tree.h"
#include "base/io.h"

/* Where a file system is mounted, for people: the path of the root is empty everywhere else. */
static const char *name_of(const struct file_system *file_system)
{
	return *file_system->mount ? file_system->mount : "/";
}

/* A directory of that name that others can enter is not one we made: do not write below it. */
static struct error *open_stage(const struct tree *tree, struct file_system *file_system)
{
	_cleanup_(close_fd) int fd = -1;
	struct stat s;

	fd = openat(file_system->root_fd, tree->stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
		return conflict(tree->stage, "something else has the name of the staging directory");
	if (fd < 0 || fstat(fd, &s) < 0)
		return error_system(errno, name_of(file_system), "cannot open the staging directory on");
	if (s.st_uid != geteuid() || (s.st_mode & 077))
		return conflict(tree->stage, "the staging directory belongs to somebody else or is open to others");
	close_fd(&file_system->stage_fd);
	file_system->stage_fd = take_fd(fd);
	return NULL;
}

struct error *tree_open_stages(struct tree *tree)
{
	struct error *error;

	for (size_t i = 0; i < tree->n_file_systems; i++) {
		error = open_stage(tree, &tree->file_systems[i]);
		if (error)
			return error;
	}
	return NULL;
}

/* Where blocks cannot be had without being written, zeros are. */
static struct error *fill_reserve(int fd, uint64_t size, const char *mount)
{
	static const uint8_t zeros[STAGE_RESERVE_MIN];
	struct error *error = NULL;
	int errnum = posix_fallocate(fd, 0, (off_t)size);

	if (errnum != EOPNOTSUPP && errnum != EINVAL && errnum != ENOSYS)
		return errnum ? error_system(errnum, mount, "cannot reserve %llu bytes at", (unsigned long long)size)
			      : NULL;
	for (uint64_t done = 0; done < size && !error; done += sizeof(zeros))
		error = io_write(fd, zeros, sizeof(zeros), mount);
	return error;
}

static struct error *make_reserve(const struct file_system *f)
{
	_cleanup_(close_fd) int fd =
		openat(f->stage_fd, STAGE_RESERVE, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return error_system(errno, name_of(f), "cannot make a reserve at");
	return fill_reserve(fd, STAGE_RESERVE_MIN + f->reserve_bytes, name_of(f));
}

/* The file system gives out the blocks of a removed file when the removal is durable, not before. */
bool stage_makes_room(int stage_fd, int errnum)
{
	return (errnum == ENOSPC || errnum == EDQUOT) && unlinkat(stage_fd, STAGE_RESERVE, 0) == 0 &&
	       fsync(stage_fd) == 0;
}

bool stage_made_room(int stage_fd, struct error **error)
{
	if (!*error || !stage_makes_room(stage_fd, (*error)->errnum))
		return false;
	error_destroy(*error);
	*error = NULL;
	return true;
}

struct error *tree_make_stages(struct tree *tree)
{
	struct error *error;

	for (size_t i = 0; i < tree->n_file_systems; i++) {
		struct file_system *f = &tree->file_systems[i];

		if (mkdirat(f->root_fd, tree->stage, 0700) < 0 && errno != EEXIST)
			return error_system(errno, name_of(f), "cannot make the staging directory on");
		error = open_stage(tree, f);
		if (error)
			return error;
		if (f->stage_fd < 0)
			return conflict(tree->stage, "the staging directory vanished");
		error = make_reserve(f);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *remove_stage(const struct tree *tree, struct file_system *file_system)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error;

	error = open_stage(tree, file_system);
	if (error || file_system->stage_fd < 0)
		return error;
	close_fd(&file_system->stage_fd);
	path = string_format("/proc/self/fd/%d/%s", file_system->root_fd, tree->stage);
	if (!path)
		return error_no_memory();
	return io_remove_tree(path);
}

struct error *tree_remove_stages(struct tree *tree)
{
	struct error *error;

	for (size_t i = 0; i < tree->n_file_systems; i++) {
		error = remove_stage(tree, &tree->file_systems[i]);
		if (error)
			return error_wrap(error, "cannot remove the staging directory");
	}
	return NULL;
}

struct error *tree_sync(struct tree *tree)
{
	for (size_t i = 0; i < tree->n_file_systems; i++) {
		struct file_system *f = &tree->file_systems[i];
		_cleanup_(close_fd) int fd = openat(f->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || syncfs(fd) < 0)
			return error_system(errno, name_of(f), "cannot sync the file system at");
	}
	return NULL;
}
