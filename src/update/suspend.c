/* SPDX-License-Identifier: Apache-2.0 */
/* `suspend`: puts a running VM to sleep and notes what its images look like then. */
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "update/fingerprint.h"
#include "update/kept.h"
#include "update/session.h"

static struct error *note_fingerprint(struct session *session)
{
	json_t *fingerprint;
	struct error *error = fingerprint_files(&session->file, &fingerprint);

	if (error)
		return error;
	json_decref(session->state.fingerprint);
	session->state.fingerprint = fingerprint;
	error = kept_note_cut(&session->state);
	if (error)
		return error;
	return state_enter(&session->state, session->directory, STATE_SUSPENDED);
}

static struct error *suspend(struct session *session, bool *ret_synced)
{
	struct error *error = state_allows(session->state.state, OPERATION_SUSPEND, session->file.name);

	if (!error && !session->file.memory)
		error = error_remedy(
			error_create(ERROR_USAGE, "%s does not say where its memory is to go", session->file.path),
			"give it the key \"memory\" in [vm]");
	if (!error)
		error = session_require_process(session);
	if (error)
		return error;
	progress_step("sync", "asking the guest to write out its files");
	error = vm_sync(session->vm, ret_synced);
	if (error)
		return error;
	progress_step("save", "saving the memory");
	error = vm_suspend(session->vm);
	if (!error && unlink(session->bundle_path) < 0 && errno != ENOENT)
		error = error_system(errno, session->bundle_path, "cannot remove the bundle of an earlier suspend");
	return error ? error : note_fingerprint(session);
}

struct error *update_suspend(const struct update_settings *settings, const char *vm, json_t **ret)
{
	struct session session;
	bool synced = false;
	struct error *error = session_open(settings, vm, SESSION_WORK, &session);

	if (error)
		return error;
	error = suspend(&session, &synced);
	progress_end();
	if (!error) {
		*ret = session_document(&session);
		if (!*ret || json_object_set_new(*ret, "memory", json_string(session.file.memory)) < 0 ||
		    json_object_set_new(*ret, "synced", json_boolean(synced)) < 0 ||
		    json_object_set_new(*ret, "state", json_string(state_name(session.state.state))) < 0)
			error = error_no_memory();
	}
	session_close(&session);
	return error;
}
