/* SPDX-License-Identifier: Apache-2.0 */
#include "update/apt.h"

#include <glib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/deferral_shadow.h"
#include "update/failures.h"
#include "update/preseed.h"

/*
 * Of every run. A hook of the guest's that restarts services (needrestart) has nothing to restart here; what
 * must be restarted in the woken guest is recorded from what the packages themselves ask for.
 */
#define ENVIRONMENT                                                                                                    \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",             \
		"TERM=dumb", "DEBIAN_FRONTEND=noninteractive", "DEBIAN_PRIORITY=critical",                             \
		"APT_LISTCHANGES_FRONTEND=none", "APT_LISTBUGS_FRONTEND=none", "NEEDRESTART_SUSPEND=1"

const char *const apt_environment[] = {ENVIRONMENT, NULL};

/*
 * The same where the new configuration files are wanted. ucf knows the opposite, too, but would then keep files that
 * nobody changed; without either it keeps what somebody did, for debconf asks nobody.
 */
static const char *const new_environment[] = {ENVIRONMENT, "UCF_FORCE_CONFFNEW=1", NULL};

/*
 * Given to every apt: no prompt, no sandbox user whose ids the host may lack; archives stay, for what is left to the
 * guest is taken out of them (apt(8), Binary::apt, would remove them).
 */
static const char *const common_options[] = {
	"-o", "APT::Get::Assume-Yes=true",
	"-o", "Dpkg::Use-Pty=0",
	"-o", "Dpkg::Progress-Fancy=0",
	"-o", "APT::Color=0",
	"-o", "APT::Keep-Downloaded-Packages=true",
	"-o", "Binary::apt::APT::Keep-Downloaded-Packages=true",
	NULL,
};

/* What dpkg does with configuration files that were changed: without options it asks, and is answered. */
static const char *const *conffile_options(const struct package_run *run)
{
	static const char *const keep[] = {"-o", "Dpkg::Options::=--force-confdef", "-o",
					   "Dpkg::Options::=--force-confold", NULL};
	static const char *const take[] = {"-o", "Dpkg::Options::=--force-confnew", NULL};

	if (!run->conffiles)
		return keep;
	if (run->conffiles->mode == CONFFILES_FILE)
		return NULL;
	return run->conffiles->mode == CONFFILES_NEW ? take : keep;
}

const char *const *apt_environment_of(const struct package_run *run)
{
	return run->conffiles && run->conffiles->mode == CONFFILES_NEW ? new_environment : apt_environment;
}

/* A source that does not answer is an error, not a warning; apt 2.1.12 and later know the first option. */
static const char *const strict_options[] = {
	"-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2", "-o", "Acquire::Languages=none", NULL,
};

/*
 * The sources of the VM file come in as a word, because nothing of the host's is visible in the shadow; /run is not
 * carried into the bundle.
 */
#define SOURCES_IN_SHADOW "/run/ouassister-sources.list"
#define WITH_SOURCES      "printf '%s\\n' \"$1\" > " SOURCES_IN_SHADOW " && shift && exec \"$@\""
/* The kernel's limit for one word is 128 KiB. */
#define SOURCES_MAX       (100 * 1024)

static void add_configured(GPtrArray *argv, const struct vm_file *file)
{
	if (file->sources) {
		packages_add_words(argv, (const char *const[]){"-o", "Dir::Etc::SourceList=" SOURCES_IN_SHADOW, "-o",
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

static struct error *add_sources(GPtrArray *argv, const struct vm_file *file)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;

	if (!file->sources)
		return NULL;
	error = vm_file_read_sources(file, SOURCES_MAX, &text);
	if (error)
		return error;
	packages_add_words(argv, (const char *const[]){"/bin/sh", "-c", WITH_SOURCES, "sh", text, NULL});
	return NULL;
}

/* What is left to the guest keeps its version: by the guest's own preferences, and one file more. */
#define PINS_IN_SHADOW "/run/ouassister-preferences.d"
#define WITH_PINS                                                                                                      \
	"mkdir -p " PINS_IN_SHADOW " && cp -a /etc/apt/preferences.d/. " PINS_IN_SHADOW " 2>/dev/null; "               \
	"printf '%s\\n' \"$1\" > " PINS_IN_SHADOW "/zz-ouassister.pref && shift && exec \"$@\""

static void add_pins(GPtrArray *argv, const struct package_run *run)
{
	if (run->pins)
		packages_add_words(argv, (const char *const[]){"/bin/sh", "-c", WITH_PINS, "sh", run->pins, NULL});
}

/* PROGRAM, our options, then WORDS; what runs before it stands there already. */
static void add_apt(GPtrArray *argv, const struct package_run *run, const char *program, const char *const *extra,
		    const char *const *words)
{
	g_ptr_array_add(argv, strdup(program));
	packages_add_words(argv, common_options);
	packages_add_words(argv, conffile_options(run));
	if (run->pins)
		packages_add_words(argv,
				   (const char *const[]){"-o", "Dir::Etc::PreferencesParts=" PINS_IN_SHADOW, NULL});
	if (run->deferrals || (run->options && run->options->keep_going))
		packages_add_words(argv, (const char *const[]){"-o", "Dpkg::StopOnError=false", NULL});
	add_configured(argv, run->file);
	packages_add_words(argv, extra);
	packages_add_words(argv, words);
	g_ptr_array_add(argv, NULL);
}

static struct error *run_failed(const struct package_run *run, const char *what, int status)
{
	if (status == 0)
		return NULL;
	return error_remedy(packages_failed(what, status), "its output is kept in %s",
			    run->log_path ? run->log_path : "no file");
}

/* One call of apt; all borrowed. */
struct call {
	const char *program;
	const char *const *extra, *const *words; /* options of ours and the rest; NULL-terminated, may be NULL */
	bool network;
};

static struct error *run_argv(const struct package_run *run, const struct call *call, GPtrArray *argv, int *ret_status,
			      char **ret_output)
{
	GPtrArray *hosts = g_ptr_array_new_with_free_func(free);
	struct shadow_network net = {.enabled = call->network};
	struct shadow_attendant attendant;
	struct shadow_run_options options = {
		.argv = (const char *const *)argv->pdata,
		.env = apt_environment_of(run),
		.network = &net,
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options ? run->options->timeout_s : 0,
	};
	struct error *error = vm_file_hosts(run->file, hosts);

	net.allow_hosts = (const char *const *)hosts->pdata;
	if (run->attendance && !ret_output) {
		attendant = attendance_of(run->attendance);
		options.attendant = &attendant;
	}
	if (!error)
		error = ret_output ? shadow_capture(run->shadow, &options, ret_status, ret_output)
				   : shadow_run(run->shadow, &options, ret_status);
	g_ptr_array_free(hosts, TRUE);
	return error;
}

/* Its output goes to the log, or to *ret_output. */
static struct error *run_apt(const struct package_run *run, const struct call *call, int *ret_status, char **ret_output)
{
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);
	struct error *error = add_sources(argv, run->file);

	if (!error) {
		add_pins(argv, run);
		add_apt(argv, run, call->program, call->extra, call->words);
		error = run_argv(run, call, argv, ret_status, ret_output);
	}
	g_ptr_array_free(argv, TRUE);
	return error;
}

static struct error *apt(const struct package_run *run, const char *what, bool network, const char *const *extra,
			 const char *const *words)
{
	struct call call = {.program = "apt-get", .extra = extra, .words = words, .network = network};
	int status;
	struct error *error = run_apt(run, &call, &status, NULL);

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
	struct call call = {.program = "apt-get",
			    .extra = strict_options,
			    .words = (const char *const[]){"update", NULL},
			    .network = true};
	struct error *error;
	int status;

	if (run->deferrals && run->deferrals->restored)
		return NULL;
	progress_step("lists", "fetching the package lists");
	error = run_apt(run, &call, &status, &output);
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
	struct call call = {.program = "apt-get", .words = (const char *const[]){"-s", "dist-upgrade", NULL}};
	struct error *error;
	int status;

	error = run_apt(run, &call, &status, &output);
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

struct error *apt_fetch(const struct package_run *run, const char *word)
{
	struct call call = {
		.program = "apt-get", .words = (const char *const[]){"download", word, NULL}, .network = true};
	_cleanup_(free_ptr) char *output = NULL;
	int status;

	return run_apt(run, &call, &status, &output);
}

/* With answers given before, and between the two looks at configuration files. */
static struct error *install(const struct package_run *run, struct error *(*function)(const struct package_run *run))
{
	struct conffiles_state state = {0};
	struct error *error = preseed(run);
	uint64_t mark = failures_mark(run);

	if (!error)
		error = conffiles_begin(run, &state);
	if (!error)
		error = failures_settle(run, mark, deferral_settle(run, function(run)));
	if (!error)
		error = conffiles_end(run, &state, run->decisions);
	conffiles_state_deinit(&state);
	return error;
}

static struct error *upgrade_downloaded(const struct package_run *run)
{
	static const char *const words[] = {"--no-download", "dist-upgrade", NULL};

	progress_step("install", "running the upgrade in the shadow, without network");
	return apt(run, "apt-get dist-upgrade", false,
		   run->options->allow_remove ? NULL : (const char *const[]){"--no-remove", NULL}, words);
}

struct error *apt_upgrade(const struct package_run *run)
{
	static const char *const download[] = {"--download-only", "dist-upgrade", NULL};
	const char *const *extra = run->options->allow_remove ? NULL : (const char *const[]){"--no-remove", NULL};
	struct package_run pinned = *run;
	struct error *error;

	if (run->downloaded)
		return install(run, upgrade_downloaded);
	error = refresh_lists(run);
	if (!error)
		error = check_plan(run);
	if (!error && run->late)
		error = late_decide(run, run->late);
	if (error)
		return error;
	progress_step("download", "downloading packages");
	error = apt(run, "downloading the packages", true, extra, download);
	if (run->late && run->late->pins)
		pinned.pins = run->late->pins;
	return error ? error : install(&pinned, upgrade_downloaded);
}

static bool is_apt(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;

	return !strcmp(name, "apt-get") || !strcmp(name, "apt");
}

/* The user's own, less what is left to the guest. */
static const char *const *command_of(const struct package_run *run)
{
	const char **command = run->deferrals ? run->deferrals->command : NULL;

	return command ? (const char *const *)command : run->options->command;
}

/* The user's own apt command: once more before it with --download-only and the network, then without. */
static struct error *run_apt_command(const struct package_run *run)
{
	const char *const *command = command_of(run);
	static const char *const no_download[] = {"--no-download", NULL};
	static const char *const download_only[] = {"--download-only", NULL};
	struct call call = {.program = command[0], .words = command + 1};
	struct error *error = refresh_lists(run);
	int status;

	for (int half = 0; !error && half < 2; half++) {
		progress_step(half ? "install" : "download",
			      half ? "running the command in the shadow, without network" : "downloading packages");
		call.extra = half ? no_download : download_only;
		call.network = !half;
		error = run_apt(run, &call, &status, NULL);
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
		.env = apt_environment_of(run),
		.network = &net,
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options->timeout_s,
	};
	struct shadow_attendant attendant;
	int status;
	struct error *error;

	progress_step("command", "running the command in the shadow");
	if (run->attendance) {
		attendant = attendance_of(run->attendance);
		options.attendant = &attendant;
	}
	error = shadow_run(run->shadow, &options, &status);
	return error ? error : run_failed(run, options.argv[0], status);
}

bool apt_has_plan(const struct package_run *run)
{
	return !run->options->command || (!run->options->network && is_apt(run->options->command[0]));
}

bool apt_is_dpkg(const struct package_run *run)
{
	const char *program = run->options->command ? run->options->command[0] : "apt-get";
	const char *slash = strrchr(program, '/');

	return !strcmp(slash ? slash + 1 : program, "dpkg");
}

/* "Inst NAME [OLD] (NEW ARCHIVE [ARCHITECTURE])" */
static char *names_of_plan(const char *output)
{
	GString *names = g_string_new("");

	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *name = strchr(line, ' '), *version = strchr(line, '(');

		if (strncmp(line, "Inst ", 5) != 0 || !name || !version || version > line + strcspn(line, "\n"))
			continue;
		g_string_append_printf(names, "%.*s %.*s\n", (int)strcspn(name + 1, " :\n"), name + 1,
				       (int)strcspn(version + 1, " \n"), version + 1);
	}
	return g_string_free(names, FALSE);
}

/* What is installed, removed or purged. */
static char *touched_by_plan(const char *output)
{
	GString *names = g_string_new("");

	for (const char *line = output; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *name = strchr(line, ' ');

		if (name && (!strncmp(line, "Inst ", 5) || !strncmp(line, "Remv ", 5) || !strncmp(line, "Purg ", 5)))
			g_string_append_printf(names, "%.*s\n", (int)strcspn(name + 1, " :\n"), name + 1);
	}
	return g_string_free(names, FALSE);
}

struct error *apt_list_plan(const struct package_run *run, char **ret, char **ret_touched)
{
	static const char *const simulated[] = {"-s", NULL}, *const upgrade[] = {"dist-upgrade", NULL};
	const char *const *command = command_of(run);
	struct call call = {.program = command ? command[0] : "apt-get",
			    .extra = simulated,
			    .words = command ? command + 1 : upgrade};
	_cleanup_(free_ptr) char *output = NULL;
	int status;
	struct error *error = run_apt(run, &call, &status, &output);

	if (!error && status != 0 && run->log_fd > 0)
		error = io_write(run->log_fd, output, strlen(output), "update.log");
	if (!error)
		error = run_failed(run, "apt-get -s", status);
	if (error)
		return error;
	*ret = names_of_plan(output);
	*ret_touched = touched_by_plan(output);
	return NULL;
}

bool apt_names(const struct package_run *run, const char *package)
{
	size_t n = strlen(package);

	for (const char *const *word = run->options->command; word && *word; word++)
		if (!strncmp(*word, package, n) && strchr("=:/+", (*word)[n]))
			return true;
	return false;
}

bool apt_was_installed(const struct package_run *run, const char *package)
{
	size_t n = strlen(package);

	for (const char *line = run->installed; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, package, n) && (line[n] == ' ' || line[n] == ':'))
			return true;
	return false;
}

char **apt_dpkg_options(const struct package_run *run)
{
	static const char prefix[] = "Dpkg::Options::=";
	const char *const *words = conffile_options(run);
	char **options = calloc(8, sizeof(*options));
	size_t n = 0;

	for (; options && words && *words && n < 7; words++)
		if (!strncmp(*words, prefix, strlen(prefix)))
			options[n++] = (char *)*words + strlen(prefix);
	/* Decisions that were given one by one: what is decided of none stays as it is. */
	if (options && !words)
		options[n++] = (char *)"--force-confold";
	return options;
}

struct error *apt_run_dpkg(const struct package_run *run, const char *const *before, const char *const *after)
{
	_cleanup_(free_ptr) char **dpkg_options = apt_dpkg_options(run);
	GPtrArray *argv = g_ptr_array_new();
	struct shadow_attendant attendant;
	struct shadow_run_options options = {
		.env = apt_environment_of(run),
		.output_fd = run->log_fd > 0 ? run->log_fd : 0,
		.output_max = UPDATE_LOG_MAX,
		.timeout_s = run->options->timeout_s,
	};
	const char *const *const parts[] = {before, (const char *const *)dpkg_options, after};
	struct error *error = dpkg_options ? NULL : error_no_memory();
	int status;

	if (run->attendance) {
		attendant = attendance_of(run->attendance);
		options.attendant = &attendant;
	}
	for (size_t i = 0; !error && i < ARRAY_SIZE(parts); i++)
		for (const char *const *word = parts[i]; *word; word++)
			g_ptr_array_add(argv, (char *)*word);
	g_ptr_array_add(argv, NULL);
	options.argv = (const char *const *)argv->pdata;
	if (!error)
		error = shadow_run(run->shadow, &options, &status);
	g_ptr_array_free(argv, TRUE);
	return error;
}

struct error *apt_command(const struct package_run *run)
{
	if (!run->options->network && is_apt(run->options->command[0]))
		return install(run, run_apt_command);
	return install(run, run_other_command);
}

struct error *apt_ask(const struct package_run *run, const char *const *argv, char **ret)
{
	struct shadow_run_options options = {.argv = argv, .env = apt_environment, .timeout_s = 600};
	int status;
	_cleanup_(free_ptr) char *output = NULL;
	struct error *error = shadow_capture(run->shadow, &options, &status, &output);

	if (!error && status != 0)
		error = error_create(ERROR_FAILED, "exit status %d: %s", status, output);
	if (error)
		return error_wrap(error, "%s in the shadow", argv[0]);
	*ret = take_ptr(output);
	return NULL;
}
