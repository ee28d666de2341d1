/* SPDX-License-Identifier: Apache-2.0 */
/* Packages that failed, after they did. */
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/apt.h"
#include "update/deferral_shadow.h"
#include "update/failures.h"

/*
 * Arguments: dpkg's options, "--", those that failed. dpkg --configure -a would try them again; what was only unpacked,
 * because dpkg or apt stopped early, is configured, and triggers that wait are done.
 */
static const char configure_script[] =
	"options=\n"
	"while [ \"$1\" != -- ]; do options=\"$options $1\"; shift; done\n"
	"shift\n"
	"failed=\" $* \"\n"
	"set -- $(dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\\n' | while read -r state name; do\n"
	"	case $state in ?U) ;; *) continue ;; esac\n"
	"	case $failed in *\" ${name%%:*} \"*|*\" $name \"*) continue ;; esac\n"
	"	echo \"$name\"\n"
	"done)\n"
	"[ $# = 0 ] || dpkg $options --configure \"$@\"\n"
	"dpkg $options --triggers-only -a\n"
	"exit 0\n";

uint64_t failures_mark(const struct package_run *run)
{
	struct stat st;

	return run->log_fd > 0 && fstat(run->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static struct error *find(const struct package_run *run, uint64_t mark, json_t **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file(run->log_path, 2 * UPDATE_LOG_MAX, &text, &size);

	if (error)
		return error;
	for (size_t i = 0; i < size; i++)
		if (!text[i])
			text[i] = '?';
	return failures_find(text + (mark < size ? mark : size), ret);
}

static struct error *configure_others(const struct package_run *run, const json_t *failures)
{
	static const char *const before[] = {"/bin/sh", "-c", configure_script, "configure", NULL};
	GPtrArray *after = g_ptr_array_new();
	struct error *error;
	const json_t *failure;
	size_t i;

	progress_step("configure", "configuring what did not fail");
	g_ptr_array_add(after, (char *)"--");
	json_array_foreach(failures, i, failure)
		g_ptr_array_add(after, (char *)json_string_value(json_object_get(failure, "package")));
	g_ptr_array_add(after, NULL);
	error = apt_run_dpkg(run, before, (const char *const *)after->pdata);
	g_ptr_array_free(after, TRUE);
	return error;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static struct error *name_failures(const json_t *failures, struct error *error)
{
	const json_t *first = json_array_get(failures, 0);
	size_t n = json_array_size(failures);

	error_destroy(error);
	error = error_create(ERROR_FAILED, "%s (%s): %s", text_of(first, "package"), text_of(first, "phase"),
			     text_of(first, "why"));
	if (n > 1)
		error = error_wrap(error, "%zu packages failed, the first", n);
	return error_remedy(error, "nothing was bundled; --keep-going bundles what works");
}

/* What dpkg's words do not name, its database does: the guest's audit excuses only packages that are named. */
static struct error *add_waiting(const struct package_run *run, json_t *list)
{
	static const char *const argv[] = {"dpkg-query", "-W", "-f", "${db:Status-Abbrev}${binary:Package}\\n", NULL};
	_cleanup_(free_ptr) char *states = NULL;
	struct error *error = apt_ask(run, argv, &states);

	if (error)
		return error;
	failures_drop_configured(states, list);
	return failures_add_waiting(states, list);
}

/* What was kept from running was not tried, and who waits for it has not failed either. */
static struct error *drop_deferred(const struct package_run *run, json_t *list)
{
	bool any = run->deferrals && run->deferrals->n;
	struct error *error = any ? deferral_note_waiting(run, true) : NULL;

	if (!error && any)
		failures_drop_deferred(run->deferrals, list);
	return error;
}

/* `failures` is taken. */
static void keep(const struct package_run *run, json_t *failures)
{
	size_t n = json_array_size(failures);

	log_warning("%zu package%s failed; the bundle leaves %s as dpkg does", n, plural(n), n == 1 ? "it" : "them");
	json_decref(*run->failures);
	*run->failures = failures;
}

/* That the list of a second look holds those of the first: it begins at the same place. */
static struct error *go_on(const struct package_run *run, uint64_t mark, const json_t *failures)
{
	_cleanup_(json_decref_ptr) json_t *all = NULL;
	struct error *error = configure_others(run, failures);

	if (!error)
		error = find(run, mark, &all);
	if (!error)
		error = add_waiting(run, all);
	if (!error)
		error = drop_deferred(run, all);
	if (error)
		return error;
	if (json_array_size(all) == 0)
		return NULL;
	keep(run, take_ptr(all));
	return NULL;
}

/* What dpkg could not do, and what of that is not left to the guest. */
static struct error *find_both(const struct package_run *run, uint64_t mark, json_t **ret_tried, json_t **ret_failures)
{
	struct error *error = find(run, mark, ret_tried);

	if (error)
		return error;
	*ret_failures = json_copy(*ret_tried);
	return *ret_failures ? drop_deferred(run, *ret_failures) : error_no_memory();
}

/* A command of the user's own may hide that packages failed: "…; true". */
static struct error *settle_well(const struct package_run *run, uint64_t mark)
{
	_cleanup_(json_decref_ptr) json_t *failures = NULL, *tried = NULL;
	struct error *error;

	if (!run->options->keep_going || !run->failures)
		return NULL;
	error = find_both(run, mark, &tried, &failures);
	return error || json_array_size(failures) == 0 ? error : go_on(run, mark, tried);
}

struct error *failures_settle(const struct package_run *run, uint64_t mark, struct error *error)
{
	_cleanup_(json_decref_ptr) json_t *failures = NULL, *tried = NULL;
	struct error *lost;
	bool incident = run->attendance->incident;

	if (!error && !incident)
		return settle_well(run, mark);
	/* A limit of ours, or no program at all: dpkg is not the one that stopped. */
	if (error ? error->code != ERROR_FAILED && !incident : !run->options->keep_going)
		return attendance_conclude(run->attendance, error);
	lost = find_both(run, mark, &tried, &failures);
	if (lost || json_array_size(failures) == 0) {
		error_destroy(lost);
		return attendance_conclude(run->attendance, error);
	}
	if (!run->options->keep_going)
		return attendance_conclude(run->attendance, name_failures(failures, error));
	error_destroy(error);
	error = go_on(run, mark, tried);
	/* Who asked or did not end is among those that failed. */
	error_destroy(take_ptr(run->attendance->incident));
	return error;
}

struct error *failures_find_unconfigured(const struct package_run *run, bool *ret_any)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;
	struct error *error;

	*ret_any = false;
	if (!run->options->keep_going || !run->failures)
		return NULL;
	list = json_array();
	error = list ? add_waiting(run, list) : error_no_memory();
	if (!error)
		error = drop_deferred(run, list);
	if (error || json_array_size(list) == 0)
		return error;
	keep(run, take_ptr(list));
	*ret_any = true;
	return NULL;
}

struct error *failures_check_states(const char *states)
{
	for (const char *line = states; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, "\n");

		if (n > 3 && (line[1] == 'H' || line[2] == 'R'))
			return error_create(ERROR_FAILED, "dpkg left %.*s half-installed: such a state is not bundled",
					    (int)(n - 3), line + 3);
	}
	return NULL;
}
