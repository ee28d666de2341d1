/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One inode of a layer, written where the user keeps it. The directory is the user's and closed to others while it is
 * filled, so that names in it are simply followed; what is read is the guest's.
 */
#include "changes/keep.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/io.h"

#define COPY_BYTES (1u << 20)

static struct error *copy_range(int in, int out, uint64_t begin, uint64_t end, char *buffer, const char *path)
{
	struct error *error = NULL;

	while (!error && begin < end) {
		size_t n = end - begin < COPY_BYTES ? (size_t)(end - begin) : COPY_BYTES;

		error = io_pread(in, buffer, n, begin, path);
		if (!error)
			error = io_pwrite(out, buffer, n, begin, path);
		begin += n;
	}
	return error;
}

/* Holes stay holes: a file's size is no measure of what it takes. */
static struct error *copy_data(int in, int out, uint64_t size, const char *path)
{
	_cleanup_(free_ptr) char *buffer = malloc(COPY_BYTES);
	off_t data = 0, hole;

	if (!buffer)
		return error_no_memory();
	while ((data = lseek(in, data, SEEK_DATA)) >= 0 && (uint64_t)data < size) {
		struct error *error;

		hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0 || (uint64_t)hole > size)
			hole = (off_t)size;
		error = copy_range(in, out, (uint64_t)data, (uint64_t)hole, buffer, path);
		if (error)
			return error;
		data = hole;
	}
	if (data < 0 && errno != ENXIO)
		return error_system(errno, path, "cannot read");
	return ftruncate(out, (off_t)size) < 0 ? error_system(errno, path, "cannot write") : NULL;
}

static struct error *copy_file(struct inode_place from, const struct stat *st, struct keep_place to)
{
	_cleanup_(close_fd) int in = -1, out = -1;
	struct error *error = inode_open(from, O_RDONLY | O_NONBLOCK, &in);

	if (error)
		return error;
	out = openat(to.root_fd, to.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return error_system(errno, to.path, "cannot create");
	return copy_data(in, out, (uint64_t)st->st_size, to.path);
}

static struct error *copy_link(struct inode_place from, const struct stat *st, struct keep_place to)
{
	_cleanup_(free_ptr) char *target = NULL;
	struct error *error = inode_target(from, st, &target);

	if (!error && symlinkat(target, to.root_fd, to.path) < 0)
		error = error_system(errno, to.path, "cannot create");
	return error;
}

struct error *keep_make(struct inode_place from, const struct stat *st, struct keep_place to)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(from, st, to);
	case S_IFLNK:
		return copy_link(from, st, to);
	case S_IFDIR:
		if (mkdirat(to.root_fd, to.path, 0700) < 0 && errno != EEXIST)
			return error_system(errno, to.path, "cannot create");
		return NULL;
	default:
		/* A whiteout is a character device, 0:0. */
		if (mknodat(to.root_fd, to.path, st->st_mode & (S_IFMT | 0600), st->st_rdev) < 0)
			return error_system(errno, to.path, "cannot create");
		return NULL;
	}
}

/* The attributes of overlayfs that say what the tree is; the others are of this one mount. */
static bool is_mark(const char *name)
{
	static const char *const marks[] = {"opaque", "redirect", "whiteout", "whiteouts"};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (!strcmp(name, marks[i]))
			return true;
	return !strncmp(name, "overlay.", 8);
}

/* An absolute redirect is one from the layer's root; *ret is NULL if the value stays. */
static struct error *move_redirect(const struct change_xattr *xattr, const char *target, char **ret)
{
	if (xattr->size == 0 || *(const char *)xattr->value != '/' || !strcmp(target, "/"))
		return NULL;
	*ret = string_format("%s%.*s", target, (int)xattr->size, (const char *)xattr->value);
	return *ret ? NULL : error_no_memory();
}

static struct error *set_xattr(const char *proc, const struct change_xattr *xattr, const char *prefix,
			       const char *target, const char *path)
{
	size_t length = prefix ? strlen(prefix) : 0;
	_cleanup_(free_ptr) char *moved = NULL;
	struct error *error = NULL;

	if (prefix && !strncmp(xattr->name, prefix, length)) {
		const char *name = xattr->name + length;

		if (!is_mark(name))
			return NULL;
		if (!strcmp(name, "redirect"))
			error = move_redirect(xattr, target, &moved);
	}
	if (!error &&
	    setxattr(proc, xattr->name, moved ? moved : xattr->value, moved ? strlen(moved) : xattr->size, 0) < 0)
		error = error_system(errno, path, "cannot set the attribute %s", xattr->name);
	return error;
}

struct error *keep_attributes(struct inode_place from, const struct stat *st, const char *prefix, const char *target,
			      struct keep_place to)
{
	_cleanup_(close_fd) int fd = openat(to.root_fd, to.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(change_attributes_deinit) struct change_attributes attributes = {0};
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	struct error *error;
	char proc[32];

	if (fd < 0)
		return error_system(errno, to.path, "cannot open");
	/* Names as they are on the disk: the marks, too. */
	error = inode_attributes(from, st, NULL, &attributes);
	if (error)
		return error;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0)
		return error_system(errno, to.path, "cannot set the owner");
	for (size_t i = 0; !error && i < attributes.n_xattrs; i++)
		error = set_xattr(proc, &attributes.xattrs[i], prefix, target, to.path);
	if (error)
		return error;
	/* After the owner, whose change takes set-user-id bits away. */
	if (!S_ISLNK(st->st_mode) && chmod(proc, st->st_mode & 07777) < 0)
		return error_system(errno, to.path, "cannot set the mode");
	if (utimensat(AT_FDCWD, proc, times, 0) < 0)
		return error_system(errno, to.path, "cannot set the times");
	return NULL;
}
