/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/run.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/io.h"

#define POLL_MS 20 /* where the kernel does not say when a process ends */
#define CHUNK   4096

/* What the worker is given to be safe is not for the guest's programs. */
static void reset_limits(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* Where it could not be lowered there is nothing to raise. */
	if (fd >= 0 && write(fd, "0", 1) < 0)
		errno = 0;
	if (getpriority(PRIO_PROCESS, 0) < 0)
		setpriority(PRIO_PROCESS, 0, 0);
	umask(022);
}

static void become(char *const *argv, int output_fd)
{
	int null = open("/dev/null", O_RDWR);

	setsid();
	reset_limits();
	signal(SIGPIPE, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0)
		_exit(126);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? RUN_NOT_FOUND : 126);
}

static int status_of(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* Everything that is there now, without waiting for more. False at the end. */
static bool drain(int fd, char *output, size_t *size)
{
	char chunk[CHUNK];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		size_t room = RUN_OUTPUT_MAX - *size;
		size_t kept = (size_t)n < room ? (size_t)n : room;

		memcpy(output + *size, chunk, kept);
		*size += kept;
	}
	return n < 0;
}

int run_open_process(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Until there is something to be read, the process may have ended, or the time has come. -1 is no descriptor. */
static void wait_for_news(int output_fd, int process_fd, uint64_t deadline_ns)
{
	struct pollfd fds[] = {{.fd = output_fd, .events = POLLIN}, {.fd = process_fd, .events = POLLIN}};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / 1000000 + 1 : 0;

	if (process_fd < 0 && left_ms > POLL_MS)
		left_ms = POLL_MS;
	poll(fds, ARRAY_SIZE(fds), left_ms < INT_MAX ? (int)left_ms : INT_MAX);
}

/*
 * Waits for the program itself, not for the end of its output: a daemon it starts keeps the pipe
 * open for as long as it lives. It has the processor to itself: a look every few milliseconds is a switch to us and
 * back, which an emulated one pays for with all that it has cached.
 */
static int collect(pid_t pid, int fd, uint64_t timeout_ms, char *output, size_t *size)
{
	_cleanup_(close_fd) int process_fd = run_open_process(pid);
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * 1000000;
	bool open = true, late = false;
	int status;

	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		open = open && drain(fd, output, size);
		if (ended == pid)
			return late ? RUN_TIMED_OUT : status_of(status);
		if (!late && clock_monotonic_ns() >= deadline_ns) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			late = true;
			deadline_ns = UINT64_MAX;
		}
		wait_for_news(open ? fd : -1, process_fd, deadline_ns);
	}
}

struct error *run(char *const *argv, uint64_t timeout_ms, struct run_result *ret)
{
	_cleanup_(free_ptr) char *output = malloc(RUN_OUTPUT_MAX + 1);
	size_t size = 0;
	int pipe_fds[2];
	pid_t pid;

	if (!output)
		return error_no_memory();
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_system(errno, argv[0], "cannot make a pipe for");
	pid = fork();
	if (pid == 0)
		become(argv, pipe_fds[1]);
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return error_system(errno, argv[0], "cannot start");
	}
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	ret->status = collect(pid, pipe_fds[0], timeout_ms, output, &size);
	close(pipe_fds[0]);
	output[size] = '\0';
	ret->output = take_ptr(output);
	return NULL;
}

struct error *run_daemon(char *const *argv, uint64_t settle_ms, struct run_result *ret)
{
	_cleanup_(close_fd) int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	uint64_t deadline_ns = clock_monotonic_ns() + settle_ms * 1000000;
	_cleanup_(close_fd) int process_fd = -1;
	int status = 0;
	pid_t pid;

	if (null < 0)
		return error_system(errno, "/dev/null", "cannot open");
	pid = fork();
	if (pid == 0)
		become(argv, null);
	if (pid < 0)
		return error_system(errno, argv[0], "cannot start");
	process_fd = run_open_process(pid);
	while (waitpid(pid, &status, WNOHANG) == 0 && clock_monotonic_ns() < deadline_ns)
		wait_for_news(-1, process_fd, deadline_ns);
	ret->status = kill(pid, 0) == 0 ? 0 : status_of(status);
	ret->output = strdup("");
	return ret->output ? NULL : error_no_memory();
}

void run_result_deinit(struct run_result *result)
{
	free(result->output);
	*result = (struct run_result){};
}
