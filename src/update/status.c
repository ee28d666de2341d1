/* SPDX-License-Identifier: Apache-2.0 */
/* `status`: where each VM stands. Looks only: no lock, nothing is created. */
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "bundle/bundle.h"
#include "update/kept.h"
#include "update/session.h"

static const char *process_name(const struct session *session)
{
	static const char *const names[] = {[VM_OFF] = "off", [VM_PAUSED] = "paused", [VM_RUNNING] = "running"};
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (!error)
		return names[state];
	log_debug("%s", error->message);
	error_destroy(error);
	return "unknown";
}

static struct error *describe(const struct session *session, json_t **ret)
{
	const struct state *state = &session->state;
	_cleanup_(json_decref_ptr) json_t *document =
		json_pack("{s:s, s:s, s:s, s:s?, s:b, s:b}", "state", state_name(state->state), "process",
			  process_name(session), "vm_file", session->file.path, "error", state->error, "bundle",
			  (int)(access(session->bundle_path, F_OK) == 0), "memory", (int)session_has_memory(session));

	if (!document)
		return error_no_memory();
	if (state->since_s && json_object_set_new(document, "since_s", json_integer(state->since_s)) < 0)
		return error_no_memory();
	if (state->report && json_object_set(document, "report", state->report) < 0)
		return error_no_memory();
	*ret = take_ptr(document);
	return NULL;
}

/* What the bundle that waits leaves to the guest; one that cannot be read is for others to judge. */
static struct error *describe_bundle(const struct session *session, json_t *document)
{
	static const char *const members[] = {"deferred", "scripts", "failures"};
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct error *error = bundle_open(session->bundle_path, &bundle);

	if (error) {
		error_destroy(error);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *value = json_object_get(bundle_manifest(bundle)->info, members[i]);

		if (value && json_object_set(document, members[i], value) < 0)
			return error_no_memory();
	}
	return NULL;
}

static struct error *one(const struct update_settings *settings, const char *vm, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct session session;
	struct error *error = session_open(settings, vm, SESSION_READ, &session);

	if (error)
		return error;
	error = describe(&session, &document);
	if (!error)
		error = kept_describe(&session.state, document);
	if (!error)
		error = describe_bundle(&session, document);
	if (!error && json_object_set_new(document, "vm", json_string(session.file.name)) < 0)
		error = error_no_memory();
	session_close(&session);
	if (!error)
		*ret = take_ptr(document);
	return error;
}

/* The VM a state directory belongs to; one whose VM file is gone is shown by what its state says. */
static struct error *append_directory(const struct update_settings *settings, const char *name, json_t *list)
{
	_cleanup_(free_ptr) char *directory = string_format("%s/%s", settings->state_dir, name);
	struct state state = {0};
	json_t *document = NULL;
	struct error *error = directory ? state_load(directory, &state) : error_no_memory();

	if (!error && !state.vm_file) {
		state_deinit(&state);
		return NULL;
	}
	if (!error && vm_file_is_there(state.vm_file))
		error = one(settings, state.vm_file, &document);
	else if (!error)
		document = json_pack("{s:s, s:s, s:s, s:s}", "vm", name, "state", state_name(state.state), "vm_file",
				     state.vm_file, "error", "its VM file is gone");
	if (error) {
		document = json_pack("{s:s, s:s, s:s}", "vm", name, "state", "unknown", "error", error->message);
		error_destroy(error);
	}
	state_deinit(&state);
	return !document || json_array_append_new(list, document) < 0 ? error_no_memory() : NULL;
}

static struct error *all(const struct update_settings *settings, json_t *list)
{
	_cleanup_(closedir_ptr) DIR *directory = opendir(settings->state_dir);
	struct dirent *entry;

	if (!directory)
		return errno == ENOENT ? NULL
				       : error_system(errno, settings->state_dir, "cannot read the state directory");
	while ((entry = readdir(directory))) {
		struct error *error = *entry->d_name == '.' ? NULL : append_directory(settings, entry->d_name, list);

		if (error)
			return error;
	}
	return NULL;
}

struct error *update_status(const struct update_settings *settings, const char *vm, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct error *error = NULL;

	if (vm) {
		error = one(settings, vm, &document);
	} else {
		document = json_pack("{s:[]}", "vms");
		error = document ? all(settings, json_object_get(document, "vms")) : error_no_memory();
	}
	if (error)
		return error;
	if (json_object_set_new(document, "version", json_integer(1)) < 0)
		return error_no_memory();
	*ret = take_ptr(document);
	return NULL;
}
