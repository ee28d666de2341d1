/* SPDX-License-Identifier: Apache-2.0 */
#include "update/deferral_round.h"

#include <string.h>

/* --- changes that no bundle may hold --- */

static struct error *refuse(const struct live_conflict *conflict)
{
	return error_remedy(
		error_create(
			ERROR_CONFLICT,
			"the update would replace /%s, which %s holds open for writing, and no package's script is "
			"known to do so",
			conflict->path, conflict->file->holder),
		"stop that program before the suspend, or do this part of the update in the running guest");
}

/* By who was seen at it; *ret_new: somebody was. */
static struct error *blame_script(const struct deferral_round *round, const struct live_conflict *conflict,
				  bool *ret_new)
{
	size_t n;
	const struct shadow_need *needs = shadow_needs(round->run->shadow, &n);
	struct error *error = NULL;

	for (size_t i = 0; !error && round->states && i < n; i++)
		if (needs[i].package && needs[i].path && !strcmp(needs[i].path, conflict->file->path))
			error = deferrals_add(round->deferrals, needs[i].package,
					      needs[i].script ? needs[i].script : "installation", needs[i].why,
					      deferrals_way(needs[i].package, needs[i].script, round->states), ret_new);
	return error;
}

/* A file of a package that dpkg itself replaces. */
static struct error *blame_owner(const struct deferral_round *round, const struct live_conflict *conflict,
				 bool *ret_new)
{
	_cleanup_(free_ptr) char *path = string_format("/%s", conflict->path), *owner = NULL, *why = NULL;
	struct error *error = path ? deferral_owner(round->run, path, &owner) : error_no_memory();

	if (error || !owner)
		return error;
	why = string_format("replaces %s, which %s holds open for writing", path, conflict->file->holder);
	return why ? deferrals_add(round->deferrals, owner, "installation", why, DEFERRAL_INSTALL, ret_new)
		   : error_no_memory();
}

static struct error *blame(const struct deferral_round *round, const struct live_conflict *conflict, bool *ret_again)
{
	struct error *error = NULL;

	if (!round->is_dpkg)
		return refuse(conflict);
	error = blame_script(round, conflict, ret_again);
	if (!error && !*ret_again)
		error = blame_owner(round, conflict, ret_again);
	if (error || *ret_again)
		return error;
	/* It was done by a call that is not looked at: the next round does. */
	if (round->deferrals->watch_names)
		return refuse(conflict);
	round->deferrals->watch_names = *ret_again = true;
	return NULL;
}

static struct error *judge_changes(const struct deferral_round *round, bool *ret_again)
{
	struct live_conflict conflict;
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(round->run->shadow, &n_layers);
	struct error *error =
		live_resolve(round->live, layers, n_layers, round->changes, round->actions, round->became, &conflict);

	return error || !conflict.file ? error : blame(round, &conflict, ret_again);
}

/* --- scripts --- */

/* A script alone cannot wait where other packages cannot even be unpacked without it. */
static struct error *widen(struct deferrals *d, bool *ret_new)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && d->stuck && i < d->n; i++)
		if (d->items[i].way != DEFERRAL_INSTALL)
			error = deferrals_add(d, d->items[i].package, d->items[i].script, d->items[i].why,
					      DEFERRAL_INSTALL, ret_new);
	d->stuck = false;
	return error;
}

static struct error *judge_scripts(const struct deferral_round *round, bool failed, bool *ret_new)
{
	size_t n_needs, n_scripts;
	const struct shadow_need *needs = shadow_needs(round->run->shadow, &n_needs);
	const struct shadow_script *scripts = shadow_scripts(round->run->shadow, &n_scripts);
	struct error *error = deferrals_count(round->deferrals, scripts, n_scripts);

	if (!error && round->states)
		error = deferrals_take(round->deferrals, needs, n_needs, round->states, failed, ret_new);
	return error ? error : widen(round->deferrals, ret_new);
}

struct error *deferral_judge(const struct deferral_round *round, struct error *failure, bool *ret_again)
{
	struct error *error = NULL;

	/* A question that was asked, a script without an end, no memory: nothing that another round would mend. */
	if (failure && failure->code != ERROR_FAILED)
		return failure;
	if (round->is_dpkg)
		error = judge_scripts(round, failure || (round->run->failures && *round->run->failures), ret_again);
	if (!error && !failure && !*ret_again)
		error = judge_changes(round, ret_again);
	if (error || *ret_again) {
		error_destroy(failure);
		return error;
	}
	return failure;
}
