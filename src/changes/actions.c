/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left to do after an update asked for a list of things. Packages ask on their own and
 * over and over (each service once a maintainer script, daemon-reload dozens of times); a running
 * guest needs each once.
 *
 *   - daemon-reexec and daemon-reload come first, one of each: everything after them needs the
 *     new unit files. Re-executing reads the unit files as well, so it replaces a reload.
 *   - Requests for one unit melt into one, at the place of the last: after "stop" whatever was
 *     asked before is void (but "stop, start" is how scripts spell a restart: it is kept as
 *     "restart"); a restart covers start, reload and try-restart; a weaker request never
 *     weakens a stronger one.
 *   - Verbs not known here, and commands, are kept as they are, in order; only an exact
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
	       same_argv(a->argv, b->argv);
}

static bool is_manager_verb(const struct action *action, const char *verb)
{
	return action->kind == ACTION_SYSTEMD && same_string(action->verb, verb);
}

static enum wish unit_wish(const struct action *action)
{
	return action->kind == ACTION_SYSTEMD && action->unit && action->verb ? wish_of(action->verb) : WISH_OTHER;
}

static struct error *copy_string(const char *from, char **to)
{
	if (!from)
		return NULL;
	*to = strdup(from);
	return *to ? NULL : error_no_memory();
}

static struct error *copy_argv(char *const *from, char ***to)
{
	struct error *error = NULL;
	size_t n = 0;

	if (!from)
		return NULL;
	while (from[n])
		n++;
	*to = calloc(n + 1, sizeof(**to));
	if (!*to)
		return error_no_memory();
	for (size_t i = 0; !error && i < n; i++)
		error = copy_string(from[i], &(*to)[i]);
	return error;
}

/* Appends a copy of `action` with the verb `verb`. */
static struct error *append_copy(struct action_list *list, const struct action *action, const char *verb)
{
	struct action copy = {.kind = action->kind};
	struct error *error;

	if ((error = copy_string(verb, &copy.verb)) || (error = copy_string(action->unit, &copy.unit)) ||
	    (error = copy_argv(action->argv, &copy.argv)) || (error = copy_string(action->origin, &copy.origin))) {
		action_deinit(&copy);
		return error;
	}
	return action_list_append(list, copy);
}

static struct error *append_manager(const struct action_list *list, struct action_list *ret)
{
	const struct action *reload = NULL, *reexec = NULL;

	for (size_t i = 0; i < list->n; i++) {
		if (!reload && is_manager_verb(&list->items[i], "daemon-reload"))
			reload = &list->items[i];
		if (!reexec && is_manager_verb(&list->items[i], "daemon-reexec"))
			reexec = &list->items[i];
	}
	if (reexec)
		return append_copy(ret, reexec, reexec->verb);
	return reload ? append_copy(ret, reload, reload->verb) : NULL;
}

static bool repeats_earlier(const struct action_list *list, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (same_action(&list->items[i], &list->items[index]))
			return true;
	return false;
}

/* The wish all requests for the unit of items[index] come to, or WISH_OTHER if a later one will speak for them. */
static enum wish melted_wish(const struct action_list *list, size_t index)
{
	enum wish wish = WISH_OTHER;

	for (size_t i = 0; i < list->n; i++) {
		enum wish next = unit_wish(&list->items[i]);

		if (next == WISH_OTHER || strcmp(list->items[i].unit, list->items[index].unit) != 0)
			continue;
		if (i > index)
			return WISH_OTHER;
		wish = wish == WISH_OTHER ? next : melt(wish, next);
	}
	return wish;
}

static struct error *append_melted(const struct action_list *list, size_t index, struct action_list *ret)
{
	const struct action *action = &list->items[index];
	enum wish wish;

	if (is_manager_verb(action, "daemon-reload") || is_manager_verb(action, "daemon-reexec"))
		return NULL;
	if (unit_wish(action) == WISH_OTHER)
		return repeats_earlier(list, index) ? NULL : append_copy(ret, action, action->verb);
	wish = melted_wish(list, index);
	return wish == WISH_OTHER ? NULL : append_copy(ret, action, verbs[wish]);
}

struct error *action_list_coalesce(const struct action_list *list, struct action_list *ret)
{
	struct action_list result = {};
	struct error *error;

	error = append_manager(list, &result);
	for (size_t i = 0; !error && i < list->n; i++)
		error = append_melted(list, i, &result);
	if (error)
		action_list_deinit(&result);
	else
		*ret = result;
	return error;
}
