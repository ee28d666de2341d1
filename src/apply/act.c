/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorded actions, in their order: those of before the files, and those of after. One that fails is reported and
 * counted, and by itself no reason to go back: the files are right, and a service that does not start may not have run
 * before. What is to be kept of a run that is killed in between stands in a file: the units that were stopped.
 */
#include "apply/act.h"

#include <stdlib.h>
#include <string.h>

#include "apply/events.h"
#include "apply/fault.h"
#include "apply/report.h"
#include "apply/run.h"
#include "apply/units.h"
#include "base/io.h"

#define COMMAND_TIMEOUT_MS 90000
#define DAEMON_SETTLE_MS   3000
/* Units in one call of systemctl. */
#define GROUP_MAX          64

static struct error *report(struct transaction *t, const struct action *action, const struct outcome *outcome)
{
	char **words = NULL;
	struct event event;
	struct error *error = action_words(action, &words);

	if (error)
		return error;
	event_begin(&event, "action");
	event_string(&event, "kind", action_kind_word(action->kind));
	event_string(&event, "phase", action->phase == ACTION_BEFORE ? "before" : "after");
	event_strings(&event, "argv", words);
	event_string(&event, "package", action->package);
	event_string(&event, "script", action->script);
	event_number(&event, "status", (uint64_t)outcome->status);
	event_string(&event, "skipped", outcome->skipped);
	event_string(&event, "output", outcome->output ? outcome->output : "");
	event_string(&event, "journal", outcome->journal);
	event_write(&event, t->report_fd);
	action_words_free(words);
	return NULL;
}

static struct error *run_command(char *const *argv, bool daemon, struct outcome *ret)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	struct error *error =
		daemon ? run_daemon(argv, DAEMON_SETTLE_MS, &result) : run(argv, COMMAND_TIMEOUT_MS, &result);

	if (error)
		return error;
	ret->status = result.status;
	ret->output = take_ptr(result.output);
	return NULL;
}

/* Without systemd: "nginx.service" is the init script nginx, and nothing has to be told of new units. */
static struct error *act_service(const struct action *action, struct outcome *ret)
{
	_cleanup_(free_ptr) char *name = NULL;
	size_t n = action->unit ? strlen(action->unit) : 0;
	const char *suffix = ".service";

	if (!action->unit) {
		ret->skipped = "the guest does not run systemd";
		return NULL;
	}
	if (n > strlen(suffix) && !strcmp(action->unit + n - strlen(suffix), suffix))
		n -= strlen(suffix);
	name = strndup(action->unit, n);
	if (!name)
		return error_no_memory();
	return run_command((char *[]){(char *)"service", name, action->verb, NULL}, false, ret);
}

/* How it is put to systemctl: of a unit that runs, a conditional restart is a restart. */
static const char *plain_verb(const struct action *action)
{
	return !strcmp(action->verb, "try-restart") ? "restart" : action->verb;
}

static bool can_share(const char *verb)
{
	return !strcmp(verb, "start") || !strcmp(verb, "stop") || !strcmp(verb, "restart");
}

/* One action by itself, or the requests behind it that can go with it: *ret_n of them. */
static struct error *act_next(struct transaction *t, const struct action *const *actions, size_t n, size_t *ret_n,
			      struct outcome *outcomes)
{
	const struct action *first = actions[0];
	size_t group = 1;

	*ret_n = 1;
	if (first->kind == ACTION_COMMAND && first->pid)
		outcomes[0].skipped = process_gone(first);
	if (first->kind == ACTION_COMMAND)
		return outcomes[0].skipped ? NULL : run_command(first->argv, first->verb != NULL, &outcomes[0]);
	if (first->kind == ACTION_RUNTIME)
		return act_runtime(t, first, &outcomes[0]);
	if (first->kind != ACTION_SYSTEMD)
		return act_data(first, &outcomes[0]);
	if (!units_has_systemd())
		return act_service(first, &outcomes[0]);
	while (first->unit && !first->argv && can_share(plain_verb(first)) && group < n && group < GROUP_MAX &&
	       actions[group]->kind == ACTION_SYSTEMD && actions[group]->unit && !actions[group]->argv &&
	       !strcmp(plain_verb(first), plain_verb(actions[group])))
		group++;
	*ret_n = group;
	return units_act(actions, group, plain_verb(first), outcomes);
}

/* Does all of them and reports each. */
static struct error *act_all(struct transaction *t, const struct action *const *actions, size_t n, uint32_t *failed)
{
	struct error *error = NULL;

	for (size_t i = 0, done; !error && i < n; i += done) {
		struct outcome outcomes[GROUP_MAX] = {};

		error = act_next(t, actions + i, n - i, &done, outcomes);
		for (size_t k = 0; !error && k < done; k++) {
			error = report(t, actions[i + k], &outcomes[k]);
			*failed += outcomes[k].status != 0;
		}
		for (size_t k = 0; k < done; k++)
			outcome_deinit(&outcomes[k]);
	}
	return error;
}

static bool reloads_systemd(const struct action *action)
{
	return action->kind == ACTION_SYSTEMD &&
	       (!strcmp(action->verb, "daemon-reload") || !strcmp(action->verb, "daemon-reexec"));
}

static bool needs_systemd_reload(const struct action_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct action *action = &list->items[i];

		if (action->phase == ACTION_AFTER && action->kind == ACTION_SYSTEMD)
			return !reloads_systemd(action);
	}
	return false;
}

/* Of a phase those below /run, or the others, that make sense, in order; what makes none is reported. */
static struct error *choose(struct transaction *t, enum action_phase phase, bool runtime, const struct action **ret,
			    size_t *ret_n)
{
	const struct action_list *list = &t->payload.actions;
	struct error *error = NULL;

	for (size_t i = 0; !error && i < list->n; i++) {
		const struct action *action = &list->items[i];
		struct outcome outcome = {};

		if (action->phase != phase || action_is_deferred(action) || (action->kind == ACTION_RUNTIME) != runtime)
			continue;
		if (action->kind == ACTION_SYSTEMD && action->unit && units_has_systemd())
			outcome.skipped = unit_skip(action, unit_states_find(&t->states, action->unit));
		if (outcome.skipped)
			error = report(t, action, &outcome);
		else
			ret[(*ret_n)++] = action;
	}
	return error;
}

static char *stopped_path(const struct transaction *t)
{
	return string_format("%s/stopped", t->directory);
}

/* *ret is NULL: nothing was, or it is not known. */
static struct error *read_stopped(const struct transaction *t, char **ret)
{
	_cleanup_(free_ptr) char *path = stopped_path(t);
	size_t size;

	*ret = NULL;
	if (!path)
		return error_no_memory();
	error_destroy(io_read_file(path, 1 << 20, ret, &size));
	return NULL;
}

/*
 * What was stopped for the switch and runs again, because somebody wanted it meanwhile, runs old files, or some of each
 * kind. What comes after this starts it anew, by the unit files of now.
 */
static struct error *stop_again(struct transaction *t, uint32_t *failed)
{
	const struct action_list *list = &t->payload.actions;
	_cleanup_(free_ptr) struct action *stops = calloc(list->n + 1, sizeof(*stops));
	_cleanup_(free_ptr) const struct action **actions = calloc(list->n + 1, sizeof(*actions));
	_cleanup_(unit_states_deinit) struct unit_states now = {};
	_cleanup_(free_ptr) char *stopped = NULL;
	struct error *error;
	size_t n;

	if (!stops || !actions)
		return error_no_memory();
	error = read_stopped(t, &stopped);
	if (error || !stopped)
		return error;
	error = unit_states_ask(list, &now);
	if (error)
		return error;
	n = units_running_again(list, stopped, &now, stops);
	for (size_t i = 0; i < n; i++)
		actions[i] = &stops[i];
	return act_all(t, actions, n, failed);
}

/* How many of the first come before what was stopped is looked at: up to the last reload, and nothing is started yet.
 */
static size_t count_before_stops(const struct action *const *actions, size_t n)
{
	size_t first = 0;

	for (size_t i = 0; i < n; i++) {
		if (reloads_systemd(actions[i]))
			first = i + 1;
		else if (actions[i]->kind != ACTION_COMMAND && actions[i]->kind != ACTION_RUNTIME)
			break;
	}
	return first;
}

static struct error *act_phase(struct transaction *t, enum action_phase phase, uint32_t *failed)
{
	static const struct action reload = {.kind = ACTION_SYSTEMD, .verb = (char *)"daemon-reload"};
	_cleanup_(free_ptr) const struct action **actions = calloc(t->payload.actions.n + 2, sizeof(*actions));
	size_t n = 0, n_first;
	struct error *error;

	if (!actions)
		return error_no_memory();
	/* Units and what they need may lie below /run. */
	error = choose(t, phase, true, actions, &n);
	if (phase == ACTION_AFTER && units_has_systemd() && needs_systemd_reload(&t->payload.actions))
		actions[n++] = &reload;
	if (!error)
		error = choose(t, phase, false, actions, &n);
	n_first = count_before_stops(actions, n);
	if (!error)
		error = act_all(t, actions, n_first, failed);
	if (!error && phase == ACTION_AFTER && units_has_systemd())
		error = stop_again(t, failed);
	return error ? error : act_all(t, actions + n_first, n - n_first, failed);
}

/* --- what was stopped --- */

/* One unit a line: those that run now and are about to be stopped. */
static struct error *note_stopped(const struct transaction *t)
{
	_cleanup_(free_ptr) char *path = stopped_path(t), *text = strdup("");
	const struct action_list *list = &t->payload.actions;

	if (!path || !text)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++) {
		const struct action *action = &list->items[i];
		char *longer;

		if (!unit_is_stopped_by(action, &t->states))
			continue;
		longer = string_format("%s%s\n", text, action->unit);
		if (!longer)
			return error_no_memory();
		free(text);
		text = longer;
	}
	return *text ? io_replace_file(path, text, strlen(text), 0600) : NULL;
}

struct error *transaction_start_stopped(struct transaction *t)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = read_stopped(t, &text);
	uint32_t failed = 0;

	if (error || !text)
		return error;
	for (char *save = NULL, *unit = strtok_r(text, "\n", &save); !error && unit;
	     unit = strtok_r(NULL, "\n", &save)) {
		struct action start = {.kind = ACTION_SYSTEMD, .verb = (char *)"start", .unit = unit};
		const struct action *list[] = {&start};

		error = act_all(t, list, 1, &failed);
	}
	return error ? error : transaction_forget_stopped(t);
}

struct error *transaction_forget_stopped(struct transaction *t)
{
	_cleanup_(free_ptr) char *path = stopped_path(t);

	if (!path)
		return error_no_memory();
	if (unlink(path) < 0 && errno != ENOENT)
		return error_system(errno, path, "cannot remove");
	return NULL;
}

/* --- the phases --- */

/* Files do not change below a unit that an action is stopping. */
static struct error *await_stops(struct transaction *t)
{
	bool asked = false, all = true;
	struct error *error;

	for (size_t i = 0; i < t->payload.actions.n; i++)
		asked |= t->payload.actions.items[i].kind == ACTION_SYSTEMD &&
			 t->payload.actions.items[i].phase == ACTION_BEFORE;
	if (!asked || !units_has_systemd())
		return NULL;
	error = units_await_stops(&all);
	if (!error && !all)
		event_note(t->report_fd, NULL, "units are still being stopped while the files change");
	return error;
}

struct error *transaction_act_before(struct transaction *t)
{
	uint32_t failed = 0;
	struct error *error = NULL;

	/* Whoever held the timers has asked. */
	if (units_has_systemd() && !t->states.items)
		error = unit_states_ask(&t->payload.actions, &t->states);
	if (!error)
		error = note_stopped(t);
	if (!error)
		error = act_phase(t, ACTION_BEFORE, &failed);
	if (!error)
		error = await_stops(t);
	t->n_failed += failed;
	return error;
}

struct error *transaction_act_after(struct transaction *t)
{
	uint32_t failed = 0;
	struct error *error = act_phase(t, ACTION_AFTER, &failed);

	t->n_failed += failed;
	return error;
}

/* Where "--configure" stands, behind which are packages; 0: this is no such call of dpkg. */
static size_t configure_word(const struct action *action)
{
	for (size_t i = 1; action->argv[0] && action->argv[i]; i++)
		if (!strcmp(action->argv[i], "--configure"))
			return i;
	return 0;
}

static bool says_installed(const char *states)
{
	static const char wanted[] = "installed\n";

	for (; !strncmp(states, wanted, strlen(wanted)); states += strlen(wanted))
		;
	return !*states;
}

/* Whether dpkg has all packages in order that the action names. */
static struct error *ask_installed(const struct action *action, bool *ret)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	_cleanup_(free_ptr) char **argv = NULL;
	char *const *names = action->argv + configure_word(action) + 1;
	size_t n = 0, used = 0;
	struct error *error;

	while (names[n])
		n++;
	argv = calloc(n + 6, sizeof(*argv));
	if (!argv)
		return error_no_memory();
	for (const char *const *word =
		     (const char *const[]){"dpkg-query", "-W", "-f", "${db:Status-Status}\\n", "--", NULL};
	     *word; word++)
		argv[used++] = (char *)*word;
	memcpy(argv + used, names, n * sizeof(*argv));
	error = run(argv, COMMAND_TIMEOUT_MS, &result);
	if (!error)
		*ret = n && result.status == 0 && says_installed(result.output);
	return error;
}

/*
 * A run that was killed has done a part already, which dpkg takes for an error, and for the only one it tells by a
 * status: the others may have failed or not.
 */
static struct error *judge_configured(const struct action *action, struct outcome *outcome)
{
	struct error *error;
	bool installed = false;

	if (!outcome->status || !configure_word(action) || !strstr(outcome->output, "already installed and configured"))
		return NULL;
	error = ask_installed(action, &installed);
	if (!error && installed) {
		outcome->status = 0;
		outcome->skipped = "it is configured already";
	}
	return error;
}

static struct error *act_deferred(struct transaction *t, const struct action *action)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	_cleanup_(outcome_deinit) struct outcome outcome = {};
	struct error *error;

	error = run(action->argv, HELPER_DEFERRED_TIMEOUT_MS, &result);
	fault_point();
	if (error)
		return error;
	outcome.status = result.status;
	outcome.output = take_ptr(result.output);
	error = judge_configured(action, &outcome);
	if (error)
		return error;
	t->n_failed += outcome.status != 0;
	return report(t, action, &outcome);
}

/* Written before anything happens that stays: whoever comes after a kill must not go back. */
static struct error *begin_deferred(struct transaction *t)
{
	struct journal with = t->journal;
	struct error *error;

	if (t->journal.deferred)
		return NULL;
	with.deferred = true;
	fault_point();
	error = journal_write(&with);
	fault_point();
	with.deferred = !error;
	t->journal = with;
	return error_wrap(error, "cannot note that what was deferred begins");
}

/*
 * A dpkg that was killed leaves packages and triggers in between, and names them to nobody: the same command for all of
 * them. What it cannot do is tried and told by the action itself.
 */
static struct error *finish_configuring(const struct action *action)
{
	_cleanup_(run_result_deinit) struct run_result result = {};
	_cleanup_(free_ptr) char **argv = NULL;
	size_t n = configure_word(action);

	if (!n)
		return NULL;
	argv = calloc(n + 3, sizeof(*argv));
	if (!argv)
		return error_no_memory();
	memcpy(argv, action->argv, (n + 1) * sizeof(*argv));
	argv[n + 1] = (char *)"-a";
	return run(argv, HELPER_DEFERRED_TIMEOUT_MS, &result);
}

bool transaction_has_deferred(const struct transaction *t)
{
	for (size_t i = 0; i < t->payload.actions.n; i++)
		if (action_is_deferred(&t->payload.actions.items[i]))
			return true;
	return false;
}

struct error *transaction_act_deferred(struct transaction *t)
{
	const struct action_list *list = &t->payload.actions;
	struct error *error = NULL;

	/* Commands that can be in need of it ask for this name. */
	if (t->deferred_again)
		setenv("OUASSISTER_AGAIN", "1", 1);
	for (size_t i = 0; !error && i < list->n; i++) {
		const struct action *action = &list->items[i];

		if (!action_is_deferred(action))
			continue;
		error = begin_deferred(t);
		if (!error && t->deferred_again)
			error = finish_configuring(action);
		if (!error)
			error = act_deferred(t, action);
	}
	return error;
}

/* What a unit needs to be as it was; NULL: nothing. */
static const char *undo_verb(const struct transaction *t, const struct action *action, const struct unit_state *now)
{
	const struct unit_state *before = unit_states_find(&t->states, action->unit);
	bool runs = unit_is_running(now), ran = runs || action->phase == ACTION_BEFORE;

	if (before)
		ran = unit_is_running(before);
	if (!strcmp(now->load, "not-found") || !ran)
		return runs ? "stop" : NULL;
	return runs ? "restart" : "start";
}

/* The requests that undo, one a unit, borrowing from the payload; `ret` has room. */
static size_t plan_undo(const struct transaction *t, const struct unit_states *now, struct action *ret)
{
	const struct action_list *list = &t->payload.actions;
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct action *action = &list->items[i];
		const struct unit_state *state =
			action->kind == ACTION_SYSTEMD && action->unit ? unit_states_find(now, action->unit) : NULL;
		const char *verb = state ? undo_verb(t, action, state) : NULL;
		bool planned = false;

		for (size_t k = 0; k < n; k++)
			planned |= verb && !strcmp(ret[k].unit, action->unit);
		if (verb && !planned)
			ret[n++] = (struct action){.kind = ACTION_SYSTEMD,
						   .verb = (char *)verb,
						   .unit = action->unit,
						   .package = action->package};
	}
	return n;
}

static struct error *undo_services(struct transaction *t, const struct unit_states *now)
{
	static const char *const order[] = {"stop", "restart", "start"};
	_cleanup_(free_ptr) struct action *plan = calloc(t->payload.actions.n + 1, sizeof(*plan));
	_cleanup_(free_ptr) const struct action **chosen = calloc(t->payload.actions.n + 1, sizeof(*chosen));
	size_t n, n_chosen = 0;

	if (!plan || !chosen)
		return error_no_memory();
	n = plan_undo(t, now, plan);
	for (size_t k = 0; k < ARRAY_SIZE(order); k++)
		for (size_t i = 0; i < n; i++)
			if (!strcmp(plan[i].verb, order[k]))
				chosen[n_chosen++] = &plan[i];
	t->n_failed = 0;
	return act_all(t, chosen, n_chosen, &t->n_failed);
}

/* The same requests again: the init scripts are the old ones now. */
static struct error *undo_without_systemd(struct transaction *t)
{
	const struct action_list *list = &t->payload.actions;
	struct error *error = NULL;

	for (size_t i = 0; !error && i < list->n; i++) {
		const struct action *action = &list->items[i];
		struct action again = {.kind = ACTION_SYSTEMD, .unit = action->unit, .verb = (char *)"restart"};
		const struct action *one[] = {&again};

		if (action->kind == ACTION_SYSTEMD && action->unit)
			error = act_all(t, one, 1, &t->n_failed);
	}
	return error;
}

struct error *transaction_act_undo(struct transaction *t)
{
	static const struct action reload = {.kind = ACTION_SYSTEMD, .verb = (char *)"daemon-reload"};
	const struct action *first[] = {&reload};
	struct unit_states now = {};
	uint32_t failed = 0;
	struct error *error;

	if (!units_has_systemd())
		return undo_without_systemd(t);
	/* First, so that systemd knows which unit files are gone. */
	error = act_all(t, first, 1, &failed);
	if (!error)
		error = unit_states_ask(&t->payload.actions, &now);
	if (!error)
		error = undo_services(t, &now);
	unit_states_deinit(&now);
	return error ? error : transaction_forget_stopped(t);
}
