/* SPDX-License-Identifier: Apache-2.0 */
/* `rollback`: undoes the last applied bundle in the running guest, as long as its old files are kept. */
#include <string.h>
#include <time.h>

#include "apply/report.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/helper.h"
#include "update/resume_late.h"
#include "update/session.h"

#define ROLLBACK_TIMEOUT_MS (30 * 60 * 1000ull)
#define CHANNEL_TIMEOUT_MS  (3 * 60 * 1000ull)

/* Why there is nothing to go back to, as far as the last `resume` knows. */
static struct error *nothing_kept(const struct session *session)
{
	const json_t *report = session->state.report;
	const char *why = json_string_value(json_object_get(report, "not_kept"));
	time_t until = json_integer_value(json_object_get(report, "keep_until_s"));
	const char *name = session->file.name;
	struct error *error;
	char date[64];
	struct tm tm;

	if (until && until <= clock_realtime_ns() / 1000000000 && localtime_r(&until, &tm) &&
	    strftime(date, sizeof(date), "%F %T %Z", &tm))
		error = error_create(ERROR_NOTHING, "%s: the guest kept its old files until %s", name, date);
	else if (why)
		error = error_create(ERROR_NOTHING, "%s: the guest keeps nothing to go back to: %s", name, why);
	else
		error = error_create(ERROR_NOTHING, "%s: the guest keeps nothing to go back to", name);
	return error_remedy(error, "how long old files are kept says ouassister resume --keep=TIME");
}

/* `undone`: what goes before it is said to have been undone already; NULL: nothing. */
static struct error *judge(const struct helper_report *report, const struct session *session, const char *undone)
{
	const char *message = report->message ? report->message : report->result;

	if (!strcmp(report->result, HELPER_RESULT_APPLIED) || !strcmp(report->result, HELPER_RESULT_ROLLED_BACK))
		return NULL;
	if (!strcmp(report->result, HELPER_RESULT_NOTHING))
		return nothing_kept(session);
	if (!strcmp(report->result, HELPER_RESULT_CONFLICT))
		return error_create(ERROR_CONFLICT, "%s: %s was undone: %s", session->file.name,
				    undone ? undone : "nothing", message);
	return error_create(ERROR_FAILED, "%s: the rollback failed: %s", session->file.name, message);
}

/* Nothing is kept any more: what we have put into the guest goes, and nobody is promised anything. */
static struct error *clean_up(struct session *session)
{
	struct error *error = helper_forget(session->vm);

	if (error)
		log_warning("the helper stays in the guest under %s: %s", HELPER_DIRECTORY, error->message);
	error_destroy(error);
	if (session->state.report && json_object_set_new(session->state.report, "keep_until_s", json_null()) < 0)
		return error_no_memory();
	return NULL;
}

/* The report of a worker that goes on in the guest, when it has ended. */
static struct error *await_report(struct session *session, const char *option, struct helper_report *ret)
{
	const char *const words[] = {"status", option, NULL};
	uint64_t deadline_ns = clock_monotonic_ns() + ROLLBACK_TIMEOUT_MS * 1000000;

	for (;;) {
		struct error *error = vm_channel_wait(session->vm, CHANNEL_TIMEOUT_MS);

		if (error)
			return error;
		error = helper_run(session->vm, words, -1, CHANNEL_TIMEOUT_MS, ret);
		/* Without an end it is not yet one. */
		if (!error || (error->code != ERROR_FORMAT && error->code != ERROR_NOT_FOUND) ||
		    clock_monotonic_ns() >= deadline_ns)
			return error;
		error_destroy(error);
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	}
}

/* `option` may be NULL. */
static struct error *run(struct session *session, const char *verb, const char *option, struct helper_report *ret)
{
	const char *const words[] = {verb, option, NULL};
	struct error *error = helper_run(session->vm, words, -1, ROLLBACK_TIMEOUT_MS, ret);

	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	/* The channel's own service was among those that run their old files again. */
	log_debug("%s; asking again", error->message);
	error_destroy(error);
	return await_report(session, option, ret);
}

/* *undone is set where there was something to undo. */
static struct error *run_late(struct session *session, const char *verb, const char **undone)
{
	struct helper_report report = {0};
	struct error *error = run(session, verb, "--late", &report);

	/* There may be nothing of it. */
	if (!error && strcmp(report.result, HELPER_RESULT_NOTHING) != 0)
		error = judge(&report, session, NULL);
	if (!error && !strcmp(report.result, HELPER_RESULT_ROLLED_BACK))
		*undone = "only what waits for the next boot";
	helper_report_deinit(&report);
	return error;
}

/* The second of two chained updates lies on the first, whole or, where it was cut, in part. */
static struct error *rollback_late(struct session *session, const char **undone)
{
	json_t *late = json_object_get(session->state.report, "late");
	struct error *error = NULL;

	if (session->state.state != STATE_OPEN_LATE && !late)
		return NULL;
	if (!resume_late_is_applied(session))
		error = run_late(session, "recover", undone);
	if (!error)
		error = run_late(session, "rollback", undone);
	/* The first may have reasons of its own to stay. */
	if (!error && late && json_object_set_new(late, "applied", json_false()) < 0)
		error = error_no_memory();
	return error ? error : state_save(&session->state, session->directory);
}

static struct error *rollback(struct session *session)
{
	struct helper_report report = {0};
	struct error *error = state_allows(session->state.state, OPERATION_ROLLBACK, session->file.name), *worse;
	const char *undone = NULL;

	if (!error)
		error = session_require_process(session);
	if (error)
		return error;
	progress_step("channel", "waiting for the guest to answer");
	error = vm_channel_wait(session->vm, 60000);
	if (!error)
		error = helper_install(session->vm);
	progress_step("rollback", "the guest goes back to its old files");
	if (!error)
		error = rollback_late(session, &undone);
	if (!error)
		error = run(session, "rollback", NULL, &report);
	if (!error)
		error = judge(&report, session, undone);
	helper_report_deinit(&report);
	if (error && error->code != ERROR_NOTHING)
		return error;
	worse = clean_up(session);
	if (!worse)
		worse = error ? state_save(&session->state, session->directory)
			      : state_enter(&session->state, session->directory, STATE_ROLLED_BACK);
	if (worse) {
		error_destroy(error);
		return worse;
	}
	return error;
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
