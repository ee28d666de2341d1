/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qmp.h"

#include <stdbool.h>
#include <string.h>

#include "hypervisor/wire.h"

#define QMP_GREETING_MS 5000
#define QMP_LINE_MAX    (16u << 20) /* `info qtree` of a large machine has some 100 KiB */
#define QMP_EVENTS_MAX  256u        /* the oldest are dropped */

struct qmp {
	struct wire *wire;
	json_t *events; /* array */
	json_int_t last_id;
};

static struct error *receive(struct qmp *qmp, uint64_t deadline_ns, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *message = NULL;
	const char *line;
	size_t size;
	struct error *error = wire_line(qmp->wire, QMP_LINE_MAX, deadline_ns, &line, &size);

	if (!error)
		error = json_parse(line, size, wire_path(qmp->wire), &message);
	if (error)
		return error;
	if (!json_is_object(message))
		return error_format(wire_path(qmp->wire), ERROR_NO_ADDRESS, "not a QMP message");
	*ret = take_ptr(message);
	return NULL;
}

static struct error *keep_event(struct qmp *qmp, json_t *message)
{
	if (json_array_size(qmp->events) >= QMP_EVENTS_MAX)
		json_array_remove(qmp->events, 0);
	return json_array_append(qmp->events, message) < 0 ? error_no_memory() : NULL;
}

static struct error *refusal(const char *command, const json_t *failure)
{
	const char *class = json_string_value(json_object_get(failure, "class"));
	const char *text = json_string_value(json_object_get(failure, "desc"));
	enum error_code code = ERROR_FAILED;

	if (class && strcmp(class, "DeviceNotFound") == 0)
		code = ERROR_NOT_FOUND;
	if (class && strcmp(class, "CommandNotFound") == 0)
		code = ERROR_UNSUPPORTED;
	return error_create(code, "QEMU refuses %s: %s", command, text ? text : "no reason given");
}

/* Reads until the answer to `id`; events on the way are kept, answers to older commands dropped. */
static struct error *receive_answer(struct qmp *qmp, const char *command, json_int_t id, json_t **ret)
{
	uint64_t deadline_ns = wire_deadline(QMP_TIMEOUT_MS);

	for (;;) {
		_cleanup_(json_decref_ptr) json_t *message = NULL;
		json_t *failure, *result;
		struct error *error = receive(qmp, deadline_ns, &message);

		if (error)
			return error;
		failure = json_object_get(message, "error");
		result = json_object_get(message, "return");
		if (json_object_get(message, "event")) {
			error = keep_event(qmp, message);
			if (error)
				return error;
			continue;
		}
		/* An answer to something QEMU could not parse carries no id; there is nothing else it can be for. */
		if (failure && !json_object_get(message, "id"))
			return refusal(command, failure);
		if (json_integer_value(json_object_get(message, "id")) != id)
			continue;
		if (failure)
			return refusal(command, failure);
		if (!result)
			return error_format(wire_path(qmp->wire), ERROR_NO_ADDRESS, "an answer without result");
		if (ret)
			*ret = json_incref(result);
		return NULL;
	}
}

struct error *qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *owned = arguments;
	_cleanup_(json_decref_ptr) json_t *message = json_pack("{s:s, s:I}", "execute", command, "id", ++qmp->last_id);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;

	if (!message || (owned && json_object_set(message, "arguments", owned) < 0))
		return error_no_memory();
	text = json_dumps(message, JSON_COMPACT);
	if (!text)
		return error_no_memory();
	error = wire_send(qmp->wire, text, strlen(text), wire_deadline(QMP_TIMEOUT_MS));
	if (!error)
		error = wire_send(qmp->wire, "\n", 1, wire_deadline(QMP_TIMEOUT_MS));
	if (!error)
		error = receive_answer(qmp, command, qmp->last_id, ret);
	return error_wrap(error, "QMP command %s", command);
}

/* The greeting comes as soon as QEMU serves us; silence means that it serves another client. */
static struct error *greet(struct qmp *qmp)
{
	_cleanup_(json_decref_ptr) json_t *message = NULL;
	struct error *error = receive(qmp, wire_deadline(QMP_GREETING_MS), &message);

	if (error && error->code == ERROR_TIMEOUT) {
		error_destroy(error);
		error = error_create(ERROR_BUSY,
				     "%s: QEMU does not greet: another QMP client is connected, or it hangs",
				     wire_path(qmp->wire));
		return error_remedy(error, "end the other client (QMP serves one at a time), or give QEMU a second "
					   "-qmp socket for ouassister");
	}
	if (error)
		return error;
	if (!json_is_object(json_object_get(message, "QMP")))
		return error_format(wire_path(qmp->wire), ERROR_NO_ADDRESS, "this is not a QMP socket");
	return NULL;
}

struct error *qmp_open(const char *path, struct qmp **ret)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = calloc(1, sizeof(*qmp));
	struct error *error;

	if (!qmp)
		return error_no_memory();
	qmp->events = json_array();
	if (!qmp->events)
		return error_no_memory();
	error = wire_connect(path, wire_deadline(QMP_GREETING_MS), &qmp->wire);
	if (!error)
		error = greet(qmp);
	if (!error)
		error = qmp_execute(qmp, "qmp_capabilities", NULL, NULL);
	if (error)
		return error;
	*ret = take_ptr(qmp);
	return NULL;
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	wire_destroy(qmp->wire);
	json_decref(qmp->events);
	free(qmp);
}

struct error *qmp_human(struct qmp *qmp, const char *line, char **ret)
{
	_cleanup_(json_decref_ptr) json_t *result = NULL;
	struct error *error =
		qmp_execute(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line), &result);
	char *text;

	if (error)
		return error;
	if (!json_is_string(result))
		return error_format(wire_path(qmp->wire), ERROR_NO_ADDRESS, "%s answers no text", line);
	text = strdup(json_string_value(result));
	if (!text)
		return error_no_memory();
	*ret = text;
	return NULL;
}

/* Takes the event out of those kept; false if it is not among them. */
static bool take_event(struct qmp *qmp, const char *name, json_t **ret_data)
{
	for (size_t i = 0; i < json_array_size(qmp->events); i++) {
		json_t *event = json_array_get(qmp->events, i);
		const char *found = json_string_value(json_object_get(event, "event"));

		if (!found || strcmp(found, name) != 0)
			continue;
		if (ret_data)
			*ret_data = json_incref(json_object_get(event, "data"));
		json_array_remove(qmp->events, i);
		return true;
	}
	return false;
}

struct error *qmp_wait_event(struct qmp *qmp, const char *name, uint64_t timeout_ms, json_t **ret_data)
{
	uint64_t deadline_ns = wire_deadline(timeout_ms);

	while (!take_event(qmp, name, ret_data)) {
		_cleanup_(json_decref_ptr) json_t *message = NULL;
		struct error *error = receive(qmp, deadline_ns, &message);

		if (!error && json_object_get(message, "event"))
			error = keep_event(qmp, message);
		if (error)
			return error_wrap(error, "waiting for QMP event %s", name);
	}
	return NULL;
}

struct error *qmp_status(struct qmp *qmp, char ret[QMP_STATUS_SIZE])
{
	_cleanup_(json_decref_ptr) json_t *result = NULL;
	const char *status;
	struct error *error = qmp_execute(qmp, "query-status", NULL, &result);

	if (!error)
		error = json_get_string(result, "status", &status);
	if (error)
		return error;
	snprintf(ret, QMP_STATUS_SIZE, "%s", status);
	return NULL;
}

struct error *qmp_pid(const struct qmp *qmp, pid_t *ret)
{
	return wire_peer(qmp->wire, ret);
}
