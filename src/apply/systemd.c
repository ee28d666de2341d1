/* SPDX-License-Identifier: Apache-2.0 */
/* Methods and signals: org.freedesktop.systemd1(5). Those used are of version 230 and later. */
#include "apply/systemd.h"

#include <stdlib.h>
#include <string.h>

#include "apply/fault.h"
#include "apply/run.h"
#include "base/io.h"

#define SOCKET          "/run/systemd/private"
#define MANAGER_PATH    "/org/freedesktop/systemd1"
#define MANAGER         "org.freedesktop.systemd1.Manager"
#define SERVICE         "org.freedesktop.systemd1.Service"
#define PROPERTIES      "org.freedesktop.DBus.Properties"
#define UNIT_ROWS       "a(ssssssouso)"
#define CALL_TIMEOUT_MS 90000

bool active_is_running(const char *active)
{
	static const char *const words[] = {"active", "activating", "reloading", "refreshing"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(active, words[i]))
			return true;
	return false;
}

/* --- by the socket --- */

static uint64_t new_deadline(void)
{
	return clock_monotonic_ns() + fault_manager_ms(CALL_TIMEOUT_MS) * 1000000ull;
}

void systemd_open(struct systemd *ret)
{
	/* Who cannot connect goes the other way: that is no error. */
	error_destroy(dbus_connect(SOCKET, new_deadline(), &ret->bus));
}

void systemd_close(struct systemd *manager)
{
	dbus_close(&manager->bus);
}

/* Between the reply and the call there may be signals. */
static struct error *await_reply(struct dbus *bus, uint32_t serial, const char *signature, struct dbus_message *ret)
{
	struct error *error;

	do {
		error = dbus_receive(bus, ret);
	} while (!error && ret->reply_to != serial);
	if (!error && ret->type == DBUS_ERROR)
		error = error_create(ERROR_FAILED, "systemd answers %s", ret->error);
	if (!error && strcmp(ret->signature, signature) != 0)
		error = cursor_error(&ret->body, "an answer of the type %s instead of %s", ret->signature, signature);
	return error;
}

/* A row of ListUnits and its kind. The strings lie in the message. */
struct row {
	const char *unit, *load, *active, *path;
};

static struct error *next_row(struct cursor *body, struct row *ret)
{
	const char *text[7] = {};
	uint32_t job;
	struct error *error = dbus_align(body, 8);

	for (size_t i = 0; i < ARRAY_SIZE(text) && !error; i++)
		error = dbus_get_string(body, &text[i]);
	*ret = (struct row){.unit = text[0], .load = text[2], .active = text[3], .path = text[6]};
	if (!error)
		error = dbus_get_u32(body, &job);
	for (size_t i = 0; i < 2 && !error; i++)
		error = dbus_get_string(body, &text[i]);
	return error;
}

static struct error *running_by_bus(struct dbus *bus, const char *const *units, size_t n, bool *ret)
{
	struct dbus_message reply;
	struct dbus_call call;
	struct error *error;
	uint32_t serial;
	uint64_t end;

	dbus_call_begin(&call);
	dbus_put_strings(&call, NULL, 0);
	dbus_put_strings(&call, units, n);
	error = dbus_send(bus, &call, MANAGER_PATH, MANAGER, "ListUnitsByPatterns", "asas", &serial);
	if (!error)
		error = await_reply(bus, serial, UNIT_ROWS, &reply);
	if (!error)
		error = dbus_get_array(&reply.body, 8, &end);
	while (!error && reply.body.position < end) {
		struct row row;

		error = next_row(&reply.body, &row);
		for (size_t i = 0; i < n && !error; i++)
			ret[i] |= !strcmp(units[i], row.unit) && active_is_running(row.active);
	}
	return error;
}

/* Of a service its type, and how it ended last: for both it is asked by their names. */
static struct error *ask_property(struct dbus *bus, const char *path, const char *property, char *to, size_t size)
{
	struct dbus_message reply;
	struct dbus_call call;
	const char *value;
	struct error *error;
	uint32_t serial;

	dbus_call_begin(&call);
	dbus_put_string(&call, SERVICE);
	dbus_put_string(&call, property);
	error = dbus_send(bus, &call, path, PROPERTIES, "Get", "ss", &serial);
	if (!error)
		error = await_reply(bus, serial, "v", &reply);
	if (!error)
		error = dbus_get_variant(&reply.body, &value);
	if (!error)
		snprintf(to, size, "%s", value);
	return error;
}

/* Their paths among the objects go to `paths`, which the caller frees. */
static struct error *take_rows(struct cursor *body, struct unit_states *states, char **paths)
{
	uint64_t end;
	size_t i = 0;
	struct error *error = dbus_get_array(body, 8, &end);

	for (; !error && body->position < end && i < states->n; i++) {
		struct unit_state *state = &states->items[i];
		struct row row;

		error = next_row(body, &row);
		if (error)
			return error;
		snprintf(state->load, sizeof(state->load), "%s", row.load);
		snprintf(state->active, sizeof(state->active), "%s", row.active);
		paths[i] = strdup(row.path);
		if (!paths[i])
			return error_no_memory();
	}
	/* Each unit that was asked for has a row, by its name or by another that it has; but for those whose name is
	 * none. */
	if (!error && i < states->n)
		error = cursor_error(body, "%zu units where %zu were asked for", i, states->n);
	return error;
}

static bool is_service(const char *unit)
{
	size_t n = strlen(unit);

	return n > 8 && !strcmp(unit + n - 8, ".service");
}

static struct error *ask_rows(struct dbus *bus, struct unit_states *states, char **paths)
{
	_cleanup_(free_ptr) const char **units = calloc(states->n, sizeof(*units));
	struct dbus_message reply;
	struct dbus_call call;
	struct error *error;
	uint32_t serial;

	if (!units)
		return error_no_memory();
	for (size_t i = 0; i < states->n; i++)
		units[i] = states->items[i].unit;
	dbus_call_begin(&call);
	dbus_put_strings(&call, units, states->n);
	error = dbus_send(bus, &call, MANAGER_PATH, MANAGER, "ListUnitsByNames", "as", &serial);
	if (!error)
		error = await_reply(bus, serial, UNIT_ROWS, &reply);
	return error ? error : take_rows(&reply.body, states, paths);
}

static struct error *states_by_bus(struct dbus *bus, struct unit_states *states)
{
	char **paths = calloc(states->n, sizeof(*paths));
	struct error *error = paths ? ask_rows(bus, states, paths) : error_no_memory();

	for (size_t i = 0; !error && i < states->n; i++) {
		struct unit_state *state = &states->items[i];

		if (!is_service(state->unit) || strcmp(state->load, "loaded") != 0)
			continue;
		error = ask_property(bus, paths[i], "Type", state->type, sizeof(state->type));
		if (!error)
			error = ask_property(bus, paths[i], "Result", state->result, sizeof(state->result));
	}
	for (size_t i = 0; paths && i < states->n; i++)
		free(paths[i]);
	free(paths);
	return error;
}

static bool is_stop(const char *job_type)
{
	return !strcmp(job_type, "stop") || !strcmp(job_type, "restart");
}

/* A row of ListJobs: number, unit, type, state, and the paths of both. */
static struct error *stopping_by_bus(struct dbus *bus, bool *ret)
{
	struct dbus_message reply;
	struct dbus_call call;
	struct error *error;
	uint32_t serial, number;
	uint64_t end;

	dbus_call_begin(&call);
	error = dbus_send(bus, &call, MANAGER_PATH, MANAGER, "ListJobs", "", &serial);
	if (!error)
		error = await_reply(bus, serial, "a(usssoo)", &reply);
	if (!error)
		error = dbus_get_array(&reply.body, 8, &end);
	*ret = false;
	while (!error && reply.body.position < end) {
		const char *text[5] = {};

		error = dbus_align(&reply.body, 8);
		if (!error)
			error = dbus_get_u32(&reply.body, &number);
		for (size_t i = 0; i < ARRAY_SIZE(text) && !error; i++)
			error = dbus_get_string(&reply.body, &text[i]);
		*ret |= !error && is_stop(text[1]);
	}
	return error;
}

/* Asks for all before it waits for any. The serials follow each other: *ret_first is the first. */
static struct error *request(struct dbus *bus, const char *method, const char *const *units, size_t n,
			     uint32_t *ret_first)
{
	struct error *error = NULL;

	*ret_first = bus->serial + 1;
	for (size_t i = 0; i < n && !error; i++) {
		struct dbus_call call;
		uint32_t serial;

		dbus_call_begin(&call);
		dbus_put_string(&call, units[i]);
		dbus_put_string(&call, "replace");
		error = dbus_send(bus, &call, MANAGER_PATH, MANAGER, method, "ss", &serial);
	}
	return error;
}

/* A job that ended: JobRemoved(number, path, unit, result). */
static struct error *take_end(struct dbus_message *message, char **jobs, size_t n, size_t *left)
{
	const char *path, *unit, *result;
	uint32_t number;
	struct error *error = dbus_get_u32(&message->body, &number);

	if (!error)
		error = dbus_get_string(&message->body, &path);
	if (!error)
		error = dbus_get_string(&message->body, &unit);
	if (!error)
		error = dbus_get_string(&message->body, &result);
	for (size_t i = 0; i < n && !error; i++) {
		if (!jobs[i] || strcmp(jobs[i], path) != 0)
			continue;
		free(take_ptr(jobs[i]));
		(*left)--;
		if (strcmp(result, "done") != 0)
			error = error_create(ERROR_FAILED, "%s: %s", unit, result);
	}
	return error;
}

/* What systemd answers to a request is the job, or why there is none. */
static struct error *take_job(struct dbus_message *message, const char *unit, char **ret)
{
	const char *path;
	struct error *error;

	if (message->type == DBUS_ERROR)
		return error_create(ERROR_FAILED, "%s: %s", unit, message->error);
	if (strcmp(message->signature, "o") != 0)
		return cursor_error(&message->body, "an answer of the type %s instead of o", message->signature);
	error = dbus_get_string(&message->body, &path);
	if (error)
		return error;
	free(*ret);
	*ret = strdup(path);
	return *ret ? NULL : error_no_memory();
}

/* To this socket systemd sends all its signals, nobody has to subscribe. A job ends after its number was told. */
static struct error *await_jobs(struct dbus *bus, const char *const *units, size_t n, uint32_t first)
{
	char **jobs = calloc(n, sizeof(*jobs));
	struct error *error = jobs ? NULL : error_no_memory();
	size_t left = n;

	while (!error && left) {
		struct dbus_message message;

		error = dbus_receive(bus, &message);
		if (error)
			break;
		if (message.reply_to - first < n)
			error = take_job(&message, units[message.reply_to - first], &jobs[message.reply_to - first]);
		else if (message.type == DBUS_SIGNAL && !strcmp(message.member, "JobRemoved") &&
			 !strcmp(message.signature, "uoss"))
			error = take_end(&message, jobs, n, &left);
	}
	for (size_t i = 0; jobs && i < n; i++)
		free(jobs[i]);
	free(jobs);
	return error;
}

static struct error *stop_by_bus(struct dbus *bus, const char *const *units, size_t n)
{
	uint32_t first;
	struct error *error = request(bus, "StopUnit", units, n, &first);

	return error ? error : await_jobs(bus, units, n, first);
}

static struct error *start_by_bus(struct dbus *bus, const char *const *units, size_t n)
{
	uint32_t first;
	struct error *error = request(bus, "StartUnit", units, n, &first);

	for (size_t i = 0; i < n && !error; i++) {
		struct dbus_message reply;

		error = await_reply(bus, first + i, "o", &reply);
	}
	return error;
}

/* --- by systemctl --- */

/* `words` and then the units. */
static struct error *call(const char *const *words, size_t n_words, const char *const *units, size_t n,
			  struct run_result *ret)
{
	_cleanup_(free_ptr) const char **argv = calloc(1 + n_words + n + 1, sizeof(*argv));

	if (!argv)
		return error_no_memory();
	argv[0] = "systemctl";
	memcpy(argv + 1, words, n_words * sizeof(*words));
	if (n)
		memcpy(argv + 1 + n_words, units, n * sizeof(*units));
	return run((char *const *)argv, CALL_TIMEOUT_MS, ret);
}

/* A line of list-units: the unit, whether its file was loaded, how active it is, and more that is of no matter here. */
static bool is_running_line(char *line, const char **ret)
{
	const char *word = NULL;
	char *save = NULL;

	*ret = strtok_r(line, " ", &save);
	for (unsigned column = 1; column < 3 && *ret; column++)
		word = strtok_r(NULL, " ", &save);
	return *ret && word && active_is_running(word);
}

static struct error *running_by_call(const char *const *units, size_t n, bool *ret)
{
	static const char *const words[] = {"--no-pager", "--no-legend", "--plain", "--full", "list-units", "--"};
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error = call(words, ARRAY_SIZE(words), units, n, &result);

	if (error)
		return error;
	for (char *save = NULL, *line = strtok_r(result.output, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *unit;
		bool runs = is_running_line(line, &unit);

		for (size_t i = 0; runs && i < n; i++)
			ret[i] |= !strcmp(unit, units[i]);
	}
	return NULL;
}

static void keep(char *to, size_t size, const char *line, size_t key, size_t length)
{
	snprintf(to, size, "%.*s", (int)(length - key), line + key);
}

static void take_line(struct unit_state *state, const char *line, size_t length)
{
	if (length > 10 && !strncmp(line, "LoadState=", 10))
		keep(state->load, sizeof(state->load), line, 10, length);
	else if (length > 12 && !strncmp(line, "ActiveState=", 12))
		keep(state->active, sizeof(state->active), line, 12, length);
	else if (length > 5 && !strncmp(line, "Type=", 5))
		keep(state->type, sizeof(state->type), line, 5, length);
	else if (length > 7 && !strncmp(line, "Result=", 7))
		keep(state->result, sizeof(state->result), line, 7, length);
}

/* One block a unit, in the order they were asked for, with an empty line between. */
static void take_blocks(struct unit_states *states, const char *text)
{
	size_t i = 0;

	while (*text && i < states->n) {
		size_t length = strcspn(text, "\n");

		if (length == 0)
			i++;
		else
			take_line(&states->items[i], text, length);
		text += length + (text[length] == '\n');
	}
}

static struct error *states_by_call(struct unit_states *states)
{
	static const char *const words[] = {"--no-pager", "show", "-pLoadState,ActiveState,Type,Result", "--"};
	_cleanup_(free_ptr) const char **units = calloc(states->n, sizeof(*units));
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error;

	if (!units)
		return error_no_memory();
	for (size_t i = 0; i < states->n; i++)
		units[i] = states->items[i].unit;
	error = call(words, ARRAY_SIZE(words), units, states->n, &result);
	if (!error)
		take_blocks(states, result.output);
	return error;
}

/* "JOB UNIT TYPE STATE" a line. */
static struct error *stopping_by_call(bool *ret)
{
	static const char *const words[] = {"--no-pager", "--no-legend", "--plain", "list-jobs"};
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error = call(words, ARRAY_SIZE(words), NULL, 0, &result);

	*ret = false;
	if (error || result.status)
		return error;
	for (const char *jobs = result.output; *jobs; jobs += strcspn(jobs, "\n"), jobs += *jobs == '\n') {
		char type[16];

		*ret |= sscanf(jobs, "%*s %*s %15s", type) == 1 && is_stop(type);
	}
	return NULL;
}

static struct error *act_by_call(const char *const *words, size_t n_words, const char *const *units, size_t n)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error = call(words, n_words, units, n, &result);

	if (!error && result.status)
		error = error_create(ERROR_FAILED, "%s", result.output);
	return error;
}

/* --- either way --- */

/* Whether the socket has done it. One that failed is not asked again: what comes late must not be taken for an answer.
 */
static bool is_done(struct systemd *manager, struct error *error)
{
	if (error)
		dbus_close(&manager->bus);
	error_destroy(error);
	return !error;
}

static struct dbus *get_bus(struct systemd *manager)
{
	manager->bus.deadline_ns = new_deadline();
	return manager->bus.fd < 0 ? NULL : &manager->bus;
}

struct error *systemd_ask_running(struct systemd *manager, const char *const *units, size_t n, bool *ret)
{
	struct dbus *bus = get_bus(manager);

	memset(ret, 0, n * sizeof(*ret));
	if (bus && is_done(manager, running_by_bus(bus, units, n, ret)))
		return NULL;
	memset(ret, 0, n * sizeof(*ret));
	return running_by_call(units, n, ret);
}

struct error *systemd_ask_states(struct systemd *manager, struct unit_states *states)
{
	struct dbus *bus = get_bus(manager);

	if (states->n == 0 || (bus && is_done(manager, states_by_bus(bus, states))))
		return NULL;
	/* No half an answer of each: what systemctl does not say is not known. */
	for (size_t i = 0; i < states->n; i++)
		states->items[i] = (struct unit_state){.unit = states->items[i].unit};
	return states_by_call(states);
}

struct error *systemd_ask_stopping(struct systemd *manager, bool *ret)
{
	struct dbus *bus = get_bus(manager);

	return bus && is_done(manager, stopping_by_bus(bus, ret)) ? NULL : stopping_by_call(ret);
}

struct error *systemd_stop(struct systemd *manager, const char *const *units, size_t n)
{
	/* --quiet: nobody is asked of each what could start it again. */
	static const char *const words[] = {"--quiet", "stop", "--"};
	struct dbus *bus = get_bus(manager);

	if (bus && is_done(manager, stop_by_bus(bus, units, n)))
		return NULL;
	return act_by_call(words, ARRAY_SIZE(words), units, n);
}

struct error *systemd_start(struct systemd *manager, const char *const *units, size_t n)
{
	static const char *const words[] = {"start", "--no-block", "--"};
	struct dbus *bus = get_bus(manager);

	if (bus && is_done(manager, start_by_bus(bus, units, n)))
		return NULL;
	return act_by_call(words, ARRAY_SIZE(words), units, n);
}
