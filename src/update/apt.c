/* SPDX-License-Identifier: Apache-2.0 */
#include "update/apt.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"

/*
 * A hook of the guest's that restarts services (needrestart) has nothing to restart here; what
 * must be restarted in the woken guest is recorded from what the packages themselves ask for.
 */
const char *const apt_environment[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LANG=C.UTF-8",
	"TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive",
	"DEBIAN_PRIORITY=critical",
	"UCF_FORCE_CONFFOLD=1",
	"APT_LISTCHANGES_FRONTEND=none",
	"APT_LISTBUGS_FRONTEND=none",
	"NEEDRESTART_SUSPEND=1",
	NULL,
};

/* Given to every apt: no prompt, keep configuration files, no sandbox user whose ids the host may lack. */
static const char *const common_options[] = {
	"-o", "APT::Get::Assume-Yes=true",       "-o", "Dpkg::Options::=--force-confdef",
	"-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0",
	"-o", "Dpkg::Progress-Fancy=0",          "-o", "APT::Color=0",
	NULL,
};

/* A source that does not answer is an error, not a warning; apt 2.1.12 and later know the first option. */
static const char *const strict_options[] = {
	"-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2", "-o", "Acquire::Languages=none", NULL,
};

/* Appends option words to an argument vector; all of the vector's strings are owned. */
static void add_words(GPtrArray *argv, const char *const *words)
{
	for (; words && *words; words++)
		g_ptr_array_add(argv, strdup(*words));
}

/*
 * The sources of the VM file come in through standard input, because nothing of the host's is
 * visible in the shadow; /run is not carried into the bundle.
 */
#define SOURCES_IN_SHADOW "/run/ouassister-sources.list"
#define WITH_SOURCES      "cat > " SOURCES_IN_SHADOW " && exec \"$@\" < /dev/null"

static void add_configured(GPtrArray *argv, const struct vm_file *file)
{
	if (file->sources) {
		add_words(argv, (const char *const[]){"-o", "Dir::Etc::SourceList=" SOURCES_IN_SHADOW, "-o",
						      "Dir::Etc::SourceParts=/dev/null", NULL});
	}
	if (file->proxy) {
		g_ptr_array_add(argv, strdup("-o"));
		g_ptr_array_add(argv, string_format("Acquire::http::Proxy=%s", file->proxy));
		g_ptr_array_add(argv, strdup("-o"));
		g_ptr_array_add(argv, string_format("Acquire::https::Proxy=%s", file->proxy));
	}
	for (char **option = file->apt_options; option && *option; option++) {
		g_ptr_array_add(argv, strdup("-o"));
		g_ptr_array_add(argv, strdup(*option));
	}
}

/* PROGRAM, our options, then WORDS. */
static GPtrArray *apt_argv(const struct package_run *run, const char *program, const char *const *extra,
			   const char *const *words)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);

	if (run->file->sources)
		add_words(argv, (const char *const[]){"/bin/sh", "-c", WITH_SOURCES, "sh", NULL});
	g_ptr_array_add(argv, strdup(program));
	add_words(argv, common_options);
	add_configured(argv, run->file);
	add_words(argv, extra);
	add_words(argv, words);
	g_ptr_array_add(argv, NULL);
	return argv;
}

static struct error *open_sources(const struct package_run *run, int *ret)
{
	if (!run->file->sources)
		return NULL;
	*ret = open(run->file->sources, O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return error_system(errno, run->file->sources, "cannot open the sources");
	return NULL;
}

static struct error *run_failed(const struct package_run *run, const char *what, int status)
{
	if (status == 0)
		return NULL;
	return error_remedy(error_create(ERROR_FAILED, "%s failed in the shadow with exit status %d", what, status),
			    "its output is kept in %s", run->log_path ? run->log_path : "no file");
}

/* Runs apt with the network or without; its output goes to the log, or to *ret_output. */
static struct error *run_apt(const struct package_run *run, GPtrArray *argv, bool network, int *ret_status,
			     char **ret_output)
{
	_cleanup_(close_fd) int sources_fd = -1;
	GPtrArray *hosts = g_ptr_array_new_with_free_func(free);
	struct shadow_network net = {.enabled = network};
	struct shadow_run_options options = {
		.argv = (const char *const *)argv->pdata,
		.env = apt_environment,
		.network = &net,
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options ? run->options->timeout_s : 0,
	};
	struct error *error = vm_file_hosts(run->file, hosts);

	net.allow_hosts = (const char *const *)hosts->pdata;
	if (!error)
		error = open_sources(run, &sources_fd);
	if (sources_fd > 0)
		options.stdin_fd = sources_fd;
	if (!error)
		error = ret_output ? shadow_capture(run->shadow, &options, ret_status, ret_output)
				   : shadow_run(run->shadow, &options, ret_status);
	g_ptr_array_free(hosts, TRUE);
	return error;
}

static struct error *apt(const struct package_run *run, const char *what, bool network, const char *const *extra,
			 const char *const *words)
{
	GPtrArray *argv = apt_argv(run, "apt-get", extra, words);
	int status;
	struct error *error = run_apt(run, argv, network, &status, NULL);

	g_ptr_array_free(argv, TRUE);
	return error ? error_wrap(error, "%s", what) : run_failed(run, what, status);
}

/* apt before 2.1.12 ends with 0 although a source is dead; it says "Err:" or "W: Failed to fetch". */
static bool names_dead_source(const char *output)
{
	for (const char *line = output; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, "Err:", 4) || !strncmp(line, "W: Failed to fetch", 18) || !strncmp(line, "E: ", 3))
			return true;
	return false;
}

static struct error *refresh_lists(const struct package_run *run)
{
	_cleanup_(free_ptr) char *output = NULL;
	GPtrArray *argv = apt_argv(run, "apt-get", strict_options, (const char *const[]){"update", NULL});
	struct error *error;
	int status;

	progress_step("lists", "fetching the package lists");
	error = run_apt(run, argv, true, &status, &output);
	g_ptr_array_free(argv, TRUE);
	if (error)
		return error_wrap(error, "apt-get update");
	if (run->log_fd > 0)
		error = io_write(run->log_fd, output, strlen(output), "update.log");
	if (error)
		return error;
	if (status == 0 && names_dead_source(output))
		status = 100;
	return error_remedy(run_failed(run, "apt-get update", status),
			    "see %s; a source or proxy in a private address range must be named in [update] of %s",
			    run->log_path ? run->log_path : "its output", run->file->path);
}

void apt_plan_deinit(struct apt_plan *plan)
{
	g_free(plan->removed);
	plan->removed = NULL;
}

static struct error *parse_plan(const char *output, struct apt_plan *ret)
{
	GString *removed = g_string_new("");
	struct apt_plan plan = {0};

	for (const char *line = output; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (!strncmp(line, "Inst ", 5))
			plan.installs++;
		if (strncmp(line, "Remv ", 5) != 0 && strncmp(line, "Purg ", 5) != 0)
			continue;
		plan.removals++;
		g_string_append_printf(removed, "%s%.*s", removed->len ? " " : "", (int)strcspn(line + 5, " \n"),
				       line + 5);
	}
	plan.removed = g_string_free(removed, FALSE);
	*ret = plan;
	return NULL;
}

struct error *apt_simulate(const struct package_run *run, struct apt_plan *ret)
{
	_cleanup_(free_ptr) char *output = NULL;
	GPtrArray *argv = apt_argv(run, "apt-get", NULL, (const char *const[]){"-s", "dist-upgrade", NULL});
	struct error *error;
	int status;

	error = run_apt(run, argv, false, &status, &output);
	g_ptr_array_free(argv, TRUE);
	if (error)
		return error_wrap(error, "apt-get -s dist-upgrade");
	if (status != 0 && run->log_fd > 0)
		error_destroy(io_write(run->log_fd, output, strlen(output), "update.log"));
	error = run_failed(run, "apt-get -s dist-upgrade", status);
	return error ? error : parse_plan(output, ret);
}

static struct error *check_plan(const struct package_run *run)
{
	struct apt_plan plan = {0};
	struct error *error;

	progress_step("plan", "asking the guest's apt what to do");
	error = apt_simulate(run, &plan);
	if (error)
		return error;
	if (plan.installs + plan.removals == 0)
		error = error_create(ERROR_NOTHING, "the guest is up to date");
	else if (plan.removals && !run->options->allow_remove)
		error = error_remedy(error_create(ERROR_FAILED, "the upgrade would remove packages: %s", plan.removed),
				     "if that is right, add --allow-remove");
	apt_plan_deinit(&plan);
	return error;
}

struct error *apt_upgrade(const struct package_run *run)
{
	static const char *const download[] = {"--download-only", "dist-upgrade", NULL};
	static const char *const install[] = {"--no-download", "dist-upgrade", NULL};
	const char *const *extra = run->options->allow_remove ? NULL : (const char *const[]){"--no-remove", NULL};
	struct error *error = refresh_lists(run);

	if (!error)
		error = check_plan(run);
	if (error)
		return error;
	progress_step("download", "downloading packages");
	error = apt(run, "downloading the packages", true, extra, download);
	if (error)
		return error;
	progress_step("install", "running the upgrade in the shadow, without network");
	return apt(run, "apt-get dist-upgrade", false, extra, install);
}

static bool is_apt(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	return !strcmp(name, "apt-get") || !strcmp(name, "apt");
}

/* The user's own apt command: once more before it with --download-only and the network, then without. */
static struct error *run_apt_command(const struct package_run *run)
{
	const char *const *command = run->options->command;
	static const char *const no_download[] = {"--no-download", NULL};
	static const char *const download_only[] = {"--download-only", NULL};
	GPtrArray *argv;
	struct error *error = refresh_lists(run);
	int status;

	for (int half = 0; !error && half < 2; half++) {
		progress_step(half ? "install" : "download",
			      half ? "running the command in the shadow, without network" : "downloading packages");
		argv = apt_argv(run, command[0], half ? no_download : download_only, command + 1);
		error = run_apt(run, argv, !half, &status, NULL);
		g_ptr_array_free(argv, TRUE);
		if (!error)
			error = run_failed(run, command[0], status);
	}
	return error;
}

static struct error *run_other_command(const struct package_run *run)
{
	struct shadow_network net = {.enabled = run->options->network};
	struct shadow_run_options options = {
		.argv = run->options->command,
		.env = apt_environment,
		.network = &net,
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options->timeout_s,
	};
	int status;
	struct error *error;

	progress_step("command", "running the command in the shadow");
	error = shadow_run(run->shadow, &options, &status);
	return error ? error : run_failed(run, options.argv[0], status);
}

struct error *apt_command(const struct package_run *run)
{
	if (!run->options->network && is_apt(run->options->command[0]))
		return run_apt_command(run);
	return run_other_command(run);
}
