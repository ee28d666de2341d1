/* SPDX-License-Identifier: Apache-2.0 */
/* pacman (pacman(8)). Only whole upgrades are supported by its distributions; a command of the user's is the user's. */
#include <string.h>

#include "base/io.h"
#include "update/front_end.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LOCK      "/var/lib/pacman/db.lck"
#define SOURCES   "/run/ouassister-sources"

static const char *const programs[] = {"pacman", NULL};
static const char *const busy[] = {"pacman", "pamac", NULL};

static bool pacman_detect(int root_fd)
{
	return front_end_has(root_fd, "/usr/bin/pacman") && front_end_has(root_fd, "/var/lib/pacman/local");
}

/* The lock is a file that the end of a transaction removes. */
static struct error *pacman_quiescent(int root_fd, const struct guest_task_list *processes)
{
	struct error *error = packages_not_busy(processes, busy);

	if (error || !front_end_has(root_fd, LOCK))
		return error;
	return error_remedy(
		error_create(ERROR_CONFLICT,
			     "pacman was cut in the middle of its work in the guest: " LOCK " is there"),
		"wake the guest, see that its packages are in order, remove the file, and suspend it again");
}

/* "-S…" but not what only asks or cleans. */
static bool downloads(const char *word)
{
	if (!strcmp(word, "--sync"))
		return true;
	return word[0] == '-' && word[1] != '-' && strchr(word, 'S') && !strpbrk(word, "csilgpk");
}

static bool download_words(const char *const *words, GPtrArray *argv)
{
	bool found = false;

	for (; *words; words++) {
		g_ptr_array_add(argv, strdup(*words));
		found |= downloads(*words);
	}
	g_ptr_array_add(argv, strdup("--downloadonly"));
	return found;
}

static struct error *pacman_list(const struct package_run *run, char **ret)
{
	static const char *const argv[] = {"pacman", "-Q", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "pacman -Q: exit status %d: %.2000s", status, output);
	if (error)
		return error;
	*ret = front_end_sort(output);
	return NULL;
}

static struct error *pacman_audit(const struct package_run *run)
{
	static const char *const argv[] = {"pacman", "-Dk", NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "the guest's packages are not in order: pacman -Dk says: %.4000s",
				     output);
	return error;
}

/* -yy: the lists of the VM file's sources may be older than those that are there. */
static const struct front_end front_end = {
	.programs = programs,
	.options = LIST("--noconfirm", "--noprogressbar", "--color", "never"),
	.refresh = LIST("-Syy"),
	.download = LIST("-Suw"),
	.install = LIST("-Su"),
	.download_words = download_words,
	.sources = SOURCES "/pacman.conf",
	.sources_options = LIST("--config", SOURCES "/pacman.conf"),
	.list = pacman_list,
	.audit = pacman_audit,
};

static struct error *pacman_upgrade(const struct package_run *run)
{
	return front_end_upgrade(&front_end, run);
}

static struct error *pacman_command(const struct package_run *run)
{
	return front_end_command(&front_end, run);
}

/* A line a package, "NAME OLD -> NEW", with "[ignored]" where the configuration holds it. 1: there are none. */
static struct error *pacman_waiting(const struct package_run *run, size_t *ret_n)
{
	static const char *const argv[] = {"/bin/sh", "-c", "ls /var/lib/pacman/sync/*.db >/dev/null && pacman -Qu",
					   NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	size_t n = 0;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (!error && status > 1)
		error = error_create(ERROR_NOT_FOUND, "the guest has no package lists of its own");
	if (error)
		return error;
	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *arrow = memmem(line, strcspn(line, "\n"), " -> ", 4);

		n += arrow && !memmem(line, strcspn(line, "\n"), "[ignored]", 9);
	}
	*ret_n = n;
	return NULL;
}

const struct package_manager pacman_manager = {
	.name = "pacman",
	.detect = pacman_detect,
	.quiescent = pacman_quiescent,
	.upgrade = pacman_upgrade,
	.command = pacman_command,
	.list = pacman_list,
	.audit = pacman_audit,
	.waiting = pacman_waiting,
};
