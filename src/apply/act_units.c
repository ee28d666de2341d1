/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the service manager. What is asked for several units with one verb is asked in one call: systemd then
 * orders them as their unit files say and works on them at once. Only when such a call fails is every unit looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apply/act.h"
#include "apply/run.h"
#include "apply/systemd.h"
#include "base/io.h"

#define CALL_TIMEOUT_MS  90000
#define UNIT_TIMEOUT_MS  20000 /* more for each further unit */
#define CALLS_TIMEOUT_MS 900000
#define ASK_TIMEOUT_MS   60000
#define STOP_TIMEOUT_MS  90000 /* systemd's own DefaultTimeoutStopSec */
#define STOP_POLL_MS     200
#define JOURNAL_LINES    "20"

void outcome_deinit(struct outcome *outcome)
{
	free(outcome->output);
	free(outcome->journal);
	*outcome = (struct outcome){};
}

void unit_states_deinit(struct unit_states *states)
{
	free(states->items);
	*states = (struct unit_states){};
}

const struct unit_state *unit_states_find(const struct unit_states *states, const char *unit)
{
	for (size_t i = 0; i < states->n; i++)
		if (!strcmp(states->items[i].unit, unit))
			return &states->items[i];
	return NULL;
}

struct error *unit_states_of(const struct action *const *actions, size_t n, struct unit_states *ret)
{
	struct unit_states states = {.items = calloc(n + 1, sizeof(*states.items)), .n = n};
	struct systemd manager;
	struct error *error;

	if (!states.items)
		return error_no_memory();
	for (size_t i = 0; i < n; i++)
		states.items[i].unit = actions[i]->unit;
	systemd_open(&manager);
	error = systemd_ask_states(&manager, &states);
	systemd_close(&manager);
	if (error)
		unit_states_deinit(&states);
	else
		*ret = states;
	return error;
}

struct error *unit_states_ask(const struct action_list *list, struct unit_states *ret)
{
	_cleanup_(free_ptr) const struct action **actions = calloc(list->n + 1, sizeof(*actions));
	size_t n = 0;

	if (!actions)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind == ACTION_SYSTEMD && list->items[i].unit)
			actions[n++] = &list->items[i];
	return unit_states_of(actions, n, ret);
}

static bool is_any_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

bool unit_is_running(const struct unit_state *state)
{
	return active_is_running(state->active);
}

const char *unit_skip(const struct action *action, const struct unit_state *before)
{
	static const char *const for_running[] = {"restart",           "try-restart",           "reload", "kill",
						  "reload-or-restart", "try-reload-or-restart", NULL};
	static const char *const for_known[] = {"stop", "reset-failed", "kill", NULL};

	if (!before)
		return NULL;
	if (!strcmp(before->load, "not-found"))
		return is_any_of(action->verb, for_known) && !unit_is_running(before) ? "the guest has no such unit"
										      : NULL;
	/* One that does its work and ends is asked to do it again. */
	if (!strcmp(before->type, "oneshot") && !strcmp(action->verb, "restart"))
		return NULL;
	if (!strcmp(before->load, "loaded") && before->active[0] && !unit_is_running(before) &&
	    is_any_of(action->verb, for_running))
		return "it was not running";
	return NULL;
}

bool unit_is_stopped_by(const struct action *action, const struct unit_states *before)
{
	const struct unit_state *state;

	if (action->phase != ACTION_BEFORE || action->kind != ACTION_SYSTEMD || !action->unit ||
	    strcmp(action->verb, "stop") != 0)
		return false;
	state = unit_states_find(before, action->unit);
	return state && unit_is_running(state);
}

struct error *units_await_stops(bool *ret_all)
{
	uint64_t deadline = clock_monotonic_ns() + STOP_TIMEOUT_MS * 1000000ull;
	struct error *error = NULL;
	struct systemd manager;

	systemd_open(&manager);
	for (bool stopping = true; !error && stopping;) {
		error = systemd_ask_stopping(&manager, &stopping);
		*ret_all = !error && !stopping;
		if (!stopping || clock_monotonic_ns() > deadline)
			break;
		nanosleep(&(struct timespec){.tv_nsec = STOP_POLL_MS * 1000000}, NULL);
	}
	systemd_close(&manager);
	return error;
}

bool lines_have(const char *lines, const char *word)
{
	size_t n = strlen(word);

	for (; *lines; lines += strcspn(lines, "\n"), lines += *lines == '\n')
		if (strcspn(lines, "\n") == n && !memcmp(lines, word, n))
			return true;
	return false;
}

size_t units_running_again(const struct action_list *list, const char *stopped, const struct unit_states *now,
			   struct action *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct action *action = &list->items[i];

		if (!unit_is_stopped_by(action, now) || !lines_have(stopped, action->unit))
			continue;
		ret[n] = *action;
		ret[n++].phase = ACTION_AFTER;
	}
	return n;
}

/* Lines of the journal that say why. */
static char *read_journal(const char *unit)
{
	char *argv[] = {(char *)"journalctl",
			(char *)"--quiet",
			(char *)"--no-pager",
			(char *)"--output=short",
			(char *)"-n",
			(char *)JOURNAL_LINES,
			(char *)"-u",
			(char *)unit,
			NULL};
	struct run_result result = {};
	struct error *error = run(argv, ASK_TIMEOUT_MS, &result);
	char *text = error || result.status != 0 ? NULL : take_ptr(result.output);

	error_destroy(error);
	run_result_deinit(&result);
	return text;
}

/* Whether the unit is as the verb should have left it. */
static bool is_as_wanted(const char *verb, const struct unit_state *state)
{
	if (!strcmp(verb, "stop"))
		return !unit_is_running(state);
	return unit_is_running(state) || (!strcmp(state->type, "oneshot") && !strcmp(state->result, "success"));
}

/* Which of several it was that failed. If all are as they should be, nobody is blamed for what systemctl said. */
static struct error *blame(const struct action *const *actions, size_t n, const char *verb,
			   const struct run_result *result, struct outcome *outcomes)
{
	struct unit_states states = {};
	struct error *error = unit_states_of(actions, n, &states);

	for (size_t i = 0; !error && i < n; i++) {
		if (!strcmp(states.items[i].load, "not-found")) {
			outcomes[i].skipped = "the guest has no such unit";
			continue;
		}
		if (n > 1 && is_as_wanted(verb, &states.items[i]))
			continue;
		outcomes[i].status = result->status;
		outcomes[i].output = strdup(result->output);
		outcomes[i].journal = read_journal(actions[i]->unit);
		if (!outcomes[i].output)
			error = error_no_memory();
	}
	unit_states_deinit(&states);
	return error;
}

static size_t count_words(char *const *argv)
{
	size_t n = 0;

	while (argv && argv[n])
		n++;
	return n;
}

/* systemctl --no-ask-password [OPTION…] VERB [-- UNIT…] */
static char **make_call(const struct action *const *actions, size_t n, const char *verb)
{
	size_t n_options = count_words(actions[0]->argv), k = 0;
	char **argv = calloc(n_options + n + 5, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[k++] = (char *)"systemctl";
	argv[k++] = (char *)"--no-ask-password";
	for (size_t i = 0; i < n_options; i++)
		argv[k++] = actions[0]->argv[i];
	argv[k++] = (char *)verb;
	if (actions[0]->unit)
		argv[k++] = (char *)"--";
	for (size_t i = 0; i < n && actions[0]->unit; i++)
		argv[k++] = actions[i]->unit;
	return argv;
}

struct error *units_act(const struct action *const *actions, size_t n, const char *verb, struct outcome *outcomes)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	_cleanup_(free_ptr) char **argv = make_call(actions, n, verb);
	uint64_t timeout_ms = CALL_TIMEOUT_MS + (n - 1) * UNIT_TIMEOUT_MS;
	struct error *error;

	if (!argv)
		return error_no_memory();
	error = run(argv, timeout_ms < CALLS_TIMEOUT_MS ? timeout_ms : CALLS_TIMEOUT_MS, &result);
	if (error || result.status == 0)
		return error;
	if (actions[0]->unit)
		return blame(actions, n, verb, &result, outcomes);
	outcomes[0].status = result.status;
	outcomes[0].output = take_ptr(result.output);
	return NULL;
}
