/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that any program has to do in a guest to bring an update's changes from a disk into its file system: reads
 * a list of records from DEVICE in one pass, writes new contents as files of DIRECTORY, makes one call for each entry
 * whose attributes alone differ, and syncs once. No check, no hash, nothing that could be gone back to.
 * tests/bench/apply makes the list and compares.
 *
 *   usage: bare DEVICE DIRECTORY        prints: files, bytes, calls, nanoseconds
 *
 *   record = u32 kind, u32 size of the path, u64 size of the content, i64 seconds, u32 nanoseconds, u32 mode;
 *            path; content                                        in the machine's own byte order; kind 'E' ends them
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE (1024 * 1024)
#define PATH_BYTES  4096

struct record {
	uint32_t kind, path_size;
	uint64_t size;
	int64_t seconds;
	uint32_t nanoseconds, mode;
};

static uint8_t buffer[BUFFER_SIZE];
static size_t used, filled;

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Up to `max` bytes, at least one. */
static size_t next(int fd, size_t max, const uint8_t **ret)
{
	size_t n;

	if (used == filled) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got <= 0)
			die("the list ends too early");
		filled = (size_t)got;
		used = 0;
	}
	n = filled - used < max ? filled - used : max;
	*ret = buffer + used;
	used += n;
	return n;
}

static void take(int fd, void *to, size_t size)
{
	for (size_t done = 0; done < size;) {
		const uint8_t *bytes;
		size_t n = next(fd, size - done, &bytes);

		memcpy((uint8_t *)to + done, bytes, n);
		done += n;
	}
}

static void write_file(int fd, const struct record *record, const char *name)
{
	int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, record->mode & 07777);

	if (file < 0)
		die(name);
	for (uint64_t left = record->size; left;) {
		const uint8_t *bytes;
		size_t n = next(fd, left < BUFFER_SIZE ? left : BUFFER_SIZE, &bytes);

		for (size_t done = 0; done < n;) {
			ssize_t r = write(file, bytes + done, n - done);

			if (r < 0)
				die(name);
			done += (size_t)r;
		}
		left -= n;
	}
	close(file);
}

static void touch(const struct record *record, const char *path)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
					 {.tv_sec = record->seconds, .tv_nsec = record->nanoseconds}};

	if (utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) < 0)
		die(path);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	uint64_t begin = now_ns(), files = 0, bytes = 0, calls = 0;
	char path[PATH_BYTES + 1], name[32];
	struct record record;
	int fd, directory;

	if (argc != 3) {
		fprintf(stderr, "usage: bare DEVICE DIRECTORY\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(argv[1]);
	if (chdir(argv[2]) < 0)
		die(argv[2]);
	for (take(fd, &record, sizeof(record)); record.kind != 'E'; take(fd, &record, sizeof(record))) {
		if (record.path_size > PATH_BYTES)
			die("a path is too long");
		take(fd, path, record.path_size);
		path[record.path_size] = '\0';
		if (record.kind == 'W') {
			snprintf(name, sizeof(name), "%" PRIu64, files++);
			write_file(fd, &record, name);
			bytes += record.size;
		} else {
			touch(&record, path);
			calls++;
		}
	}
	directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0 || syncfs(directory) < 0)
		die("syncfs");
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", files, bytes, calls, now_ns() - begin);
	return 0;
}
