/* SPDX-License-Identifier: Apache-2.0 */
#include "update/resume_late.h"

#include <string.h>
#include <unistd.h>

#include "apply/report.h"
#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "update/pack_stream.h"
#include "update/read_ahead.h"
#include "update/resuming.h"

static struct error *judge(const struct helper_report *report)
{
	const char *message = report->message ? report->message : report->path ? report->path : "no reason was given";

	if (!strcmp(report->result, HELPER_RESULT_APPLIED))
		return NULL;
	if (!strcmp(report->result, HELPER_RESULT_CONFLICT))
		return error_create(ERROR_CONFLICT,
				    "what waits for the next boot was not applied, the guest is not as it expects: %s",
				    message);
	if (!strcmp(report->result, HELPER_RESULT_ROLLED_BACK))
		return helper_with_failed_action(
			error_create(ERROR_CONFLICT,
				     "what waits for the next boot was applied but failed, and was undone: %s",
				     message),
			report);
	return error_create(ERROR_FAILED, "what waits for the next boot was not applied (%s): %s", report->result,
			    message);
}

static struct error *run(struct resume *r, bool background, const char *path, struct helper_report *report)
{
	const struct bundle_manifest *manifest = bundle_manifest(r->late);
	const struct helper_apply_options apply = {.strict = r->options->strict,
						   .late = true,
						   .background = background,
						   .verify_stat = r->options->verify_stat,
						   .freeze_ms = r->options->freeze_ms,
						   .timeout_ms = helper_apply_timeout_ms(&manifest->actions),
						   .installed = r->helper_installed,
						   .read_ahead = json_object_get(manifest->info, READ_AHEAD_MEMBER)};
	_cleanup_(action_list_deinit) struct action_list actions = {0};
	uint8_t sha256[SHA256_SIZE];
	uint64_t size;
	enum restart_mode mode = RESTART_NONE;
	struct error *error = resume_choose_restarts(r, &mode);

	if (!error)
		error = restart_merge(&manifest->actions, json_object_get(manifest->info, "restart"), mode, &actions);
	if (!error)
		error = bundle_write_payload(r->late, &actions, path, sha256, &size);
	if (!error)
		error = vm_channel_wait(r->session->vm, resume_channel_timeout_ms(r));
	progress_step("late", "the guest applies what takes effect at its next boot");
	if (!error)
		error = helper_apply(r->session->vm, path, sha256, &apply, report);
	return error;
}

/* What the guest has now, and what runs there only after a reboot. */
static struct error *add_report(const struct resume *r, const struct helper_report *report, const struct error *failure)
{
	static const char *const carried[] = {"kernel_pending", "kernel_pending_build"};
	const json_t *info = bundle_manifest(r->late)->info;
	struct session *session = r->session;
	_cleanup_(json_decref_ptr) json_t *timeline = json_array();
	struct error *error = resume_append_timeline(session, report, timeline);
	json_t *document;

	if (error)
		return error;
	document =
		json_pack("{s:b, s:s?, s:O, s:I, s:I, s:O*, s:I, s:O*, s:O*, s:I}", "applied", failure == NULL, "error",
			  failure ? failure->message : NULL, "timeline", timeline, "files", (json_int_t)report->files,
			  "bytes", (json_int_t)report->bytes, "actions", report->actions, "failed_actions",
			  (json_int_t)report->failed_actions, "packages", json_object_get(info, "packages"), "stale",
			  report->stale, "n_stale", (json_int_t)report->n_stale);
	if (!session->state.report)
		session->state.report = json_object();
	if (!document || json_object_set_new(session->state.report, "late", document) < 0)
		return error_no_memory();
	for (size_t i = 0; !failure && i < ARRAY_SIZE(carried); i++) {
		json_t *value = json_object_get(info, carried[i]);

		if (value && json_object_set(session->state.report, carried[i], value) < 0)
			return error_no_memory();
	}
	return NULL;
}

/*
 * Has the guest apply it and adds "late" to the report, whatever comes of it. ERROR_CONFLICT: the guest does not have
 * it and never will, and is as the first left it; after other errors it can be tried again.
 */
static struct error *apply(struct resume *r, bool background)
{
	struct session *session = r->session;
	_cleanup_(free_ptr) char *path = string_format("%s/" PAYLOAD_LATE_NAME, session->directory);
	struct helper_report report = {0};
	struct error *failure, *error;

	if (!path)
		return error_no_memory();
	/* What the first has come from. */
	helper_detach(session->vm);
	failure = run(r, background, path, &report);
	unlink(path);
	if (!failure)
		failure = judge(&report);
	if (failure)
		helper_detach(session->vm);
	error = add_report(r, &report, failure);
	helper_report_deinit(&report);
	if (!error)
		error = state_save(&session->state, session->directory);
	if (!failure)
		return error;
	error_destroy(error);
	return failure;
}

bool resume_late_is_applied(const struct session *session)
{
	return json_is_true(json_object_get(json_object_get(session->state.report, "late"), "applied"));
}

struct error *resume_late_early(struct resume *r)
{
	struct error *error;

	if (!r->late || resume_late_is_applied(r->session) || !(r->options->all_before_open || r->options->reboot))
		return NULL;
	error = apply(r, false);
	return error ? resume_fail(r, error) : NULL;
}

struct error *resume_late_step(struct resume *r)
{
	struct session *session = r->session;
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state), *closed;

	if (!error && state != VM_RUNNING && r->late)
		error = error_remedy(
			error_create(ERROR_FAILED,
				     "%s: the VM does not run any more: whether it has got what waits for its next "
				     "boot is not known",
				     session->file.name),
			"start it, which finishes or undoes what was begun there; then suspend it and run update "
			"again: that finds what is missing");
	if (error)
		return error;
	if (r->late && !resume_late_is_applied(session))
		error = apply(r, true);
	if (error && error->code != ERROR_CONFLICT)
		return error_remedy(error, "the network is open; resume tries it again, or suspend the VM and run "
					   "update again");
	closed = resume_close(r);
	if (!error)
		return closed;
	error_destroy(closed);
	return error_remedy(error, "the rest of the update stands and the network is open: suspend the VM and run "
				   "update again");
}
