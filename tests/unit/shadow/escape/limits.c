/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts to use up what the host has. The driver sets small limits; each attempt wants more than they allow. */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/shadow/spawn.h"

static int processes(void)
{
	int max = 300;

	return spawn_users(max) == max ? 0 : -1;
}

static int memory(void)
{
	size_t size = 300u << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	memset(p, 1, size);
	return 0;
}

static int disk(void)
{
	static char block[1 << 20];
	int fd = open("/data/full", O_WRONLY | O_CREAT, 0600);

	memset(block, 1, sizeof(block));
	for (int i = 0; i < 300; i++)
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return -1;
	return 0;
}

static int sparse_file(void)
{
	int fd = open("/data/sparse", O_WRONLY | O_CREAT, 0600);

	return ftruncate(fd, 100L << 30);
}

/* The driver looks whether the host's root can still have one. */
static int watches(void)
{
	int n = 0;

	while (inotify_init1(IN_CLOEXEC) >= 0)
		n++;
	usleep(400000);
	return n > 0 ? 0 : -1;
}

/* Calls that the host's process has to answer, of more callers than it can serve; they outlive us if they can. */
static int flood_answers(void)
{
	struct utsname name;

	for (int i = 0; i < 50; i++)
		if (fork() == 0)
			for (;;)
				uname(&name);
	usleep(1000000);
	return 0;
}

/* Requests to the server of /proc, and files that it has to keep. */
static int flood_proc(void)
{
	static const char *const names[] = {"/proc/meminfo", "/proc/1/maps", "/proc/kallsyms", "/proc/net/tcp"};
	static char buffer[65536];

	for (unsigned i = 0; i < 50; i++)
		if (fork() == 0)
			for (unsigned n = i;; n++)
				(void)!read(open(names[n % 4], O_RDONLY), buffer, sizeof(buffer));
	usleep(2000000);
	return 0;
}

/* The host's own, set aside for its virtual machines. */
static int huge_pages(void)
{
	char *p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		return -1;
	*p = 1;
	return 0;
}

const struct attempt limit_attempts[] = {
	{"processes", processes},
	{"memory", memory},
	{"disk", disk},
	{"sparse-file", sparse_file},
	{"flood-answers", flood_answers},
	{"flood-proc", flood_proc},
	{"watches", watches},
	{"huge-pages", huge_pages},
	{0},
};
