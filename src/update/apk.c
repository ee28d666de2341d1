/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apk of both generations (apk(8), apk-cache(8)). What is downloaded lies in a cache of its own, which a guest need not
 * have: it is named on every command line, and not carried into the bundle.
 */
#include <string.h>

#include "base/io.h"
#include "update/front_end.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define CACHE     "/var/cache/apk"
#define SOURCES   "/run/ouassister-sources/repositories"

static const char *const programs[] = {"apk", NULL};
static const char *const busy[] = {"apk", NULL};

static bool apk_detect(int root_fd)
{
	return (front_end_has(root_fd, "/sbin/apk") || front_end_has(root_fd, "/usr/bin/apk")) &&
	       (front_end_has(root_fd, "/lib/apk/db/installed") || front_end_has(root_fd, "/usr/lib/apk/db/installed"));
}

/* The database is written beside the old one, and renamed. */
static struct error *apk_quiescent(int root_fd, const struct guest_task_list *processes)
{
	static const char *const left[] = {"/lib/apk/db/installed.new", "/usr/lib/apk/db/installed.new"};
	struct error *error = packages_not_busy(processes, busy);

	for (size_t i = 0; !error && i < ARRAY_SIZE(left); i++)
		if (front_end_has(root_fd, left[i]))
			error = error_remedy(
				error_create(ERROR_CONFLICT,
					     "apk was cut in the middle of its work in the guest: %s is there",
					     left[i]),
				"wake the guest, run: apk fix, remove the file, and suspend it again");
	return error;
}

/* Of `add` the packages on top of what is wanted already; an upgrade's are those that are newer. */
static bool download_words(const char *const *words, GPtrArray *argv)
{
	static const char *const adds[] = {"add", "fix", NULL}, *const upgrades[] = {"upgrade", NULL};
	const char *const *verb = words;

	while (*verb && **verb == '-')
		verb++;
	if (!*verb)
		return false;
	packages_add_words(argv, LIST("--cache-dir", CACHE, "cache", "download"));
	if (!strcmp(*verb, upgrades[0])) {
		packages_add_words(argv, LIST("--upgrade"));
		return true;
	}
	if (strcmp(*verb, adds[0]) != 0)
		return false;
	packages_add_words(argv, LIST("--add-dependencies"));
	for (verb++; *verb; verb++)
		if (**verb != '-')
			g_ptr_array_add(argv, strdup(*verb));
	return true;
}

/* "NAME-VERSION-rN": the version has no '-'. */
static void append_package(GString *list, const char *line, size_t length)
{
	const char *release = memrchr(line, '-', length), *version;

	if (!release || release == line)
		return;
	version = memrchr(line, '-', (size_t)(release - line));
	if (!version || version == line || release[1] != 'r')
		version = release;
	g_string_append_printf(list, "%.*s %.*s\n", (int)(version - line), line, (int)(line + length - version - 1),
			       version + 1);
}

static struct error *apk_list(const struct package_run *run, char **ret)
{
	static const char *const argv[] = {"apk", "--no-network", "info", "-v", NULL};
	_cleanup_(free_ptr) char *output = NULL, *text = NULL;
	GString *list;
	struct error *error;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "apk info: exit status %d: %.2000s", status, output);
	if (error)
		return error;
	list = g_string_new("");
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, "WARNING:", 8) != 0)
			append_package(list, line, strcspn(line, " \n"));
	text = g_string_free(list, FALSE);
	*ret = front_end_sort(text);
	return NULL;
}

/* "f:" with letters: f, s and x are files, scripts and attributes that failed (S is a kind of hash). */
static struct error *apk_audit(const struct package_run *run)
{
	static const char script[] =
		"for db in /lib/apk/db/installed /usr/lib/apk/db/installed; do [ -e $db ] || continue\n"
		"while read -r line; do case $line in P:*) name=${line#P:};; f:*[fsx]*) echo \"$name is broken "
		"(${line#f:})\";; "
		"esac; done <$db; break; done";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && (status != 0 || *output))
		error = error_create(ERROR_FAILED, "the guest's packages are not in order: %.4000s", output);
	return error;
}

static const struct front_end front_end = {
	.programs = programs,
	.options = LIST("--no-progress"),
	.refresh = LIST("--cache-dir", CACHE, "update"),
	.download = LIST("--cache-dir", CACHE, "cache", "download", "--upgrade"),
	.install = LIST("--cache-dir", CACHE, "--no-network", "upgrade"),
	.offline = LIST("--cache-dir", CACHE, "--no-network"),
	.download_words = download_words,
	.sources = SOURCES,
	.sources_options = LIST("--repositories-file", SOURCES),
	.list = apk_list,
	.audit = apk_audit,
};

static struct error *apk_upgrade(const struct package_run *run)
{
	return front_end_upgrade(&front_end, run);
}

static struct error *apk_command(const struct package_run *run)
{
	return front_end_command(&front_end, run);
}

/* A line a package, "NAME-OLD < NEW", below a heading. */
static struct error *apk_waiting(const struct package_run *run, size_t *ret_n)
{
	static const char *const argv[] = {"apk", "--no-network", "version", "-v", "-l", "<", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	size_t n = 0;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && (status != 0 || strstr(output, "WARNING:")))
		error = error_create(ERROR_NOT_FOUND, "the guest has no package lists of its own");
	if (error)
		return error;
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n')
		n += memmem(line, strcspn(line, "\n"), " < ", 3) != NULL;
	*ret_n = n;
	return NULL;
}

const struct package_manager apk_manager = {
	.name = "apk",
	.detect = apk_detect,
	.quiescent = apk_quiescent,
	.upgrade = apk_upgrade,
	.command = apk_command,
	.list = apk_list,
	.audit = apk_audit,
	.waiting = apk_waiting,
};
