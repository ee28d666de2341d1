/* SPDX-License-Identifier: Apache-2.0 */
/* dpkg with apt: what dpkg's database says. apt itself is update/apt.c. */
#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "base/io.h"
#include "update/apt.h"
#include "update/deferral_shadow.h"
#include "update/failures.h"
#include "update/packages.h"

static bool dpkg_detect(int root_fd)
{
	static const char *const needed[] = {"/var/lib/dpkg/status", "/usr/bin/dpkg", "/usr/bin/apt-get"};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_(close_fd) int fd = -1;
		struct error *error = io_open_in_root(root_fd, needed[i], O_RDONLY, &fd);

		if (error) {
			error_destroy(error);
			return false;
		}
	}
	return true;
}

/* /var/lib/dpkg/updates holds the journal of a run that was cut. */
static struct error *refuse_journal(int root_fd)
{
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	struct dirent *entry;
	struct error *error = io_open_directory_in_root(root_fd, "/var/lib/dpkg/updates", &directory);

	if (error)
		return error;
	while (directory && (entry = readdir(directory)))
		if (*entry->d_name != '.')
			return error_remedy(error_create(ERROR_CONFLICT,
							 "dpkg was cut in the middle of its work in the guest: "
							 "/var/lib/dpkg/updates/%s is there",
							 entry->d_name),
					    "wake the guest, run: dpkg --configure -a, and suspend it again");
	return NULL;
}

static struct error *dpkg_quiescent(int root_fd, const struct guest_task_list *processes)
{
	static const char *const busy[] = {"apt", "apt-get", "aptitude", "dpkg", "dpkg-deb", "unattended-upgrade",
					   NULL};
	struct error *error = packages_not_busy(processes, busy);

	return error ? error : refuse_journal(root_fd);
}

/*
 * dpkg-query sorts by name. The second letter: installed, unpacked, half configured, waiting for triggers; whatever is
 * wanted of it.
 */
static struct error *dpkg_list(const struct package_run *run, char **ret)
{
	static const char *const argv[] = {"dpkg-query", "-W", "-f",
					   "${db:Status-Abbrev}${binary:Package} ${Version}\\n", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);
	GString *list;

	if (error)
		return error;
	list = g_string_new("");
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t length = strcspn(line, "\n");

		if (length > 3 && strchr("iUFWt", line[1]))
			g_string_append_printf(list, "%.*s\n", (int)(length - 3), line + 3);
	}
	*ret = g_string_free(list, FALSE);
	return NULL;
}

/* Some failed, and the rest is wanted: what dpkg --audit says of them is known. */
static struct error *audit_states(const struct package_run *run)
{
	static const char *const argv[] = {"dpkg-query", "-W", "-f", "${db:Status-Abbrev}${binary:Package}\\n", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);

	return error ? error : failures_check_states(output);
}

static struct error *dpkg_audit(const struct package_run *run)
{
	static const char *const argv[] = {"dpkg", "--audit", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error, *failure;
	bool any = false;

	if (run->failures && *run->failures)
		return audit_states(run);
	error = apt_ask(run, argv, &output);
	if (error)
		return error;
	error = deferral_judge_audit(run, output);
	failure = error ? failures_find_unconfigured(run, &any) : NULL;
	if (!failure && !any)
		return run->options->keep_going
			       ? error
			       : error_remedy(error, "nothing was bundled; --keep-going bundles it as dpkg leaves it");
	error_destroy(error);
	return failure ? failure : audit_states(run);
}

/* Without lists apt would say that nothing waits, which is not known. */
static struct error *require_lists(const struct package_run *run)
{
	static const char *const argv[] = {"/bin/sh", "-c", "ls /var/lib/apt/lists | grep -m 1 _Packages || true",
					   NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = apt_ask(run, argv, &output);

	if (!error && !*output)
		error = error_create(ERROR_NOT_FOUND, "the guest has no package lists of its own");
	return error;
}

static struct error *dpkg_waiting(const struct package_run *run, size_t *ret_n)
{
	struct apt_plan plan = {0};
	struct error *error = require_lists(run);

	if (!error)
		error = apt_simulate(run, &plan);
	if (error)
		return error;
	apt_plan_deinit(&plan);
	*ret_n = plan.installs;
	return NULL;
}

const struct package_manager dpkg_manager = {
	.name = "dpkg",
	.detect = dpkg_detect,
	.quiescent = dpkg_quiescent,
	.upgrade = apt_upgrade,
	.command = apt_command,
	.list = dpkg_list,
	.audit = dpkg_audit,
	.waiting = dpkg_waiting,
};
