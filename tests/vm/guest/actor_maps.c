/* SPDX-License-Identifier: Apache-2.0 */
/* Mappings of every kind that /proc/PID/maps names in its own way. */
#define _GNU_SOURCE
#include "actor.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	LARGE = 4 << 20,
	STRIPES = 400,
};

#ifndef PR_SET_VMA
#define PR_SET_VMA           0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static char *map(size_t size, int protection, int flags, int fd, off_t offset)
{
	char *start = mmap(NULL, size, protection, flags, fd, offset);

	if (start == MAP_FAILED)
		die("mmap");
	return start;
}

static void map_anonymous(void)
{
	char *large = map(2 * LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *named = map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Huge pages. */
	TRY(madvise(large, 2 * LARGE, MADV_HUGEPAGE));
	memset(large, 'h', 2 * LARGE);
	named[0] = 1;
	TRY(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, 3 * PAGE, "a name"));
	map(PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map(5 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)[PAGE] = 1;
	TRY(mlock(map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE));
	if (mmap((void *)0x10000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		perror("a low mapping");
	if (mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) == MAP_FAILED)
		perror("a huge page");
}

/* Neighbours that cannot be merged: a tree of some depth. */
static void map_stripes(void)
{
	char *start = map((size_t)STRIPES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < STRIPES; i += 2)
		MUST(mprotect(start + i * PAGE, PAGE, PROT_READ));
	for (size_t i = 0; i < STRIPES; i += 7)
		MUST(munmap(start + i * PAGE, PAGE));
}

static void map_files(void)
{
	int fd = make_file("/mnt/data/mapped file", 64 * PAGE), zero = open("/dev/zero", O_RDWR | O_CLOEXEC);

	map(PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 16 * PAGE)[PAGE] = 1;
	map(8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 32 * PAGE);
	map(2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 2 * PAGE);
	/* Beyond 4 GiB, and beyond the file's end. */
	map(PAGE, PROT_READ, MAP_SHARED, fd, (off_t)5 << 30);
	close(fd);
	fd = make_file("/mnt/data/new\nline \xff\\ file", PAGE);
	map(PAGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	fd = make_file("/mnt/data/gone", PAGE);
	map(PAGE, PROT_READ, MAP_SHARED, fd, 0);
	MUST(unlink("/mnt/data/gone"));
	close(fd);
	fd = make_file("/run/mapped", 3 * PAGE);
	map(3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)[2 * PAGE] = 'm';
	close(fd);
	map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
	close(zero);
	fd = open("/mnt/ov/mapped-ov", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	map(PAGE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
}

static void map_objects(void)
{
	int fd = memfd_create("mem fd", MFD_CLOEXEC), id = shmget(0x4711, 3 * PAGE, IPC_CREAT | 0600);
	int secret = (int)syscall(SYS_memfd_secret, 0);

	MUST(ftruncate(fd, LARGE));
	map(LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)[PAGE] = 1;
	close(fd);
	if (id < 0 || shmat(id, NULL, 0) == (void *)-1)
		perror("shmat");
	if (secret < 0)
		return;
	MUST(ftruncate(secret, PAGE));
	if (mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, secret, 0) == MAP_FAILED)
		perror("a secret mapping");
	close(secret);
}

void act_maps(void)
{
	unsigned long aio = 0;

	map_anonymous();
	map_stripes();
	map_files();
	map_objects();
	TRY(syscall(SYS_io_setup, 8, &aio));
	/* A heap. */
	if (sbrk(10 * PAGE) == (void *)-1)
		perror("sbrk");
}
