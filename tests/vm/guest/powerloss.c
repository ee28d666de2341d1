/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the small guest of tests/vm/powerloss, beside the helper:
 *
 *   powerloss marks DEVICE OFFSET   copies a report from standard input to standard output, and writes one sector at
 *                                   OFFSET of DEVICE for each event: "OUAMARK", the event's name. The file system ends
 *                                   before OFFSET, so that nothing but the log of all writes notices.
 *   powerloss neighbour FILE MS     another process that wants what it writes to be durable, as databases do: appends
 *                                   to FILE, calls fsync and pauses so long, for ever
 *   powerloss fill FILE             writes until there is no space
 *   powerloss hog                   takes memory until it is killed
 *   powerloss break DEVICE OFFSET read|write
 *                                   reads, or writes, the sector at OFFSET again and again until that fails: QEMU's
 *                                   blkdebug counts requests, and lets all fail from some number on
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR    512
#define HOG_STEP  (1 << 20)
#define BREAK_MAX 100000

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* The name of a report's event into `name`; false where the line is none. */
static int event_of(const char *line, char name[64])
{
	const char *start = strstr(line, "{\"event\":\"");

	return start && sscanf(start, "{\"event\":\"%63[a-z-]", name) == 1;
}

static int marks(const char *device, off_t offset)
{
	static char sector[SECTOR] __attribute__((aligned(4096)));
	char *line = NULL, name[64];
	size_t size = 0;
	int fd = open(device, O_WRONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return fail(device);
	while (getline(&line, &size, stdin) > 0) {
		if (event_of(line, name)) {
			memset(sector, 0, sizeof(sector));
			snprintf(sector, sizeof(sector), "OUAMARK %s", name);
			if (pwrite(fd, sector, sizeof(sector), offset) != sizeof(sector))
				return fail(device);
		}
		fputs(line, stdout);
		fflush(stdout);
	}
	return 0;
}

static int neighbour(const char *path, unsigned pause_ms)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return fail(path);
	for (unsigned n = 0;; n++) {
		if (dprintf(fd, "line %u\n", n) < 0 || fsync(fd) < 0)
			return fail(path);
		usleep(pause_ms * 1000);
	}
}

static int fill(const char *path)
{
	static char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return fail(path);
	memset(block, 'x', sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	return errno == ENOSPC ? 0 : fail(path);
}

static int hog(void)
{
	for (;;) {
		char *more = malloc(HOG_STEP);

		if (!more)
			return fail("malloc");
		memset(more, 1, HOG_STEP);
	}
}

static int break_disk(const char *device, off_t offset, int writes)
{
	static char sector[SECTOR] __attribute__((aligned(4096)));
	int fd = open(device, (writes ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : SECTOR;

	for (unsigned i = 0; n > 0 && i < BREAK_MAX; i++)
		n = writes ? pwrite(fd, sector, SECTOR, offset) : pread(fd, sector, SECTOR, offset);
	return n < 0 && errno == EIO ? 0 : fail(device);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "marks"))
		return marks(argv[2], strtoll(argv[3], NULL, 10));
	if (argc == 4 && !strcmp(argv[1], "neighbour"))
		return neighbour(argv[2], strtoul(argv[3], NULL, 10));
	if (argc == 3 && !strcmp(argv[1], "fill"))
		return fill(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "hog"))
		return hog();
	if (argc == 5 && !strcmp(argv[1], "break"))
		return break_disk(argv[2], strtoll(argv[3], NULL, 10), !strcmp(argv[4], "write"));
	fprintf(stderr, "usage: powerloss marks DEVICE OFFSET | neighbour FILE MS | fill FILE | hog | break ...\n");
	return 2;
}
