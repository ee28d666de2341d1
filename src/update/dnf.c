/* SPDX-License-Identifier: Apache-2.0 */
/* dnf of both generations, and yum, which share the words that are used here (dnf(8), dnf5(8), yum(8)). */
#include <string.h>

#include "base/io.h"
#include "update/front_end.h"
#include "update/rpm.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SOURCES   "/run/ouassister-sources"

static const char *const programs[] = {"dnf5", "dnf", "dnf-3", "yum", NULL};

/* What is on its way when a process of one of these sleeps; comm of a script is its own name or the interpreter's. */
static const char *const busy[] = {"dnf5", "dnf",        "dnf-3",         "yum", "microdnf",
				   "rpm",  "rpm-ostree", "dnf-automatic", NULL};

static bool dnf_detect(int root_fd)
{
	static const char *const paths[] = {"/usr/bin/dnf5", "/usr/bin/dnf", "/usr/bin/dnf-3", "/usr/bin/yum"};

	if (!rpm_is_there(root_fd))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (front_end_has(root_fd, paths[i]))
			return true;
	return false;
}

static struct error *dnf_quiescent(int root_fd, const struct guest_task_list *processes)
{
	return packages_not_busy(processes, busy);
}

/* The option does not care where it stands; what removes downloads nothing. */
static bool download_words(const char *const *words, GPtrArray *argv)
{
	static const char *const verbs[] = {"install",        "in",     "update",    "up",           "upgrade",
					    "reinstall",      "rei",    "downgrade", "dg",           "distro-sync",
					    "distrosync",     "dsync",  "swap",      "localinstall", "upgrade-minimal",
					    "update-minimal", "up-min", "group",     "groupinstall", "module",
					    "builddep",       NULL};

	return front_end_insert(words, verbs, "--downloadonly", argv);
}

/*
 * A source that does not answer is an error, whatever its configuration says of it. yum 3 has no globs there, and
 * takes the first for an unknown repository's.
 */
static const struct front_end front_end = {
	.programs = programs,
	.options = LIST("-y", "--setopt=skip_if_unavailable=False", "--setopt=*.skip_if_unavailable=False"),
	.refresh = LIST("makecache"),
	.download = LIST("upgrade", "--downloadonly"),
	.install = LIST("-C", "upgrade"),
	.offline = LIST("-C"),
	.download_words = download_words,
	.sources = SOURCES "/ouassister.repo",
	.sources_options = LIST("--setopt=reposdir=" SOURCES),
	.list = rpm_list,
	.audit = rpm_audit,
};

static struct error *dnf_upgrade(const struct package_run *run)
{
	return front_end_upgrade(&front_end, run);
}

static struct error *dnf_command(const struct package_run *run)
{
	return front_end_command(&front_end, run);
}

/* "NAME.ARCH VERSION REPOSITORY" a line; then what replaces what. */
static struct error *dnf_waiting(const struct package_run *run, size_t *ret_n)
{
	static const char script[] = "for name in dnf5 dnf dnf-3 yum; do command -v $name >/dev/null && exec $name -q "
				     "-C check-update; done; exit 127";
	static const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error;
	size_t n = 0;
	int status;

	error = front_end_ask(run, argv, &status, &output);
	if (error)
		return error;
	/* 100: there are some. Any other: without lists it is not known. */
	if (status != 0 && status != 100)
		return error_create(ERROR_NOT_FOUND, "check-update: exit status %d: %.500s", status, output);
	for (const char *line = output; status == 100 && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char name[256], version[256], repository[256], rest[2];

		if (!strncmp(line, "Obsoleting", 10))
			break;
		n += *line != ' ' &&
		     sscanf(line, "%255[^ \n] %255[^ \n] %255[^ \n]%*[ ]%1[^\n]", name, version, repository, rest) ==
			     3 &&
		     strchr(name, '.');
	}
	*ret_n = n;
	return NULL;
}

const struct package_manager dnf_manager = {
	.name = "dnf",
	.detect = dnf_detect,
	.quiescent = dnf_quiescent,
	.upgrade = dnf_upgrade,
	.command = dnf_command,
	.list = rpm_list,
	.audit = rpm_audit,
	.waiting = dnf_waiting,
};
