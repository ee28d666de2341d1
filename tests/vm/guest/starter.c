/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a small program of the guest back to back until a file is there, through an update of the C library.
 *
 *   usage: starter PROGRAM COUNTS LOADER LIBRARY STOP REPORT
 *
 * PROGRAM (tests/unit/apply/started.c) adds one to a number of the file COUNTS, which this one makes: what it has
 * mapped is compared with the inodes that LOADER and LIBRARY have now. When the file STOP is there, a line of names and
 * numbers goes to REPORT: how many were started, failed (by exit status or signal), had both old, both new, one of
 * each, and the longest time between two starts. Static: what it uses itself is not exchanged under it.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t inode_of(const char *path)
{
	struct stat s;

	if (stat(path, &s) < 0)
		die(path);
	return s.st_ino;
}

static uint64_t *make_counts(char **argv)
{
	int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint64_t *counts;

	if (fd < 0 || ftruncate(fd, 4096) < 0)
		die(argv[2]);
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counts == MAP_FAILED)
		die("mmap");
	counts[8] = inode_of(argv[3]);
	counts[9] = inode_of(argv[4]);
	return counts;
}

static int start(char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return 1;
	if (pid == 0) {
		execl(argv[1], argv[1], argv[2], (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, &status, 0) < 0 || status != 0;
}

int main(int argc, char **argv)
{
	unsigned long long started = 0, failed = 0, longest = 0;
	uint64_t *counts, last;
	FILE *report;

	if (argc != 7)
		return 2;
	counts = make_counts(argv);
	last = now_ms();
	while (access(argv[5], F_OK) < 0) {
		uint64_t now;

		failed += (unsigned long long)start(argv);
		started++;
		now = now_ms();
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	report = fopen(argv[6], "w");
	if (!report)
		die(argv[6]);
	fprintf(report,
		"{\"started\": %llu, \"failed\": %llu, \"old\": %llu, \"new\": %llu, \"mixed\": %llu, \"longest_ms\": "
		"%llu}\n",
		started, failed, (unsigned long long)counts[0], (unsigned long long)counts[1],
		(unsigned long long)counts[2], longest);
	return fclose(report) ? 1 : 0;
}
