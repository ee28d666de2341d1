/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk-dump FORMAT IMAGE [GUEST-FILE]: what the disk room makes of an image, as JSON; or one file
 * of the guest on standard output. With DISK_DUMP_PAUSE set it waits for a signal before closing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "disk/disk.h"

static struct error *add_files(const char *path, const char *format, json_t *root)
{
	json_t *list = json_array();
	struct disk_file *files;
	struct error *error;
	size_t n;

	json_object_set_new(root, "files", list);
	error = disk_files(path, format, &files, &n);
	if (error)
		return error;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "path", files[i].path, "format",
						      files[i].format, "size", (json_int_t)files[i].size,
						      "virtual_size", (json_int_t)files[i].virtual_size));
	disk_files_free(files, n);
	return NULL;
}

static void add_disk(const struct disk *disk, json_t *root)
{
	json_t *list = json_array(), *lines = json_array();
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n);
	const char *const *notes;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "target", mounts[i].target,
						      "path", mounts[i].path, "type", mounts[i].type, "uuid",
						      mounts[i].uuid, "options", mounts[i].options, "ext4_mount_count",
						      (json_int_t)mounts[i].ext4_mount_count, "ext4_mount_time_s",
						      (json_int_t)mounts[i].ext4_mount_time_s));
	notes = disk_notes(disk, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(lines, json_string(notes[i]));
	json_object_set_new(root, "mounts", list);
	json_object_set_new(root, "notes", lines);
}

static struct error *cat(const struct disk *disk, const char *path)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;
	size_t size;

	error = io_read_in_root(disk_root(disk), path, 256 * 1024 * 1024, &text, &size);
	return error ? error : io_write(STDOUT_FILENO, text, size, "standard output");
}

static struct error *run(int argc, char **argv, char *work_dir)
{
	_cleanup_(json_decref_ptr) json_t *root = json_object();
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	const struct disk_options options = {.path = argv[2], .format = argv[1], .work_dir = work_dir};
	struct error *error;

	error = add_files(argv[2], argv[1], root);
	if (!error)
		error = disk_private_namespace();
	if (!error)
		error = disk_open(&options, &disk);
	if (error)
		return error;
	if (argc > 3)
		return cat(disk, argv[3]);
	add_disk(disk, root);
	json_dumpf(root, stdout, JSON_INDENT(2));
	puts("");
	fflush(stdout);
	if (getenv("DISK_DUMP_PAUSE"))
		pause();
	return NULL;
}

int main(int argc, char **argv)
{
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	char work_dir[] = "/var/tmp/disk-dump.XXXXXX";

	if (argc < 3) {
		fprintf(stderr, "usage: %s qcow2|raw IMAGE [GUEST-FILE]\n", argv[0]);
		return 2;
	}
	if (!mkdtemp(work_dir)) {
		perror(work_dir);
		return 1;
	}
	error = run(argc, argv, work_dir);
	if (error)
		fprintf(stderr, "disk-dump: %s%s%s\n", error->message, error->remedy ? "; " : "",
			error->remedy ? error->remedy : "");
	rmdir(work_dir);
	return error ? error_exit_status(error->code) : 0;
}
