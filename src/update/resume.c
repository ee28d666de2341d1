/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `resume`: from the bundle to the open gate.
 *
 * Each state has one function that does what is to be done in it and enters the next one. A
 * killed resume is run again and goes on with the state it finds; every function first finds out
 * what of its work is already done. The order that must never change:
 *   process started and loaded, paused → gate closed → memory spent (rename, fsync) → state
 *   "running" (fsync) → first instruction → apply, verify → state "applied" → gate open.
 */
#include <string.h>
#include <sys/stat.h>

#include "apply/report.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "bundle/bundle.h"
#include "update/document.h"
#include "update/fingerprint.h"
#include "update/helper.h"
#include "update/keep_time.h"
#include "update/kept.h"
#include "update/pack_stream.h"
#include "update/read_ahead.h"
#include "update/reboot.h"
#include "update/restart.h"
#include "update/resume_adopt.h"
#include "update/resume_bundles.h"
#include "update/resume_late.h"
#include "update/resuming.h"
#include "update/session.h"
#include "update/shut_down.h"

#define CHANNEL_TIMEOUT_MS (300 * 1000ull)

static struct error *check_channel(const struct resume *r)
{
	if (!r->bundle || r->session->file.channel != CHANNEL_NONE)
		return NULL;
	return error_remedy(
		error_create(ERROR_USAGE, "%s has no [channel]: there is no way into the guest", r->session->file.path),
		"give it one: install qemu-guest-agent in the guest, or let root log in by ssh with a key; see "
		"ouassister-vm(5)");
}

/* The memory and the disk are those the bundle was computed from. */
static struct error *check_fingerprint(const struct resume *r)
{
	_cleanup_(json_decref_ptr) json_t *now = NULL;
	/* libvirt itself sees to it that a managed save is of its disk. */
	const json_t *expected = r->session->file.managed_save ? NULL : r->session->state.fingerprint;
	struct error *error;

	if (!r->shut_down && !session_has_memory(r->session))
		return session_missing_memory(r->session);
	if (r->bundle)
		expected = json_object_get(bundle_manifest(r->bundle)->info, "fingerprint");
	if (!expected)
		return NULL;
	error = fingerprint_files(&r->session->file, &now);
	if (!error)
		error = fingerprint_compare(expected, now);
	return error_remedy(error, r->bundle ? "the bundle no longer fits: run update again"
					     : "the memory no longer belongs to this disk: start the VM without it");
}

/* A process that an earlier resume started and that never ran the guest is ours to end. */
static struct error *end_earlier_process(const struct resume *r)
{
	enum vm_state state;
	struct error *error = vm_state(r->session->vm, &state);

	if (error || state == VM_OFF)
		return error;
	if (state == VM_PAUSED && r->session->state.loading)
		return vm_quit(r->session->vm);
	return error_remedy(error_create(ERROR_BUSY, "%s: the VM runs already, a process answers on %s",
					 r->session->file.name, vm_file_place(&r->session->file)),
			    r->bundle ? "its bundle is for the sleeping VM: suspend it and run update again"
				      : "there is nothing to wake: use it as it is, or suspend it first");
}

static struct error *set_loading(struct session *session, bool loading)
{
	session->state.loading = loading;
	return state_save(&session->state, session->directory);
}

/* Starts, loads, closes. */
static struct error *load_behind_gate(struct resume *r)
{
	struct vm *vm = r->session->vm;
	struct error *error;

	progress_step("load", r->shut_down ? "starting the VM" : "loading the memory image");
	error = r->shut_down ? vm_boot_paused(vm) : vm_load(vm);
	if (!error)
		error = vm_gate_close(vm);
	return error;
}

static const char *const restart_words[] = {
	[RESTART_SERVICES] = "services", [RESTART_ALL] = "all", [RESTART_NONE] = "none"};

/*
 * The payload is known to the guest by its hash: a resume that goes on must make the same one, whatever it is told now.
 * Where the guest was not changed, it may be another.
 */
struct error *resume_choose_restarts(struct resume *r, enum restart_mode *ret)
{
	struct state *state = &r->session->state;
	enum restart_mode mode = RESTART_SERVICES;

	if (!state->restart || state->state < STATE_LOADED || state->state == STATE_OPEN ||
	    state->state == STATE_ROLLED_BACK) {
		free(state->restart);
		state->restart = strdup(restart_words[r->options->restart]);
		if (!state->restart)
			return error_no_memory();
	}
	for (size_t i = 0; i < ARRAY_SIZE(restart_words); i++)
		if (!strcmp(restart_words[i], state->restart))
			mode = (enum restart_mode)i;
	*ret = mode;
	return state_save(state, r->session->directory);
}

static const json_t *restart_plan(const struct resume *r)
{
	return json_object_get(bundle_manifest(r->bundle)->info, "restart");
}

/* Before the guest wakes, so that it need not wait for it; done once. */
static struct error *prepare_payload(struct resume *r)
{
	_cleanup_(action_list_deinit) struct action_list actions = {0};
	enum restart_mode mode = RESTART_SERVICES;
	struct error *error;
	uint64_t size;

	if (!r->bundle || r->payload)
		return NULL;
	progress_step("payload", "preparing what travels to the guest");
	r->payload = string_format("%s/" PAYLOAD_NAME, r->session->directory);
	r->stream = string_format("%s/" STREAM_NAME, r->session->directory);
	if (!r->payload || !r->stream)
		return error_no_memory();
	error = resume_choose_restarts(r, &mode);
	if (!error)
		error = restart_merge(&bundle_manifest(r->bundle)->actions, restart_plan(r), mode, &actions);
	if (!error)
		error = bundle_write_payload(r->bundle, &actions, r->payload, r->payload_sha256, &size);
	if (!error)
		helper_stream_prepare(r->stream, r->payload, size, &r->whole_stream);
	return error;
}

/* Not yet woken: state none, suspended, bundled, open. */
static struct error *step_load(struct resume *r)
{
	struct session *session = r->session;
	struct error *error = check_channel(r);

	if (!error && r->options->running)
		return resume_adopt(r);
	if (!error)
		error = end_earlier_process(r);
	if (!error)
		error = check_fingerprint(r);
	if (!error)
		error = prepare_payload(r);
	if (!error)
		error = set_loading(session, true);
	if (error)
		return error;
	error = load_behind_gate(r);
	if (!error)
		error = resume_bundles_give_up(r);
	if (error) {
		/* The guest never ran: nothing is lost, everything is as before. */
		error_destroy(vm_quit(session->vm));
		error_destroy(set_loading(session, false));
		return error;
	}
	session->state.loading = false;
	session->state.resumed_ns = 0;
	return state_enter(&session->state, session->directory, STATE_LOADED);
}

static struct error *remember_spent(struct session *session)
{
	const json_t *guest = json_object_get(session->state.fingerprint, "guest");

	if (!guest)
		return NULL;
	json_decref(session->state.spent);
	session->state.spent = json_deep_copy(guest);
	return session->state.spent ? NULL : error_no_memory();
}

/* State loaded: the guest has not run. */
static struct error *step_spend(struct resume *r)
{
	struct session *session = r->session;
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (error)
		return error;
	if (state == VM_OFF && (r->shut_down || session_has_memory(session)))
		/* The process died before the image was spent, or before anything ran: it can be started again. */
		return state_enter(&session->state, session->directory, r->bundle ? STATE_BUNDLED : STATE_SUSPENDED);
	if (state != VM_OFF)
		error = vm_gate_close(session->vm);
	if (!error && !r->shut_down)
		error = remember_spent(session);
	if (!error)
		error = state_save(&session->state, session->directory);
	if (!error && !r->shut_down)
		error = vm_spend(session->vm);
	return error ? error : state_enter(&session->state, session->directory, STATE_RUNNING);
}

/* The process is there, the gate closed, the guest runs. */
static struct error *ensure_running(struct resume *r)
{
	struct session *session = r->session;
	enum vm_state state;
	uint64_t ignored;
	struct error *error = vm_state(session->vm, &state);

	if (!error && state == VM_OFF) {
		progress_step("boot", "the VM is not running any more: booting it cold behind the closed gate");
		log_warning("%s: its process has ended since it was woken; it boots from its disk", session->file.name);
		r->cold = true;
		error = vm_boot_paused(session->vm);
		state = VM_PAUSED;
	}
	if (!error)
		error = vm_gate_close(session->vm);
	if (!error && state == VM_PAUSED)
		error = vm_continue(session->vm, &ignored);
	if (error)
		return error;
	if (!session->state.resumed_ns || r->cold) {
		session->state.resumed_ns = clock_realtime_ns();
		error = state_save(&session->state, session->directory);
	}
	return error;
}

/* What the helper's last words mean for us; NULL: applied. */
static struct error *judge(const struct helper_report *report)
{
	const char *message = report->message ? report->message : report->path ? report->path : "no reason was given";

	if (!strcmp(report->result, HELPER_RESULT_APPLIED))
		return NULL;
	if (!strcmp(report->result, HELPER_RESULT_CONFLICT))
		return error_remedy(
			error_create(ERROR_CONFLICT,
				     "the guest is not as the bundle expects, nothing was changed in it: %s", message),
			"open the gate by hand, or update the guest in its own way");
	if (!strcmp(report->result, HELPER_RESULT_ROLLED_BACK))
		return helper_with_failed_action(
			error_create(ERROR_CONFLICT,
				     "the update was applied but failed, and was undone in the guest: %s", message),
			report);
	return error_create(ERROR_FAILED, "the update was not applied (%s): %s", report->result, message);
}

uint64_t resume_channel_timeout_ms(const struct resume *r)
{
	return r->options->channel_timeout_ms ? r->options->channel_timeout_ms : CHANNEL_TIMEOUT_MS;
}

static struct error *run_helper(struct resume *r)
{
	struct vm *vm = r->session->vm;
	uint64_t timeout_ms = resume_channel_timeout_ms(r);
	const struct helper_apply_options apply = {
		.strict = r->options->strict,
		.verify_stat = r->options->verify_stat,
		.freeze_ms = r->options->freeze_ms,
		.keep_s = r->keep_s,
		.followed = r->late && !resume_late_is_applied(r->session),
		.timeout_ms = helper_apply_timeout_ms(&bundle_manifest(r->bundle)->actions),
		.whole_stream = r->whole_stream,
		.read_ahead = json_object_get(bundle_manifest(r->bundle)->info, READ_AHEAD_MEMBER),
	};
	struct error *error;

	progress_step("channel", "waiting for the guest to answer");
	/* Not before a boot: firmware may look for a system on it. */
	if (!r->shut_down && !r->cold)
		helper_plug(vm, r->stream, r->whole_stream, r->payload);
	error = vm_channel_wait(vm, timeout_ms);
	if (!error && (r->shut_down || r->cold)) {
		progress_step("boot", "waiting until the guest has booted");
		shut_down_settle(vm);
		error = vm_channel_wait(vm, timeout_ms);
	}
	if (error)
		return error;
	progress_step("apply", "the guest applies the update to itself");
	error = helper_apply(vm, r->payload, r->payload_sha256, &apply, &r->report);
	r->helper_installed = !error;
	return error;
}

/* A failure after the guest has run leaves the gate closed and says why in the state. */
struct error *resume_fail(struct resume *r, struct error *error)
{
	struct state *state = &r->session->state;
	bool untouched = r->report.result && (!strcmp(r->report.result, HELPER_RESULT_CONFLICT) ||
					      !strcmp(r->report.result, HELPER_RESULT_ROLLED_BACK));

	free(state->error);
	state->error = strdup(error->message);
	error_destroy(state_enter(state, r->session->directory, untouched ? STATE_ROLLED_BACK : STATE_FAILED));
	return error_remedy(
		error, "%s%s the gate is closed: correct it and run resume again, or: ouassister gate %s open",
		error->remedy ? error->remedy : "the guest runs", error->remedy ? ";" : ",", r->session->file.path);
}

/* Borrowed; NULL: there is no bundle, or it has no such member. */
static json_t *of_bundle(const struct resume *r, const char *key)
{
	return r->bundle ? json_object_get(bundle_manifest(r->bundle)->info, key) : NULL;
}

/* Until when the guest can go back. */
static struct error *report_kept(const struct resume *r)
{
	json_t *report = r->session->state.report;
	int64_t until_s = r->report.keep_until_s;

	if (json_object_set_new(report, "keep_until_s", until_s ? json_integer(until_s) : json_null()) < 0 ||
	    (r->report.not_kept && json_object_set_new(report, "not_kept", json_string(r->report.not_kept)) < 0))
		return error_no_memory();
	if (r->report.not_kept)
		log_warning("%s: the old files are not kept, rollback is not possible: %s", r->session->file.name,
			    r->report.not_kept);
	return NULL;
}

struct error *resume_append_timeline(const struct session *session, const struct helper_report *report,
				     json_t *timeline)
{
	static const char *const shown[] = {"started", "checked", "staged", "switched", "restarted", "verified"};

	for (size_t i = 0; i < report->n_events; i++)
		for (size_t k = 0; k < ARRAY_SIZE(shown); k++) {
			double t_s = (double)(report->events[i].realtime_ns - session->state.resumed_ns) / 1e9;

			if (!strcmp(report->events[i].name, shown[k]) &&
			    json_array_append_new(timeline, json_pack("{s:s, s:f}", "event", shown[k], "t_s", t_s)) < 0)
				return error_no_memory();
		}
	return NULL;
}

static struct error *make_report(struct resume *r)
{
	static const char *const carried[] = {"deferred", "scripts", "failures"};
	struct state *state = &r->session->state;
	_cleanup_(json_decref_ptr) json_t *timeline = json_pack("[{s:s, s:f}]", "event", "resumed", "t_s", 0.0);
	_cleanup_(json_decref_ptr) json_t *before = NULL;
	struct error *error = resume_append_timeline(r->session, &r->report, timeline);

	if (error)
		return error;
	before = take_ptr(state->report);
	state->report =
		json_pack("{s:O, s:I, s:I, s:I, s:O*, s:I, s:O*, s:O*, s:O*, s:b}", "timeline", timeline, "files",
			  (json_int_t)r->report.files, "bytes", (json_int_t)r->report.bytes, "frozen_us",
			  (json_int_t)r->report.frozen_us, "actions", r->report.actions, "failed_actions",
			  (json_int_t)r->report.failed_actions, "kernel_pending", of_bundle(r, "kernel_pending"),
			  "kernel_pending_build", of_bundle(r, "kernel_pending_build"), "packages",
			  of_bundle(r, "packages"), "cold_boot", (int)(r->cold || r->shut_down));
	if (state->report)
		error = r->bundle ? report_kept(r) : kept_carry(before, state->report);
	if (error)
		return error;
	for (size_t i = 0; state->report && r->bundle && i < ARRAY_SIZE(carried); i++) {
		json_t *value = json_object_get(bundle_manifest(r->bundle)->info, carried[i]);

		if (value && json_object_set(state->report, carried[i], value) < 0)
			return error_no_memory();
	}
	return state->report ? NULL : error_no_memory();
}

/* Who still runs old code, and what the plan said of them. */
static struct error *report_stale(struct resume *r)
{
	json_t *report = r->session->state.report;
	struct error *error;

	if (!r->bundle)
		return NULL;
	error = restart_explain(r->report.stale,
				r->shut_down ? json_object_get(bundle_manifest(r->bundle)->info, "restart_held")
					     : restart_plan(r));
	if (!error && (json_object_set(report, "stale", r->report.stale) < 0 ||
		       json_object_set_new(report, "n_stale", json_integer((json_int_t)r->report.n_stale)) < 0 ||
		       json_object_set_new(report, "restart", json_string(r->session->state.restart)) < 0))
		error = error_no_memory();
	return error;
}

/* What booted with the old files: who uses them is asked of the guest, what is not to be restarted was found before. */
static struct error *restart_booted(struct resume *r)
{
	const json_t *held = json_object_get(bundle_manifest(r->bundle)->info, "restart_held");
	enum restart_mode mode = RESTART_SERVICES;
	struct error *error = resume_choose_restarts(r, &mode);

	progress_step("restart", "restarting what booted with old files");
	return error ? error : shut_down_restart(r->session->vm, held, mode, &r->report);
}

/* State running, and again from rolled-back and failed: the guest runs, or ran. */
static struct error *step_apply(struct resume *r)
{
	struct session *session = r->session;
	struct error *error = prepare_payload(r);

	if (!error)
		error = ensure_running(r);
	if (!error && r->bundle) {
		error = run_helper(r);
		if (!error)
			error = judge(&r->report);
		if (!error && r->shut_down)
			error = restart_booted(r);
	}
	if (error && r->bundle)
		helper_detach(session->vm);
	if (error)
		return resume_fail(r, error);
	error = make_report(r);
	if (!error)
		error = report_stale(r);
	return error ? error : state_enter(&session->state, session->directory, STATE_APPLIED);
}

/* Nothing of ours is left in the guest unless it can still go back; then its own timer removes it. */
static void clean_guest(struct resume *r)
{
	struct error *error;

	/* The report may be of a resume that was killed after it. */
	if (!r->bundle || json_is_integer(json_object_get(r->session->state.report, "keep_until_s")))
		return;
	error = helper_forget(r->session->vm);
	if (error)
		log_warning("the helper and the old files stay in the guest under %s: %s", HELPER_DIRECTORY,
			    error->message);
	error_destroy(error);
}

static struct error *append_opened(struct session *session)
{
	double online_s = (double)(clock_realtime_ns() - session->state.resumed_ns) / 1e9;
	json_t *report = session->state.report;

	if (!report)
		return NULL;
	if (json_array_append_new(json_object_get(report, "timeline"),
				  json_pack("{s:s, s:f}", "event", "open", "t_s", online_s)) < 0 ||
	    json_object_set_new(report, "online_s", json_real(online_s)) < 0)
		return error_no_memory();
	return NULL;
}

static struct error *note_reboot(struct session *session)
{
	double t_s = (double)(clock_realtime_ns() - session->state.resumed_ns) / 1e9;
	json_t *report = session->state.report;

	if (json_array_append_new(json_object_get(report, "timeline"),
				  json_pack("{s:s, s:f}", "event", "rebooted", "t_s", t_s)) < 0 ||
	    json_object_set_new(report, "kernel_pending", json_null()) < 0 ||
	    json_object_set_new(report, "kernel_pending_build", json_null()) < 0)
		return error_no_memory();
	return state_save(&session->state, session->directory);
}

static struct error *kernel_wanted(const json_t *report, struct kernel_names *ret)
{
	const char *release = json_string_value(json_object_get(report, "kernel_pending"));
	const char *build = json_string_value(json_object_get(report, "kernel_pending_build"));

	if (release && !(ret->release = strdup(release)))
		return error_no_memory();
	if (build && !(ret->build = strdup(build)))
		return error_no_memory();
	return NULL;
}

/* Into the new kernel, as long as nobody can reach the old one. */
static struct error *reboot_if_needed(struct resume *r)
{
	struct session *session = r->session;
	_cleanup_(kernel_names_deinit) struct kernel_names wanted = {0};
	bool rebooted = false;
	struct error *error = r->options->reboot ? kernel_wanted(session->state.report, &wanted) : NULL;

	if (error || !wanted.release)
		return error;
	progress_step("reboot", "the guest reboots into its new kernel");
	helper_detach(session->vm);
	error = reboot_into(session->vm, &wanted, resume_channel_timeout_ms(r), &rebooted);
	if (error)
		return resume_fail(r, error);
	return note_reboot(session);
}

struct error *resume_close(struct resume *r)
{
	struct error *error;

	resume_bundles_retire(r->session);
	error = state_enter(&r->session->state, r->session->directory, STATE_OPEN);
	if (error)
		return error;
	helper_detach(r->session->vm);
	clean_guest(r);
	return NULL;
}

/* State applied: the gate opens last. */
static struct error *step_open(struct resume *r)
{
	struct session *session = r->session;
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (!error && state != VM_RUNNING)
		error = ensure_running(r);
	if (!error)
		error = resume_late_early(r);
	if (!error)
		error = reboot_if_needed(r);
	progress_step("open", "opening the network");
	if (!error)
		error = vm_gate_open(session->vm);
	if (!error)
		error = append_opened(session);
	if (error)
		return error;
	if (!r->late || resume_late_is_applied(session))
		return resume_close(r);
	return state_enter(&session->state, session->directory, STATE_OPEN_LATE);
}

typedef struct error *(*step_function)(struct resume *);

/* What to do in each state. OPEN is where it starts anew, and where it ends. */
static const step_function steps[STATE_MAX] = {
	[STATE_NONE] = step_load,
	[STATE_SUSPENDED] = step_load,
	[STATE_BUNDLED] = step_load,
	[STATE_LOADED] = step_spend,
	[STATE_RUNNING] = step_apply,
	[STATE_APPLIED] = step_open,
	[STATE_OPEN_LATE] = resume_late_step,
	[STATE_OPEN] = step_load,
	[STATE_ROLLED_BACK] = step_apply,
	[STATE_FAILED] = step_apply,
};

static struct error *document(const struct session *session, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = session_document(session);

	if (!document || (session->state.report && json_object_update(document, session->state.report) < 0))
		return error_no_memory();
	if (json_object_set_new(document, "state", json_string(state_name(session->state.state))) < 0)
		return error_no_memory();
	*ret = take_ptr(document);
	return NULL;
}

static struct error *resume(struct resume *r)
{
	const char *keep = r->options->keep ? r->options->keep : r->session->file.keep;
	/* The VM file's was looked at when that was read. */
	struct error *error = error_wrap(keep_time_parse(keep ? keep : KEEP_TIME_DEFAULT, &r->keep_s), "--keep");

	if (!error)
		error = state_allows(r->session->state.state, OPERATION_RESUME, r->session->file.name);
	if (!error)
		error = resume_bundles_open(r);
	if (error)
		return error;
	do
		error = steps[r->session->state.state](r);
	while (!error && r->session->state.state != STATE_OPEN);
	return error;
}

struct error *update_resume(const struct update_settings *settings, const char *vm,
			    const struct resume_options *options, json_t **ret)
{
	struct session session;
	struct resume r = {.session = &session, .options = options};
	struct error *error = session_open(settings, vm, SESSION_WORK, &session);

	if (error)
		return error;
	error = resume(&r);
	progress_end();
	if (!error)
		error = document(&session, ret);
	if (r.payload)
		unlink(r.payload);
	if (r.stream)
		unlink(r.stream);
	free(r.payload);
	free(r.stream);
	bundle_close(r.bundle);
	bundle_close(r.late);
	helper_report_deinit(&r.report);
	session_close(&session);
	return error;
}
