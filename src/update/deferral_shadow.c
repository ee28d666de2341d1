/* SPDX-License-Identifier: Apache-2.0 */
#include "update/deferral_shadow.h"

#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/progress.h"
#include "update/apt.h"

/* --- questions --- */

struct error *deferral_states(const struct package_run *run, char **ret)
{
	static const char *const argv[] = {"dpkg-query", "-W", "-f",
					   "${db:Status-Status} ${binary:Package} ${Version} ${db:Status-Want}\\n",
					   NULL};

	return apt_ask(run, argv, ret);
}

/* "nginx-common, nginx: /etc/nginx": the first will do. A diversion has no package of its own. */
struct error *deferral_owner(const struct package_run *run, const char *path, char **ret)
{
	const char *const argv[] = {"/bin/sh", "-c", "dpkg-query -S -- \"$1\" 2>/dev/null || true", "sh", path, NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);
	size_t n = error ? 0 : strcspn(output, ":, \n");

	if (!error && n && strncmp(output, "diversion ", 10) != 0) {
		*ret = strndup(output, n);
		if (!*ret)
			error = error_no_memory();
	}
	return error;
}

/* --- from one round to the next --- */

static struct error *run_tar(const struct package_run *run, const char *const *argv, int in, int out)
{
	struct shadow_run_options options = {.argv = argv,
					     .env = apt_environment,
					     .stdin_fd = in,
					     .output_fd = out,
					     .output_max = shadow_disk_max(run->shadow),
					     .timeout_s = 3600};
	int status;
	struct error *error = shadow_run(run->shadow, &options, &status);

	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "exit status %d", status);
	return error_wrap(error, "keeping what was downloaded: tar in the shadow");
}

/* The guest may have put anything there: only what apt would use, holes as holes, and no more than a shadow may keep.
 */
struct error *deferral_carry_out(const struct package_run *run, int fd)
{
	static const char script[] = "exec 2>/dev/null; cd / && {\n"
				     "	find var/cache/apt/archives -maxdepth 1 -type f -name '*.deb' -print0\n"
				     "	find var/lib/apt/lists '(' -type f -o -type d ')' -print0\n"
				     "} | exec tar -S --no-recursion --null -T - -cf -";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};

	return run_tar(run, argv, 0, fd);
}

struct error *deferral_carry_in(const struct package_run *run, int fd)
{
	static const char *const argv[] = {"tar", "-C", "/", "-xpf", "-", NULL};

	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, NULL, "cannot read again what was downloaded");
	return run_tar(run, argv, fd, run->log_fd > 0 ? run->log_fd : 0);
}

/* --- after a round --- */

/* Whether every package of the plan has its new version, configured or not. */
static bool all_unpacked(const char *expected, const char *states)
{
	for (const char *line = expected; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, "\n"), name = strcspn(line, " \n");
		bool found = false;

		for (const char *state = states; !found && *state;
		     state += strcspn(state, "\n"), state += *state == '\n') {
			const char *package = state + strcspn(state, " \n"), *version;

			package += *package == ' ';
			if (strncmp(package, line, name) != 0 || !strchr(" :", package[name]))
				continue;
			version = package + strcspn(package, " \n");
			version += *version == ' ';
			found = strcspn(version, " \n") == n - name - 1 &&
				!strncmp(version, line + name + 1, n - name - 1);
		}
		if (!found)
			return false;
	}
	return true;
}

/* How many of a package's architectures are in lines of names; `state` stands before the name where it is given. */
static size_t count_instances(const char *lines, const char *state, const char *name, size_t n)
{
	size_t found = 0, before = strlen(state);

	for (const char *line = lines; *line; line += strcspn(line, "\n"), line += *line == '\n')
		found += !strncmp(line, state, before) && !strncmp(line + before, name, n) && line[before + n] &&
			 strchr(" :\n", line[before + n]);
	return found;
}

/* Whether of each package that the plan removes there is less than before: `installed` are "NAME VERSION" lines. */
static bool all_gone(const char *gone, const char *installed, const char *states)
{
	for (const char *line = gone; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t n = strcspn(line, " :\n");

		if (n && count_instances(states, "installed ", line, n) >= count_instances(installed, "", line, n))
			return false;
	}
	return true;
}

static bool is_state(const char *line, const char *state)
{
	size_t n = strlen(state);

	return !strncmp(line, state, n) && line[n] == ' ';
}

/* Whether a field like Depends names the package: "a (>= 1), b:any | c". */
static bool mentions(const char *field, const char *name)
{
	size_t n = strcspn(name, ":");

	for (const char *word = field; *word; word += strcspn(word, " ,|"), word += strspn(word, " ,|"))
		if (strcspn(word, " ,|:(") == n && !memcmp(word, name, n))
			return true;
	return false;
}

/* Whether what this one depends on is deferred, or waits with what is. */
static bool waits_for(const struct deferral *deferral, const char *depends)
{
	if (mentions(depends, deferral->package))
		return true;
	for (char **name = deferral->dragged; name && *name; name++)
		if (mentions(depends, *name))
			return true;
	return false;
}

static void drag(struct deferral *deferral, const char *name, size_t length)
{
	size_t n = deferral->dragged ? g_strv_length(deferral->dragged) : 0;

	for (size_t i = 0; i < n; i++)
		if (strlen(deferral->dragged[i]) == length && !memcmp(deferral->dragged[i], name, length))
			return;
	deferral->dragged = g_renew(char *, deferral->dragged, n + 2);
	deferral->dragged[n] = g_strndup(name, length);
	deferral->dragged[n + 1] = NULL;
}

/* "STATE PACKAGE DEPENDS…" */
static bool waits(const char *line)
{
	return is_state(line, "unpacked") || is_state(line, "triggers-awaited") || is_state(line, "triggers-pending") ||
	       is_state(line, "half-configured");
}

/* How long a chain of packages that wait for each other may be. */
#define WAITING_PASSES 16

/*
 * Each pass finds those that wait for what the one before found. Where packages failed as well, only those that are
 * known to wait: one that is half-configured had its script run.
 */
static void assign(struct deferrals *d, char **lines, bool failed)
{
	for (size_t pass = 0; pass < WAITING_PASSES; pass++)
		for (char **line = lines; *line; line++) {
			const char *name = *line + strcspn(*line, " ") + 1;
			size_t n = strcspn(name, " ");
			bool taken = deferrals_excuse(d, name, n);

			if (failed && is_state(*line, "half-configured"))
				continue;
			for (size_t i = 0; !taken && waits(*line) && i < d->n; i++) {
				if (d->items[i].way != DEFERRAL_CONFIGURE)
					continue;
				/* In the end, whoever waits for nobody known. */
				if (!waits_for(&d->items[i], name + n) && (failed || pass < WAITING_PASSES - 1))
					continue;
				drag(&d->items[i], name, n);
				taken = true;
			}
		}
}

/* dpkg takes no name that several architectures have: "libc6:amd64", "libc6:i386". Those that are in order do not wait.
 */
static void note_instances(struct deferral *deferral, char **lines)
{
	GPtrArray *names = g_ptr_array_new();

	for (char **line = lines; *line; line++) {
		const char *name = *line + strcspn(*line, " ");
		size_t n;

		name += *name == ' ';
		n = strcspn(name, " :");
		if (n == strlen(deferral->package) && !memcmp(name, deferral->package, n) &&
		    (waits(*line) || is_state(*line, "half-installed")))
			g_ptr_array_add(names, g_strndup(name, strcspn(name, " ")));
	}
	g_ptr_array_add(names, NULL);
	g_strfreev(deferral->instances);
	deferral->instances = (char **)g_ptr_array_free(names, FALSE);
}

struct error *deferral_note_waiting(const struct package_run *run, bool failed)
{
	static const char *const argv[] = {"dpkg-query", "-W", "-f",
					   "${db:Status-Status} ${binary:Package} ${Depends}, ${Pre-Depends}\n", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);
	char **lines;

	if (error)
		return error;
	for (size_t i = 0; i < run->deferrals->n; i++)
		if (run->deferrals->items[i].way != DEFERRAL_INSTALL) {
			g_strfreev(run->deferrals->items[i].dragged);
			run->deferrals->items[i].dragged = NULL;
		}
	lines = g_strsplit(output, "\n", -1);
	for (size_t i = 0; i < run->deferrals->n; i++)
		note_instances(&run->deferrals->items[i], lines);
	assign(run->deferrals, lines, failed);
	g_strfreev(lines);
	return NULL;
}

/* A package that is broken, and not because its script was kept from running. */
static const char *find_broken(const struct deferrals *d, const char *states)
{
	for (const char *line = states; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *name = line + strcspn(line, " ") + 1;

		if ((is_state(line, "half-installed") || is_state(line, "half-configured")) &&
		    !deferrals_find(d, name, strcspn(name, " ")))
			return name;
	}
	return NULL;
}

/* It fails for those that are deferred. */
static struct error *configure_rest(const struct package_run *run)
{
	static const char *const before[] = {"dpkg", NULL}, *const after[] = {"--configure", "-a", NULL};

	return apt_run_dpkg(run, before, after);
}

struct error *deferral_settle(const struct package_run *run, struct error *failure)
{
	_cleanup_(free_ptr) char *states = NULL;
	struct deferrals *d = run->deferrals;
	const char *broken;
	struct error *error;

	if (!d || !deferrals_has_script(d) || (failure && failure->code != ERROR_FAILED))
		return failure;
	progress_step("settle", "configuring what does not wait for a deferred script");
	error = configure_rest(run);
	if (!error)
		error = deferral_states(run, &states);
	if (error) {
		error_destroy(failure);
		return error;
	}
	broken = find_broken(d, states);
	if (broken)
		log_debug("not put in order: %.*s", (int)strcspn(broken, "\n"), broken);
	d->stuck = !broken && d->expected &&
		   (!all_unpacked(d->expected, states) || !all_gone(d->gone, run->installed, states));
	/* A command of the user's own may have been cut short by dpkg's failure: nobody but he knows. */
	if (failure && (broken || d->stuck || (!d->expected && !apt_is_dpkg(run))))
		return failure;
	error_destroy(failure);
	return deferral_note_waiting(run, false);
}

struct error *deferral_judge_audit(const struct package_run *run, const char *output)
{
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (*line == ' ' &&
		    (!run->deferrals || !deferrals_excuse(run->deferrals, line + 1, strcspn(line + 1, " \n"))))
			return error_create(
				ERROR_FAILED,
				"the guest's packages are not in order after the update: dpkg --audit says: %s",
				output);
	return NULL;
}

/* --- what the guest installs --- */

/* $1: names for the file; $2…: NAME VERSION pairs; apt writes a colon of the version as %3a. */
static const char put_script[] =
	"set -e\n"
	"mkdir -p " DEFERRED_DIRECTORY "\n"
	"chmod 700 " DEFERRED_DIRECTORY "\n"
	"cd /var/cache/apt/archives\n"
	"printf %s \"$1\" >" DEFERRED_DIRECTORY "/" DEFERRED_AUTOMATIC "\n"
	"shift\n"
	"while [ $# -ge 2 ]; do\n"
	"	cp -p -- \"${1%%:*}\"_\"$(printf %s \"$2\" | sed s/:/%3a/g)\"_*.deb " DEFERRED_DIRECTORY "\n"
	"	shift 2\n"
	"done\n";

/* Those that the guest marks as installed by itself, and those that are new and nobody named; one a line. */
static struct error *find_automatic(const struct package_run *run, const struct deferrals *d, char **ret)
{
	static const char *const argv[] = {"apt-mark", "showauto", NULL};
	_cleanup_(free_ptr) char *automatic = NULL;
	GString *names = g_string_new("");
	struct error *error = apt_ask(run, argv, &automatic);

	for (const char *line = d->held; !error && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(free_ptr) char *name = strndup(line, strcspn(line, " :\n"));
		_cleanup_(free_ptr) char *listed = string_format("\n%s\n", name ? name : "");
		_cleanup_(free_ptr) char *all = string_format("\n%s", automatic);

		if (!name || !listed || !all)
			error = error_no_memory();
		else if (strstr(all, listed) || (!apt_names(run, name) && !apt_was_installed(run, name)))
			g_string_append_printf(names, "%s\n", name);
	}
	*ret = g_string_free(names, FALSE);
	return error;
}

struct error *deferral_put(const struct package_run *run, struct deferrals *d)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);
	_cleanup_(free_ptr) char *output = NULL, *automatic = NULL;
	struct error *error = find_automatic(run, d, &automatic);
	_cleanup_(free_ptr) char *words = strdup(d->held);

	for (const char *const *word = (const char *const[]){"/bin/sh", "-c", put_script, "sh", NULL}; *word; word++)
		g_ptr_array_add(argv, strdup(*word));
	g_ptr_array_add(argv, strdup(automatic));
	for (char *save = NULL, *word = strtok_r(words, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
		g_ptr_array_add(argv, strdup(word));
	g_ptr_array_add(argv, NULL);
	if (!error)
		error = apt_ask(run, (const char *const *)argv->pdata, &output);
	g_ptr_array_free(argv, TRUE);
	return error_wrap(error, "the packages that the guest is to install itself");
}
