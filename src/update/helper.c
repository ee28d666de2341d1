/* SPDX-License-Identifier: Apache-2.0 */
#include "update/helper.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "apply/embed.h"
#include "apply/report.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "update/pack_stream.h"
#include "update/read_ahead.h"

/* A full upgrade of a large guest on an emulated CPU takes minutes, not hours; deferred actions come on top. */
#define APPLY_TIMEOUT_MS   (60 * 60 * 1000ull)

#define FORGET_TIMEOUT_MS  (5 * 60 * 1000ull)

/* How often the way into the guest may be lost while it applies, and how long it may take to come back. */
#define ATTACHES_MAX       5
#define HELPER_WORDS_MAX   (24 + 2 * HELPER_READ_AHEAD_MAX)
#define ATTACH_TIMEOUT_MS  (3 * 60 * 1000ull)
#define INSTALL_TIMEOUT_MS (2 * 60 * 1000ull)

/*
 * Bytes of a payload that goes with the helper. On an emulated CPU a port brings 10 to 25 MB/s, a page at a time; a
 * disk brings several times as much, but the guest takes a second to see it.
 */
#define STREAM_MAX         (16ull << 20)

/*
 * Bytes per second. A faster channel is not helped by packing: the host was seen to pack 160 MB/s (doc/bundle-format.md
 * has the figures). What a put of the helper takes to begin and to end counts as the channel's, so that a fast one is
 * rather taken for a slow one than the other way.
 */
#define PACK_BELOW         (150ull << 20)

void helper_stream_prepare(const char *path, const char *payload_path, uint64_t payload_size, bool *ret_whole)
{
	bool whole = payload_size <= STREAM_MAX;
	struct error *error = vm_stream_write(path, apply_helper, apply_helper_size, whole ? payload_path : NULL);

	/* The next way is another. */
	if (error)
		log_debug("no stream for the guest: %s", error->message);
	*ret_whole = whole && !error;
	error_destroy(error);
}

void helper_plug(struct vm *vm, const char *stream_path, bool whole, const char *payload_path)
{
	struct error *error = vm_stream_plug(vm, stream_path, apply_helper_size);

	if (error)
		log_debug("%s", error->message);
	unlink(stream_path);
	/* A guest takes its time to see a new disk, in which it can do other things. */
	if (error || !whole)
		vm_payload_plug(vm, payload_path);
	error_destroy(error);
}

/* By the stream where there is one, which is faster; else, or if the guest cannot take that, by the channel. */
struct error *helper_install(struct vm *vm)
{
	static const char *const argv[] = {HELPER_PATH, NULL};
	_cleanup_(channel_result_deinit) struct channel_result result = {0};
	struct error *error = error_create(ERROR_UNSUPPORTED, "no stream");

	if (vm_stream_is_plugged(vm)) {
		error_destroy(error);
		error = vm_stream_run(vm, argv, INSTALL_TIMEOUT_MS, &result);
	}
	if (error && error->code == ERROR_UNSUPPORTED) {
		error_destroy(error);
		error = vm_channel_put(vm, apply_helper, apply_helper_size, HELPER_PATH);
	}
	return error_wrap(error, "cannot put the helper into the guest");
}

static char *copy_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? strdup(text) : NULL;
}

static uint64_t number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value < 0 ? 0 : (uint64_t)value;
}

/*
 * Why it ended. The report has paths without a '/' in front, and "-" for standard input; the message begins with that
 * of what was in the way.
 */
static void take_end(struct helper_report *report, const json_t *event)
{
	const char *path = json_string_value(json_object_get(event, "path"));
	const char *message = json_string_value(json_object_get(event, "message"));
	const char *slash = path && *path && *path != '/' && strcmp(path, "-") ? "/" : "";

	free(report->result);
	free(report->path);
	free(report->message);
	report->result = copy_string(event, "result");
	report->path = path && *path ? string_format("%s%s", slash, path) : NULL;
	if (!message || !*message)
		report->message = NULL;
	else if (*slash && !strncmp(message, path, strlen(path)))
		report->message = string_format("%s%s", slash, message);
	else
		report->message = strdup(message);
}

/* Something the user may want to know that changes nothing. */
static void note(const json_t *event)
{
	const char *path = json_string_value(json_object_get(event, "path"));
	const char *message = json_string_value(json_object_get(event, "message"));

	log_debug("in the guest: %s%s%s", path ? path : "", path && *path ? ": " : "", message ? message : "");
}

static struct error *take_stale(struct helper_report *report, json_t *event)
{
	if (json_array_size(report->stale) >= HELPER_STALE_MAX)
		return NULL;
	json_object_del(event, "event");
	json_object_del(event, "t_ns");
	return json_array_append(report->stale, event) < 0 ? error_no_memory() : NULL;
}

/* One line of the report. `t_ns` of the events is kept as the guest's clock here. */
static struct error *take_event(struct helper_report *report, json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));

	if (!name)
		return error_format(NULL, ERROR_NO_ADDRESS, "a line of the helper's report has no \"event\"");
	if (!strcmp(name, "action")) {
		json_object_del(event, "event");
		json_object_del(event, "t_ns");
		return json_array_append(report->actions, event) < 0 ? error_no_memory() : NULL;
	}
	if (!strcmp(name, "note")) {
		note(event);
		return NULL;
	}
	if (!strcmp(name, "stale"))
		return take_stale(report, event);
	if (!strcmp(name, "kept")) {
		free(report->not_kept);
		report->keep_until_s = (int64_t)number(event, "until_s");
		report->not_kept = copy_string(event, "why");
		return NULL;
	}
	if (!strcmp(name, "looked"))
		report->n_stale = number(event, "stale");
	if (!strcmp(name, "staged")) {
		report->files = number(event, "files");
		report->bytes = number(event, "bytes");
	}
	if (!strcmp(name, "switched"))
		report->frozen_us = number(event, "frozen_us");
	if (!strcmp(name, "restarted") || !strcmp(name, "deferred"))
		report->failed_actions = number(event, "failed");
	if (!strcmp(name, "end"))
		take_end(report, event);
	if (report->n_events == HELPER_EVENTS_MAX)
		return error_format(NULL, ERROR_NO_ADDRESS, "the helper's report has more than %d events",
				    HELPER_EVENTS_MAX);
	snprintf(report->events[report->n_events].name, sizeof(report->events[0].name), "%s", name);
	report->events[report->n_events++].realtime_ns = (int64_t)number(event, "t_ns");
	return NULL;
}

static struct error *parse_report(const char *text, struct helper_report *report)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(json_decref_ptr) json_t *event = NULL;
		struct error *error = json_parse(line, strcspn(line, "\n"), "report", &event);

		if (!error)
			error = take_event(report, event);
		if (error)
			return error_wrap(error, "the guest helper's report");
	}
	if (!report->result)
		return error_format(NULL, ERROR_NO_ADDRESS, "the guest helper's report has no end");
	return NULL;
}

/* The report ended now: count back from there with the guest's own clock. */
static void date_events(struct helper_report *report, int64_t now_ns)
{
	int64_t end_ns = report->events[report->n_events - 1].realtime_ns;

	for (size_t i = 0; i < report->n_events; i++)
		report->events[i].realtime_ns = now_ns - (end_ns - report->events[i].realtime_ns);
}

/* The report of a run that ended so, if it is one; takes the error, and empties the result. */
static struct error *take_result(struct error *error, struct channel_result *result, struct helper_report *ret)
{
	struct helper_report report = {.actions = json_array(), .stale = json_array()};

	if (!error && result->status >= 125 && !*result->output)
		error = error_create(ERROR_FAILED, "the guest refused to run %s: exit status %d: %s", HELPER_PATH,
				     result->status, result->errors);
	if (!error)
		error = parse_report(result->output, &report);
	if (error && error->code == ERROR_FORMAT && result->status > 128)
		error = error_recode(error, ERROR_NOT_FOUND);
	if (!error)
		date_events(&report, clock_realtime_ns());
	if (!error && *result->errors)
		log_debug("helper: %s", result->errors);
	channel_result_deinit(result);
	if (error) {
		helper_report_deinit(&report);
		return error;
	}
	*ret = report;
	return NULL;
}

static void helper_argv(const char *path, const char *const *words, const char *argv[HELPER_WORDS_MAX + 1])
{
	size_t n = 0;

	argv[n++] = path;
	while (*words && n < HELPER_WORDS_MAX)
		argv[n++] = *words++;
	argv[n] = NULL;
}

struct error *helper_run(struct vm *vm, const char *const *words, int stdin_fd, uint64_t timeout_ms,
			 struct helper_report *ret)
{
	const char *argv[HELPER_WORDS_MAX + 1];
	struct channel_result result = {0};
	struct error *error;

	helper_argv(HELPER_PATH, words, argv);
	error = vm_channel_run(vm, argv, stdin_fd, timeout_ms, &result);
	return take_result(error, &result, ret);
}

/* What goes through the channel: packed where that is faster. */
static struct error *open_stream(struct vm *vm, const char *payload_path, struct pack_stream *stream, int *ret)
{
	uint64_t speed = vm_channel_speed(vm);
	bool packed = speed < PACK_BELOW;

	log_debug("the channel takes %llu bytes/s: the payload goes %s", (unsigned long long)speed,
		  packed ? "packed" : "as it is");
	if (packed)
		return pack_stream_open(stream, payload_path, ret);
	*ret = open(payload_path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? error_system(errno, payload_path, "cannot open the payload") : NULL;
}

static struct error *write_file(struct vm *vm, const struct payload_place *place, const char *payload_path)
{
	struct pack_stream stream = {};
	int fd = -1;
	struct error *error = open_stream(vm, payload_path, &stream, &fd), *packing;

	if (!error)
		error = vm_payload_write(vm, fd, payload_path, place);
	close_fd(&fd);
	packing = pack_stream_close(&stream);
	if (!packing)
		return error;
	/* The channel may have taken the early end for the end. */
	error_destroy(error);
	return packing;
}

/* The payload where the guest can read it; `ret` says where. */
static struct error *bring(struct vm *vm, const char *payload_path, struct payload_place *ret)
{
	struct payload_place place = {};
	struct error *error = vm_payload_attach(vm, payload_path, &place);

	if (!error && place.way == PAYLOAD_FILE) {
		error = write_file(vm, &place, payload_path);
		if (error) {
			free(place.guest_path);
			error_destroy(vm_payload_detach(vm));
		}
	}
	if (error)
		return error_wrap(error, "cannot bring the payload into the guest");
	*ret = place;
	return NULL;
}

struct words {
	const char *list[HELPER_WORDS_MAX + 1];
	size_t n;
	char hex[SHA256_HEX_SIZE], clock[24], keep[24], freeze[24];
	char *read_ahead[HELPER_READ_AHEAD_MAX];
	size_t n_read_ahead;
};

static void words_deinit(struct words *words)
{
	for (size_t i = 0; i < words->n_read_ahead; i++)
		free(words->read_ahead[i]);
}

static void add_word(struct words *words, const char *word)
{
	if (words->n < HELPER_WORDS_MAX)
		words->list[words->n++] = word;
}

static void add_pair(struct words *words, const char *option, const char *value)
{
	add_word(words, option);
	add_word(words, value);
}

/* Zeroed before, filled here and not moved. `payload`: borrowed, "-" for standard input. */
static void apply_words(struct words *words, const char *payload, const uint8_t sha256[SHA256_SIZE],
			const struct helper_apply_options *options)
{
	sha256_to_hex(sha256, words->hex);
	snprintf(words->clock, sizeof(words->clock), "%lld", (long long)clock_realtime_ns());
	snprintf(words->keep, sizeof(words->keep), "none");
	if (options->keep_s)
		snprintf(words->keep, sizeof(words->keep), "%llu", (unsigned long long)options->keep_s);
	snprintf(words->freeze, sizeof(words->freeze), "%llu", (unsigned long long)options->freeze_ms);
	add_word(words, "apply");
	add_pair(words, "--payload", payload);
	add_pair(words, "--sha256", words->hex);
	add_pair(words, "--verify", options->verify_stat ? "stat" : "full");
	add_pair(words, "--freeze", words->freeze);
	/* The clock is the guest's own again, and the first's old files are kept as long as the second's. */
	if (options->late) {
		add_word(words, "--late");
	} else {
		add_pair(words, "--clock", words->clock);
		add_pair(words, "--keep", words->keep);
	}
	if (options->background)
		add_word(words, "--background");
	if (options->followed)
		add_word(words, "--followed");
	if (options->strict)
		add_word(words, "--strict");
	words->n_read_ahead = read_ahead_words(options->read_ahead, words->read_ahead);
	for (size_t i = 0; i < words->n_read_ahead; i++)
		add_pair(words, "--read-ahead", words->read_ahead[i]);
}

static struct error *apply_once(struct vm *vm, const struct payload_place *place, const char *payload_path,
				const uint8_t sha256[SHA256_SIZE], const struct helper_apply_options *options,
				struct helper_report *ret)
{
	bool by_stdin = place->way == PAYLOAD_STDIN;
	_cleanup_(words_deinit) struct words words = {};
	struct pack_stream stream = {};
	struct error *error = NULL, *packing;
	int fd = -1;

	apply_words(&words, by_stdin ? "-" : place->guest_path, sha256, options);
	if (by_stdin)
		error = open_stream(vm, payload_path, &stream, &fd);
	if (!error)
		error = helper_run(vm, words.list, fd, options->timeout_ms, ret);
	close_fd(&fd);
	packing = pack_stream_close(&stream);
	/* What the helper has reported counts; it had all it needed. */
	if (error && packing) {
		error_destroy(error);
		return packing;
	}
	error_destroy(packing);
	return error;
}

/* A restart of the channel's own service ends a run; the worker in the guest goes on, and is asked again. */
static struct error *apply_from(struct vm *vm, const struct payload_place *place, const char *payload_path,
				const uint8_t sha256[SHA256_SIZE], const struct helper_apply_options *options,
				struct helper_report *ret)
{
	struct error *error = apply_once(vm, place, payload_path, sha256, options, ret);

	for (unsigned i = 0; error && error->code == ERROR_NOT_FOUND && i < ATTACHES_MAX; i++) {
		log_debug("%s; asking again", error->message);
		error_destroy(error);
		error = vm_channel_wait(vm, ATTACH_TIMEOUT_MS);
		if (!error)
			error = apply_once(vm, place, payload_path, sha256, options, ret);
	}
	return error;
}

/*
 * Helper and payload by the stream, in one call. ERROR_UNSUPPORTED: it is to be done in another way, which finds the
 * guest as it was.
 */
static struct error *apply_by_stream(struct vm *vm, const uint8_t sha256[SHA256_SIZE],
				     const struct helper_apply_options *options, struct helper_report *ret)
{
	/* Nothing comes out of the port twice. Who is at work needs nothing more; without one this is no payload. */
	const struct payload_place nowhere = {.way = PAYLOAD_DISK, .guest_path = (char *)"/dev/null"};
	const char *argv[HELPER_WORDS_MAX + 1];
	struct channel_result result = {0};
	struct helper_report report = {0};
	_cleanup_(words_deinit) struct words words = {};
	struct error *error;

	apply_words(&words, "-", sha256, options);
	helper_argv(HELPER_ARRIVAL, words.list, argv);
	error = vm_stream_run(vm, argv, options->timeout_ms, &result);
	error = take_result(error, &result, ret);
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	log_debug("%s; asking again", error->message);
	error_destroy(error);
	error = vm_channel_wait(vm, ATTACH_TIMEOUT_MS);
	if (error)
		return error;
	error = apply_from(vm, &nowhere, NULL, sha256, options, &report);
	if (error && error->code != ERROR_TIMEOUT)
		return error_recode(error, ERROR_UNSUPPORTED);
	if (!error && !strcmp(report.result, HELPER_RESULT_FAILED)) {
		helper_report_deinit(&report);
		return error_create(ERROR_UNSUPPORTED, "the helper was lost with the channel");
	}
	if (!error)
		*ret = report;
	return error;
}

uint64_t helper_apply_timeout_ms(const struct action_list *actions)
{
	uint64_t timeout_ms = APPLY_TIMEOUT_MS;

	/* Twice: what a killed one left in between is finished first. */
	for (size_t i = 0; i < actions->n; i++)
		if (action_is_deferred(&actions->items[i]))
			timeout_ms += 2 * HELPER_DEFERRED_TIMEOUT_MS;
	return timeout_ms;
}

/* Helper, payload and the run each for itself. */
static struct error *apply_by_parts(struct vm *vm, const char *payload_path, const uint8_t sha256[SHA256_SIZE],
				    const struct helper_apply_options *options, struct helper_report *ret)
{
	struct payload_place place = {0};
	struct error *error = options->installed ? NULL : helper_install(vm);

	if (!error)
		error = bring(vm, payload_path, &place);
	if (!error)
		error = apply_from(vm, &place, payload_path, sha256, options, ret);
	free(place.guest_path);
	return error;
}

struct error *helper_apply(struct vm *vm, const char *payload_path, const uint8_t sha256[SHA256_SIZE],
			   const struct helper_apply_options *options, struct helper_report *ret)
{
	struct error *error;

	if (!options->whole_stream || !vm_stream_is_plugged(vm))
		return apply_by_parts(vm, payload_path, sha256, options, ret);
	error = apply_by_stream(vm, sha256, options, ret);
	if (!error || error->code != ERROR_UNSUPPORTED)
		return error;
	log_debug("%s: by disk or channel", error->message);
	error_destroy(error);
	return apply_by_parts(vm, payload_path, sha256, options, ret);
}

void helper_detach(struct vm *vm)
{
	struct error *error = vm_payload_detach(vm);

	if (error && error->code != ERROR_NOT_FOUND)
		log_warning("the payload's disk stays in the guest: %s", error->message);
	error_destroy(error);
}

struct error *helper_forget(struct vm *vm)
{
	static const char *const argv[] = {HELPER_PATH, "forget", NULL};
	struct channel_result result = {0};
	struct error *error = vm_channel_run(vm, argv, -1, FORGET_TIMEOUT_MS, &result);

	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "exit status %d: %s", result.status, result.errors);
	channel_result_deinit(&result);
	return error;
}

struct error *helper_with_failed_action(struct error *error, const struct helper_report *report)
{
	json_t *action;
	size_t i;

	json_array_foreach(report->actions, i, action)
	{
		_cleanup_(free_ptr) char *command = NULL;
		const char *output = json_string_value(json_object_get(action, "output"));
		const char *journal = json_string_value(json_object_get(action, "journal"));
		int status = (int)json_integer_value(json_object_get(action, "status"));
		struct error *whole;

		if (status == 0)
			continue;
		command = json_dumps(json_object_get(action, "argv"), JSON_COMPACT | JSON_ENCODE_ANY);
		whole = error_create(error->code, "%s: %.300s: exit status %d: %.300s%s%.600s", error->message,
				     command ? command : "an action", status, output ? output : "",
				     output && *output && journal ? "\n" : "", journal ? journal : "");
		error_destroy(error);
		return whole;
	}
	return error;
}

void helper_report_deinit(struct helper_report *report)
{
	json_decref(report->actions);
	json_decref(report->stale);
	free(report->result);
	free(report->path);
	free(report->message);
	free(report->not_kept);
	*report = (struct helper_report){0};
}
