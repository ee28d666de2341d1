/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of every kind. The actor that holds them sleeps. */
#define _GNU_SOURCE
#include "actor.h"

#include <fcntl.h>
#include <linux/mman.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <unistd.h>

static void open_regular(void)
{
	int fd = make_file("/mnt/data/open", 100000);

	MUST(lseek(fd, 4711, SEEK_SET));
	MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
	fd = open("/mnt/data/log", O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_SYNC, 0600);
	MUST(write(fd, "two\nlines\n", 10));
	/* Not on the disk yet when the guest sleeps. */
	fd = make_file("/mnt/data/late", 300000);
	fd = make_file("/mnt/data/deleted while open", 20000);
	MUST(unlink("/mnt/data/deleted while open"));
	fd = make_file("/run/deleted", 20000);
	MUST(unlink("/run/deleted"));
	MUST(lseek(fd, (off_t)5 << 30, SEEK_SET));
	/* Another has the name now. */
	fd = make_file("/run/replaced", 10);
	MUST(unlink("/run/replaced"));
	close(make_file("/run/replaced", 20));
	MUST(open("/mnt/data/really (deleted)", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	MUST(open("/mnt/data/n\new\xff\\\t", O_RDWR | O_CREAT, 0600));
	TRY(open("/mnt/data", O_RDWR | O_TMPFILE, 0600));
	MUST(open("/mnt/bind", O_RDONLY | O_DIRECTORY));
	MUST(open("/", O_PATH));
	/* Far up in the table. */
	MUST(fcntl(fd, F_DUPFD, 1000));
}

static void open_long(void)
{
	char name[201];
	int directory = open("/mnt/data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(name, 'd', 200);
	name[200] = 0;
	for (int i = 0; i < 12; i++) {
		int next;

		MUST(mkdirat(directory, name, 0755));
		next = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(directory);
		directory = next;
	}
	MUST(openat(directory, "deep", O_RDWR | O_CREAT, 0600));
}

static void open_special(void)
{
	int pipes[2], pair[2], primary, secondary;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(pipe(pipes));
	MUST(write(pipes[1], "in the pipe", 11));
	MUST(open("/run/fifo", O_RDWR | O_NONBLOCK));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(eventfd(7, EFD_CLOEXEC));
	MUST(epoll_create1(0));
	MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	MUST(signalfd(-1, &set, 0));
	MUST(inotify_init1(IN_CLOEXEC));
	MUST(memfd_create("memory", 0));
	MUST(open("/dev/null", O_RDWR));
	MUST(open("/dev/vda", O_RDONLY));
	MUST(open("/proc/self/ns/mnt", O_RDONLY));
	MUST(open("/proc/self/status", O_RDONLY));
	TRY(syscall(SYS_pidfd_open, getpid(), 0));
	TRY(openpty(&primary, &secondary, NULL, NULL, NULL));
}

/* A file with an access control list, and a directory that gives one to what is made in it. */
static void make_lists(void)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 6, ~0U}, {2, 4, 33}, {4, 4, ~0U}, {16, 6, ~0U}, {32, 0, ~0U}}};

	close(make_file("/run/acl", 100));
	MUST(setxattr("/run/acl", "system.posix_acl_access", &list, sizeof(list), 0));
	MUST(mkdir("/run/acl-directory", 0750));
	MUST(setxattr("/run/acl-directory", "system.posix_acl_default", &list, sizeof(list), 0));
}

void act_files(void)
{
	struct rlimit limit = {4096, 4096};

	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	open_regular();
	open_long();
	open_special();
	make_lists();
}

static char *map(size_t size, int protection, int flags, int fd, size_t offset)
{
	char *start = mmap(NULL, size, protection, flags, fd, (off_t)offset);

	if (start == MAP_FAILED)
		die("mmap");
	return start;
}

/*
 * A file of tmpfs that is in swap, but for its beginning; and three more views of it: a part of it, one that may have
 * pages of its own and has some, and one that only reads.
 */
void act_swapped(void)
{
	const size_t size = 1 << 20, resident = 1 << 14, page = 4096;
	int fd = make_file("/tmp/swapped", size);
	char *start = map(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *own;

	for (size_t i = 0; i < size; i += page)
		start[i] = 's';
	MUST(madvise(start + resident, size - resident, MADV_PAGEOUT));
	map(size / 4, PROT_READ, MAP_SHARED, fd, resident - page);
	map(size / 4, PROT_READ, MAP_PRIVATE, fd, size / 2);
	own = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	own[0] = own[page] = 'o';
}

/* Memory of its own that is in swap, a part of it shared with a child. */
void act_swapped_fork(void)
{
	const size_t size = 1 << 18, page = 4096;
	char *start = map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < size; i += page)
		start[i] = 'a';
	/* A page that waits on another CPU's list is passed over. */
	for (int i = 0; i < 5; i++, usleep(100000))
		MUST(madvise(start, size, MADV_PAGEOUT));
	MUST(madvise(start, size / 4, MADV_DONTFORK));
	MUST(fork());
}
