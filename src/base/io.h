/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: whole reads and writes, atomic replacement, and opening below an untrusted root.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Reads exactly `size` bytes at `offset`; the end of the file in between is ERROR_FORMAT. `path` is for errors. */
struct error *io_pread(int fd, void *buffer, size_t size, uint64_t offset, const char *path) _must_check_;

/* Writes all of it, at the file's position or at `offset`. */
struct error *io_write(int fd, const void *buffer, size_t size, const char *path) _must_check_;
struct error *io_pwrite(int fd, const void *buffer, size_t size, uint64_t offset, const char *path) _must_check_;

/*
 * Reads from the file's position to its end, at most `max` bytes (more is ERROR_FORMAT). The
 * result is followed by a NUL that is not counted; the caller frees it. `ret_size` may be NULL.
 */
struct error *io_read_all(int fd, size_t max, const char *path, char **ret, size_t *ret_size) _must_check_;
/*
 * The same of the file `path`. One that is absent is ERROR_NOT_FOUND; a fifo, a device or a directory, which might make
 * us wait or never end, ERROR_FORMAT.
 */
struct error *io_read_file(const char *path, size_t max, char **ret, size_t *ret_size) _must_check_;

/*
 * Replaces `path` atomically and durably: temporary file beside it, fsync, rename, fsync of the
 * directory. On failure the old file is untouched.
 */
struct error *io_replace_file(const char *path, const void *data, size_t size, mode_t mode) _must_check_;

/* fsync of the directory that holds `path`, which makes a rename of it durable. */
struct error *io_sync_parent(const char *path) _must_check_;

/* mkdir with parents, each new one of `mode`; existing directories are left as they are. */
struct error *io_mkdirs(const char *path, mode_t mode) _must_check_;

/* Removes a tree without following symlinks or leaving the file system of `path`; absent is success. */
struct error *io_remove_tree(const char *path) _must_check_;

/*
 * openat2(2) with O_CLOEXEC and RESOLVE_* flags; -1 and errno. A ".." (of a symlink, too) below a scoped root is EAGAIN
 * whenever anything on the host was renamed or mounted during the walk: that is tried again.
 */
int io_openat2(int directory_fd, const char *path, int flags, uint64_t resolve);

/*
 * Opens `path` as if `root_fd` were "/": symlinks, absolute ones too, stay inside it (openat2
 * RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS). Only regular files, unless flags hold O_DIRECTORY
 * or O_PATH; never blocks on a fifo. O_CLOEXEC is added. Absent is ERROR_NOT_FOUND.
 */
struct error *io_open_in_root(int root_fd, const char *path, int flags, int *ret) _must_check_;

/* The directory below `root_fd`, for readdir(3); *ret is NULL if it is absent. */
struct error *io_open_directory_in_root(int root_fd, const char *path, DIR **ret) _must_check_;

/* io_open_in_root, then io_read_all. */
struct error *io_read_in_root(int root_fd, const char *path, size_t max, char **ret, size_t *ret_size) _must_check_;

/* What a noun of people's language ends with where there are `n` of it: "" or "s". */
static inline const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* malloc'd printf; NULL without memory. */
char *string_format(const char *format, ...) _printf_(1, 2);

/* CLOCK_MONOTONIC (CLOCK_BOOTTIME) in nanoseconds. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_boottime_ns(void);
/* CLOCK_REALTIME in nanoseconds since the epoch. */
int64_t clock_realtime_ns(void);

#endif
