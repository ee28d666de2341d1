/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pid 1 of a shadow run: `init [-c] [-u UID:GID[,GROUP]...] [-d DIRECTORY] -- PROGRAM [ARGUMENT...]`.
 *
 * It starts the program, reaps what is orphaned, and ends with the program's exit status (128 +
 * signal), whereupon the kernel kills everything that is left. It runs with the guest's own
 * rights behind the same filters, from a sealed memory file, and knows nothing worth stealing: the guest may
 * read its memory.
 *
 * If standard input is a terminal it becomes the program's controlling one. With -c descriptor 4 does, and nothing but
 * /dev/tty leads to it: init keeps the session then, so that what outlives the program is not hung up.
 *
 * If descriptor 3 is open it is a SOCK_SEQPACKET socket of the manager (shadow/manager.c): a
 * message holds NUL-terminated strings, a command, with one descriptor for its standard output;
 * init runs it and answers one byte, its exit status.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNNER_FD     3
#define TERMINAL_FD   4 /* with -c */
#define SIGNAL_FD     5
#define REQUEST_MAX   4096
#define ARGUMENTS_MAX 64
#define GROUPS_MAX    256
/* How long orphans of a program that has ended may still work before they are killed. */
#define GRACE_MS      2000
/* ANSWER_REBOOT_LEFT of shadow/answer.h. */
#define LEFT_MAGIC    0x6f75616c

static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void become_free(const sigset_t *mask)
{
	sigprocmask(SIG_SETMASK, mask, NULL);
	close(RUNNER_FD);
	close(SIGNAL_FD);
}

/* In the program's process: it is the one that may read the terminal. */
static void take_terminal(void)
{
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	tcsetpgrp(TERMINAL_FD, getpid());
	signal(SIGTTOU, SIG_DFL);
	close(TERMINAL_FD);
}

static _Noreturn void execute(char *const argv[])
{
	int saved;

	execvp(argv[0], argv);
	saved = errno;
	dprintf(2, "%s: %s\n", argv[0], strerror(saved));
	_exit(saved == ENOENT ? 127 : 126);
}

static _Noreturn void start_request(char *const argv[], int output, const sigset_t *mask)
{
	become_free(mask);
	close(TERMINAL_FD);
	if (output >= 0) {
		dup2(output, 1);
		close(output);
	}
	/* The manager waits for this command: it must not ask the manager (systemd-sysv-install does). */
	setenv("SYSTEMD_OFFLINE", "1", 1);
	execute(argv);
}

/* Who the program runs as, and where. */
struct place {
	const char *user;      /* NULL: root */
	const char *directory; /* NULL: "/" */
	int terminal;          /* it has descriptor 4 */
};

static int become_user(const char *text)
{
	gid_t groups[GROUPS_MAX];
	char *p;
	uid_t uid = (uid_t)strtoul(text, &p, 10);
	int n = 0;

	/* The first is the user's own group. */
	while (*p && n < GROUPS_MAX)
		groups[n++] = (gid_t)strtoul(p + 1, &p, 10);
	/* Its own terminal can be opened again by name. */
	if (isatty(0))
		(void)!fchown(0, uid, (gid_t)-1);
	if (n == 0 || setgroups((size_t)n, groups) < 0 || setgid(groups[0]) < 0 || setuid(uid) < 0)
		return -1;
	return 0;
}

static _Noreturn void start_program(char *const argv[], const struct place *place, const sigset_t *mask)
{
	become_free(mask);
	/* A session of its own: job control, and signals to a whole group, end at it. */
	if (place->terminal)
		take_terminal();
	else
		setsid();
	if (!place->terminal && isatty(0))
		ioctl(0, TIOCSCTTY, 0);
	if (place->user && become_user(place->user) < 0) {
		dprintf(2, "cannot become the user %s: %s\n", place->user, strerror(errno));
		_exit(125);
	}
	if (place->directory && chdir(place->directory) < 0) {
		dprintf(2, "cannot change to the directory %s: %s\n", place->directory, strerror(errno));
		_exit(125);
	}
	execute(argv);
}

/* One message with at most one descriptor; returns its length, 0 at the end. */
static ssize_t receive(char *buffer, size_t size, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {buffer, size};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *header;
	ssize_t n = recvmsg(RUNNER_FD, &message, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (n <= 0)
		return n;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	return n;
}

/* Starts the command of one message; 0: there was none. */
static pid_t run_request(const sigset_t *mask)
{
	char buffer[REQUEST_MAX + 1], *argv[ARGUMENTS_MAX + 1];
	unsigned n = 0;
	int output;
	ssize_t size = receive(buffer, REQUEST_MAX, &output);
	pid_t pid;

	if (size <= 0)
		return 0;
	buffer[size] = '\0';
	for (char *p = buffer; p < buffer + size && n < ARGUMENTS_MAX; p += strlen(p) + 1)
		argv[n++] = p;
	argv[n] = NULL;
	pid = fork();
	if (pid == 0)
		start_request(argv, output, mask);
	if (output >= 0)
		close(output);
	return pid > 0 ? pid : 0;
}

static int now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int)(now.tv_sec % 1000000) * 1000 + (int)(now.tv_nsec / 1000000);
}

struct state {
	pid_t program, request;
	int status;    /* of the program; -1: it still runs */
	int orphans;   /* some child is left */
	int no_runner; /* the manager is gone, or never was */
};

static void reap(struct state *state)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		state->orphans = pid >= 0;
		if (pid <= 0)
			return;
		if (pid == state->program)
			state->status = exit_status(status);
		if (pid == state->request) {
			char byte = (char)exit_status(status);

			state->request = 0;
			(void)!send(RUNNER_FD, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
	}
}

/* Sleeps until a child has ended or a command has come, and starts the command. */
static int wait_for_work(struct state *state, const sigset_t *mask)
{
	struct pollfd fds[] = {{.fd = SIGNAL_FD, .events = POLLIN},
			       {.fd = state->request || state->no_runner ? -1 : RUNNER_FD, .events = POLLIN}};
	struct signalfd_siginfo info;

	/* With the program gone, orphans are looked at again soon: none may ever end. */
	if (poll(fds, 2, state->status >= 0 ? 100 : -1) < 0)
		return errno == EINTR ? 0 : -1;
	while (read(SIGNAL_FD, &info, sizeof(info)) > 0)
		;
	if (fds[1].revents & POLLIN)
		state->request = run_request(mask);
	else if (fds[1].revents)
		state->no_runner = 1;
	return 0;
}

int main(int argc, char *argv[])
{
	struct state state = {.status = -1};
	struct place place = {0};
	sigset_t blocked, mask;
	int ended_ms = 0, option;

	while ((option = getopt(argc, argv, "+cu:d:")) != -1) {
		if (option == 'u')
			place.user = optarg;
		else if (option == 'd')
			place.directory = optarg;
		else if (option == 'c')
			place.terminal = 1;
		else
			return 125;
	}
	if (optind >= argc)
		return 125;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	if (dup2(signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK), SIGNAL_FD) < 0)
		return 125;
	if (place.terminal)
		ioctl(TERMINAL_FD, TIOCSCTTY, 0);
	state.program = fork();
	if (state.program < 0)
		return 125;
	if (state.program == 0)
		start_program(argv + optind, &place, &mask);
	for (;;) {
		reap(&state);
		if (state.status >= 0 && !state.orphans)
			return state.status;
		if (state.status >= 0 && ended_ms && now_ms() - ended_ms > GRACE_MS) {
			/* Refused like every reboot; whoever answers it writes down what is left. */
			(void)syscall(SYS_reboot, LEFT_MAGIC, 0, 0, NULL);
			return state.status;
		}
		if (state.status >= 0 && !ended_ms)
			ended_ms = now_ms();
		if (wait_for_work(&state, &mask) < 0)
			return 125;
	}
}
