/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our side of a run: starts the sandbox, relays what goes in and out, answers its system calls,
 * and writes down what it asks of the running system.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/attend.h"
#include "shadow/record.h"
#include "shadow/relay.h"
#include "shadow/run.h"
#include "shadow/terminal.h"

#define CAPTURE_MAX (16u << 20)
#define PIPE_SIZE   (1 << 20)

/* How often limits are looked at that the kernel does not enforce for us. */
#define CHECK_MS    200

/* After a failure (a time limit, say) nobody may be reading any more: so long we still wait for what was printed. */
#define DRAIN_MS    1000

struct run {
	struct shadow *shadow;
	const struct shadow_run_options *options;
	struct capture *capture; /* NULL: output goes to the options' descriptors */
	pid_t warden;
	int control, listener;
	int records, values;     /* what the manager and what the server of /proc write down */
	struct answers *answers; /* of the listener */
	struct attend *attend;   /* NULL: nobody looks after it */
	struct stream input, output, errors;
	struct terminal terminal;
	uint64_t oom_kills; /* before this run */
	bool ended;         /* the status has come */
	int status;
	struct error *failure; /* of the setup */
};

/* The descriptor that comes with a report. */
static struct error *take_descriptor(struct msghdr *message, int *ret)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return error_create(ERROR_FAILED, "the sandbox sent no descriptor");
	close_fd(ret);
	memcpy(ret, CMSG_DATA(header), sizeof(int));
	return NULL;
}

/* What somebody writes to the terminal that nobody sits at goes where all output goes. */
static struct error *take_attended(struct run *run, struct msghdr *message)
{
	_cleanup_(close_fd) int master = -1, output = -1;
	struct error *error = take_descriptor(message, &master);

	if (error)
		return error;
	if (run->errors.from >= 0)
		return error_create(ERROR_FAILED, "the sandbox sent a second terminal");
	output = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (output < 0 || fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return error_system(errno, NULL, "cannot use the program's terminal");
	attend_terminal(run->attend, take_fd(master));
	return stream_output(&run->errors, "terminal", take_fd(output), run->options->output_fd);
}

/* Both directions go through the terminal's one master. */
static struct error *take_terminal(struct run *run, struct msghdr *message)
{
	_cleanup_(close_fd) int master = -1, input = -1, output = -1;
	struct error *error = take_descriptor(message, &master);

	if (error)
		return error;
	if (!run->options->terminal || run->output.from >= 0)
		return error_create(ERROR_FAILED, "the sandbox sent a terminal that nobody asked for");
	input = fcntl(master, F_DUPFD_CLOEXEC, 3);
	output = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (input < 0 || output < 0 || fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return error_system(errno, NULL, "cannot use the program's terminal");
	error = terminal_start(&run->terminal, take_fd(master));
	if (!error)
		error = stream_output(&run->output, "standard output", take_fd(output), run->options->output_fd);
	if (!error && run->options->stdin_fd > 0)
		stream_input(&run->input, run->options->stdin_fd, take_fd(input));
	return error;
}

static struct error *take_listener(struct run *run, struct msghdr *message)
{
	struct error *error = take_descriptor(message, &run->listener);

	answers_destroy(take_ptr(run->answers));
	return error ? error : answers_create(run->shadow, run->listener, &run->answers);
}

static struct error *read_report(struct run *run)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} space;
	struct report report = {0};
	struct iovec iov = {&report, sizeof(report)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
	ssize_t n = recvmsg(run->control, &message, MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return NULL;
	if (n != (ssize_t)sizeof(report)) {
		run->ended = true;
		run->status = 128 + SIGKILL;
		return NULL;
	}
	switch (report.kind) {
	case REPORT_LISTENER:
		return take_listener(run, &message);
	case REPORT_TERMINAL:
		return run->attend ? take_attended(run, &message) : take_terminal(run, &message);
	case REPORT_ERROR:
		report.text[sizeof(report.text) - 1] = '\0';
		if (!run->failure)
			run->failure = error_create(report.code > 0 && report.code < ERROR_CODE_MAX
							    ? (enum error_code)report.code
							    : ERROR_FAILED,
						    "%s", report.text);
		return NULL;
	case REPORT_STATUS:
		run->ended = true;
		run->status = report.status;
		return NULL;
	}
	return error_create(ERROR_FAILED, "the sandbox sent an unknown report");
}

enum {
	POLL_CONTROL,
	POLL_LISTENER,
	POLL_RECORDS,
	POLL_VALUES,
	POLL_SIGNALS,
	POLL_INPUT,
	POLL_OUTPUT = POLL_INPUT + STREAM_POLLS,
	POLL_ERRORS = POLL_OUTPUT + STREAM_POLLS,
	POLL_MAX = POLL_ERRORS + STREAM_POLLS,
};

static struct error *read_records(struct run *run, int *fd)
{
	bool ended = false;
	struct error *error;

	/* In the order it was asked for. */
	if (run->answers)
		answers_collect(run->answers);
	error = record_receive(run->shadow, *fd, (uint32_t)run->warden, &ended);

	if (ended)
		close_fd(fd);
	return error;
}

static struct error *serve_streams(struct run *run, const struct pollfd *fds)
{
	struct error *error = stream_serve(&run->output, fds + POLL_OUTPUT);

	if (!error)
		error = stream_serve(&run->errors, fds + POLL_ERRORS);
	return error ? error : stream_serve(&run->input, fds + POLL_INPUT);
}

/* One round of waiting and serving; after the program's end only what is still in the pipes. */
static struct error *serve(struct run *run, int timeout_ms)
{
	struct pollfd fds[POLL_MAX] = {
		[POLL_CONTROL] = {.fd = run->control, .events = POLLIN},
		[POLL_LISTENER] = {.fd = run->listener, .events = POLLIN},
		[POLL_RECORDS] = {.fd = run->records, .events = POLLIN},
		[POLL_VALUES] = {.fd = run->values, .events = POLLIN},
		[POLL_SIGNALS] = {.fd = run->terminal.signals, .events = POLLIN},
	};
	struct error *error;

	stream_poll(&run->input, fds + POLL_INPUT);
	stream_poll(&run->output, fds + POLL_OUTPUT);
	stream_poll(&run->errors, fds + POLL_ERRORS);
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
		return errno == EINTR ? NULL : error_system(errno, NULL, "cannot wait for the sandbox");
	error = serve_streams(run, fds);
	if (!error && fds[POLL_LISTENER].revents & POLLIN)
		error = answers_serve(run->answers);
	else if (fds[POLL_LISTENER].revents)
		close_fd(&run->listener);
	if (!error && fds[POLL_RECORDS].revents)
		error = read_records(run, &run->records);
	if (!error && fds[POLL_VALUES].revents)
		error = read_records(run, &run->values);
	if (fds[POLL_SIGNALS].revents)
		terminal_follow(&run->terminal);
	if (!error && fds[POLL_CONTROL].revents)
		error = read_report(run);
	return error;
}

/* What a control group or our own counting found: everything in the shadow is then killed. */
static struct error *check_limits(const struct run *run)
{
	const struct shadow_run_options *options = run->options;

	if (cgroup_oom_kills(&run->shadow->cgroup) > run->oom_kills)
		return error_remedy(error_create(ERROR_FAILED, "%s: killed: memory limit (%llu MiB)", options->argv[0],
						 (unsigned long long)run->shadow->limits.memory_bytes >> 20),
				    "give it more with --max-memory");
	/* The second: what went to a terminal that nobody sits at. */
	if (options->output_max && run->output.passed + run->errors.passed > options->output_max)
		return error_create(ERROR_FAILED, "%s: killed: it printed more than %llu MiB", options->argv[0],
				    (unsigned long long)options->output_max >> 20);
	return NULL;
}

static struct error *serve_until_end(struct run *run)
{
	uint64_t limit_ms = run->options->timeout_s * 1000, begin_ns = clock_monotonic_ns(), checked_ms = 0;
	struct error *error;

	while (!run->ended) {
		uint64_t passed_ms = (clock_monotonic_ns() - begin_ns) / 1000000;
		int wait_ms = 1000;

		if (limit_ms && passed_ms >= limit_ms)
			return error_create(ERROR_TIMEOUT, "%s did not end within %llu s and was killed",
					    run->options->argv[0], (unsigned long long)run->options->timeout_s);
		if (limit_ms && limit_ms - passed_ms < 1000)
			wait_ms = (int)(limit_ms - passed_ms);
		if (run->attend && wait_ms > ATTEND_MS)
			wait_ms = ATTEND_MS;
		error = serve(run, wait_ms);
		if (!error && run->attend)
			error = attend_look(run->attend, (uint32_t)run->warden);
		/* Not at every system call that is answered. */
		if (!error && passed_ms - checked_ms >= CHECK_MS) {
			checked_ms = passed_ms;
			error = check_limits(run);
		}
		if (error)
			return error;
	}
	return check_limits(run);
}

static bool has_drained(const struct run *run)
{
	return stream_ended(&run->output) && stream_ended(&run->errors) && run->records < 0 && run->values < 0;
}

/*
 * With every process of the sandbox dead, the pipes hold what was written before and then end. A reader who is slow is
 * waited for, but after a failure not for ever.
 */
static struct error *drain(struct run *run, bool failed)
{
	uint64_t begin_ns = clock_monotonic_ns();
	struct error *error = NULL;

	close_fd(&run->control);
	close_fd(&run->listener);
	stream_close(&run->input);
	while (!error && !has_drained(run)) {
		if (failed && clock_monotonic_ns() - begin_ns > DRAIN_MS * UINT64_C(1000000))
			break;
		error = serve(run, failed ? DRAIN_MS / 10 : -1);
	}
	return error;
}

static void end_sandbox(struct run *run)
{
	if (run->warden <= 0)
		return;
	kill(run->warden, SIGKILL);
	while (waitpid(run->warden, NULL, 0) < 0 && errno == EINTR)
		;
	run->warden = -1;
}

static struct error *open_null(int *ret)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_system(errno, "/dev/null", "cannot open");
	*ret = fd;
	return NULL;
}

/* The program may open its streams again by name (/dev/stderr), for which they must be its own. */
static struct error *give_to_program(const struct shadow_run_options *options, int fd)
{
	uint32_t uid = SHADOW_ID_BASE + (options->user ? options->user->uid : 0);
	uint32_t gid = SHADOW_ID_BASE + (options->user ? options->user->gid : 0);

	return fchown(fd, uid, gid) < 0 ? error_system(errno, NULL, "cannot set the owner of a pipe") : NULL;
}

static struct error *make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return NULL;
}

static struct error *make_sockets(int *ret_ours, int *ret_theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return error_system(errno, NULL, "cannot create a socket pair");
	*ret_ours = fds[0];
	*ret_theirs = fds[1];
	return NULL;
}

/* What the guest holds the other end of never makes us wait. */
static struct error *dont_wait(int fd)
{
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_system(errno, NULL, "cannot set up a pipe");
	/* Fewer turns for much data; the user may have reached a limit. */
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
	return NULL;
}

/* One of the program's two outputs; *ret is its end of it. */
static struct error *start_output(struct run *run, struct stream *stream, const char *name, int user, int *ret)
{
	_cleanup_(close_fd) int ours = -1;
	struct error *error = make_pipe(&ours, ret);

	if (!error)
		error = give_to_program(run->options, *ret);
	if (!error)
		error = dont_wait(ours);
	if (error)
		return error;
	if (run->capture) {
		stream_capture(stream, take_fd(ours), run->capture);
		return NULL;
	}
	return stream_output(stream, name, take_fd(ours), user);
}

static struct error *start_input(struct run *run, int *ret)
{
	_cleanup_(close_fd) int ours = -1;
	struct error *error;

	if (run->options->attendant) {
		error = attend_create(run->options->attendant, &run->attend, ret);
		return error ? error : give_to_program(run->options, *ret);
	}
	if (run->options->stdin_fd <= 0)
		return open_null(ret);
	error = make_pipe(ret, &ours);
	if (!error)
		error = give_to_program(run->options, *ret);
	if (!error)
		error = dont_wait(ours);
	if (!error)
		stream_input(&run->input, run->options->stdin_fd, take_fd(ours));
	return error;
}

static struct error *start(struct run *run, int network_ns)
{
	_cleanup_(close_fd) int input = -1, output = -1, errors = -1, control = -1, record = -1, value = -1;
	const struct shadow_run_options *options = run->options;
	struct sandbox sandbox = {.shadow = run->shadow, .options = options, .network_ns = network_ns};
	struct error *error = NULL;

	if (options->terminal) {
		error = terminal_open(options->stdin_fd, options->output_fd, &run->terminal);
	} else {
		error = start_input(run, &input);
		if (!error)
			error = start_output(run, &run->output, "standard output", options->output_fd, &output);
		if (!error && options->error_fd > 0)
			error = start_output(run, &run->errors, "standard error", options->error_fd, &errors);
	}
	if (!error)
		error = make_sockets(&run->control, &control);
	if (!error)
		error = make_sockets(&run->records, &record);
	if (!error)
		error = make_sockets(&run->values, &value);
	if (error)
		return error;
	sandbox.control = control;
	sandbox.input = input;
	sandbox.output = output;
	sandbox.errors = errors;
	sandbox.record_fd = record;
	sandbox.value_fd = value;
	return sandbox_start(&sandbox, &run->warden);
}

static struct error *serve_run(struct run *run)
{
	_cleanup_(network_stop_ptr) struct network *network = NULL;
	const struct shadow_run_options *options = run->options;
	struct error *error = NULL, *drained;

	if (options->network && options->network->enabled)
		error = network_start(options->network, &network);
	if (!error)
		error = start(run, network ? network_namespace_fd(network) : -1);
	if (!error)
		error = serve_until_end(run);
	end_sandbox(run);
	drained = drain(run, error != NULL);
	if (!error && run->failure)
		error = error_wrap(take_ptr(run->failure), "cannot start the VM Shadow");
	if (!error)
		error = take_ptr(drained);
	error_destroy(run->failure);
	error_destroy(drained);
	return error;
}

static struct error *run_sandbox(struct shadow *shadow, const struct shadow_run_options *options,
				 struct capture *capture, int *ret_status)
{
	/* A program or a reader that has gone is told by the write that fails. */
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct run run = {.shadow = shadow,
			  .options = options,
			  .capture = capture,
			  .warden = -1,
			  .control = -1,
			  .records = -1,
			  .values = -1,
			  .listener = -1,
			  .oom_kills = cgroup_oom_kills(&shadow->cgroup),
			  .input = STREAM_NONE,
			  .output = STREAM_NONE,
			  .errors = STREAM_NONE,
			  .terminal = TERMINAL_NONE};
	struct sigaction before;
	struct error *error;

	sigaction(SIGPIPE, &ignore, &before);
	error = serve_run(&run);
	terminal_close(&run.terminal);
	answers_destroy(run.answers);
	attend_destroy(run.attend);
	stream_close(&run.input);
	stream_close(&run.output);
	stream_close(&run.errors);
	close_fd(&run.records);
	close_fd(&run.values);
	sigaction(SIGPIPE, &before, NULL);
	if (error)
		return error;
	*ret_status = run.status;
	return NULL;
}

struct error *shadow_run(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status)
{
	return run_sandbox(shadow, options, NULL, ret_status);
}

struct error *shadow_capture(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status,
			     char **ret_output)
{
	_cleanup_(free_ptr) char *data = NULL;
	struct capture capture = {.max = CAPTURE_MAX};
	struct error *error;
	int status;

	error = run_sandbox(shadow, options, &capture, &status);
	data = capture.data;
	if (error)
		return error;
	if (capture.overflow)
		return error_format(options->argv[0], CAPTURE_MAX, "its output is too long");
	if (!data)
		data = strdup("");
	if (!data)
		return error_no_memory();
	*ret_output = take_ptr(data);
	*ret_status = status;
	return NULL;
}
