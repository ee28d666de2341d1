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
#include "shadow/run.h"

#define CAPTURE_MAX (16u << 20)
/* Lines of the log that one run may make us write of what its manager cannot answer. */
#define UNKNOWN_MAX 100

/* Where output goes: a descriptor, or memory. */
struct sink {
	int fd;     /* 0: dropped; -1: memory */
	char *data; /* NUL-terminated once there is any */
	size_t size, space;
	bool overflow; /* more than CAPTURE_MAX came */
};

struct run {
	struct shadow *shadow;
	const struct shadow_run_options *options;
	struct sink *sink;
	pid_t warden;
	int control, output, records, listener;
	int input;        /* our end of the program's standard input; -1: it has ended */
	int input_source; /* borrowed */
	unsigned n_unknown;
	bool ended; /* the status has come */
	int status;
	struct error *failure; /* of the setup */
};

static struct error *sink_write(struct sink *sink, const char *data, size_t size)
{
	size_t space = sink->space ? sink->space : 4096;
	char *grown;

	if (sink->fd == 0 || sink->overflow)
		return NULL;
	if (sink->fd > 0)
		return io_write(sink->fd, data, size, "output");
	if (sink->size + size > CAPTURE_MAX) {
		sink->overflow = true;
		return NULL;
	}
	while (space < sink->size + size + 1)
		space *= 2;
	if (space != sink->space) {
		grown = realloc(sink->data, space);
		if (!grown)
			return error_no_memory();
		sink->data = grown;
		sink->space = space;
	}
	memcpy(sink->data + sink->size, data, size);
	sink->size += size;
	sink->data[sink->size] = '\0';
	return NULL;
}

static struct error *relay_output(struct run *run)
{
	char buffer[65536];
	ssize_t n = read(run->output, buffer, sizeof(buffer));

	if (n > 0)
		return sink_write(run->sink, buffer, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	close_fd(&run->output);
	return NULL;
}

/* A program that does not read its input must not stop us: the pipe does not block, and what does not fit waits. */
static void relay_input(struct run *run)
{
	char buffer[4096];
	ssize_t n = read(run->input_source, buffer, sizeof(buffer));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* PIPE_BUF bytes: all or nothing, and poll said that there is room. */
	if (n <= 0 || write(run->input, buffer, (size_t)n) != n)
		close_fd(&run->input);
}

static struct error *take_listener(struct run *run, struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return error_create(ERROR_FAILED, "the sandbox sent no notification descriptor");
	close_fd(&run->listener);
	memcpy(&run->listener, CMSG_DATA(header), sizeof(int));
	return NULL;
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

/* A text that the guest had a say in: bounded, and nothing a terminal would obey. */
static bool is_plain(const char text[SHADOW_NAME_MAX])
{
	size_t n = strnlen(text, SHADOW_NAME_MAX);

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return n < SHADOW_NAME_MAX;
}

static struct error *add_action(struct run *run, const struct manager_record *record)
{
	struct action action = {.kind = ACTION_SYSTEMD};

	if (run->shadow->actions.n >= SHADOW_ACTIONS_MAX)
		return error_create(ERROR_FAILED, "more than %d requests to the running system", SHADOW_ACTIONS_MAX);
	log_debug("recorded: %s %s", record->verb, record->unit);
	action.verb = strdup(record->verb);
	action.unit = record->unit[0] ? strdup(record->unit) : NULL;
	if (!action.verb || (record->unit[0] && !action.unit)) {
		action_deinit(&action);
		return error_no_memory();
	}
	return action_list_append(&run->shadow->actions, action);
}

static struct error *read_record(struct run *run)
{
	struct manager_record record;
	ssize_t n = recv(run->records, &record, sizeof(record), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n != (ssize_t)sizeof(record) || !is_plain(record.verb) || !is_plain(record.unit)) {
		close_fd(&run->records);
		return NULL;
	}
	if (record.kind == RECORD_REQUEST)
		return add_action(run, &record);
	if (record.kind == RECORD_UNKNOWN && run->n_unknown++ < UNKNOWN_MAX)
		log_debug("the guest asked its service manager what the shadow has no answer to: %s of %s", record.verb,
			  record.unit);
	return NULL;
}

/* One round of waiting and serving; after the program's end only what is still in the pipes. */
static struct error *serve(struct run *run, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = run->control, .events = POLLIN},
		{.fd = run->output, .events = POLLIN},
		{.fd = run->listener, .events = POLLIN},
		{.fd = run->records, .events = POLLIN},
		{.fd = run->input >= 0 ? run->input_source : -1, .events = POLLIN},
		{.fd = run->input, .events = POLLOUT},
	};
	struct error *error = NULL;

	if (fds[4].fd >= 0 && poll(&fds[5], 1, 0) == 0)
		fds[4].fd = -1;
	fds[5].events = 0;
	if (poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0)
		return errno == EINTR ? NULL : error_system(errno, NULL, "cannot wait for the sandbox");
	if (fds[1].revents)
		error = relay_output(run);
	if (!error && fds[2].revents & POLLIN)
		error = answer_one(run->shadow, run->listener);
	else if (fds[2].revents)
		close_fd(&run->listener);
	if (!error && fds[3].revents)
		error = read_record(run);
	if (fds[4].revents)
		relay_input(run);
	if (fds[5].revents & POLLERR)
		close_fd(&run->input);
	if (!error && fds[0].revents)
		error = read_report(run);
	return error;
}

static struct error *serve_until_end(struct run *run)
{
	uint64_t limit_ms = run->options->timeout_s * 1000, begin_ns = clock_monotonic_ns();
	struct error *error;

	while (!run->ended) {
		uint64_t passed_ms = (clock_monotonic_ns() - begin_ns) / 1000000;
		int wait_ms = 1000;

		if (limit_ms && passed_ms >= limit_ms)
			return error_create(ERROR_TIMEOUT, "%s did not end within %llu s and was killed",
					    run->options->argv[0], (unsigned long long)run->options->timeout_s);
		if (limit_ms && limit_ms - passed_ms < 1000)
			wait_ms = (int)(limit_ms - passed_ms);
		/* A full input pipe is looked at again soon; everything else wakes us. */
		error = serve(run, run->input >= 0 && wait_ms > 100 ? 100 : wait_ms);
		if (error)
			return error;
	}
	return NULL;
}

/* With every process of the sandbox dead, the pipes hold what was written before and then end. */
static struct error *drain(struct run *run)
{
	struct error *error = NULL;

	close_fd(&run->control);
	close_fd(&run->listener);
	close_fd(&run->input);
	while (!error && (run->output >= 0 || run->records >= 0))
		error = serve(run, -1);
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

static struct error *start(struct run *run, int network_ns)
{
	_cleanup_(close_fd) int input = -1, output = -1, control = -1, record = -1;
	struct sandbox sandbox = {.shadow = run->shadow, .options = run->options, .network_ns = network_ns};
	struct error *error;

	error = run->options->stdin_fd > 0 ? make_pipe(&input, &run->input) : open_null(&input);
	if (!error)
		error = make_pipe(&run->output, &output);
	if (!error)
		error = make_sockets(&run->control, &control);
	if (!error)
		error = make_sockets(&run->records, &record);
	if (error)
		return error;
	if (run->input >= 0)
		(void)fcntl(run->input, F_SETFL, O_NONBLOCK);
	run->input_source = run->options->stdin_fd;
	sandbox.control = control;
	sandbox.input = input;
	sandbox.output = output;
	sandbox.record_fd = record;
	return sandbox_start(&sandbox, &run->warden);
}

static struct error *run_sandbox(struct shadow *shadow, const struct shadow_run_options *options, struct sink *sink,
				 int *ret_status)
{
	struct run run = {.shadow = shadow,
			  .options = options,
			  .sink = sink,
			  .warden = -1,
			  .control = -1,
			  .output = -1,
			  .records = -1,
			  .listener = -1,
			  .input = -1};
	_cleanup_(network_stop_ptr) struct network *network = NULL;
	struct error *error = NULL, *drained;

	if (options->network && options->network->enabled)
		error = network_start(options->network, &network);
	if (!error)
		error = start(&run, network ? network_namespace_fd(network) : -1);
	if (!error)
		error = serve_until_end(&run);
	end_sandbox(&run);
	drained = drain(&run);
	close_fd(&run.output);
	close_fd(&run.records);
	if (!error && run.failure)
		error = error_wrap(take_ptr(run.failure), "cannot start the VM Shadow");
	if (!error)
		error = take_ptr(drained);
	error_destroy(run.failure);
	error_destroy(drained);
	if (error)
		return error;
	*ret_status = run.status;
	return NULL;
}

struct error *shadow_run(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status)
{
	struct sink sink = {.fd = options->output_fd};

	return run_sandbox(shadow, options, &sink, ret_status);
}

struct error *shadow_capture(struct shadow *shadow, const struct shadow_run_options *options, int *ret_status,
			     char **ret_output)
{
	_cleanup_(free_ptr) char *data = NULL;
	struct sink sink = {.fd = -1};
	struct error *error;
	int status;

	error = run_sandbox(shadow, options, &sink, &status);
	data = sink.data;
	if (error)
		return error;
	if (sink.overflow)
		return error_format(options->argv[0], CAPTURE_MAX, "its output is too long");
	if (!data)
		data = strdup("");
	if (!data)
		return error_no_memory();
	*ret_output = take_ptr(data);
	*ret_status = status;
	return NULL;
}
