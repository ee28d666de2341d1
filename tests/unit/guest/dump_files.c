/* SPDX-License-Identifier: Apache-2.0 */
/* All of /run, and what is not on disk yet. */
#include "dump.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/io.h"

#define DEPTH_MAX 64

static struct error *dump_content(struct guest *guest, const struct guest_file *file, json_t *object)
{
	_cleanup_(free_ptr) char *content = malloc(file->size + 1);
	size_t size = 0;
	struct error *error;

	if (!content)
		return error_no_memory();
	error = guest_file_read(guest, file, 0, content, file->size, &size);
	return error ? error : json_set_bytes(object, "content", content, size);
}

static struct error *dump_file(struct guest *guest, const struct guest_file *file, const char *path, json_t *object)
{
	struct error *error = set_text(object, "path", path);

	set_integer(object, "mode", file->mode);
	set_integer(object, "uid", file->uid);
	set_integer(object, "gid", file->gid);
	set_integer(object, "links", file->links);
	set_integer(object, "size", file->size);
	set_integer(object, "inode", file->inode);
	set_integer(object, "major", file->major);
	set_integer(object, "minor", file->minor);
	set_signed(object, "mtime_s", file->mtime_s);
	set_integer(object, "mtime_ns", file->mtime_ns);
	json_object_set_new(object, "resident", json_boolean(file->resident));
	if (!error)
		error = set_text(object, "link", file->link);
	/* Large ones are read by `cat`. */
	if (!error && (file->mode & 0170000) == 0100000 && file->size <= 8 << 20)
		error = dump_content(guest, file, object);
	return error;
}

static struct error *dump_path(struct guest *guest, const char *path, unsigned depth, json_t *array);

static struct error *dump_directory(struct guest *guest, const struct guest_file *directory, const char *path,
				    unsigned depth, json_t *array)
{
	_cleanup_(guest_file_list_deinit) struct guest_file_list list = {0};
	struct error *error = guest_directory(guest, directory, &list);

	if (!error && list.incomplete)
		error = take_ptr(list.incomplete);
	for (size_t i = 0; !error && i < list.n; i++) {
		_cleanup_(free_ptr) char *name = string_format("%s/%s", path, list.items[i].name);

		error = dump_path(guest, name, depth + 1, array);
	}
	return error;
}

/* By its path: something may be mounted there. */
static struct error *dump_path(struct guest *guest, const char *path, unsigned depth, json_t *array)
{
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	struct error *error = guest_file_find(guest, path, false, &file);

	if (!error)
		error = dump_file(guest, &file, path, add_object(array));
	if (error || depth == DEPTH_MAX || (file.mode & 0170000) != 0040000)
		return error;
	return dump_directory(guest, &file, path, depth, array);
}

struct error *dump_run(struct guest *guest, json_t *root)
{
	return dump_path(guest, "/run", 0, add_list(root, "run", NULL));
}

struct error *dump_dirty(struct guest *guest, json_t *root)
{
	_cleanup_(guest_dirty_list_deinit) struct guest_dirty_list list = {0};
	struct error *error = guest_dirty_files(guest, &list);
	json_t *array = add_list(root, "dirty", list.incomplete);

	for (size_t i = 0; !error && i < list.n; i++) {
		json_t *object = add_object(array);

		set_integer(object, "inode", list.items[i].inode);
		set_integer(object, "size", list.items[i].size);
		set_integer(object, "dirty_pages", list.items[i].dirty_pages);
		json_object_set_new(object, "metadata", json_boolean(list.items[i].metadata));
		error = set_text(object, "device", list.items[i].device);
		if (!error)
			error = set_text(object, "path", list.items[i].path);
	}
	return error;
}
