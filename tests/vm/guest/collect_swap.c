/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "collect.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum {
	PAGE = 4096,
	ATTEMPTS = 30,
};

#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

/* Field 48 of /proc/PID/stat; the third begins behind the name. */
static uint64_t arguments_start(const char *process)
{
	char path[64], line[2048];
	unsigned long long start = 0;
	const char *at;
	FILE *stat;

	snprintf(path, sizeof(path), "/proc/%s/stat", process);
	stat = fopen(path, "re");
	if (!stat || !fgets(line, sizeof(line), stat))
		die(path);
	fclose(stat);
	at = strrchr(line, ')') + 1;
	for (int field = 2; field < 48 && at; field++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, " %llu", &start) != 1)
		die("arg_start");
	return start;
}

static bool is_swapped(const char *process, uint64_t address)
{
	char path[64];
	uint64_t entry = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/pagemap", process);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &entry, sizeof(entry), (off_t)(address / PAGE * sizeof(entry))) != sizeof(entry))
		die(path);
	close(fd);
	return entry & PAGEMAP_SWAPPED;
}

bool page_out_arguments(const char *process)
{
	uint64_t start = arguments_start(process);
	struct iovec where = {(void *)(uintptr_t)(start / PAGE * PAGE), PAGE};
	int pid = (int)syscall(SYS_pidfd_open, atoi(process), 0);
	bool swapped = false;

	/* A page that waits on another CPU's list is passed over. */
	for (int i = 0; i < ATTEMPTS && !swapped; i++) {
		if (syscall(SYS_process_madvise, pid, &where, 1, MADV_PAGEOUT, 0) < 0)
			die("process_madvise");
		swapped = is_swapped(process, start);
		if (!swapped)
			usleep(100000);
	}
	close(pid);
	return swapped;
}
