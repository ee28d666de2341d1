/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the program that asks is doing: FUSE does not say whether a link is read or followed, nor what a file is looked
 * up for. It is blocked in a system call meanwhile, which its real /proc/TID/syscall tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shadow/internal.h"
#include "shadow/proc/serve.h"

/* Reads a file of the asker; returns its length, or -1. */
static ssize_t read_asker(const struct server *server, pid_t tid, const char *name, char *buffer, size_t size,
			  uint64_t offset)
{
	_cleanup_(close_fd) int fd = -1;
	char path[48];

	snprintf(path, sizeof(path), "%d/%s", tid, name);
	fd = openat(server->own_fd, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -1 : pread(fd, buffer, size, (off_t)offset);
}

/* The asker's system call and its arguments. It is on its way to sleep when its question arrives here. */
static bool read_call(const struct server *server, pid_t tid, long long *ret_call, unsigned long long ret[3])
{
	const struct timespec moment = {.tv_nsec = 20000};
	char text[256];

	for (unsigned tries = 0; tries < 50; tries++) {
		ssize_t n = read_asker(server, tid, "syscall", text, sizeof(text) - 1, 0);

		if (n <= 0)
			return false;
		text[n] = '\0';
		if (sscanf(text, "%lld %llx %llx %llx", ret_call, &ret[0], &ret[1], &ret[2]) == 4)
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

/* Reads a string of the asker, as much as there is of it up to the next page. */
static bool read_string(const struct server *server, pid_t tid, unsigned long long address, char *buffer, size_t size)
{
	size_t n = 0;

	while (n < size - 1) {
		size_t piece = 4096 - (address + n) % 4096;
		ssize_t r = read_asker(server, tid, "mem", buffer + n, piece < size - 1 - n ? piece : size - 1 - n,
				       address + n);

		if (r <= 0)
			return false;
		if (memchr(buffer + n, '\0', (size_t)r))
			return true;
		n += (size_t)r;
	}
	return false;
}

/*
 * Whether the path ends at the link `name`, or goes on through it. A magic link stands in a directory of known name:
 * "/proc/self/root/root" ends at a file of the guest.
 */
static bool ends_at(char *path, const char *name)
{
	static const char *const directories[] = {"self", "thread-self", "fd", "ns", "map_files", "proc"};
	char *last = strrchr(path, '/');
	const char *before;
	uint64_t number;

	if (!last)
		return path[0] == '\0' || strcmp(path, name) == 0;
	if (strcmp(last + 1, name) != 0)
		return false;
	while (last > path && last[-1] == '/')
		last--;
	*last = '\0';
	before = strrchr(path, '/');
	before = before ? before + 1 : path;
	if (parse_number(before, UINT32_MAX, &number))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (strcmp(directories[i], before) == 0)
			return true;
	return before[0] == '\0' || before[0] == '.';
}

enum wish asker_wish(const struct server *server, const struct asker *asker, const char *name)
{
	unsigned long long arguments[3];
	char path[4096];
	long long call;

	if (asker->tid <= 0 || !read_call(server, asker->tid, &call, arguments))
		return WISH_UNKNOWN;
	if (call != SYS_readlink && call != SYS_readlinkat)
		return WISH_WAY;
	if (!read_string(server, asker->tid, arguments[call == SYS_readlinkat], path, sizeof(path)))
		return WISH_TEXT;
	return ends_at(path, name) ? WISH_TEXT : WISH_WAY;
}

bool asker_is_writing(const struct server *server, const struct asker *asker)
{
	unsigned long long arguments[3], flags;
	long long call;

	if (asker->tid <= 0 || !read_call(server, asker->tid, &call, arguments))
		return false;
	if (call == SYS_creat)
		return true;
	if (call == SYS_openat2)
		return read_asker(server, asker->tid, "mem", (char *)&flags, sizeof(flags), arguments[2]) ==
			       sizeof(flags) &&
		       (flags & O_ACCMODE) != O_RDONLY;
	flags = arguments[call == SYS_openat ? 2 : 1];
	return (call == SYS_open || call == SYS_openat) && (flags & O_ACCMODE) != O_RDONLY;
}
