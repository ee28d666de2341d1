/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left to do after an update asked for a list of things. Packages ask on their own and
 * over and over (each service once a maintainer script, daemon-reload dozens of times); a running
 * guest needs each once.
 *
 *   - What belongs below /run comes first after the files: units lie there as well, and what services need.
 *   - daemon-reexec and daemon-reload come next, one of each: everything after them needs the new unit files.
 * Re-executing reads the unit files as well, so it replaces a reload.
 *   - Requests for one unit melt into one a phase, at the place of the last: after "stop" whatever was
 *     asked before is void (but "stop, start" is how scripts spell a restart: it is kept as
 *     "restart"); a restart covers start, reload and try-restart; a weaker request never
 *     weakens a stronger one.
 *   - A stop before the files voids what was asked for after the files at an earlier time (by another package's
 *     script); what is asked for later starts the unit or, where that acts on running units only, does nothing.
 *   - Of several values written to one sysctl the last counts.
 *   - Verbs not known here, and the other kinds, are kept as they are, in order; only an exact
 *     repetition is dropped, the first stays.
 */
#include <stdlib.h>
#include <string.h>

#include "changes/changes.h"

/* What a unit goes through, weakest first. */
enum wish {
	WISH_OTHER = 0,
	WISH_RELOAD,
	WISH_TRY_RELOAD_OR_RESTART,
	WISH_TRY_RESTART,
	WISH_RELOAD_OR_RESTART,
	WISH_START,
	WISH_RESTART,
	WISH_STOP,
	N_WISHES,
};

static const char *const verbs[N_WISHES] = {
	[WISH_RELOAD] = "reload",
	[WISH_TRY_RELOAD_OR_RESTART] = "try-reload-or-restart",
	[WISH_TRY_RESTART] = "try-restart",
	[WISH_RELOAD_OR_RESTART] = "reload-or-restart",
	[WISH_START] = "start",
	[WISH_RESTART] = "restart",
	[WISH_STOP] = "stop",
};

static enum wish wish_of(const char *verb)
{
	for (int i = WISH_RELOAD; i < N_WISHES; i++)
		if (strcmp(verbs[i], verb) == 0)
			return i;
	return WISH_OTHER;
}

/*
 * One wish for a unit out of the earlier and the later one.
 *
 * A restart of either kind also reloads. "start" does nothing to a running unit, so it does not
 * replace a reload or a conditional restart of one: together they are a plain restart, which
 * starts what is stopped and refreshes what runs.
 */
static enum wish melt(enum wish before, enum wish after)
{
	if (before == after || after == WISH_STOP)
		return after;
	if (before == WISH_STOP)
		/* Stopped, then something that acts on running units only: it stays stopped. */
		return after == WISH_START || after == WISH_RESTART || after == WISH_RELOAD_OR_RESTART ? WISH_RESTART
												       : WISH_STOP;
	if (before == WISH_RESTART || after == WISH_RESTART)
		return WISH_RESTART;
	if (before == WISH_START || after == WISH_START)
		return WISH_RESTART;
	return before > after ? before : after;
}

static bool same_string(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_argv(char *const *a, char *const *b)
{
	size_t i = 0;

	if (!a || !b)
		return a == b;
	while (a[i] && b[i] && strcmp(a[i], b[i]) == 0)
		i++;
	return a[i] == b[i];
}

static bool same_action(const struct action *a, const struct action *b)
{
	return a->kind == b->kind && same_string(a->verb, b->verb) && same_string(a->unit, b->unit) &&
	       same_argv(a->argv, b->argv) && a->pid == b->pid && a->start_ns == b->start_ns &&
	       a->signal == b->signal && a->queued == b->queued && a->value == b->value && a->flags == b->flags &&
	       same_string(a->path, b->path) && a->size == b->size &&
	       (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Whether both act on the same thing, so that what comes between decides whether a repetition means something. */
static bool same_object(const struct action *a, const struct action *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case ACTION_SIGNAL:
		return a->pid == b->pid;
	case ACTION_WRITE:
	case ACTION_MOUNT:
	case ACTION_RUNTIME:
		return same_string(a->path, b->path);
	case ACTION_MODULE:
		return same_string(a->argv[0], b->argv[0]);
	case ACTION_SYSTEMD:
	case ACTION_COMMAND:
		return same_action(a, b);
	}
	return false;
}

static bool is_manager_verb(const struct action *action, const char *verb)
{
	return action->kind == ACTION_SYSTEMD && same_string(action->verb, verb);
}

static bool is_manager_reload(const struct action *action)
{
	return is_manager_verb(action, "daemon-reload") || is_manager_verb(action, "daemon-reexec");
}

static enum wish unit_wish(const struct action *action)
{
	return action->kind == ACTION_SYSTEMD && action->unit && action->verb && !action->argv ? wish_of(action->verb)
											       : WISH_OTHER;
}

/* When it was asked for; what nobody asked for comes last. */
static uint32_t time_of(const struct action *action)
{
	return action->order ? action->order : UINT32_MAX;
}

/* Appends a copy of `action` with the verb `verb`. */
static struct error *append_copy(struct action_list *list, const struct action *action, const char *verb)
{
	struct action copy;
	struct error *error = action_copy(action, &copy);

	if (error)
		return error;
	if (verb && strcmp(copy.verb, verb) != 0) {
		free(copy.verb);
		copy.verb = strdup(verb);
		if (!copy.verb) {
			action_deinit(&copy);
			return error_no_memory();
		}
	}
	return action_list_append(list, copy);
}

static struct error *append_manager(const struct action_list *list, struct action_list *ret)
{
	const struct action *reload = NULL, *reexec = NULL;
	struct action copy;
	struct error *error;

	for (size_t i = 0; i < list->n; i++) {
		if (!reload && is_manager_verb(&list->items[i], "daemon-reload"))
			reload = &list->items[i];
		if (!reexec && is_manager_verb(&list->items[i], "daemon-reexec"))
			reexec = &list->items[i];
	}
	if (!reload && !reexec)
		return NULL;
	error = action_copy(reexec ? reexec : reload, &copy);
	if (error)
		return error;
	/* Whoever asked: it is for the unit files that come. */
	copy.phase = ACTION_AFTER;
	return action_list_append(ret, copy);
}

static bool is_sysctl(const struct action *action)
{
	return action->kind == ACTION_WRITE && strncmp(action->path, "/proc/sys/", 10) == 0;
}

/* Whether an action that is no wish for a unit says nothing new. */
static bool is_redundant(const struct action_list *list, size_t index)
{
	const struct action *action = &list->items[index], *before = NULL;

	for (size_t i = 0; i < list->n; i++) {
		const struct action *other = &list->items[i];

		if (i == index || other->phase != action->phase || !same_object(other, action))
			continue;
		if (i < index)
			before = other;
		else if (is_sysctl(action))
			return true;
	}
	return before && !is_sysctl(action) && same_action(before, action);
}

/* The time of the last stop of the unit before the files; 0: none. */
static uint32_t stopped_before(const struct action_list *list, const char *unit)
{
	uint32_t time = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct action *action = &list->items[i];

		if (action->phase == ACTION_BEFORE && unit_wish(action) == WISH_STOP &&
		    strcmp(action->unit, unit) == 0 && time_of(action) > time)
			time = time_of(action);
	}
	return time;
}

/*
 * The wish all requests of one phase for the unit of items[index] come to, or WISH_OTHER if a later one will speak for
 * them, or if nothing is left of them.
 */
static enum wish melted_wish(const struct action_list *list, size_t index)
{
	const struct action *action = &list->items[index];
	uint32_t stopped = action->phase == ACTION_AFTER ? stopped_before(list, action->unit) : 0;
	enum wish wish = WISH_OTHER;

	for (size_t i = 0; i < list->n; i++) {
		const struct action *other = &list->items[i];
		enum wish next = unit_wish(other);

		if (next == WISH_OTHER || other->phase != action->phase || strcmp(other->unit, action->unit) != 0 ||
		    time_of(other) < stopped)
			continue;
		if (i > index)
			return WISH_OTHER;
		wish = wish == WISH_OTHER ? next : melt(wish, next);
	}
	if (!stopped)
		return wish;
	return wish == WISH_START || wish == WISH_RESTART || wish == WISH_RELOAD_OR_RESTART ? WISH_START : WISH_OTHER;
}

static struct error *append_melted(const struct action_list *list, size_t index, struct action_list *ret)
{
	const struct action *action = &list->items[index];
	enum wish wish;

	if (is_manager_reload(action))
		return NULL;
	if (unit_wish(action) == WISH_OTHER)
		return is_redundant(list, index) ? NULL : append_copy(ret, action, NULL);
	wish = melted_wish(list, index);
	return wish == WISH_OTHER ? NULL : append_copy(ret, action, verbs[wish]);
}

static struct error *append_phase(const struct action_list *list, enum action_phase phase, struct action_list *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < list->n; i++)
		if (list->items[i].phase == phase && list->items[i].kind != ACTION_RUNTIME)
			error = append_melted(list, i, ret);
	return error;
}

static struct error *append_runtime(const struct action_list *list, struct action_list *ret)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < list->n; i++)
		if (list->items[i].kind == ACTION_RUNTIME)
			error = append_melted(list, i, ret);
	return error;
}

struct error *action_list_coalesce(const struct action_list *list, struct action_list *ret)
{
	struct action_list result = {};
	struct error *error = append_phase(list, ACTION_BEFORE, &result);

	if (!error)
		error = append_runtime(list, &result);
	if (!error)
		error = append_manager(list, &result);
	if (!error)
		error = append_phase(list, ACTION_AFTER, &result);
	if (error)
		action_list_deinit(&result);
	else
		*ret = result;
	return error;
}
