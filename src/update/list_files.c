/* SPDX-License-Identifier: Apache-2.0 */
/* `ls`: files as the sleeping guest sees them. */
#include <string.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "base/json.h"
#include "base/progress.h"
#include "update/document.h"
#include "update/session.h"
#include "update/sleeping.h"
#include "update/view.h"

struct listing {
	const struct sleeping *sleeping;
	size_t room; /* how many entries may still be told */
	uint64_t more, unreadable;
};

static struct error *set_text(json_t *object, const char *key, const char *text)
{
	return json_set_bytes(object, key, text, strlen(text));
}

static struct error *set_details(json_t *entry, const struct view_file *file)
{
	const struct stat *status = &file->status;
	mode_t type = status->st_mode & S_IFMT;

	if (type == S_IFCHR || type == S_IFBLK)
		if (json_object_set_new(entry, "device",
					json_pack("[I, I]", (json_int_t)major(status->st_rdev),
						  (json_int_t)minor(status->st_rdev))) < 0)
			return error_no_memory();
	if (file->unknown && json_object_set_new(entry, "unknown", json_string(file->unknown->why)) < 0)
		return error_no_memory();
	return file->link ? set_text(entry, "target", file->link) : NULL;
}

static struct error *add_entry(struct listing *listing, json_t *entries, const char *name, const struct view_file *file)
{
	const struct stat *status = &file->status;
	json_t *entry;
	struct error *error;

	if (listing->room == 0) {
		listing->more++;
		return NULL;
	}
	listing->room--;
	entry = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "inode", (json_int_t)status->st_ino, "mode",
			  (json_int_t)status->st_mode, "links", (json_int_t)status->st_nlink, "uid",
			  (json_int_t)status->st_uid, "gid", (json_int_t)status->st_gid, "size",
			  (json_int_t)status->st_size, "mtime_s", (json_int_t)status->st_mtim.tv_sec, "mtime_ns",
			  (json_int_t)status->st_mtim.tv_nsec, "in_memory", file->in_memory);
	error = entry ? set_text(entry, "name", name) : error_no_memory();
	if (!error)
		error = set_details(entry, file);
	if (json_array_append_new(entries, entry) < 0 && !error)
		error = error_no_memory();
	return error;
}

/* What cannot be looked at is told in its place: the others are listed all the same. Takes `error`. */
static struct error *add_unreadable(struct listing *listing, json_t *object, struct error *error)
{
	int failed;

	if (error->code == ERROR_NO_MEMORY)
		return error;
	listing->unreadable++;
	failed = json_object_set_new(object, "error", json_string(error->message));
	error_destroy(error);
	return failed ? error_no_memory() : NULL;
}

static struct error *add_unreadable_name(struct listing *listing, json_t *entries, const char *name,
					 struct error *failure)
{
	json_t *entry = json_object();
	struct error *error = add_unreadable(listing, entry, failure);

	if (!error)
		error = set_text(entry, "name", name);
	if (json_array_append_new(entries, entry) < 0 && !error)
		error = error_no_memory();
	return error;
}

static struct error *add_name(struct listing *listing, json_t *entries, const struct view_file *directory,
			      const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory->path[1] ? directory->path : "", name);
	_cleanup_(view_file_deinit) struct view_file file = {.fd = -1};
	struct error *error = path ? NULL : error_no_memory();

	if (!error && listing->room)
		error = view_find(listing->sleeping, path, false, &file);
	return error ? add_unreadable_name(listing, entries, name, error) : add_entry(listing, entries, name, &file);
}

static struct error *list_path(struct listing *listing, const char *path, bool itself, json_t *entries)
{
	_cleanup_(view_file_deinit) struct view_file file = {.fd = -1};
	_cleanup_(names_deinit) struct names names = {0};
	struct error *error = view_find(listing->sleeping, path, false, &file);
	/* As ls does: a link that leads to a directory stands for it, unless it is looked at itself. */
	if (!error && file.link && !itself) {
		struct view_file target = {.fd = -1};

		error = view_find(listing->sleeping, path, true, &target);
		if (!error && S_ISDIR(target.status.st_mode)) {
			view_file_deinit(&file);
			file = target;
		} else {
			view_file_deinit(&target);
		}
		if (error && error->code == ERROR_NOT_FOUND)
			error_destroy(take_ptr(error));
	}
	if (error)
		return error;
	if (itself || !S_ISDIR(file.status.st_mode))
		return add_entry(listing, entries, path, &file);
	error = view_list(listing->sleeping, &file, &names);
	for (size_t i = 0; !error && i < names.n; i++)
		error = add_name(listing, entries, &file, names.items[i]);
	return error;
}

static struct error *list_paths(struct listing *listing, const char *const *paths, bool itself, json_t *document)
{
	json_t *lists = json_array();
	bool alone = !paths[1];
	struct error *error = NULL;

	if (json_object_set_new(document, "paths", lists) < 0)
		return error_no_memory();
	for (; !error && *paths; paths++) {
		json_t *entries = json_array(), *list = json_pack("{s:o}", "entries", entries);

		error = list ? set_text(list, "path", *paths) : error_no_memory();
		if (!error)
			error = list_path(listing, *paths, itself, entries);
		if (error && !alone)
			error = add_unreadable(listing, list, error);
		if (json_array_append_new(lists, list) < 0 && !error)
			error = error_no_memory();
	}
	if (!error && json_object_set_new(document, "more", json_integer((json_int_t)listing->more)) < 0)
		error = error_no_memory();
	return error || !listing->unreadable ? error : document_incomplete(document, listing->unreadable);
}

struct error *update_list(const struct update_settings *settings, const char *vm, const struct list_options *options,
			  json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = NULL;
	struct session session;
	struct sleeping sleeping = {0};
	struct listing listing = {.sleeping = &sleeping, .room = LIST_MAX};
	struct error *error = session_open(settings, vm, SESSION_SHARE, &session);

	if (error)
		return error;
	document = session_document(&session);
	error = document ? sleeping_open(&session, MEMORY_IF_THERE, &sleeping) : error_no_memory();
	if (!error)
		error = list_paths(&listing, options->paths, options->itself, document);
	progress_end();
	sleeping_close(&sleeping);
	session_close(&session);
	if (!error)
		*ret = take_ptr(document);
	return error;
}
