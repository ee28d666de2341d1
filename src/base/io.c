/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

struct error *io_pread(int fd, void *buffer, size_t size, uint64_t offset, const char *path)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot read");
		if (n == 0)
			return error_format(path, offset + done, "the file ends here, %zu more byte%s expected",
					    size - done, plural(size - done));
		done += (size_t)n;
	}
	return NULL;
}

struct error *io_write(int fd, const void *buffer, size_t size, const char *path)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)buffer + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot write");
		done += (size_t)n;
	}
	return NULL;
}

struct error *io_pwrite(int fd, const void *buffer, size_t size, uint64_t offset, const char *path)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)buffer + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot write");
		done += (size_t)n;
	}
	return NULL;
}

struct error *io_read_all(int fd, size_t max, const char *path, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *buffer = NULL;
	size_t size = 0, allocated = 0;

	for (;;) {
		ssize_t n;

		if (allocated - size < 2) {
			char *larger = realloc(buffer, allocated = allocated ? allocated * 2 : 4096);

			if (!larger)
				return error_no_memory();
			buffer = larger;
		}
		n = read(fd, buffer + size, allocated - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot read");
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > max)
			return error_format(path, ERROR_NO_ADDRESS, "larger than the %zu bytes expected at most", max);
	}
	buffer[size] = 0;
	if (ret_size)
		*ret_size = size;
	*ret = take_ptr(buffer);
	return NULL;
}

static struct error *open_failure(int errnum, const char *path, const char *text)
{
	bool absent = errnum == ENOENT || errnum == ENOTDIR;

	return error_recode(error_system(errnum, path, "%s", text), absent ? ERROR_NOT_FOUND : ERROR_SYSTEM);
}

struct error *io_read_file(const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return open_failure(errno, path, "cannot open");
	if (!S_ISREG(st.st_mode))
		return error_format(path, ERROR_NO_ADDRESS, "no ordinary file");
	return io_read_all(fd, max, path, ret, ret_size);
}

struct error *io_sync_parent(const char *path)
{
	_cleanup_(free_ptr) char *parent = strdup(path);
	_cleanup_(close_fd) int fd = -1;
	char *slash;

	if (!parent)
		return error_no_memory();
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = 0;
	fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, slash ? parent : ".", "cannot open directory");
	if (fsync(fd) < 0)
		return error_system(errno, slash ? parent : ".", "cannot sync directory");
	return NULL;
}

static struct error *write_temporary(const char *path, const void *data, size_t size, mode_t mode)
{
	_cleanup_(close_fd) int fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
	struct error *error;

	if (fd < 0)
		return error_system(errno, path, "cannot create");
	if (fchmod(fd, mode) < 0)
		return error_system(errno, path, "cannot set mode");
	error = io_write(fd, data, size, path);
	if (error)
		return error;
	if (fsync(fd) < 0)
		return error_system(errno, path, "cannot sync");
	return NULL;
}

struct error *io_replace_file(const char *path, const void *data, size_t size, mode_t mode)
{
	_cleanup_(free_ptr) char *temporary = string_format("%s.new", path);
	struct error *error;

	if (!temporary)
		return error_no_memory();
	error = write_temporary(temporary, data, size, mode);
	if (!error && rename(temporary, path) < 0)
		error = error_system(errno, path, "cannot replace");
	if (error) {
		unlink(temporary);
		return error;
	}
	return io_sync_parent(path);
}

struct error *io_mkdirs(const char *path, mode_t mode)
{
	_cleanup_(free_ptr) char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return error_no_memory();
	if (!*copy)
		return error_system(ENOENT, path, "cannot create directory");
	for (char *component = copy + 1;;) {
		char *end = strchr(component, '/');

		if (end)
			*end = 0;
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return error_system(errno, copy, "cannot create directory");
		if (!end)
			break;
		*end = '/';
		component = end + 1;
	}
	if (stat(path, &st) < 0)
		return error_system(errno, path, "cannot examine");
	if (!S_ISDIR(st.st_mode))
		return error_system(ENOTDIR, path, "cannot create directory");
	return NULL;
}

/* Empties the directory `fd`, which it takes, staying on `device`. */
static struct error *remove_below(int fd, dev_t device, const char *path)
{
	_cleanup_(closedir_ptr) DIR *directory = fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		close(fd);
		return error_system(errno, path, "cannot read directory");
	}
	while ((errno = 0, entry = readdir(directory))) {
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return error_system(errno, path, "cannot examine %s below", entry->d_name);
		if (S_ISDIR(st.st_mode)) {
			int below;
			struct error *error;

			if (st.st_dev != device)
				return error_create(ERROR_BUSY, "%s: something is mounted on %s below it", path,
						    entry->d_name);
			below = openat(dirfd(directory), entry->d_name,
				       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below < 0)
				return error_system(errno, path, "cannot open %s below", entry->d_name);
			error = remove_below(below, device, path);
			if (error)
				return error;
		}
		if (unlinkat(dirfd(directory), entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
			return error_system(errno, path, "cannot remove %s below", entry->d_name);
	}
	return errno ? error_system(errno, path, "cannot read directory") : NULL;
}

struct error *io_remove_tree(const char *path)
{
	struct stat st;
	struct error *error;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? NULL : error_system(errno, path, "cannot examine");
	if (!S_ISDIR(st.st_mode))
		return unlink(path) < 0 ? error_system(errno, path, "cannot remove") : NULL;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open directory");
	error = remove_below(fd, st.st_dev, path);
	if (error)
		return error;
	return rmdir(path) < 0 ? error_system(errno, path, "cannot remove") : NULL;
}

/* Each walk takes some microseconds, in which only a host that does nothing but rename gets in between so often. */
#define OPEN_TRIES 64

int io_openat2(int directory_fd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve};
	int fd = -1;

	for (int i = 0; i < OPEN_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, directory_fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

struct error *io_open_in_root(int root_fd, const char *path, int flags, int *ret)
{
	_cleanup_(close_fd) int fd = io_openat2(root_fd, path, flags | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY),
						RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	struct stat st;

	if (fd < 0)
		return open_failure(errno, path, "cannot open in the guest");
	if (!(flags & (O_PATH | O_DIRECTORY))) {
		if (fstat(fd, &st) < 0)
			return error_system(errno, path, "cannot examine in the guest");
		if (!S_ISREG(st.st_mode))
			return error_format(path, ERROR_NO_ADDRESS, "not a regular file in the guest");
	}
	*ret = take_fd(fd);
	return NULL;
}

struct error *io_open_directory_in_root(int root_fd, const char *path, DIR **ret)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = io_open_in_root(root_fd, path, O_RDONLY | O_DIRECTORY, &fd);
	DIR *directory;

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = NULL;
		return NULL;
	}
	if (error)
		return error;
	directory = fdopendir(fd);
	if (!directory)
		return error_system(errno, path, "cannot read the guest's");
	fd = -1;
	*ret = directory;
	return NULL;
}

struct error *io_read_in_root(int root_fd, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = io_open_in_root(root_fd, path, O_RDONLY, &fd);

	if (error)
		return error;
	return io_read_all(fd, max, path, ret, ret_size);
}

char *string_format(const char *format, ...)
{
	char *text;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	return n < 0 ? NULL : text;
}

static int64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_boottime_ns(void)
{
	return (uint64_t)clock_ns(CLOCK_BOOTTIME);
}

int64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}
