/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What apt would do in a round, and what of all that is left to the guest: the difference of two plans of apt's own,
 * without and with the pins that keep whole packages as they are. A package that is new has no version to be kept; a
 * pin keeps it away, and the words of the user's command that need it are left out.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "update/apt.h"
#include "update/deferral_command.h"
#include "update/deferral_shadow.h"

/* Words of a command that are tried one by one, and how often apt is asked for another plan. */
#define WORDS_MAX  64
#define PASSES_MAX 8

/* Lines of `all` whose names `part` has not. */
static char *subtract(const char *all, const char *part)
{
	GString *left = g_string_new("");

	for (const char *line = all; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!deferrals_name_in(part, line, strcspn(line, " \n")))
			g_string_append_printf(left, "%.*s\n", (int)strcspn(line, "\n"), line);
	return g_string_free(left, FALSE);
}

static struct deferral *first_whole(const struct deferrals *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->items[i].way == DEFERRAL_INSTALL)
			return &d->items[i];
	return NULL;
}

/* Which package of the plan waits for which: all that are left out go with each, for apt decides about them together.
 */
static void note_held(struct deferrals *d)
{
	struct deferral *first = first_whole(d);
	GPtrArray *names = g_ptr_array_new();

	for (const char *line = d->held; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, " \n");

		if (!deferrals_find(d, line, n))
			g_ptr_array_add(names, g_strndup(line, n));
	}
	g_ptr_array_add(names, NULL);
	g_strfreev(first->dragged);
	first->dragged = (char **)g_ptr_array_free(names, FALSE);
}

/* --- what cannot be left to the guest --- */

/* The command wants it whatever apt's preferences say: its script would run offline after all. */
static struct error *refuse_unkept(const struct deferral *deferral, struct error *failure)
{
	struct error *error = error_create(
		ERROR_CONFLICT, "%s cannot be kept back%s, and cannot be done offline: its %s %s", deferral->package,
		failure ? " (apt finds no way without it)" : "", deferral->script, deferral->why);

	error_destroy(failure);
	return error_remedy(error, "leave %s out of the update, and do it in the running guest", deferral->package);
}

static struct error *refuse_without_plan(const struct deferral *deferral)
{
	return error_remedy(error_create(ERROR_CONFLICT,
					 "%s cannot be installed offline, and only apt can leave it to the guest: its "
					 "%s %s",
					 deferral->package, deferral->script, deferral->why),
			    "give apt-get as the command, or update the package in the guest");
}

/* --- the plan without it --- */

struct plan {
	char *packages, *touched; /* of apt_list_plan() */
};

static void plan_deinit(struct plan *plan)
{
	free(plan->packages);
	free(plan->touched);
	*plan = (struct plan){0};
}

/* As the next round would be: with the pins and the command of `d`. */
static struct error *ask(const struct package_run *run, struct deferrals *d, struct plan *ret)
{
	_cleanup_(free_ptr) char *pins = first_whole(d) ? deferrals_pins(d, run->installed) : NULL;
	struct package_run pinned = *run;

	plan_deinit(ret);
	pinned.deferrals = d;
	pinned.pins = pins;
	return apt_list_plan(&pinned, &ret->packages, &ret->touched);
}

/* Leaves out of the command for which `is_left` is true. */
static struct error *shorten(struct deferrals *d, const char *const *command, const bool *is_left)
{
	const char **made = command_without(command, is_left);

	if (!made)
		return error_no_memory();
	free(d->command);
	d->command = made;
	return NULL;
}

/* Words that name what is deferred as a whole: an explicit version would overrule the pin, a new one has no other. */
static struct error *leave_out_deferred(const struct package_run *run, struct deferrals *d)
{
	const char *const *command = run->options->command;
	GArray *is_left = g_array_new(FALSE, TRUE, sizeof(bool));
	struct error *error;

	for (size_t i = 0; command[i]; i++) {
		size_t n;
		const struct deferral *named =
			command_names_package(command, i, &n) ? deferrals_find(d, command[i], n) : NULL;
		bool left = named && named->way == DEFERRAL_INSTALL;

		g_array_append_val(is_left, left);
	}
	error = shorten(d, command, (const bool *)is_left->data);
	g_array_free(is_left, TRUE);
	return error;
}

/* Whether apt finds a way to do this word alone. */
static struct error *try_word(const struct package_run *run, struct deferrals *d, size_t word, bool *ret_fails)
{
	const char **whole = d->command, **alone = command_with_only(whole, word);
	struct plan plan = {0};
	struct error *error = alone ? NULL : error_no_memory();

	if (error)
		return error;
	d->command = alone;
	error = ask(run, d, &plan);
	d->command = whole;
	free(alone);
	plan_deinit(&plan);
	*ret_fails = error && error->code == ERROR_FAILED;
	if (*ret_fails) {
		error_destroy(error);
		error = NULL;
	}
	return error;
}

/* Words that need what is left to the guest: those for which apt finds no way. *ret: there were some. */
static struct error *leave_out_failing(const struct package_run *run, struct deferrals *d, bool *ret)
{
	bool *is_left;
	size_t n_words = 0, n_tried = 0, length;
	struct error *error = NULL;

	while (d->command[n_words])
		n_words++;
	is_left = calloc(n_words + 1, sizeof(*is_left));
	if (!is_left)
		return error_no_memory();
	for (size_t i = 0; !error && i < n_words && n_tried < WORDS_MAX; i++) {
		if (!command_names_package(d->command, i, &length))
			continue;
		n_tried++;
		error = try_word(run, d, i, &is_left[i]);
		*ret |= is_left[i];
	}
	if (!error)
		error = shorten(d, d->command, is_left);
	free(is_left);
	return error;
}

/* What apt would take in place of what is left out belongs to no plan: it is kept away as well. *ret: there was some.
 */
static struct error *keep_away_others(struct deferrals *d, const struct plan *all, const struct plan *left, bool *ret)
{
	_cleanup_(free_ptr) char *others = subtract(left->packages, all->packages);
	GString *instead = g_string_new(d->instead ? d->instead : "");

	for (const char *line = others; *line; line += strcspn(line, "\n"), line += *line == '\n')
		g_string_append_printf(instead, "%.*s\n", (int)strcspn(line, " \n"), line);
	free(d->instead);
	d->instead = g_string_free(instead, FALSE);
	*ret = *others != '\0';
	return NULL;
}

/*
 * The plan with the pins: a part of the one without. Each pass pins away what apt took instead, or leaves out words for
 * which that leaves no way.
 */
static struct error *find_left(const struct package_run *run, struct deferrals *d, const struct plan *all,
			       struct plan *ret)
{
	const struct deferral *whole = first_whole(d);
	bool installs = whole && run->options->command && command_installs(run->options->command);
	struct error *error = installs ? leave_out_deferred(run, d) : NULL;

	for (unsigned i = 0; !error && i < PASSES_MAX; i++) {
		struct error *failure;
		bool others = false, shorter = false;

		failure = ask(run, d, ret);
		if (failure && (failure->code != ERROR_FAILED || !whole))
			return failure;
		if (!failure && whole)
			error = keep_away_others(d, all, ret, &others);
		if (!failure && !error && !others)
			return NULL;
		if (failure && installs)
			error = leave_out_failing(run, d, &shorter);
		if (failure && !error && !shorter)
			return refuse_unkept(whole, failure);
		error_destroy(failure);
	}
	return error ? error : refuse_unkept(whole, NULL);
}

/* Whether with the pins apt would do what it would not without: remove something. */
static bool adds(const struct plan *all, const struct plan *left)
{
	_cleanup_(free_ptr) char *more = subtract(left->touched, all->touched);

	return *more != '\0';
}

static void take_plan(struct deferrals *d, struct plan *all, struct plan *left)
{
	free(d->expected);
	d->expected = take_ptr(left->packages);
	free(d->gone);
	d->gone = subtract(left->touched, d->expected);
	free(d->held);
	d->held = first_whole(d) ? subtract(all->packages, d->expected) : NULL;
}

/* What is left as it is has no script that could wait alone: the guest's package manager does all of it. */
static struct error *hold_scripts(struct deferrals *d)
{
	struct error *error = NULL;
	bool changed;

	for (size_t i = 0; !error && d->held && i < d->n; i++) {
		const struct deferral *item = &d->items[i];
		size_t n = strlen(item->package);
		bool goes = item->way == DEFERRAL_REMOVE || item->way == DEFERRAL_PURGE;

		if (goes ? !deferrals_name_in(d->gone, item->package, n) : deferrals_name_in(d->held, item->package, n))
			error = deferrals_add(d, item->package, item->script, item->why, DEFERRAL_INSTALL, &changed);
	}
	return error;
}

struct error *deferral_prepare(const struct package_run *run, struct deferrals *d)
{
	const struct deferral *whole = first_whole(d), *unkept;
	_cleanup_(plan_deinit) struct plan all = {0}, left = {0};
	struct package_run without = *run;
	struct error *error;

	without.deferrals = NULL;
	without.pins = NULL;
	free(take_ptr(d->command));
	free(take_ptr(d->instead));
	if (!apt_has_plan(run))
		return whole ? refuse_without_plan(whole) : NULL;
	error = apt_list_plan(&without, &all.packages, &all.touched);
	if (!error)
		error = find_left(run, d, &all, &left);
	if (error)
		return error;
	unkept = deferrals_find_unkept(d, all.touched, left.touched);
	if (unkept || (whole && adds(&all, &left)))
		return refuse_unkept(unkept ? unkept : whole, NULL);
	take_plan(d, &all, &left);
	/* A removal alone that is kept back: there is nothing the guest could install instead. */
	if (d->held && !*d->held)
		return refuse_unkept(whole, NULL);
	error = hold_scripts(d);
	if (!error && d->held)
		note_held(d);
	return error;
}
