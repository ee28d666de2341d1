/* SPDX-License-Identifier: Apache-2.0 */
/* `rollback`: undoes the last applied bundle in the running guest, where its old files were kept. */
#include <string.h>

#include "apply/report.h"
#include "base/json.h"
#include "base/progress.h"
#include "update/helper.h"
#include "update/session.h"

#define ROLLBACK_TIMEOUT_MS (30 * 60 * 1000ull)

static struct error *judge(const struct helper_report *report, const struct session *session)
{
	const char *message = report->message ? report->message : report->result;

	if (!strcmp(report->result, HELPER_RESULT_APPLIED) || !strcmp(report->result, HELPER_RESULT_ROLLED_BACK))
		return NULL;
	if (!strcmp(report->result, HELPER_RESULT_NOTHING))
		return error_remedy(
			error_create(ERROR_NOTHING, "%s: the guest keeps nothing to go back to", session->file.name),
			"old files are kept only by: ouassister resume --keep");
	if (!strcmp(report->result, HELPER_RESULT_CONFLICT))
		return error_create(ERROR_CONFLICT, "%s: nothing was undone: %s%s%s", session->file.name,
				    report->path ? report->path : "", report->path ? ": " : "", message);
	return error_create(ERROR_FAILED, "%s: the rollback failed: %s", session->file.name, message);
}

static struct error *rollback(struct session *session)
{
	struct helper_report report = {0};
	struct error *error = state_allows(session->state.state, OPERATION_ROLLBACK);

	if (error)
		return error;
	progress_step("channel", "waiting for the guest to answer");
	error = vm_channel_wait(session->vm, 60000);
	if (!error)
		error = helper_install(session->vm);
	progress_step("rollback", "the guest goes back to its old files");
	if (!error)
		error = helper_run(session->vm, (const char *const[]){"rollback", NULL}, -1, ROLLBACK_TIMEOUT_MS,
				   &report);
	if (!error)
		error = judge(&report, session);
	helper_report_deinit(&report);
	return error ? error : state_enter(&session->state, session->directory, STATE_ROLLED_BACK);
}

struct error *update_rollback(const struct update_settings *settings, const char *vm, json_t **ret)
{
	struct session session;
	struct error *error = session_open(settings, vm, SESSION_WORK, &session);

	if (error)
		return error;
	error = rollback(&session);
	progress_end();
	if (!error) {
		*ret = session_document(&session);
		if (!*ret || json_object_set_new(*ret, "state", json_string(state_name(session.state.state))) < 0)
			error = error_no_memory();
	}
	session_close(&session);
	return error;
}
