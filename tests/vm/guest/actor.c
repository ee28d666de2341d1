/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "actor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

void die(const char *what)
{
	fprintf(stderr, "actor: %s: %m\n", what);
	exit(1);
}

/* Who started us waits until all have closed this. */
static int ready_fd = -1;

static void become_ready(void)
{
	if (ready_fd >= 0)
		close(ready_fd);
	ready_fd = -1;
}

static void sleep_for_ever(void) __attribute__((noreturn));
static void sleep_for_ever(void)
{
	become_ready();
	for (;;)
		pause();
}

int make_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	char page[4096];

	if (fd < 0)
		die(path);
	for (size_t done = 0; done < size; done += sizeof(page)) {
		for (size_t i = 0; i < sizeof(page); i++)
			page[i] = (char)(done / sizeof(page) * 31 + i % 251);
		if (write(fd, page, size - done < sizeof(page) ? size - done : sizeof(page)) < 0)
			die(path);
	}
	return fd;
}

/* --- threads --- */

static void *thread(void *argument)
{
	uintptr_t i = (uintptr_t)argument;
	static volatile char pages[5][1 << 16];
	static const char *const names[] = {"worker-1", "\xc3\xbcml\xc3\xa4ut", "bad\xff\xfename", "a b)c (d",
					    "fifteen-letters"};

	MUST(prctl(PR_SET_NAME, names[i % 5]));
	/* glibc would change them for all threads. */
	if (i == 1)
		MUST(syscall(SYS_setresgid, 65, 66, 67));
	if (i == 1)
		MUST(syscall(SYS_setresuid, 65, 66, 67));
	if (i == 2)
		MUST(setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 5));
	/* Faults of its own, which the process counts as well. */
	for (size_t k = 0; k < sizeof(pages[i]); k += 4096)
		pages[i][k] = 1;
	for (;;)
		pause();
}

static void act_threads(void)
{
	for (uintptr_t i = 0; i < 5; i++) {
		pthread_t id;

		if (pthread_create(&id, NULL, thread, (void *)i))
			die("pthread_create");
	}
	/* They are named before anybody looks. */
	sleep(1);
}

/* The first thread ends, the others live on: a process whose leader is a zombie. */
static void act_headless(void)
{
	act_threads();
	become_ready();
	syscall(SYS_exit, 0);
}

/* --- states --- */

static void act_zombie(void)
{
	if (fork() == 0)
		_exit(3);
}

static void act_stopped(void)
{
	pid_t child = fork();

	if (child == 0) {
		become_ready();
		raise(SIGSTOP);
		sleep_for_ever();
	}
	MUST(waitpid(child, NULL, WUNTRACED));
}

static void act_traced(void)
{
	pid_t child = fork();

	if (child == 0) {
		become_ready();
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		sleep_for_ever();
	}
	MUST(waitpid(child, NULL, 0));
}

/* A parent in vfork waits uninterruptibly for its child. */
static void act_uninterruptible(void)
{
	if (fork() != 0)
		return;
	become_ready();
	if (vfork() == 0)
		sleep_for_ever();
}

static void act_ids(void)
{
	static const gid_t groups[] = {4, 24, 70000};

	MUST(setgroups(3, groups));
	MUST(syscall(SYS_setresgid, 2001, 2002, 2003));
	setfsgid(2004);
	setfsuid(1004);
	MUST(syscall(SYS_setresuid, 1001, 1002, 1003));
}

/* --- names --- */

/* Starts this program anew: it only sleeps. */
static void become(char **arguments, char **environment)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	execveat(fd, "", arguments, environment, AT_EMPTY_PATH);
	die("execveat");
}

static void act_arguments(void)
{
	static char large[70000];
	char *arguments[] = {"odd name", "", "a\nb", "\xff\xfe", "\xc3\xbc", "\\x41", large, "", NULL};
	char *environment[] = {"ACTOR=sleep", "EMPTY=", "no equals sign", "BYTES=\xff\n\x1b[1m", NULL};

	memset(large, 'l', sizeof(large) - 1);
	become(arguments, environment);
}

static void act_no_arguments(void)
{
	char *arguments[] = {NULL}, *environment[] = {"ACTOR=sleep", NULL};

	become(arguments, environment);
}

static void act_memfd(void)
{
	char *arguments[] = {"memfd", NULL}, *environment[] = {"ACTOR=sleep", NULL};
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), fd = memfd_create("pro gram", MFD_CLOEXEC);
	char block[65536];
	ssize_t got;

	while ((got = read(from, block, sizeof(block))) > 0)
		MUST(write(fd, block, (size_t)got));
	execveat(fd, "", arguments, environment, AT_EMPTY_PATH);
	die("execveat");
}

/* As daemons do it that show their state: over all of the arguments. */
static void act_title(char **argv)
{
	char *end = argv[0];

	for (char **argument = argv; *argument; argument++)
		end = *argument + strlen(*argument) + 1;
	memset(argv[0], 0, (size_t)(end - argv[0]));
	snprintf(argv[0], (size_t)(end - argv[0]), "actor: idle");
}

/* Longer than the arguments: on into the environment, and the byte at their end is no NUL any more. */
static void act_long_title(char **argv)
{
	char *end = argv[0];

	for (char **argument = argv; *argument; argument++)
		end = *argument + strlen(*argument) + 1;
	for (char **variable = environ; *variable; variable++)
		if (*variable == end)
			end += strlen(*variable) + 1;
	memset(argv[0], 0, (size_t)(end - argv[0]));
	snprintf(argv[0], (size_t)(end - argv[0]),
		 "actor: a title that is longer than all the arguments were at first");
}

/* --- the table --- */

static const struct {
	const char *name;
	void (*act)(void);
	void (*act_argv)(char **argv);
} parts[] = {
	{"sleep", NULL, NULL},
	{"threads", act_threads, NULL},
	{"headless", act_headless, NULL},
	{"zombie", act_zombie, NULL},
	{"stopped", act_stopped, NULL},
	{"traced", act_traced, NULL},
	{"uninterruptible", act_uninterruptible, NULL},
	{"ids", act_ids, NULL},
	{"arguments", act_arguments, NULL},
	{"no-arguments", act_no_arguments, NULL},
	{"memfd", act_memfd, NULL},
	{"title", NULL, act_title},
	{"long-title", NULL, act_long_title},
	{"maps", act_maps, NULL},
	{"files", act_files, NULL},
	{"swapped", act_swapped, NULL},
	{"swapped-fork", act_swapped_fork, NULL},
	{"sockets", act_sockets, NULL},
	{"ipc", act_ipc, NULL},
	{"namespaces", act_namespaces, NULL},
};

static void act(const char *name, char **argv)
{
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (strcmp(parts[i].name, name) != 0)
			continue;
		if (parts[i].act)
			parts[i].act();
		if (parts[i].act_argv)
			parts[i].act_argv(argv);
		return;
	}
	errno = EINVAL;
	die(name);
}

static void join(const char *cgroup)
{
	char text[32];
	int fd = open(cgroup, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, (size_t)sprintf(text, "%d", getpid())) < 0)
		die(cgroup);
	close(fd);
}

/*
 * actor [-c CGROUP.PROCS]... [-C DIRECTORY] [-R ROOT] PART: becomes that part in the background; returns when it is
 * there (or has started itself anew). ACTOR in the environment is a part to become as it is.
 */
int main(int argc, char **argv)
{
	const char *part = getenv("ACTOR");
	int ready[2], option;
	char byte;

	if (part) {
		act(part, argv);
		sleep_for_ever();
	}
	MUST(pipe2(ready, O_CLOEXEC));
	if (fork() != 0) {
		close(ready[1]);
		return read(ready[0], &byte, 1) < 0;
	}
	close(ready[0]);
	ready_fd = ready[1];
	MUST(setsid());
	while ((option = getopt(argc, argv, "c:C:R:")) != -1) {
		if (option == 'c')
			join(optarg);
		if (option == 'C')
			MUST(chdir(optarg));
		if (option == 'R')
			MUST(chroot(optarg));
	}
	if (optind >= argc)
		return 2;
	act(argv[optind], argv);
	sleep_for_ever();
}
