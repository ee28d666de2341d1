/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "bundle/format.h"
#include "bundle/manifest.h"
#include "bundle/manifest_words.h"
#include "bundle/payload.h"

#define UNIX_NAME_MAX 255 /* of one extended attribute */

static struct error *bad(const char *what)
{
	return error_format(NULL, ERROR_NO_ADDRESS, "bad manifest: %s", what);
}

static struct error *get_u32(const json_t *object, const char *key, uint32_t *ret)
{
	struct error *error;
	uint64_t value;

	error = json_get_u64(object, key, &value);
	if (error)
		return error;
	if (value > UINT32_MAX)
		return bad(key);
	*ret = (uint32_t)value;
	return NULL;
}

/* A string without NUL of at most PAYLOAD_STRING_MAX bytes. */
static struct error *get_string(const json_t *object, const char *key, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;
	size_t size;

	error = json_get_bytes(object, key, &text, &size);
	if (error)
		return error;
	if (size > PAYLOAD_STRING_MAX || strlen(text) != size)
		return bad(key);
	*ret = take_ptr(text);
	return NULL;
}

static bool has_string(const json_t *object, const char *key)
{
	return json_object_get(object, key) != NULL;
}

static struct error *get_hash(const json_t *object, uint8_t digest[SHA256_SIZE])
{
	struct error *error;
	const char *hex;

	error = json_get_string(object, "sha256", &hex);
	if (error)
		return error;
	return sha256_from_hex(hex, digest) ? NULL : bad("sha256");
}

static struct error *get_time(const json_t *object, const char *key, int64_t *ret_s, uint32_t *ret_ns)
{
	const json_t *s, *ns;
	struct error *error;
	json_t *array;

	error = json_get_array(object, key, &array);
	if (error)
		return error;
	s = json_array_get(array, 0);
	ns = json_array_get(array, 1);
	if (json_array_size(array) != 2 || !json_is_integer(s) || !json_is_integer(ns) || json_integer_value(ns) < 0 ||
	    json_integer_value(ns) >= 1000000000)
		return bad(key);
	*ret_s = json_integer_value(s);
	*ret_ns = (uint32_t)json_integer_value(ns);
	return NULL;
}

static struct error *get_xattr(const json_t *item, struct change_xattr *xattr)
{
	struct error *error;
	char *value;
	size_t size;

	error = get_string(item, "name", &xattr->name);
	if (error)
		return error;
	if (!*xattr->name || strlen(xattr->name) > UNIX_NAME_MAX)
		return bad("name of an extended attribute");
	error = json_get_bytes(item, "value", &value, &size);
	if (error)
		return error;
	xattr->value = value;
	xattr->size = size;
	return size > PAYLOAD_XATTR_MAX ? bad("value of an extended attribute") : NULL;
}

static struct error *get_xattrs(const json_t *object, struct change_attributes *attributes)
{
	struct error *error;
	json_t *array;
	size_t n;

	if (!json_object_get(object, "xattrs"))
		return NULL;
	error = json_get_array(object, "xattrs", &array);
	if (error)
		return error;
	n = json_array_size(array);
	attributes->xattrs = calloc(n + 1, sizeof(*attributes->xattrs));
	if (!attributes->xattrs)
		return error_no_memory();
	for (size_t i = 0; i < n; i++) {
		attributes->n_xattrs = i + 1;
		error = get_xattr(json_array_get(array, i), &attributes->xattrs[i]);
		if (error)
			return error;
		if (i > 0 && strcmp(attributes->xattrs[i - 1].name, attributes->xattrs[i].name) >= 0)
			return bad("extended attributes are not sorted");
	}
	return NULL;
}

static struct error *get_attributes(const json_t *object, struct change_attributes *attributes)
{
	struct error *error;

	if ((error = get_u32(object, "mode", &attributes->mode)) ||
	    (error = get_u32(object, "uid", &attributes->uid)) || (error = get_u32(object, "gid", &attributes->gid)) ||
	    (error = get_time(object, "mtime", &attributes->mtime_s, &attributes->mtime_ns)))
		return error;
	return get_xattrs(object, attributes);
}

static struct error *get_preimage(const json_t *change, struct change_preimage *before)
{
	struct error *error;
	json_t *object;

	if (!json_object_get(change, "before"))
		return NULL;
	error = json_get_object(change, "before", &object);
	if (error)
		return error;
	before->exists = true;
	if ((error = get_attributes(object, &before->attributes)) ||
	    (error = json_get_u64(object, "inode", &before->inode)) ||
	    (error = get_u32(object, "nlink", &before->nlink)) ||
	    (error = json_get_u64(object, "size", &before->size)) ||
	    (error = json_get_u64(object, "rdev", &before->rdev)) ||
	    (error = get_time(object, "ctime", &before->ctime_s, &before->ctime_ns)))
		return error;
	if (S_ISLNK(before->attributes.mode))
		return get_string(object, "target", &before->target);
	return S_ISREG(before->attributes.mode) ? get_hash(object, before->sha256) : NULL;
}

static struct error *get_word(const json_t *object, const char *const *words, size_t n, int *ret)
{
	struct error *error;
	const char *word;

	error = json_get_string(object, "kind", &word);
	if (error)
		return error;
	for (size_t i = 1; i < n; i++) {
		if (strcmp(words[i], word) == 0) {
			*ret = (int)i;
			return NULL;
		}
	}
	return bad("unknown kind");
}

static struct error *get_change(const json_t *object, struct change *change)
{
	struct error *error;
	uint32_t layer = 0;
	int kind = 0;

	if ((error = get_word(object, change_words, ARRAY_SIZE(change_words), &kind)) ||
	    (error = get_string(object, "path", &change->path)) || (error = get_u32(object, "layer", &layer)))
		return error;
	change->kind = kind;
	change->layer = layer;
	if (change->kind != CHANGE_DELETE)
		error = get_attributes(object, &change->attributes);
	if (!error && change->kind == CHANGE_WRITE)
		error = json_get_u64(object, "size", &change->size);
	if (!error && change->kind == CHANGE_WRITE)
		error = get_hash(object, change->sha256);
	if (!error && change->kind == CHANGE_DEVICE)
		error = json_get_u64(object, "rdev", &change->rdev);
	if (!error && (change->kind == CHANGE_SYMLINK || change->kind == CHANGE_LINK))
		error = get_string(object, "target", &change->target);
	if (!error)
		error = get_preimage(object, &change->before);
	if (error)
		return error;
	return payload_change_problem(change) ? bad(payload_change_problem(change)) : NULL;
}

static struct error *get_changes(const json_t *root, struct change_list *list)
{
	struct error *error;
	json_t *array;

	error = json_get_array(root, "changes", &array);
	if (error)
		return error;
	if (json_array_size(array) > BUNDLE_CHANGES_MAX)
		return bad("too many changes");
	for (size_t i = 0; !error && i < json_array_size(array); i++) {
		struct change change = {};

		error = get_change(json_array_get(array, i), &change);
		if (error)
			change_deinit(&change);
		else
			error = change_list_append(list, change);
		error = error_wrap(error, "change %zu", i);
	}
	return error;
}

static struct error *get_argv(const json_t *object, char ***ret)
{
	struct error *error;
	json_t *array;
	size_t n;

	error = json_get_array(object, "argv", &array);
	if (error)
		return error;
	n = json_array_size(array);
	if (n == 0 || n > PAYLOAD_ARGC_MAX)
		return bad("argv");
	*ret = calloc(n + 1, sizeof(**ret));
	if (!*ret)
		return error_no_memory();
	for (size_t i = 0; !error && i < n; i++)
		error = get_string(json_array_get(array, i), "word", &(*ret)[i]);
	return error;
}

static struct error *get_kind_and_phase(const json_t *object, struct action *action)
{
	const char *kind, *phase;
	struct error *error;

	if ((error = json_get_string(object, "kind", &kind)) || (error = json_get_string(object, "phase", &phase)))
		return error;
	action->kind = action_kind_of(kind);
	if (strcmp(phase, "before") != 0 && strcmp(phase, "after") != 0)
		return bad("phase");
	action->phase = strcmp(phase, "before") == 0 ? ACTION_BEFORE : ACTION_AFTER;
	return get_u32(object, "order", &action->order);
}

static struct error *get_optional_string(const json_t *object, const char *key, char **ret)
{
	return has_string(object, key) ? get_string(object, key, ret) : NULL;
}

static struct error *get_signal(const json_t *object, struct action *action)
{
	const json_t *value = json_object_get(object, "value");
	uint32_t number = 0;
	struct error *error;

	if ((error = get_u32(object, "pid", &action->pid)) ||
	    (error = json_get_u64(object, "start_ns", &action->start_ns)) ||
	    (error = get_u32(object, "signal", &number)))
		return error;
	action->signal = (int32_t)number;
	action->queued = value != NULL;
	if (!value)
		return NULL;
	if (!json_is_integer(value) || json_integer_value(value) < INT32_MIN || json_integer_value(value) > INT32_MAX)
		return bad("value");
	action->value = (int32_t)json_integer_value(value);
	return NULL;
}

static struct error *get_data(const json_t *object, struct action *action)
{
	char *data;
	struct error *error = json_get_bytes(object, "data", &data, &action->size);

	if (!error)
		action->data = (uint8_t *)data;
	return error;
}

/* On failure `action` owns what it holds so far. */
static struct error *get_action(const json_t *object, struct action *action)
{
	const char *problem;
	struct error *error;

	if ((error = get_kind_and_phase(object, action)) ||
	    (error = get_optional_string(object, "package", &action->package)) ||
	    (error = get_optional_string(object, "script", &action->script)) ||
	    (error = get_optional_string(object, "verb", &action->verb)) ||
	    (error = get_optional_string(object, "unit", &action->unit)) ||
	    (error = get_optional_string(object, "path", &action->path)))
		return error;
	if (json_object_get(object, "argv"))
		error = get_argv(object, &action->argv);
	if (!error && action->kind == ACTION_SIGNAL)
		error = get_signal(object, action);
	if (!error && (action->kind == ACTION_WRITE || json_object_get(object, "data")))
		error = get_data(object, action);
	if (!error && action->kind == ACTION_MOUNT)
		error = json_get_u64(object, "flags", &action->flags);
	if (error)
		return error;
	problem = action_problem(action);
	return problem ? bad(problem) : NULL;
}

static struct error *get_actions(const json_t *root, struct action_list *list)
{
	struct error *error;
	json_t *array;

	error = json_get_array(root, "actions", &array);
	for (size_t i = 0; !error && i < json_array_size(array); i++) {
		struct action action = {};

		error = get_action(json_array_get(array, i), &action);
		if (error)
			action_deinit(&action);
		else
			error = action_list_append(list, action);
		error = error_wrap(error, "action %zu", i);
	}
	return error;
}

static struct error *check_format(const json_t *root)
{
	struct error *error;
	const char *format;
	uint64_t version;

	if ((error = json_get_string(root, "format", &format)) || (error = json_get_u64(root, "version", &version)))
		return error;
	if (strcmp(format, MANIFEST_FORMAT) != 0)
		return bad("not of this format");
	if (version != BUNDLE_VERSION)
		return error_create(ERROR_FORMAT, "manifest version %llu is not known, only %d",
				    (unsigned long long)version, BUNDLE_VERSION);
	return NULL;
}

/* An upper bound: what stands in strings is counted, too. */
static struct error *check_values(const char *text, size_t size, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += text[i] == ',' || text[i] == '[' || text[i] == '{';
	if (n > BUNDLE_VALUES_MAX)
		return error_format(path, ERROR_NO_ADDRESS, "the manifest has %zu values, %u are the most", n,
				    BUNDLE_VALUES_MAX);
	return NULL;
}

struct error *manifest_from_json(const char *text, size_t size, const char *path, struct bundle_manifest *ret)
{
	_cleanup_(bundle_manifest_deinit) struct bundle_manifest manifest = {};
	_cleanup_(json_decref_ptr) json_t *root = NULL;
	struct error *error;
	json_t *info;

	if ((error = check_values(text, size, path)) || (error = json_parse(text, size, path, &root)) ||
	    (error = check_format(root)) || (error = json_get_object(root, "info", &info)))
		return error;
	manifest.info = json_incref(info);
	if ((error = get_changes(root, &manifest.changes)) || (error = get_actions(root, &manifest.actions)))
		return error_wrap(error, "%s", path);
	*ret = manifest;
	manifest = (struct bundle_manifest){};
	return NULL;
}

void bundle_manifest_deinit(struct bundle_manifest *manifest)
{
	change_list_deinit(&manifest->changes);
	action_list_deinit(&manifest->actions);
	json_decref(manifest->info);
	*manifest = (struct bundle_manifest){};
}
