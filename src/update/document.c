/* SPDX-License-Identifier: Apache-2.0 */
#include "update/document.h"

#include <string.h>
#include <sys/stat.h>

#include "base/json.h"

struct change_counts count_changes(const struct change_list *changes)
{
	struct change_counts counts = {0};

	for (size_t i = 0; i < changes->n; i++) {
		const struct change *change = &changes->items[i];

		if (change->kind == CHANGE_DELETE)
			counts.deleted++;
		else
			counts.written++;
		if (change->kind == CHANGE_WRITE)
			counts.bytes += change->size;
	}
	return counts;
}

static struct error *set_optional_bytes(json_t *object, const char *key, const char *text)
{
	return text ? json_set_bytes(object, key, text, strlen(text)) : NULL;
}

static struct error *set_argv(json_t *object, char *const *argv)
{
	json_t *words = json_array();

	if (!words || json_object_set_new(object, "argv", words) < 0)
		return error_no_memory();
	for (; *argv; argv++)
		if (json_array_append_new(words, json_string(*argv)) < 0)
			return error_create(ERROR_UNSUPPORTED, "an action's command is not UTF-8");
	return NULL;
}

static struct error *append_action(json_t *list, const struct action *action)
{
	json_t *object = json_pack("{s:s}", "kind", action->kind == ACTION_SYSTEMD ? "systemd" : "command");
	struct error *error;

	if (!object || json_array_append_new(list, object) < 0)
		return error_no_memory();
	error = set_optional_bytes(object, "verb", action->verb);
	if (!error)
		error = set_optional_bytes(object, "unit", action->unit);
	if (!error)
		error = set_optional_bytes(object, "origin", action->origin);
	if (!error && action->argv)
		error = set_argv(object, action->argv);
	return error;
}

struct error *document_of_actions(const struct action_list *actions, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();

	for (size_t i = 0; i < actions->n; i++) {
		struct error *error = append_action(list, &actions->items[i]);

		if (error)
			return error;
	}
	*ret = take_ptr(list);
	return NULL;
}

static struct error *fill_from_manifest(json_t *document, const struct bundle_manifest *manifest)
{
	static const char *const carried[] = {"guest",     "packages", "emulation_s",  "kernel_pending",
					      "created_s", "restart",  "restart_notes"};
	struct change_counts counts = count_changes(&manifest->changes);
	json_t *actions = NULL;
	struct error *error = document_of_actions(&manifest->actions, &actions);

	if (error)
		return error;
	if (json_object_set_new(document, "actions", actions) < 0 ||
	    json_object_set_new(document, "files",
				json_pack("{s:I, s:I}", "written", (json_int_t)counts.written, "deleted",
					  (json_int_t)counts.deleted)) < 0 ||
	    json_object_set_new(document, "payload_bytes", json_integer((json_int_t)counts.bytes)) < 0)
		return error_no_memory();
	for (size_t i = 0; i < ARRAY_SIZE(carried); i++) {
		json_t *value = json_object_get(manifest->info, carried[i]);

		if (value && json_object_set(document, carried[i], value) < 0)
			return error_no_memory();
	}
	return NULL;
}

struct error *document_of_bundle(const struct session *session, json_t **ret)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(json_decref_ptr) json_t *document = session_document(session);
	char id[SHA256_HEX_SIZE];
	struct stat st;
	struct error *error = bundle_open(session->bundle_path, &bundle);

	if (error && error->code == ERROR_NOT_FOUND)
		return error_remedy(
			error_recode(error_wrap(error, "%s: no bundle waits", session->file.name), ERROR_NOTHING),
			"run: ouassister update %s", session->file.path);
	if (error)
		return error;
	if (stat(session->bundle_path, &st) < 0)
		return error_system(errno, session->bundle_path, "cannot examine");
	sha256_to_hex(bundle_id(bundle), id);
	if (json_object_set_new(document, "bundle", json_string(session->bundle_path)) < 0 ||
	    json_object_set_new(document, "bundle_id", json_string(id)) < 0 ||
	    json_object_set_new(document, "bundle_bytes", json_integer((json_int_t)st.st_size)) < 0)
		return error_no_memory();
	error = fill_from_manifest(document, bundle_manifest(bundle));
	if (error)
		return error;
	*ret = take_ptr(document);
	return NULL;
}
