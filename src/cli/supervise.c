/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/supervise.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "cli/output.h"

static volatile sig_atomic_t child;

static void forward(int signal)
{
	if (child > 0)
		kill((pid_t)child, signal);
}

static void set_handler(void (*handler)(int))
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

static void tidy_up(const struct invocation *invocation)
{
	struct error *error = update_tidy_up(&invocation->settings, invocation->vm);

	if (error)
		output_error(error);
	error_destroy(error);
}

static int await(pid_t pid, const struct invocation *invocation)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 1;
	child = 0;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "ouassister: ended by signal %d; nothing of it stays\n", WTERMSIG(status));
	tidy_up(invocation);
	return 128 + WTERMSIG(status);
}

int supervise(const struct invocation *invocation, int (*work)(const struct invocation *, const void *),
	      const void *data)
{
	pid_t pid, parent = getpid();

	fflush(NULL);
	set_handler(forward);
	pid = fork();
	if (pid < 0) {
		perror("ouassister: cannot fork");
		return 1;
	}
	if (pid == 0) {
		set_handler(SIG_DFL);
		/* Should the supervisor itself be killed, its child must not go on alone. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		exit(work(invocation, data));
	}
	child = pid;
	return await(pid, invocation);
}
