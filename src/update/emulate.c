/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `update`: emulate in the shadow, capture, bundle.
 *
 * The state on disk changes once, at the end, when the new bundle has replaced the old one; a
 * failure or a kill before that leaves the VM as it was, bundle included.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "bundle/bundle.h"
#include "shadow/shadow.h"
#include "update/apt.h"
#include "update/device_policy.h"
#include "update/document.h"
#include "update/emulation.h"
#include "update/failures.h"
#include "update/follow_ups.h"
#include "update/kernel.h"
#include "update/locked.h"
#include "update/newer.h"
#include "update/packages.h"
#include "update/preseed.h"
#include "update/read_ahead.h"
#include "update/restart_plan.h"
#include "update/session.h"
#include "update/sleeping.h"
#include "update/trust.h"

#define LOG_NAME "update.log"

/* The log of a bundle that waits is kept until that is replaced. */
static struct error *open_log(struct emulation *e)
{
	bool waits = access(e->session->bundle_path, F_OK) == 0;

	e->log_path = string_format("%s/" LOG_NAME "%s", e->session->directory, waits ? ".new" : "");
	if (!e->log_path)
		return error_no_memory();
	e->log_fd =
		open(e->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return e->log_fd < 0 ? error_system(errno, e->log_path, "cannot create") : NULL;
}

/* The bundle that waits now is of this update. */
static void keep_log(const struct emulation *e)
{
	_cleanup_(free_ptr) char *path = string_format("%s/" LOG_NAME, e->session->directory);

	if (path && strcmp(path, e->log_path) != 0 && rename(e->log_path, path) < 0)
		log_warning("%s: cannot rename: %s", e->log_path, strerror(errno));
}

static struct error *find_manager(struct emulation *e)
{
	int root = disk_root(e->sleeping->disk);
	struct error *error = packages_detect(root, &e->manager);

	if (error && e->options->command) {
		error_destroy(error);
		return NULL;
	}
	return error ? error : e->manager->quiescent(root, &e->sleeping->processes);
}

/* Package lists alone take 100 MiB, and apt waits for ever on a full disk. */
#define SPACE_MIN_MIB 256

static struct error *check_host_space(const struct emulation *e)
{
	struct statvfs fs;
	uint64_t free_mib;

	if (statvfs(e->session->directory, &fs) < 0)
		return error_system(errno, e->session->directory, "cannot ask for the free space of");
	free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
	if (free_mib >= SPACE_MIN_MIB)
		return NULL;
	return error_remedy(error_create(ERROR_FAILED, "%s: %llu MiB are free there, an update needs %d MiB at least",
					 e->session->directory, (unsigned long long)free_mib, SPACE_MIN_MIB),
			    "make room, or name another place with --state-dir");
}

/* The end of a guest's output tells more about a failure than any of our sentences. */
#define LOG_TAIL  2000
#define MORE_ROOM "give the shadow more with --max-disk, or make room where the state lies"

static bool tells_of_full_disk(const char *text, size_t size)
{
	const char *words = strerror(ENOSPC);

	return memmem(text, size, words, strlen(words));
}

/*
 * The disk of the shadow is full at another moment than the guest's own: a script that does not look whether it could
 * write ends well all the same, and what it left is none of what it would have left there.
 */
static struct error *refuse_full_disk(const struct emulation *e)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file(e->log_path, 2 * UPDATE_LOG_MAX, &text, &size);

	if (error || !tells_of_full_disk(text, size))
		return error;
	if (e->options->keep_going) {
		log_warning("%s: a program found no space left on its disk", e->log_path);
		return NULL;
	}
	return error_remedy(error_create(ERROR_FAILED,
					 "%s: a program found no space left on its disk, although all ended well",
					 e->log_path),
			    MORE_ROOM "; --keep-going bundles what there is");
}

static void log_tail(const struct emulation *e)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = io_read_file(e->log_path, 2 * UPDATE_LOG_MAX, &text, &size);

	if (error) {
		error_destroy(error);
		return;
	}
	if (size)
		log_warning("the end of the output in the shadow:\n%s", text + (size > LOG_TAIL ? size - LOG_TAIL : 0));
	if (tells_of_full_disk(text, size))
		log_warning("a program found no space left on its disk: " MORE_ROOM);
}

/* The error that the update's programs ended with. */
static struct error *with_log(const struct emulation *e, struct error *error)
{
	if (error && error->code != ERROR_NOTHING && !e->decisions)
		log_tail(e);
	return error;
}

/* Requests that would end the guest in the middle of its update: the user's to make, afterwards. */
static bool ends_guest(const struct action *action)
{
	static const char *const units[] = {"reboot.target", "poweroff.target",    "halt.target",
					    "kexec.target",  "soft-reboot.target", "exit.target",
					    "rescue.target", "emergency.target"};

	for (size_t i = 0; action->unit && i < ARRAY_SIZE(units); i++)
		if (!strcmp(action->unit, units[i]))
			return true;
	return false;
}

static void drop_endings(struct action_list *actions)
{
	size_t kept = 0;

	for (size_t i = 0; i < actions->n; i++) {
		if (ends_guest(&actions->items[i])) {
			log_warning("the update asked for %s: not done, it is yours to do when the network is open",
				    actions->items[i].unit);
			action_deinit(&actions->items[i]);
		} else {
			actions->items[kept++] = actions->items[i];
		}
	}
	actions->n = kept;
}

/* Copies of those from number `begin` on. */
static struct error *append_copies(const struct action_list *from, size_t begin, struct action_list *to)
{
	struct error *error = NULL;

	for (size_t i = begin; !error && i < from->n; i++) {
		struct action copy;

		error = action_copy(&from->items[i], &copy);
		if (!error)
			error = action_list_append(to, copy);
	}
	return error;
}

/* What was asked of the running system, and what was left in its /run. */
static struct error *collect_actions(struct emulation *e)
{
	_cleanup_(action_list_deinit) struct action_list all = {0}, runtime = {0};
	struct error *error = shadow_runtime_actions(e->shadow, &runtime);

	if (!error)
		error = late_runtime(&e->first.runtime, &runtime, &all);
	if (!error)
		error = append_copies(shadow_actions(e->shadow), e->first.n_actions, &all);
	return error ? error : action_list_coalesce(&all, &e->manifest.actions);
}

static struct error *capture(struct emulation *e)
{
	struct package_run run = emulation_package_run(e);
	_cleanup_(free_ptr) char **options = apt_dpkg_options(&run);
	struct error *error;

	if (!options)
		return error_no_memory();
	if (e->manifest.changes.n + e->live_actions.n == 0)
		return error_create(ERROR_NOTHING, "the command changed nothing in the guest");
	error = collect_actions(e);
	if (error)
		return error;
	drop_endings(&e->manifest.actions);
	/* A guest that was shut down does it at its boot. */
	if (e->sleeping->guest)
		error = follow_ups_add(&e->manifest.changes, e->profile_cache,
				       e->sleeping->has_uts ? e->sleeping->uts.version : "", &e->manifest.actions);
	if (!error)
		error = failures_add(e->failures, &e->manifest.actions);
	if (!error)
		error = append_copies(&e->live_actions, 0, &e->manifest.actions);
	if (error)
		return error;
	return deferrals_actions(&e->deferrals, apt_environment_of(&run), (const char *const *)options,
				 &e->manifest.actions);
}

/* Bytes that the changes take on the layer's file system while old and new are both there. */
static uint64_t bytes_needed(const struct change_list *changes, unsigned layer)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < changes->n; i++)
		if (changes->items[i].layer == layer && changes->items[i].kind == CHANGE_WRITE)
			bytes += (changes->items[i].size + 4095) / 4096 * 4096 + 4096;
	return bytes;
}

static struct error *check_space(const struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);

	for (size_t i = 0; i < n_layers; i++) {
		uint64_t needed = bytes_needed(&e->manifest.changes, (unsigned)i), available;
		struct statvfs fs;

		if (fstatvfs(layers[i].lower_fd, &fs) < 0)
			return error_system(errno, layers[i].target, "cannot ask for the free space of the guest's");
		available = (uint64_t)fs.f_bfree * fs.f_frsize;
		if (needed > available)
			return error_remedy(error_create(ERROR_FAILED,
							 "not enough space in the guest: %s has %llu MiB free, the "
							 "update needs %llu MiB",
							 layers[i].target, (unsigned long long)(available >> 20),
							 (unsigned long long)(needed >> 20) + 1),
					    "make room in the guest, or update fewer packages at a time");
	}
	return NULL;
}

/* For `resume`: what runs only after a reboot. */
static struct error *describe_kernel(struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	_cleanup_(kernel_names_deinit) struct kernel_names names = {0};
	struct error *error = kernel_pending(layers, n_layers, &e->manifest.changes,
					     e->sleeping->has_uts ? &e->sleeping->uts : NULL, &names);
	json_t *members;

	if (error)
		return error;
	members = json_pack("{s:s?, s:s?}", "kernel_pending", names.release, "kernel_pending_build", names.build);
	if (!members || json_object_update(e->manifest.info, members) < 0)
		error = error_no_memory();
	json_decref(members);
	return error;
}

static struct error *describe_deferred(struct emulation *e)
{
	_cleanup_(json_decref_ptr) json_t *members = NULL;
	struct error *error = deferrals_document(&e->deferrals, &members);

	if (!error)
		error = failures_count_scripts(e->failures, json_object_get(members, "scripts"));
	if (!error && json_object_update(e->manifest.info, members) < 0)
		error = error_no_memory();
	return error;
}

/* For the guest's helper. */
static struct error *describe_metadata(struct emulation *e)
{
	size_t n_layers;
	const struct change_layer *layers = shadow_layers(e->shadow, &n_layers);
	json_t *list = read_ahead_describe(e->sleeping->disk, layers, n_layers, &e->manifest.changes);

	return list && json_object_set_new(e->manifest.info, READ_AHEAD_MEMBER, list) == 0 ? NULL : error_no_memory();
}

static struct error *describe(struct emulation *e, double emulation_s)
{
	const struct sleeping *s = e->sleeping;
	json_t *guest = json_pack("{s:s, s:s}", "package_manager", e->manager ? e->manager->name : "none", "os_id", "");
	struct error *error = NULL;

	if (!guest)
		return error_no_memory();
	error = json_set_bytes(guest, "os", s->os_name, strlen(s->os_name));
	if (!error)
		error = json_set_bytes(guest, "os_id", s->os_id, strlen(s->os_id));
	if (!error && s->has_uts)
		error = json_set_bytes(guest, "hostname", s->uts.nodename, strlen(s->uts.nodename));
	if (!error && s->has_uts)
		error = json_set_bytes(guest, "kernel", s->uts.release, strlen(s->uts.release));
	if (!error && !s->guest && json_object_set_new(guest, "shut_down", json_true()) < 0)
		error = error_no_memory();
	if (error) {
		json_decref(guest);
		return error;
	}
	e->manifest.info = json_pack("{s:s, s:o, s:O, s:O, s:f, s:I}", "vm", e->session->file.name, "guest", guest,
				     "fingerprint", s->fingerprint, "packages", e->packages, "emulation_s", emulation_s,
				     "created_s", (json_int_t)(clock_realtime_ns() / 1000000000));
	if (!e->manifest.info || json_object_update(e->manifest.info, e->restart) < 0 ||
	    (e->failures && json_object_set(e->manifest.info, "failures", e->failures) < 0))
		return error_no_memory();
	error = describe_kernel(e);
	if (!error)
		error = describe_metadata(e);
	return error ? error : describe_deferred(e);
}

/* The images must be what they were when we began: somebody may have started the VM by hand meanwhile. */
static struct error *check_unchanged(const struct emulation *e)
{
	_cleanup_(json_decref_ptr) json_t *now = NULL;
	struct error *error = fingerprint_files(&e->session->file, &now);

	if (!error)
		error = fingerprint_compare(e->sleeping->fingerprint, now);
	return error_remedy(error, "somebody used the VM during the update; nothing was bundled");
}

static struct error *finish(struct emulation *e)
{
	struct session *session = e->session;
	struct error *error = emulation_write_bundles(e);

	if (error)
		return error;
	keep_log(e);
	json_decref(session->state.fingerprint);
	session->state.fingerprint = json_incref(e->sleeping->fingerprint);
	return state_enter(&session->state, session->directory, STATE_BUNDLED);
}

/* What was emulated since `start_ns` (CLOCK_MONOTONIC) becomes a manifest. */
static struct error *complete(struct emulation *e, uint64_t start_ns)
{
	const struct change *device = device_policy_find(&e->manifest.changes);
	struct error *error = capture(e);

	if (device && !error)
		log_warning("%s: the update has a device node, /%s: resume will want --allow-device-nodes",
			    e->session->file.name, device->path);
	if (!error)
		error = newer_refuse_unknown(e->sleeping->disk, &e->manifest.changes);
	if (!error)
		error = locked_refuse(disk_root(e->sleeping->disk), &e->manifest.changes);
	if (!error)
		error = check_space(e);
	if (!error)
		error = restart_plan_make(e->sleeping, e->shadow, &e->manifest.changes, &e->restart);
	return error ? error : describe(e, (double)(clock_monotonic_ns() - start_ns) / 1e9);
}

/* As two: the manifest is the second's afterwards, and empty where nothing is left for it. */
static struct error *emulate_two(struct emulation *e, uint64_t start_ns)
{
	uint64_t second_ns;
	struct error *error;

	late_take_out(&e->manifest.changes);
	error = complete(e, start_ns);
	if (!error)
		error = emulation_keep_first(e);
	second_ns = clock_monotonic_ns();
	if (!error)
		error = with_log(e, emulation_run_second(e));
	if (error)
		return error;
	if (!e->first.path)
		return complete(e, start_ns);
	return e->manifest.changes.n + e->live_actions.n ? complete(e, second_ns) : NULL;
}

static struct error *emulate(struct emulation *e)
{
	uint64_t start = clock_monotonic_ns();
	struct error *error = open_log(e);

	e->attendance.log_path = e->log_path;
	if (!error)
		error = check_host_space(e);
	if (!error)
		error = find_manager(e);
	if (!error)
		error = live_read(e->sleeping, &e->live);
	if (error)
		return error;
	error = with_log(e, emulation_run_rounds(e));
	if (!error)
		error = emulation_is_two(e) ? emulate_two(e, start) : complete(e, start);
	if (!error)
		error = refuse_full_disk(e);
	if (!error)
		error = check_unchanged(e);
	return error ? error : finish(e);
}

static void emulation_deinit(struct emulation *e)
{
	emulation_drop_first(e);
	shadow_destroy(e->shadow);
	close_fd(&e->log_fd);
	emulation_remove_directory(e->layers_dir);
	emulation_remove_directory(e->run_dir);
	free(e->log_path);
	free(e->packages_before);
	free(e->packages_after);
	json_decref(e->packages);
	json_decref(e->restart);
	json_decref(e->decisions);
	json_decref(e->failures);
	attendance_deinit(&e->attendance);
	conffiles_deinit(&e->conffiles);
	close_fd(&e->carried_fd);
	deferrals_deinit(&e->deferrals);
	live_deinit(&e->live);
	action_list_deinit(&e->live_actions);
	free(e->pins);
	free(e->profile_cache);
	bundle_signing_key_destroy(e->key);
	bundle_manifest_deinit(&e->manifest);
}

struct error *update_emulate(const struct update_settings *settings, const char *vm,
			     const struct emulate_options *options, json_t **ret)
{
	struct session session;
	struct sleeping sleeping = {0};
	struct emulation e = {
		.session = &session, .sleeping = &sleeping, .options = options, .log_fd = -1, .carried_fd = -1};
	struct error *error = session_open(settings, vm, SESSION_WORK, &session);

	if (error)
		return error;
	/* A command of the user's own may remove offline, too. */
	e.deferrals.may_remove = options->allow_remove || options->command;
	e.attendance = (struct attendance){.conffiles = &e.conffiles, .script_timeout_s = options->script_timeout_s};
	error = conffiles_load(options->conffiles ? options->conffiles : session.file.conffiles, &e.conffiles);
	if (!error)
		error = preseed_check(options->preseed ? options->preseed : session.file.preseed);
	if (!error)
		error = trust_signing_key(&session, &e.key);
	if (!error)
		error = state_allows(session.state.state, OPERATION_UPDATE, session.file.name);
	if (!error)
		error = sleeping_open(&session, MEMORY_OR_SHUT_DOWN, &sleeping);
	if (!error)
		error = emulate(&e);
	if (!error)
		error = document_of_bundle(&session, ret);
	else if (e.decisions)
		*ret = document_of_decisions(&session, e.decisions);
	progress_end();
	emulation_deinit(&e);
	sleeping_close(&sleeping);
	session_close(&session);
	return error;
}
