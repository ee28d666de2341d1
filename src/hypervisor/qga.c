/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qga.h"

#include <string.h>
#include <sys/random.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/wire.h"

#define QGA_CONNECT_MS 5000
/* Both outputs of a program in base64, and what JSON adds. */
#define QGA_LINE_MAX   (2 * (CHANNEL_OUTPUT_MAX / 3 + 1) * 4 + 65536)
#define QGA_SENTINEL   '\xff' /* never part of JSON text: the agent sends it before its answer to a delimited sync */

struct qga {
	struct wire *wire; /* NULL: the hypervisor has the connection ... */
	struct vm *vm;     /* ... of this VM */
	bool in_step;
};

struct error *qga_open(const char *path, struct qga **ret)
{
	_cleanup_(qga_close_ptr) struct qga *qga = calloc(1, sizeof(*qga));
	struct error *error;

	if (!qga)
		return error_no_memory();
	error = wire_connect(path, wire_deadline(QGA_CONNECT_MS), &qga->wire);
	if (error)
		return error;
	*ret = take_ptr(qga);
	return NULL;
}

struct error *qga_open_through(struct vm *vm, struct qga **ret)
{
	struct qga *qga = calloc(1, sizeof(*qga));

	if (!qga)
		return error_no_memory();
	qga->vm = vm;
	*ret = qga;
	return NULL;
}

void qga_close(struct qga *qga)
{
	if (!qga)
		return;
	wire_destroy(qga->wire);
	free(qga);
}

bool qga_in_step(const struct qga *qga)
{
	return qga->in_step;
}

static struct error *send_command(struct qga *qga, const json_t *message, uint64_t deadline_ns)
{
	_cleanup_(free_ptr) char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	struct error *error;

	if (!text)
		return error_no_memory();
	error = wire_send(qga->wire, text, strlen(text), deadline_ns);
	return error ? error : wire_send(qga->wire, "\n", 1, deadline_ns);
}

/* The text after the last sentinel of the line, or NULL. */
static const char *after_sentinel(const char *line, size_t size)
{
	const char *sentinel = size ? memrchr(line, QGA_SENTINEL, size) : NULL;

	return sentinel ? sentinel + 1 : NULL;
}

/* Drops lines until the answer that repeats `id`. */
static struct error *await_sync(struct qga *qga, json_int_t id, uint64_t deadline_ns)
{
	for (;;) {
		_cleanup_(json_decref_ptr) json_t *message = NULL;
		const char *line, *text;
		size_t size;
		struct error *error = wire_line(qga->wire, QGA_LINE_MAX, deadline_ns, &line, &size);

		if (error)
			return error;
		text = after_sentinel(line, size);
		if (!text)
			continue;
		error = json_parse(text, size - (size_t)(text - line), wire_path(qga->wire), &message);
		if (!error && json_integer_value(json_object_get(message, "return")) == id)
			return NULL;
		error_destroy(error);
	}
}

/* A hypervisor that holds the connection keeps it in step by itself: it only has to say that somebody is there. */
static struct error *ping_through(struct qga *qga, uint64_t timeout_ms)
{
	_cleanup_(free_ptr) char *answer = NULL, *refusal = NULL;
	struct error *error =
		qga->vm->hypervisor->agent(qga->vm, "{\"execute\":\"guest-ping\"}", timeout_ms, &answer, &refusal);

	qga->in_step = !error;
	return error_wrap(error, "guest agent");
}

struct error *qga_sync(struct qga *qga, uint64_t timeout_ms)
{
	static const char sentinel = QGA_SENTINEL;
	uint64_t deadline_ns = wire_deadline(timeout_ms);
	_cleanup_(json_decref_ptr) json_t *message = NULL;
	uint32_t random;
	struct error *error;

	if (qga->vm)
		return ping_through(qga, timeout_ms);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_system(errno, NULL, "cannot get a random number");
	qga->in_step = false;
	message = json_pack("{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id",
			    (json_int_t)random + 1);
	/* A sentinel of ours makes the agent's parser drop what it may hold of a cut command. */
	error = wire_send(qga->wire, &sentinel, 1, deadline_ns);
	if (!error)
		error = send_command(qga, message, deadline_ns);
	if (!error)
		error = await_sync(qga, (json_int_t)random + 1, deadline_ns);
	if (error)
		return error_wrap(error, "guest agent");
	qga->in_step = true;
	return NULL;
}

static struct error *refused(const char *command, const char *text, bool not_found)
{
	if (!text)
		text = "no reason given";
	if (not_found)
		return error_remedy(error_create(ERROR_UNSUPPORTED, "the guest agent refuses %s: %s", command, text),
				    "allow it in the guest: see block-rpcs in /etc/qemu/qemu-ga.conf "
				    "(BLACKLIST_RPC in /etc/sysconfig/qemu-ga)");
	return error_create(ERROR_FAILED, "the guest agent refuses %s: %s", command, text);
}

static struct error *refusal(const char *command, const json_t *failure)
{
	const char *class = json_string_value(json_object_get(failure, "class"));

	return refused(command, json_string_value(json_object_get(failure, "desc")),
		       class && strcmp(class, "CommandNotFound") == 0);
}

static struct error *receive_answer(struct qga *qga, uint64_t deadline_ns, json_t **ret)
{
	const char *line;
	size_t size;
	struct error *error = wire_line(qga->wire, QGA_LINE_MAX, deadline_ns, &line, &size);

	return error ? error : json_parse(line, size, wire_path(qga->wire), ret);
}

/* The hypervisor hands on what the agent says of a refusal, but not its class. */
static struct error *execute_through(struct qga *qga, const char *command, const json_t *message, uint64_t timeout_ms,
				     json_t **ret)
{
	_cleanup_(free_ptr) char *text = json_dumps(message, JSON_COMPACT), *answer = NULL, *refusal = NULL;
	struct error *error;

	if (!text)
		return error_no_memory();
	error = qga->vm->hypervisor->agent(qga->vm, text, timeout_ms, &answer, &refusal);
	if (error)
		return error_wrap(error, "guest agent, %s", command);
	if (refusal) {
		qga->in_step = true;
		return refused(command, refusal,
			       strstr(refusal, "has been disabled") || strstr(refusal, "has not been found"));
	}
	return json_parse(answer, strlen(answer), NULL, ret);
}

static struct error *execute_on_wire(struct qga *qga, const char *command, const json_t *message, uint64_t timeout_ms,
				     json_t **ret)
{
	uint64_t deadline_ns = wire_deadline(timeout_ms);
	struct error *error = send_command(qga, message, deadline_ns);

	if (!error)
		error = receive_answer(qga, deadline_ns, ret);
	return error_wrap(error, "guest agent, %s", command);
}

struct error *qga_execute(struct qga *qga, const char *command, json_t *arguments, uint64_t timeout_ms, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *owned = arguments;
	_cleanup_(json_decref_ptr) json_t *message = json_pack("{s:s}", "execute", command);
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	json_t *failure, *result;
	struct error *error;

	if (!message || (owned && json_object_set(message, "arguments", owned) < 0))
		return error_no_memory();
	qga->in_step = false;
	error = qga->vm ? execute_through(qga, command, message, timeout_ms, &answer)
			: execute_on_wire(qga, command, message, timeout_ms, &answer);
	if (error)
		return error;
	failure = json_object_get(answer, "error");
	result = json_object_get(answer, "return");
	if (!failure && !result)
		return error_format(qga->wire ? wire_path(qga->wire) : NULL, ERROR_NO_ADDRESS,
				    "guest agent, %s: malformed answer", command);
	qga->in_step = true;
	if (failure)
		return refusal(command, failure);
	if (ret)
		*ret = json_incref(result);
	return NULL;
}
