/* SPDX-License-Identifier: Apache-2.0 */
/* The rounds of an emulation: each in a shadow of its own. doc/deferred.md tells why there may be several. */
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/apt.h"
#include "update/deferral_round.h"
#include "update/emulation.h"
#include "update/follow_ups.h"

static struct error *fresh_directory(const char *path)
{
	struct error *error = io_remove_tree(path);

	return error ? error : io_mkdirs(path, 0700);
}

void emulation_remove_directory(char *path)
{
	struct error *error = path ? io_remove_tree(path) : NULL;

	if (error)
		log_warning("%s", error->message);
	error_destroy(error);
	free(path);
}

static struct error *make_shadow(struct emulation *e)
{
	struct shadow_options options = {
		.disk = e->sleeping->disk,
		.disk_name = e->sleeping->disk_name,
		.guest = e->sleeping->guest,
		.mounts = e->sleeping->mounts.n ? &e->sleeping->mounts : NULL,
		.uts = e->sleeping->has_uts ? &e->sleeping->uts : NULL,
		.clock = e->sleeping->guest ? &e->sleeping->clock : NULL,
		.processes = e->sleeping->guest ? &e->sleeping->processes : NULL,
		.limits = e->options->limits,
		.live = e->live.items,
		.n_live = e->live.n,
		.watch_names = e->deferrals.watch_names,
		.note_refusals = e->manager == &dpkg_manager,
		.refused_scripts = e->deferrals.refused,
	};
	struct error *error;

	emulation_remove_directory(take_ptr(e->layers_dir));
	emulation_remove_directory(take_ptr(e->run_dir));
	e->layers_dir = string_format("%s/" SESSION_LAYERS_DIR, e->session->scratch);
	e->run_dir = string_format("%s/" SESSION_SHADOW_DIR, e->session->scratch);
	if (!e->layers_dir || !e->run_dir)
		return error_no_memory();
	options.layers_dir = e->layers_dir;
	options.run_dir = e->run_dir;
	error = fresh_directory(e->layers_dir);
	if (!error)
		error = fresh_directory(e->run_dir);
	return error ? error : shadow_create(&options, &e->shadow);
}

/*
 * Only a full upgrade, for apt can be asked what of it waits. What a script that is left to the guest will do, and how
 * a package that failed will be mended, is not known: nothing can be chained to either.
 */
bool emulation_may_be_two(const struct emulation *e)
{
	return e->manager == &dpkg_manager && !e->round && !e->first.path && !e->options->command &&
	       !e->options->keep_going && !e->options->one_bundle;
}

struct package_run emulation_package_run(struct emulation *e)
{
	return (struct package_run){.shadow = e->shadow,
				    .file = &e->session->file,
				    .options = e->options,
				    .log_fd = e->log_fd,
				    .log_path = e->log_path,
				    .conffiles = &e->conffiles,
				    .attendance = &e->attendance,
				    .deferrals = e->round ? &e->deferrals : NULL,
				    .pins = e->pins,
				    .late = emulation_may_be_two(e) ? &e->late : NULL,
				    .downloaded = e->first.path,
				    .installed = e->packages_before,
				    .decisions = &e->decisions,
				    .failures = &e->failures};
}

/* A guest without a known package manager runs the user's command with no more than a PATH. */
static struct error *run_bare_command(const struct emulation *e)
{
	static const char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
						  "HOME=/root", "TERM=dumb", NULL};
	struct shadow_network network = {.enabled = e->options->network};
	struct shadow_run_options options = {.argv = e->options->command,
					     .env = environment,
					     .network = &network,
					     .output_fd = e->log_fd,
					     .output_max = UPDATE_LOG_MAX,
					     .timeout_s = e->options->timeout_s};
	int status;
	struct error *error;

	progress_step("command", "running the command in the shadow");
	error = shadow_run(e->shadow, &options, &status);
	if (!error && status != 0)
		error = packages_failed(options.argv[0], status);
	return error;
}

/* What a round begins with, other than the first. */
static struct error *begin_round(struct emulation *e)
{
	struct package_run run;
	struct error *error = NULL;

	if (!e->round)
		return NULL;
	progress_step("again", "beginning anew without what only the running guest can do");
	free(take_ptr(e->pins));
	run = emulation_package_run(e);
	if (e->carried_fd >= 0)
		error = deferral_carry_in(&run, e->carried_fd);
	if (!error)
		error = deferral_prepare(&run, &e->deferrals);
	if (!error && deferrals_has(&e->deferrals, DEFERRAL_INSTALL))
		e->pins = deferrals_pins(&e->deferrals, e->packages_before);
	return error;
}

/* Nothing may be left to do offline. */
static struct error *install(struct emulation *e, const struct package_run *run)
{
	struct error *error = e->options->command ? e->manager->command(run) : e->manager->upgrade(run);

	if (error && error->code == ERROR_NOTHING && e->deferrals.held && *e->deferrals.held) {
		error_destroy(error);
		error = NULL;
	}
	return error;
}

static struct error *list_after(struct emulation *e, const struct package_run *run)
{
	free(take_ptr(e->packages_after));
	return e->manager->list(run, &e->packages_after);
}

static struct error *run_manager(struct emulation *e)
{
	struct package_run run = emulation_package_run(e);
	struct error *error = NULL;

	if (!e->packages_before)
		error = e->manager->list(&run, &e->packages_before);
	if (!error)
		error = begin_round(e);
	run = emulation_package_run(e);
	if (!error)
		error = install(e, &run);
	if (error)
		return error;
	progress_step("verify", "asking the package manager whether all is in order");
	error = e->manager->audit(&run);
	if (!error)
		error = list_after(e, &run);
	if (!error && e->deferrals.held && *e->deferrals.held)
		error = deferral_put(&run, &e->deferrals);
	json_decref(e->packages);
	e->packages = NULL;
	return error ? error : packages_difference(e->packages_before, e->packages_after, &e->packages);
}

static struct error *run_update(struct emulation *e)
{
	if (e->manager)
		return run_manager(e);
	e->packages = json_array();
	return e->packages ? run_bare_command(e) : error_no_memory();
}

static struct error *read_changes(struct emulation *e)
{
	struct change_options options = {.keep_caches = e->options->keep_caches};
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	struct error *error = shadow_settle(e->shadow);

	return error ? error : changes_read(layers, n_layers, &options, &e->manifest.changes);
}

/* What of the guest's work can be done here once all files are as they will be, is. */
static struct error *read_all_changes(struct emulation *e)
{
	struct error *error;
	bool ran = false;

	progress_step("capture", "reading what changed");
	free(take_ptr(e->profile_cache));
	error = read_changes(e);
	if (!error && e->sleeping->guest)
		error = follow_ups_compile(e->shadow, &e->manifest.changes, e->log_fd, &ran, &e->profile_cache);
	if (error || !ran)
		return error;
	change_list_deinit(&e->manifest.changes);
	e->manifest.changes = (struct change_list){0};
	return read_changes(e);
}

/*
 * What dpkg says of the packages, where somebody was after what only the guest has. Programs of the guest say it:
 * before the changes are read, and before anybody looks at what was needed, for they may need something as well.
 */
static struct error *ask_states(struct emulation *e, const struct error *failure, char **ret)
{
	struct package_run run = emulation_package_run(e);
	size_t n_needs;

	(void)shadow_needs(e->shadow, &n_needs);
	if (e->manager != &dpkg_manager || !n_needs || (failure && failure->code != ERROR_FAILED))
		return NULL;
	return deferral_states(&run, ret);
}

/* Whether what ended with `error` (taken) stands. `states`: of ask_states(). */
static struct error *judge(struct emulation *e, const char *states, struct error *error)
{
	struct package_run run = emulation_package_run(e);
	struct deferral_round round = {.run = &run,
				       .is_dpkg = e->manager == &dpkg_manager,
				       .live = &e->live,
				       .deferrals = &e->deferrals,
				       .states = states,
				       .changes = &e->manifest.changes,
				       .actions = &e->live_actions,
				       .became = &e->first.changes};

	e->again = false;
	return deferral_judge(&round, error, &e->again);
}

/* One way through, and whether it stands. */
static struct error *run_round(struct emulation *e)
{
	_cleanup_(free_ptr) char *states = NULL;
	struct error *error = make_shadow(e), *failure;

	if (error)
		return error;
	error = run_update(e);
	failure = ask_states(e, error, &states);
	if (failure) {
		error_destroy(error);
		return failure;
	}
	if (!error)
		error = read_all_changes(e);
	return judge(e, states, error);
}

/* What was downloaded is kept; all else goes. */
static struct error *end_round(struct emulation *e)
{
	struct package_run run = emulation_package_run(e);
	struct error *error = NULL;

	if (e->carried_fd < 0) {
		e->carried_fd = open(e->session->scratch, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (e->carried_fd < 0)
			return error_system(errno, e->session->scratch, "cannot make a file in");
		error = deferral_carry_out(&run, e->carried_fd);
		e->deferrals.restored = !error;
	}
	shadow_destroy(take_ptr(e->shadow));
	json_decref(take_ptr(e->failures));
	emulation_drop_first(e);
	change_list_deinit(&e->manifest.changes);
	action_list_deinit(&e->live_actions);
	e->manifest.changes = (struct change_list){0};
	e->live_actions = (struct action_list){0};
	return error;
}

static struct error *run_further_rounds(struct emulation *e)
{
	struct error *error = NULL;

	while (!error && e->again) {
		if (++e->round > DEFERRAL_ROUNDS_MAX)
			return error_create(ERROR_FAILED,
					    "scripts that cannot run offline were found in each of %d rounds",
					    DEFERRAL_ROUNDS_MAX);
		error = end_round(e);
		if (!error)
			error = run_round(e);
	}
	return error;
}

struct error *emulation_run_rounds(struct emulation *e)
{
	struct error *error = run_round(e);

	return error ? error : run_further_rounds(e);
}

/* Less what the first has done; where that cannot be said, all is one update. */
static struct error *subtract_first(struct emulation *e)
{
	_cleanup_(json_decref_ptr) json_t *packages = NULL;
	bool possible = false;
	struct error *error = changes_subtract(&e->first.changes, &e->manifest.changes, &possible);

	if (error || possible)
		return error;
	log_debug("what waits for the next boot cannot be told from the rest: it is one update");
	error = packages_difference(e->first.packages_before ? e->first.packages_before : e->packages_before,
				    e->packages_after, &packages);
	if (!error && packages) {
		json_decref(e->packages);
		e->packages = take_ptr(packages);
	}
	emulation_drop_first(e);
	return error;
}

/* The packages that have waited. */
static struct error *run_waiting(struct emulation *e)
{
	json_decref(e->packages);
	e->packages = NULL;
	if (!e->late.packages) {
		e->packages = json_array();
		return e->packages ? NULL : error_no_memory();
	}
	progress_step("second", "beginning the second update: what takes effect at the next boot");
	e->first.packages_before = take_ptr(e->packages_before);
	e->packages_before = take_ptr(e->packages_after);
	return run_manager(e);
}

struct error *emulation_run_second(struct emulation *e)
{
	_cleanup_(free_ptr) char *states = NULL;
	struct error *error = run_waiting(e), *failure = ask_states(e, error, &states);

	if (failure) {
		error_destroy(error);
		return failure;
	}
	if (!error)
		error = read_all_changes(e);
	if (!error)
		error = subtract_first(e);
	error = judge(e, states, error);
	return error ? error : run_further_rounds(e);
}
