/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/source.h"
#include "cli/verb.h"

#define CHUNK (3u << 16) /* a multiple of 3, so that pieces of base64 fit together */
#define STEP  4096u      /* a page */

/* Where a chunk goes. */
typedef void (*chunk_function)(void *data, const char *bytes, size_t size);

/*
 * The kernel's limit does not bound it: a sparse file of tmpfs may claim any size. What is larger than
 * all of the guest's RAM consists of holes for the most part.
 */
static struct error *check_file(const struct source *source, const char *path, const struct guest_file *file)
{
	if (S_ISDIR(file->mode))
		return error_create(ERROR_FAILED, "%s: it is a directory", path);
	if (!S_ISREG(file->mode))
		return error_create(ERROR_FAILED, "%s: it is not a regular file", path);
	if (file->size > image_ram_size(source->image))
		return error_create(ERROR_UNSUPPORTED,
				    "%s: it claims %llu bytes, more than the guest's memory can hold", path,
				    (unsigned long long)file->size);
	return NULL;
}

/* A chunk; with an error, *ret bytes of it that are before what is missing. */
static struct error *read_chunk(struct guest *guest, const struct guest_file *file, uint64_t offset, char *buffer,
				size_t *ret)
{
	struct error *error = guest_file_read(guest, file, offset, buffer, CHUNK, ret), *last = NULL;
	size_t done = 0, n = 1;

	if (!error)
		return NULL;
	while (!last && n && done + STEP <= CHUNK) {
		last = guest_file_read(guest, file, offset + done, buffer + done, STEP, &n);
		done += last ? 0 : n;
	}
	error_destroy(last);
	*ret = done;
	return error;
}

/* Reads once even where there is nothing: a file of /proc is empty only because it is made when it is read. */
static struct error *read_chunks(struct guest *guest, const struct guest_file *file, chunk_function put, void *data)
{
	_cleanup_(free_ptr) char *buffer = malloc(CHUNK);
	uint64_t offset = 0;
	size_t n = 0;

	if (!buffer)
		return error_no_memory();
	do {
		struct error *error = read_chunk(guest, file, offset, buffer, &n);

		put(data, buffer, n);
		if (error)
			return error;
		offset += n;
	} while (n == CHUNK && !ferror(stdout));
	return NULL;
}

static void put_raw(void *data, const char *bytes, size_t size)
{
	fwrite(bytes, 1, size, stdout);
}

static void put_escaped(void *data, const char *bytes, size_t size)
{
	escape_print(stdout, bytes, size, ESCAPE_LINES);
}

static void put_base64(void *data, const char *bytes, size_t size)
{
	json_out_base64_part(data, bytes, size);
}

static struct error *show_json(struct guest *guest, const char *path, const struct guest_file *file)
{
	struct json_out out = json_out_begin(stdout);
	struct error *error;

	json_out_text(&out, "path", path);
	json_out_u64(&out, "size", file->size);
	json_out_u64(&out, "mode", file->mode & 07777);
	json_out_u64(&out, "uid", file->uid);
	json_out_u64(&out, "gid", file->gid);
	json_out_i64(&out, "mtime_s", file->mtime_s);
	json_out_base64_begin(&out, "base64");
	error = read_chunks(guest, file, put_base64, &out);
	json_out_base64_end(&out);
	json_out_end(&out, error ? error->message : NULL);
	return error;
}

static struct error *take_path(const struct invocation *invocation, const char **ret)
{
	const char *const *words = invocation->rest;

	if (!words)
		return error_remedy(error_create(ERROR_USAGE, "cat: which path?"), "ouassister cat --help");
	if (words[1])
		return error_create(ERROR_USAGE, "cat: one word too many: %s", words[1]);
	if (*words[0] != '/')
		return error_create(ERROR_USAGE, "cat: %s: the path must be absolute", words[0]);
	*ret = words[0];
	return NULL;
}

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	const char *path = NULL;
	struct error *error = take_path(invocation, &path);

	if (!error)
		error = source_open(invocation, &source);
	if (!error)
		error = guest_file_find(source.guest, path, true, &file);
	if (!error)
		error = check_file(&source, path, &file);
	if (error)
		return error;
	if (invocation->json)
		return show_json(source.guest, path, &file);
	return read_chunks(source.guest, &file, isatty(STDOUT_FILENO) == 1 ? put_escaped : put_raw, NULL);
}

const struct verb verb_cat = {
	.name = "cat",
	.arguments = "VM PATH",
	.summary = "print a file out of the guest's tmpfs or page cache",
	.reads_memory = true,
	.takes_rest = true,
	.show = show,
};
