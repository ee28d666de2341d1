/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"

/* Between fork and exec: only async-signal-safe calls. Returns only on failure. */

static int keep_descriptors(const struct process_options *options)
{
	for (unsigned i = 0; i < options->n_keep_fds; i++)
		if (fcntl(options->keep_fds[i], F_SETFD, 0) < 0)
			return -1;
	return 0;
}

static int redirect(int from, int to)
{
	_cleanup_(close_fd) int null_fd = -1;

	if (from > 0)
		return from == to ? fcntl(to, F_SETFD, 0) : dup2(from, to);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return -1;
	if (null_fd == to)
		return fcntl(take_fd(null_fd), F_SETFD, 0);
	return dup2(null_fd, to);
}

static void child_exec(const struct process_options *options, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (options->new_session && setsid() < 0)
		return;
	if (options->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		return;
	if (options->directory && chdir(options->directory) < 0)
		return;
	if (redirect(options->stdin_fd, 0) < 0 || redirect(options->stdout_fd, 1) < 0 ||
	    redirect(options->stderr_fd, 2) < 0 || keep_descriptors(options) < 0)
		return;
	execvp(options->argv[0], (char *const *)options->argv);
}

struct error *process_start(const struct process_options *options, pid_t *ret)
{
	int report[2];
	int errnum = 0;
	pid_t pid, parent = getpid();
	ssize_t n;

	/* The pipe closes at exec; what comes through it before is the errno of a failure. */
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	pid = fork();
	if (pid == 0) {
		child_exec(options, parent);
		errnum = errno;
		n = write(report[1], &errnum, sizeof(errnum));
		_exit(n == sizeof(errnum) ? 127 : 126);
	}
	close(report[1]);
	if (pid < 0) {
		errnum = errno;
		close(report[0]);
		return error_system(errnum, options->argv[0], "cannot fork for");
	}
	do
		n = read(report[0], &errnum, sizeof(errnum));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n > 0) {
		waitpid(pid, NULL, 0);
		return error_remedy(error_system(errnum, options->argv[0], "cannot run"),
				    errnum == ENOENT ? "install the package that provides it"
						     : "see why it cannot be executed");
	}
	*ret = pid;
	return NULL;
}

/* One captured output of a child. */
struct capture {
	int fd;     /* read end, -1 once it has ended */
	char *text; /* PROCESS_OUTPUT_MAX + 1 bytes */
	size_t size;
};

/* Reads what is there; what is over the limit is dropped. */
static void capture_read(struct capture *capture)
{
	char surplus[4096];
	size_t left = PROCESS_OUTPUT_MAX - capture->size;
	ssize_t n = left ? read(capture->fd, capture->text + capture->size, left)
			 : read(capture->fd, surplus, sizeof(surplus));

	if (n > 0 && left)
		capture->size += (size_t)n;
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		close_fd(&capture->fd);
}

static int remaining_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns();

	if (!deadline_ns)
		return -1;
	return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000 + 1);
}

/* Reads both until the child's process ends (a grandchild may keep the pipes); false at the deadline. */
static bool capture_until_exit(struct capture captures[2], int pidfd, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd fds[3] = {
			{.fd = captures[0].fd, .events = POLLIN},
			{.fd = captures[1].fd, .events = POLLIN},
			{.fd = pidfd, .events = POLLIN},
		};
		int n = poll(fds, 3, remaining_ms(deadline_ns));

		if (n == 0)
			return false;
		if (n < 0 && errno != EINTR)
			return false;
		if (n < 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (fds[i].revents)
				capture_read(&captures[i]);
		/* Everything it wrote is in the pipe by the time it has ended: leave when both are drained. */
		if (fds[2].revents && !fds[0].revents && !fds[1].revents)
			return true;
	}
}

static int wait_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 255;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static struct error *run_captured(const struct process_options *options, uint64_t timeout_ms,
				  struct capture captures[2], int *ret_status)
{
	uint64_t deadline = timeout_ms ? clock_monotonic_ns() + timeout_ms * 1000000 : 0;
	_cleanup_(close_fd) int out = -1, err = -1, pidfd = -1;
	struct process_options child = *options;
	int pipes[2][2];
	pid_t pid;
	struct error *error;

	if (pipe2(pipes[0], O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	captures[0].fd = pipes[0][0];
	out = pipes[0][1];
	if (pipe2(pipes[1], O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	captures[1].fd = pipes[1][0];
	err = pipes[1][1];
	child.stdout_fd = out;
	child.stderr_fd = err;
	error = process_start(&child, &pid);
	if (error)
		return error;
	close_fd(&out);
	close_fd(&err);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0 || !capture_until_exit(captures, pidfd, deadline)) {
		kill(pid, SIGKILL);
		wait_status(pid);
		return error_create(ERROR_TIMEOUT, "%s: not finished after %llu s", options->argv[0],
				    (unsigned long long)timeout_ms / 1000);
	}
	*ret_status = wait_status(pid);
	return NULL;
}

struct error *process_run(const struct process_options *options, uint64_t timeout_ms, struct process_result *ret)
{
	struct capture captures[2] = {
		{.fd = -1, .text = calloc(1, PROCESS_OUTPUT_MAX + 1)},
		{.fd = -1, .text = calloc(1, PROCESS_OUTPUT_MAX + 1)},
	};
	struct error *error;
	int status = 0;

	if (captures[0].text && captures[1].text)
		error = run_captured(options, timeout_ms, captures, &status);
	else
		error = error_no_memory();
	close_fd(&captures[0].fd);
	close_fd(&captures[1].fd);
	if (error) {
		free(captures[0].text);
		free(captures[1].text);
		return error;
	}
	*ret = (struct process_result){.status = status, .output = captures[0].text, .errors = captures[1].text};
	return NULL;
}

/* The last line of `text` that says anything; ends `text` there. */
static const char *last_line(char *text)
{
	size_t length = strlen(text);
	char *newline;

	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		text[--length] = 0;
	newline = strrchr(text, '\n');
	return newline ? newline + 1 : text;
}

struct error *process_check(const char *const *argv)
{
	struct process_options options = {.argv = argv, .die_with_parent = true};
	struct process_result result;
	struct error *error = process_run(&options, 0, &result);

	if (error)
		return error;
	if (result.status != 0)
		error = error_create(ERROR_FAILED, "%s: exit status %d: %s", argv[0], result.status,
				     last_line(*result.errors ? result.errors : result.output));
	process_result_deinit(&result);
	return error;
}

void process_result_deinit(struct process_result *result)
{
	free(result->output);
	free(result->errors);
	*result = (struct process_result){0};
}

void process_stop(pid_t *pid, uint64_t grace_ms)
{
	uint64_t deadline = clock_monotonic_ns() + grace_ms * 1000000;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	while (waitpid(*pid, NULL, WNOHANG) == 0) {
		struct timespec pause = {.tv_nsec = 5000000};

		if (clock_monotonic_ns() >= deadline) {
			kill(*pid, SIGKILL);
			wait_status(*pid);
			break;
		}
		nanosleep(&pause, NULL);
	}
	*pid = -1;
}
