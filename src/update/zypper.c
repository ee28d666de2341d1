/* SPDX-License-Identifier: Apache-2.0 */
/* zypper (zypper(8)): `update`, or `dist-upgrade` where the distribution has no releases. */
#include <string.h>

#include "base/io.h"
#include "update/front_end.h"
#include "update/rpm.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SOURCES   "/run/ouassister-sources"

static const char *const programs[] = {"zypper", NULL};

static const char *const busy[] = {"zypper", "Zypp-main", "zypp-rpm", "rpm", "transactional-update", NULL};

static bool zypper_detect(int root_fd)
{
	return rpm_is_there(root_fd) && front_end_has(root_fd, "/usr/bin/zypper");
}

static struct error *zypper_quiescent(int root_fd, const struct guest_task_list *processes)
{
	return packages_not_busy(processes, busy);
}

static bool download_words(const char *const *words, GPtrArray *argv)
{
	static const char *const verbs[] = {"install",
					    "in",
					    "update",
					    "up",
					    "patch",
					    "dist-upgrade",
					    "dup",
					    "full-upgrade",
					    "install-new-recommends",
					    "inr",
					    NULL};

	return front_end_insert(words, verbs, "--download-only", argv);
}

/* ZYPPER_EXIT_INF_REBOOT_NEEDED and ZYPPER_EXIT_INF_RESTART_NEEDED: it was installed. */
static bool accepts(int status)
{
	return status == 102 || status == 103;
}

static const struct front_end front_end = {
	.programs = programs,
	.options = LIST("--non-interactive"),
	.refresh = LIST("refresh"),
	.download = LIST("--no-refresh", "@upgrade", "--download-only", "--auto-agree-with-licenses"),
	.install = LIST("--no-refresh", "@upgrade", "--auto-agree-with-licenses"),
	.upgrade = "update",
	.rolling = "dist-upgrade",
	.offline = LIST("--no-refresh"),
	.download_words = download_words,
	.sources = SOURCES "/ouassister.repo",
	.sources_options = LIST("--reposd-dir", SOURCES),
	.accepts = accepts,
	.list = rpm_list,
	.audit = rpm_audit,
};

static struct error *zypper_upgrade(const struct package_run *run)
{
	return front_end_upgrade(&front_end, run);
}

static struct error *zypper_command(const struct package_run *run)
{
	return front_end_command(&front_end, run);
}

static struct error *zypper_waiting(const struct package_run *run, size_t *ret_n)
{
	static const char *const argv[] = {"zypper",   "--non-interactive", "--no-refresh",
					   "--xmlout", "list-updates",      NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	size_t n = 0;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_NOT_FOUND, "zypper list-updates: exit status %d", status);
	if (error)
		return error;
	for (const char *at = output; (at = strstr(at, "<update ")); at++)
		n++;
	*ret_n = n;
	return NULL;
}

const struct package_manager zypper_manager = {
	.name = "zypper",
	.detect = zypper_detect,
	.quiescent = zypper_quiescent,
	.upgrade = zypper_upgrade,
	.command = zypper_command,
	.list = rpm_list,
	.audit = rpm_audit,
	.waiting = zypper_waiting,
};
