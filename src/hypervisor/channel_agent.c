/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU guest agent as a channel. The agent may be restarted (an update of its own package
 * does that) and takes with it the programs it has started: run() then fails with
 * ERROR_NOT_FOUND, and the caller asks again what became of the work.
 */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qga.h"
#include "hypervisor/wire.h"

#define AGENT_SYNC_MS     5000  /* then the sync is sent again */
#define AGENT_RETRY_MS    200   /* between connections */
#define AGENT_GONE_MS     3000  /* the hypervisor made the socket before it let us load: it will not come any more */
#define AGENT_CALL_MS     60000 /* one answer; 16 MiB through an emulated serial port take a while */
#define AGENT_SCRIPT_MS   60000
#define AGENT_POLL_MIN_MS 10
#define AGENT_POLL_MAX_MS 250
#define AGENT_SOON_MS     500
#define AGENT_SOON_PART   2 /* before that; then ... */
#define AGENT_LATER_PART  16
#define AGENT_STDIN_MAX   CHANNEL_OUTPUT_MAX
#define AGENT_CHUNK       (512u << 10) /* bytes a write; larger ones were seen to stall the agent ... */
#define AGENT_CHUNK_LESS  (64u << 10)  /* ... and through libvirt 9.0 those of more than a socket's buffer */

static void pause_ms(uint64_t ms)
{
	struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

static uint64_t left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_monotonic_ns();

	return now >= deadline_ns ? 0 : (deadline_ns - now) / 1000000 + 1;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void agent_close(struct vm *vm)
{
	qga_close(vm->agent);
	vm->agent = NULL;
}

static struct error *agent_open(struct vm *vm)
{
	return vm->hypervisor->agent ? qga_open_through(vm, &vm->agent) : qga_open(vm->settings.agent, &vm->agent);
}

/* One try to be in step with the agent. A mere silence keeps the connection: the guest may still be booting. */
static struct error *agent_try(struct vm *vm, uint64_t deadline_ns)
{
	struct error *error = NULL;

	if (!vm->agent)
		error = agent_open(vm);
	if (!error && !qga_in_step(vm->agent))
		error = qga_sync(vm->agent, least(AGENT_SYNC_MS, left_ms(deadline_ns)));
	if (error && error->code != ERROR_TIMEOUT)
		agent_close(vm);
	return error;
}

static struct error *not_answering(struct error *error)
{
	return error_remedy(error_wrap(error_recode(error, ERROR_TIMEOUT), "the guest agent does not answer"),
			    "see that qemu-guest-agent is installed and running in the guest, and that "
			    "the socket in section [channel] belongs to its port");
}

static struct error *agent_ready(struct vm *vm, uint64_t deadline_ns)
{
	uint64_t gone_since_ns = 0;

	for (;;) {
		struct error *error = agent_try(vm, deadline_ns);
		uint64_t now_ns = clock_monotonic_ns();

		if (!error)
			return NULL;
		if (error->code != ERROR_NOT_FOUND)
			gone_since_ns = 0;
		else if (!gone_since_ns)
			gone_since_ns = now_ns;
		if (now_ns >= deadline_ns || (gone_since_ns && now_ns - gone_since_ns > AGENT_GONE_MS * 1000000ull))
			return not_answering(error);
		if (error->code != ERROR_TIMEOUT)
			pause_ms(least(AGENT_RETRY_MS, left_ms(deadline_ns)));
		error_destroy(error);
	}
}

/* Asks anew: a connection from before says nothing about now. */
static struct error *agent_wait(struct vm *vm, uint64_t timeout_ms)
{
	uint64_t deadline_ns = wire_deadline(timeout_ms);

	if (vm->agent) {
		struct error *error = qga_sync(vm->agent, least(AGENT_SYNC_MS, timeout_ms));

		if (!error)
			return NULL;
		error_destroy(error);
		agent_close(vm);
	}
	return agent_ready(vm, deadline_ns);
}

static struct error *call(struct vm *vm, const char *command, json_t *arguments, uint64_t deadline_ns, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *owned = arguments;
	struct error *error = agent_ready(vm, deadline_ns);

	if (error)
		return error;
	error = qga_execute(vm->agent, command, take_ptr(owned), least(AGENT_CALL_MS, left_ms(deadline_ns)), ret);
	/* Out of step by anything but silence: what comes on this connection cannot be trusted. */
	if (error && !qga_in_step(vm->agent) && error->code != ERROR_TIMEOUT)
		agent_close(vm);
	return error;
}

/* The arguments of guest-exec; NULL without memory or if an argument is not UTF-8. */
static json_t *exec_arguments(const char *const *argv, const char *input_base64)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	json_t *arguments;

	for (size_t i = 1; argv[i]; i++)
		if (json_array_append_new(list, json_string(argv[i])) < 0)
			return NULL;
	arguments = json_pack("{s:s, s:O, s:b}", "path", argv[0], "arg", list, "capture-output", 1);
	if (arguments && input_base64 && json_object_set_new(arguments, "input-data", json_string(input_base64)) < 0) {
		json_decref(arguments);
		return NULL;
	}
	return arguments;
}

static struct error *read_input(int fd, char **ret)
{
	_cleanup_(free_ptr) char *data = NULL;
	size_t size;
	struct error *error = io_read_all(fd, AGENT_STDIN_MAX, "standard input", &data, &size);
	char *text;

	if (error)
		return error;
	text = base64_encode(data, size);
	if (!text)
		return error_no_memory();
	*ret = text;
	return NULL;
}

static struct error *decode_output(const json_t *status, const char *key, char **ret)
{
	const char *text = json_string_value(json_object_get(status, key));
	size_t size;
	struct error *error = base64_decode(text ? text : "", ret, &size);

	return error_wrap(error, "guest agent, member %s", key);
}

static struct error *decode_result(const json_t *status, struct channel_result *ret)
{
	const json_t *signal = json_object_get(status, "signal");
	const json_t *exitcode = json_object_get(status, "exitcode");
	struct channel_result result = {};
	struct error *error;

	if (!json_is_integer(signal) && !json_is_integer(exitcode))
		return error_format(NULL, ERROR_NO_ADDRESS, "the guest agent says neither exit status nor signal");
	result.status =
		json_is_integer(exitcode) ? (int)json_integer_value(exitcode) : 128 + (int)json_integer_value(signal);
	error = decode_output(status, "out-data", &result.output);
	if (!error)
		error = decode_output(status, "err-data", &result.errors);
	if (error) {
		channel_result_deinit(&result);
		return error;
	}
	*ret = result;
	return NULL;
}

/* Where the socket is QEMU's, it listens as long as there is a VM. */
static bool vm_is_gone(struct vm *vm)
{
	enum vm_state state = VM_RUNNING;
	struct error *error = NULL;
	bool gone;

	if (vm->hypervisor->agent)
		error = vm->hypervisor->state(vm, &state);
	else if (!vm->agent)
		error = agent_open(vm);
	gone = state == VM_OFF || (error && error->code == ERROR_NOT_FOUND);
	error_destroy(error);
	return gone;
}

/*
 * A part of the time that the program has taken so far: its end is seen soon, and the guest, to whom an answer is work,
 * is not asked all the time. What is not over at once is mostly the update, whose end the gate waits for.
 */
static uint64_t poll_delay_ms(uint64_t begun_ns)
{
	uint64_t taken_ms = (clock_monotonic_ns() - begun_ns) / 1000000;
	uint64_t delay_ms = taken_ms / (taken_ms < AGENT_SOON_MS ? AGENT_SOON_PART : AGENT_LATER_PART);

	return delay_ms < AGENT_POLL_MIN_MS ? AGENT_POLL_MIN_MS : least(delay_ms, AGENT_POLL_MAX_MS);
}

/* Polls until the program has ended. Silence is waited out, a restarted agent has forgotten the program. */
static struct error *await_exit(struct vm *vm, json_int_t pid, uint64_t deadline_ns, struct channel_result *ret)
{
	uint64_t begun_ns = clock_monotonic_ns();

	for (;;) {
		_cleanup_(json_decref_ptr) json_t *status = NULL;
		struct error *error =
			call(vm, "guest-exec-status", json_pack("{s:I}", "pid", pid), deadline_ns, &status);

		if (error && vm->agent && qga_in_step(vm->agent))
			return error_wrap(error_recode(error, ERROR_NOT_FOUND),
					  "the guest agent was restarted and has lost the program");
		if (error && (clock_monotonic_ns() >= deadline_ns || vm_is_gone(vm)))
			return error_recode(error, ERROR_TIMEOUT);
		if (!error && json_is_true(json_object_get(status, "exited")))
			return decode_result(status, ret);
		error_destroy(error);
		if (clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "the program has not ended in time");
		pause_ms(poll_delay_ms(begun_ns));
	}
}

static struct error *agent_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			       struct channel_result *ret)
{
	uint64_t deadline_ns = wire_deadline(timeout_ms);
	_cleanup_(free_ptr) char *input = NULL;
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	json_t *arguments, *pid;
	struct error *error = NULL;

	if (stdin_fd >= 0)
		error = read_input(stdin_fd, &input);
	if (error)
		return error;
	arguments = exec_arguments(argv, input);
	if (!arguments)
		return error_create(ERROR_USAGE, "%s: an argument is not UTF-8, which the agent cannot take", argv[0]);
	error = call(vm, "guest-exec", arguments, deadline_ns, &answer);
	if (error)
		return error;
	pid = json_object_get(answer, "pid");
	if (!json_is_integer(pid))
		return error_format(vm->settings.agent, ERROR_NO_ADDRESS, "the guest agent names no process");
	return await_exit(vm, json_integer_value(pid), deadline_ns, ret);
}

/* Runs a shell script in the guest whose arguments are two paths and a number; it must exit 0. `stdin_fd`: or -1. */
static struct error *run_script(struct vm *vm, const char *script, const char *path1, const char *path2, int stdin_fd,
				uint64_t n)
{
	char number[24];
	const char *const argv[] = {"/bin/sh", "-c", script, "sh", path1, path2, number, NULL};
	struct channel_result result = {};
	struct error *error;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	error = agent_run(vm, argv, stdin_fd, AGENT_SCRIPT_MS, &result);
	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "the guest's shell says: %.300s", result.errors);
	channel_result_deinit(&result);
	return error;
}

static struct error *write_chunk(struct vm *vm, json_int_t handle, const void *data, size_t size)
{
	_cleanup_(free_ptr) char *text = base64_encode(data, size);
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	struct error *error;

	if (!text)
		return error_no_memory();
	error = call(vm, "guest-file-write", json_pack("{s:I, s:s}", "handle", handle, "buf-b64", text),
		     wire_deadline(AGENT_CALL_MS), &answer);
	if (error)
		return error;
	if (json_integer_value(json_object_get(answer, "count")) != (json_int_t)size)
		return error_create(ERROR_FAILED, "the guest's file system took only a part (is it full?)");
	return NULL;
}

static size_t chunk_size(const struct vm *vm)
{
	return vm->hypervisor->agent ? AGENT_CHUNK_LESS : AGENT_CHUNK;
}

static struct error *write_chunks(struct vm *vm, json_int_t handle, int fd, const char *path)
{
	_cleanup_(free_ptr) char *buffer = malloc(chunk_size(vm));

	if (!buffer)
		return error_no_memory();
	for (;;) {
		ssize_t n = read(fd, buffer, chunk_size(vm));
		struct error *error;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot read");
		if (n == 0)
			return NULL;
		error = write_chunk(vm, handle, buffer, (size_t)n);
		if (error)
			return error;
	}
}

static struct error *write_file(struct vm *vm, int fd, const char *path, const char *guest_path)
{
	_cleanup_(json_decref_ptr) json_t *handle = NULL;
	struct error *error, *closing;

	error = call(vm, "guest-file-open", json_pack("{s:s, s:s}", "path", guest_path, "mode", "w"),
		     wire_deadline(AGENT_CALL_MS), &handle);
	if (error)
		return error;
	if (!json_is_integer(handle))
		return error_format(vm->settings.agent, ERROR_NO_ADDRESS, "the guest agent names no file");
	error = write_chunks(vm, json_integer_value(handle), fd, path);
	closing =
		call(vm, "guest-file-close", json_pack("{s:O}", "handle", handle), wire_deadline(AGENT_CALL_MS), NULL);
	if (!error)
		return closing;
	error_destroy(closing);
	return error;
}

/* A small file by one call; each takes the guest to start a few programs. */
static struct error *put_small(struct vm *vm, int fd, uint64_t size, const char *guest_path, const char *temporary)
{
	static const char script[] = "umask 077; d=${1%/*}; [ -d \"$d\" ] || mkdir -p \"$d\" || exit; "
				     "if [ -e \"$2\" ] || [ -L \"$2\" ]; then rm -f \"$2\" || exit; fi; "
				     "if cat >\"$2\" && [ \"$(wc -c <\"$2\")\" -eq \"$3\" ] && chmod 0700 \"$2\" && mv "
				     "-f \"$2\" \"$1\"; then exit 0; fi; "
				     "echo \"$2: not all of it was written\" >&2; rm -f \"$2\"; exit 1";

	return run_script(vm, script, guest_path, temporary, fd, size);
}

static struct error *put_large(struct vm *vm, int fd, const char *path, const char *guest_path, const char *temporary)
{
	static const char prepare[] = "umask 077; mkdir -p \"${1%/*}\" && rm -f \"$2\"";
	static const char finish[] = "chmod 0700 \"$2\" && mv -f \"$2\" \"$1\"";
	static const char undo[] = "rm -f \"$2\"";
	struct error *error = run_script(vm, prepare, guest_path, temporary, -1, 0);

	if (error)
		return error;
	error = write_file(vm, fd, path, temporary);
	if (!error)
		error = run_script(vm, finish, guest_path, temporary, -1, 0);
	if (error)
		error_destroy(run_script(vm, undo, guest_path, temporary, -1, 0));
	return error;
}

static struct error *agent_put(struct vm *vm, int fd, const char *path, const char *guest_path)
{
	_cleanup_(free_ptr) char *temporary = string_format("%s.part", guest_path);
	struct stat s;

	if (!temporary)
		return error_no_memory();
	if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && (uint64_t)s.st_size <= chunk_size(vm))
		return put_small(vm, fd, (uint64_t)s.st_size, guest_path, temporary);
	return put_large(vm, fd, path, guest_path, temporary);
}

const struct channel_ops channel_agent = {
	.name = "agent",
	.wait = agent_wait,
	.put = agent_put,
	.run = agent_run,
	.close = agent_close,
	.fallback = PAYLOAD_FILE,
};
