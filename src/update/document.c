/* SPDX-License-Identifier: Apache-2.0 */
#include "update/document.h"

#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "update/late_bundle.h"
#include "update/trust.h"

struct error *document_incomplete(json_t *document, uint64_t files)
{
	_cleanup_(free_ptr) char *text = string_format("%llu %s not be read", (unsigned long long)files,
						       files == 1 ? "file could" : "files could");

	return text && json_object_set_new(document, "incomplete", json_string(text)) == 0 ? NULL : error_no_memory();
}

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

/* Bytes that are no text are shown as U+FFFD. */
static struct error *append_word(json_t *list, const char *word)
{
	_cleanup_(json_decref_ptr) json_t *object = json_object();
	struct error *error = object ? json_set_bytes(object, "word", word, strlen(word)) : error_no_memory();

	if (error)
		return error;
	return json_array_append(list, json_object_get(object, "word")) < 0 ? error_no_memory() : NULL;
}

static struct error *set_words(json_t *object, const char *key, char *const *words)
{
	json_t *list = json_array();
	struct error *error = NULL;

	if (!list || json_object_set_new(object, key, list) < 0)
		return error_no_memory();
	for (; !error && *words; words++)
		error = append_word(list, *words);
	return error;
}

static struct error *set_numbers(json_t *object, const struct action *action)
{
	int failed = 0;

	if (action->pid)
		failed |= json_object_set_new(object, "pid", json_integer(action->pid)) |
			  json_object_set_new(object, "start_ns", json_integer((json_int_t)action->start_ns));
	if (action->kind == ACTION_SIGNAL)
		failed |= json_object_set_new(object, "signal", json_integer(action->signal));
	if (action->queued)
		failed |= json_object_set_new(object, "value", json_integer(action->value));
	if (action->kind == ACTION_MOUNT)
		failed |= json_object_set_new(object, "flags", json_integer((json_int_t)action->flags));
	return failed ? error_no_memory() : NULL;
}

static struct error *fill_action(json_t *object, const struct action *action)
{
	char **words = NULL;
	struct error *error;

	if ((error = set_optional_bytes(object, "package", action->package)) ||
	    (error = set_optional_bytes(object, "script", action->script)) ||
	    (error = set_optional_bytes(object, "verb", action->verb)) ||
	    (error = set_optional_bytes(object, "unit", action->unit)) ||
	    (error = set_optional_bytes(object, "path", action->path)) || (error = set_numbers(object, action)))
		return error;
	if (action->kind == ACTION_WRITE || action->size)
		error = json_set_bytes(object, "data", action->data, action->size);
	if (!error && action->argv)
		error = set_words(object, "argv", action->argv);
	if (!error)
		error = action_words(action, &words);
	if (!error)
		error = set_words(object, "words", words);
	action_words_free(words);
	return error;
}

static struct error *append_action(json_t *list, const struct action *action)
{
	json_t *object =
		json_pack("{s:s, s:s, s:I}", "kind", action_kind_word(action->kind), "phase",
			  action->phase == ACTION_BEFORE ? "before" : "after", "order", (json_int_t)action->order);

	if (!object || json_array_append_new(list, object) < 0)
		return error_no_memory();
	return fill_action(object, action);
}

/* It does nothing but tell the helper what "failures" tells people. */
static bool is_marker(const struct action *action)
{
	return action->kind == ACTION_COMMAND && action->argv && action->argv[0] && action->argv[1] &&
	       !strcmp(action->argv[1], ACTION_FAILED_PACKAGES);
}

struct error *document_of_actions(const struct action_list *actions, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();

	for (size_t i = 0; i < actions->n; i++) {
		struct error *error = is_marker(&actions->items[i]) ? NULL : append_action(list, &actions->items[i]);

		if (error)
			return error;
	}
	*ret = take_ptr(list);
	return NULL;
}

static struct error *fill_from_manifest(json_t *document, const struct bundle_manifest *manifest)
{
	static const char *const carried[] = {
		"guest",    "packages",  "emulation_s", "kernel_pending", "kernel_pending_build",
		"deferred", "created_s", "restart",     "restart_notes",  "restart_held",
		"failures", "scripts"};
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

/* The one that follows it, and what the guest runs only after a reboot, whichever of them brings it. */
static struct error *add_late(const struct session *session, const struct bundle *first, json_t *document)
{
	static const char *const carried[] = {"kernel_pending", "kernel_pending_build"};
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(json_decref_ptr) json_t *late = NULL;
	struct error *error = late_bundle_open(session, first, &bundle);

	if (error || !bundle)
		return error;
	late = json_pack("{s:s}", "bundle", session->late_path);
	if (!late)
		return error_no_memory();
	error = fill_from_manifest(late, bundle_manifest(bundle));
	if (!error && json_object_set(document, "late", late) < 0)
		error = error_no_memory();
	for (size_t i = 0; !error && i < ARRAY_SIZE(carried); i++) {
		json_t *value = json_object_get(late, carried[i]);

		if (value && !json_is_null(value) && json_object_set(document, carried[i], value) < 0)
			error = error_no_memory();
	}
	return error;
}

struct error *document_of_bundle(const struct session *session, json_t **ret)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	_cleanup_(json_decref_ptr) json_t *document = session_document(session);
	_cleanup_(json_decref_ptr) json_t *signature = NULL;
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
	if (!error)
		error = add_late(session, bundle, document);
	if (!error)
		error = trust_document(session, bundle, &signature);
	if (error)
		return error;
	if (json_object_set(document, "signature", signature) < 0)
		return error_no_memory();
	*ret = take_ptr(document);
	return NULL;
}

json_t *document_of_decisions(const struct session *session, json_t *undecided)
{
	json_t *document = session_document(session);

	if (document && json_object_set(document, "undecided", undecided) < 0) {
		json_decref(document);
		return NULL;
	}
	return document;
}
