/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/supervise.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/io.h"
#include "cli/output.h"

/* A terminal that goes away may tell us twice: by itself, and by its shell. */
#define REPETITION_S 1

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t child;
static volatile sig_atomic_t tidying_since_s; /* CLOCK_MONOTONIC; 0: not yet */

static sig_atomic_t now_s(void)
{
	return (sig_atomic_t)(clock_monotonic_ns() / 1000000000);
}

/* Tidying up may hang, on a file system that is gone, say. What it leaves the next operation removes. */
static void forward(int signal)
{
	if (child > 0)
		kill((pid_t)child, signal);
	else if (tidying_since_s && now_s() - tidying_since_s >= REPETITION_S)
		_exit(128 + signal);
}

/* What nohup(1) has made us deaf to stays so. */
static void set_handler(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i] != SIGHUP || sigaction(SIGHUP, NULL, &before) < 0 || before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

/* Between two of our lines a signal would find nobody to be forwarded to. */
static void block_signals(sigset_t *ret_before)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, ret_before);
}

/* The exit status of a failure to supervise. */
static int failure(const struct verb *verb)
{
	return verb->perform ? EXIT_NOT_THE_PROGRAM : 1;
}

static void tidy_up(const struct invocation *invocation, pid_t pid)
{
	struct error *error;

	tidying_since_s = now_s();
	error = update_tidy_up(&invocation->settings, invocation->vm, pid);
	if (error)
		output_error(error);
	error_destroy(error);
}

/* Our child made it raw and could not restore it. In the background it was not raw, and is somebody else's by now. */
static void restore_terminal(const struct termios *modes)
{
	if (tcgetpgrp(STDIN_FILENO) == getpgrp())
		(void)tcsetattr(STDIN_FILENO, TCSANOW, modes);
}

/* `modes`: of the terminal before; NULL: there is none. */
static int await(const struct verb *verb, const struct invocation *invocation, pid_t pid, const struct termios *modes)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return failure(verb);
	child = 0;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (modes)
		restore_terminal(modes);
	/* Where a program's streams are ours, its end by a signal is told by the status alone, as a shell has it. */
	if (!verb->perform)
		fprintf(stderr, "ouassister: ended by signal %d; nothing of it stays\n", WTERMSIG(status));
	tidy_up(invocation, pid);
	return 128 + WTERMSIG(status);
}

static char last_words[256];

/* Nothing but what a signal handler may call. */
static void say_and_end(int signal_number)
{
	if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0) {
		/* Nobody listens. */
	}
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

void supervise_last_words(const struct verb *verb)
{
	snprintf(last_words, sizeof(last_words), "\nouassister: %s was stopped by a signal; %s\n", verb->name,
		 verb->when_stopped);
	set_handler(say_and_end);
}

int supervise(const struct verb *verb, const struct invocation *invocation,
	      int (*work)(const struct verb *, const struct invocation *))
{
	pid_t pid, parent = getpid();
	struct termios modes;
	bool has_terminal = verb->perform && tcgetattr(STDIN_FILENO, &modes) == 0;
	sigset_t before;

	fflush(NULL);
	block_signals(&before);
	set_handler(forward);
	pid = fork();
	if (pid < 0) {
		perror("ouassister: cannot fork");
		return failure(verb);
	}
	if (pid == 0) {
		set_handler(SIG_DFL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		/* Should the supervisor itself be killed, its child must not go on alone. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(failure(verb));
		exit(work(verb, invocation));
	}
	child = pid;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return await(verb, invocation, pid, has_terminal ? &modes : NULL);
}
