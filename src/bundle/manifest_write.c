/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "bundle/format.h"
#include "bundle/manifest.h"
#include "bundle/manifest_words.h"

static struct error *set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) < 0 ? error_no_memory() : NULL;
}

static struct error *set_integer(json_t *object, const char *key, uint64_t value)
{
	/* JSON's integers, and jansson's, end at 2^63. */
	if (value > INT64_MAX)
		return error_create(ERROR_UNSUPPORTED, "%s of %llu is too large", key, (unsigned long long)value);
	return set(object, key, json_integer((json_int_t)value));
}

static struct error *set_string(json_t *object, const char *key, const char *value)
{
	return value ? json_set_bytes(object, key, value, strlen(value)) : NULL;
}

static struct error *set_hash(json_t *object, const uint8_t digest[SHA256_SIZE])
{
	char hex[SHA256_HEX_SIZE];

	sha256_to_hex(digest, hex);
	return set(object, "sha256", json_string(hex));
}

static struct error *set_time(json_t *object, const char *key, int64_t s, uint32_t ns)
{
	return set(object, key, json_pack("[I,I]", (json_int_t)s, (json_int_t)ns));
}

/* Appends a new object to an array; borrowed. NULL without memory. */
static json_t *append_object(json_t *array)
{
	json_t *object = json_object();

	return object && json_array_append_new(array, object) == 0 ? object : NULL;
}

/* Sets `key` to a new array; borrowed. NULL without memory. */
static json_t *set_array(json_t *object, const char *key)
{
	json_t *array = json_array();

	return array && json_object_set_new(object, key, array) == 0 ? array : NULL;
}

static struct error *set_xattrs(json_t *object, const struct change_attributes *attributes)
{
	json_t *array;

	if (attributes->n_xattrs == 0)
		return NULL;
	array = set_array(object, "xattrs");
	for (size_t i = 0; i < attributes->n_xattrs; i++) {
		const struct change_xattr *xattr = &attributes->xattrs[i];
		json_t *item = array ? append_object(array) : NULL;
		struct error *error;

		if (!item)
			return error_no_memory();
		error = set_string(item, "name", xattr->name);
		if (!error)
			error = json_set_bytes(item, "value", xattr->value, xattr->size);
		if (error)
			return error;
	}
	return array ? NULL : error_no_memory();
}

static struct error *set_attributes(json_t *object, const struct change_attributes *attributes)
{
	struct error *error;

	if ((error = set_integer(object, "mode", attributes->mode)) ||
	    (error = set_integer(object, "uid", attributes->uid)) ||
	    (error = set_integer(object, "gid", attributes->gid)) ||
	    (error = set_time(object, "mtime", attributes->mtime_s, attributes->mtime_ns)))
		return error;
	return set_xattrs(object, attributes);
}

static struct error *set_preimage(json_t *change, const struct change_preimage *before)
{
	json_t *object = json_object();
	struct error *error;
	mode_t type = before->attributes.mode & S_IFMT;

	if (!object || json_object_set_new(change, "before", object) < 0)
		return error_no_memory();
	if ((error = set_attributes(object, &before->attributes)) ||
	    (error = set_integer(object, "inode", before->inode)) ||
	    (error = set_integer(object, "nlink", before->nlink)) ||
	    (error = set_integer(object, "size", before->size)) ||
	    (error = set_integer(object, "rdev", before->rdev)) ||
	    (error = set_time(object, "ctime", before->ctime_s, before->ctime_ns)))
		return error;
	if (type == S_IFLNK)
		return set_string(object, "target", before->target);
	return type == S_IFREG ? set_hash(object, before->sha256) : NULL;
}

static struct error *set_change(json_t *object, const struct change *change)
{
	struct error *error;

	if ((error = set(object, "kind", json_string(change_words[change->kind]))) ||
	    (error = set_string(object, "path", change->path)) || (error = set_integer(object, "layer", change->layer)))
		return error;
	if (change->kind != CHANGE_DELETE)
		error = set_attributes(object, &change->attributes);
	if (!error && change->kind == CHANGE_WRITE)
		error = set_integer(object, "size", change->size);
	if (!error && change->kind == CHANGE_WRITE)
		error = set_hash(object, change->sha256);
	if (!error && change->kind == CHANGE_DEVICE)
		error = set_integer(object, "rdev", change->rdev);
	if (!error && (change->kind == CHANGE_SYMLINK || change->kind == CHANGE_LINK))
		error = set_string(object, "target", change->target);
	if (!error && change->before.exists)
		error = set_preimage(object, &change->before);
	return error;
}

static struct error *set_argv(json_t *object, char *const *argv)
{
	json_t *array = set_array(object, "argv");

	for (; array && *argv; argv++) {
		json_t *item = append_object(array);
		struct error *error;

		if (!item)
			return error_no_memory();
		error = set_string(item, "word", *argv);
		if (error)
			return error;
	}
	return array ? NULL : error_no_memory();
}

static struct error *set_signal(json_t *object, const struct action *action)
{
	struct error *error;

	if (action->kind != ACTION_SIGNAL)
		return NULL;
	if ((error = set_integer(object, "pid", action->pid)) ||
	    (error = set_integer(object, "start_ns", action->start_ns)) ||
	    (error = set_integer(object, "signal", (uint64_t)action->signal)))
		return error;
	return action->queued ? set(object, "value", json_integer(action->value)) : NULL;
}

/* Members that a kind does not have are left out. */
static struct error *set_action(json_t *object, const struct action *action)
{
	struct error *error;

	if ((error = set(object, "kind", json_string(action_kind_word(action->kind)))) ||
	    (error = set(object, "phase", json_string(action->phase == ACTION_BEFORE ? "before" : "after"))) ||
	    (error = set_integer(object, "order", action->order)) ||
	    (error = set_string(object, "package", action->package)) ||
	    (error = set_string(object, "script", action->script)) ||
	    (error = set_string(object, "verb", action->verb)) || (error = set_string(object, "unit", action->unit)) ||
	    (error = set_string(object, "path", action->path)) || (error = set_signal(object, action)))
		return error;
	if (action->kind == ACTION_WRITE || action->size)
		error = json_set_bytes(object, "data", action->data, action->size);
	if (!error && action->kind == ACTION_MOUNT)
		error = set_integer(object, "flags", action->flags);
	return !error && action->argv ? set_argv(object, action->argv) : error;
}

static struct error *set_lists(json_t *root, const struct bundle_manifest *manifest)
{
	json_t *changes = set_array(root, "changes");
	json_t *actions = set_array(root, "actions");
	struct error *error = NULL;

	if (!changes || !actions)
		return error_no_memory();
	for (size_t i = 0; !error && i < manifest->changes.n; i++) {
		json_t *object = append_object(changes);

		error = object ? set_change(object, &manifest->changes.items[i]) : error_no_memory();
	}
	for (size_t i = 0; !error && i < manifest->actions.n; i++) {
		json_t *object = append_object(actions);

		error = object ? set_action(object, &manifest->actions.items[i]) : error_no_memory();
	}
	return error;
}

struct error *manifest_to_json(const struct bundle_manifest *manifest, char **ret, size_t *ret_size)
{
	_cleanup_(json_decref_ptr) json_t *root = json_object();
	struct error *error;
	char *text;

	if (!root)
		return error_no_memory();
	if ((error = set(root, "format", json_string(MANIFEST_FORMAT))) ||
	    (error = set_integer(root, "version", BUNDLE_VERSION)) ||
	    (error = set(root, "info", manifest->info ? json_deep_copy(manifest->info) : json_object())) ||
	    (error = set_lists(root, manifest)))
		return error;
	text = json_dumps(root, JSON_COMPACT);
	if (!text)
		return error_no_memory();
	*ret = text;
	*ret_size = strlen(text);
	return NULL;
}
