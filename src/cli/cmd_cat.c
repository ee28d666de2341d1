/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/escape.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/source.h"
#include "cli/verb.h"

#define CHUNK (3u << 16) /* a multiple of 3, so that pieces of base64 fit together */
#define STEP  4096u      /* a page */

/* Where a chunk goes. */
typedef void (*chunk_function)(void *data, const char *bytes, size_t size);

static const struct option_spec options[] = {
	{"fd", 0, "PID:N", "what the process has open as its descriptor N, with a name or without"},
	DISK_OPTIONS,
	{0},
};

/* What is printed. */
struct contents {
	const char *name; /* of the path, or of the descriptor */
	struct source source;
	struct guest_file file;   /* in memory; with `view` only its numbers */
	struct update_file *view; /* NULL: memory alone has it */
};

static void contents_deinit(struct contents *contents)
{
	update_file_close(contents->view);
	guest_file_deinit(&contents->file);
	source_close(&contents->source);
}

static struct error *check_file(const struct contents *contents)
{
	const char *path = contents->name;
	const struct guest_file *file = &contents->file;

	if (S_ISDIR(file->mode))
		return error_create(ERROR_FAILED, "%s: it is a directory", path);
	if (!S_ISREG(file->mode))
		return error_create(ERROR_FAILED, "%s: it is not a regular file", path);
	/*
	 * The kernel's limit does not bound it: a sparse file of tmpfs may claim any size. What is larger than
	 * all of the guest's RAM consists of holes for the most part.
	 */
	if (!contents->view && file->size > image_ram_size(contents->source.image))
		return error_create(ERROR_UNSUPPORTED,
				    "%s: it claims %llu bytes, more than the guest's memory can hold", path,
				    (unsigned long long)file->size);
	return NULL;
}

static struct error *read_at(struct contents *contents, uint64_t offset, char *buffer, size_t size, size_t *ret)
{
	return contents->view ? update_file_read(contents->view, offset, buffer, size, ret)
			      : guest_file_read(contents->source.guest, &contents->file, offset, buffer, size, ret);
}

/* A chunk; with an error, *ret bytes of it that are before what is missing. */
static struct error *read_chunk(struct contents *contents, uint64_t offset, char *buffer, size_t *ret)
{
	struct error *error = read_at(contents, offset, buffer, CHUNK, ret), *last = NULL;
	size_t done = 0, n = 1;

	if (!error)
		return NULL;
	while (!last && n && done + STEP <= CHUNK) {
		last = read_at(contents, offset + done, buffer + done, STEP, &n);
		done += last ? 0 : n;
	}
	error_destroy(last);
	*ret = done;
	return error;
}

/* Reads once even where there is nothing: a file of /proc is empty only because it is made when it is read. */
static struct error *read_chunks(struct contents *contents, chunk_function put, void *data)
{
	_cleanup_(free_ptr) char *buffer = malloc(CHUNK);
	uint64_t offset = 0;
	size_t n = 0;

	if (!buffer)
		return error_no_memory();
	do {
		struct error *error = read_chunk(contents, offset, buffer, &n);

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

static struct error *show_json(struct contents *contents)
{
	const struct guest_file *file = &contents->file;
	struct json_out out = json_out_begin(stdout);
	struct error *error;

	json_out_text(&out, "path", contents->name);
	json_out_u64(&out, "size", file->size);
	json_out_u64(&out, "mode", file->mode & 07777);
	json_out_u64(&out, "uid", file->uid);
	json_out_u64(&out, "gid", file->gid);
	json_out_i64(&out, "mtime_s", file->mtime_s);
	json_out_base64_begin(&out, "base64");
	error = read_chunks(contents, put_base64, &out);
	json_out_base64_end(&out);
	json_out_end(&out, error ? error->message : NULL);
	return error;
}

/* ---- Which file ---- */

/* A path, or a process and its descriptor. */
struct wanted {
	const char *path; /* NULL: */
	unsigned pid, fd;
};

static struct error *take_words(const struct invocation *invocation, struct wanted *ret)
{
	const char *const *words = invocation->rest;
	const char *descriptor = invocation_option(invocation, "fd");
	char end;

	if (descriptor && words)
		return error_create(ERROR_USAGE, "cat: a path and --fd are one too many: %s", words[0]);
	if (descriptor && strspn(descriptor, "0123456789:") == strlen(descriptor) && strlen(descriptor) < 20 &&
	    sscanf(descriptor, "%u:%u%c", &ret->pid, &ret->fd, &end) == 2)
		return NULL;
	if (descriptor)
		return error_create(ERROR_USAGE, "cat: --fd %s: a process and its descriptor, as in 431:3", descriptor);
	if (!words)
		return error_remedy(error_create(ERROR_USAGE, "cat: which path?"), "ouassister cat --help");
	if (words[1])
		return error_create(ERROR_USAGE, "cat: one word too many: %s", words[1]);
	if (*words[0] != '/')
		return error_create(ERROR_USAGE, "cat: %s: the path must be absolute", words[0]);
	ret->path = words[0];
	return NULL;
}

static struct error *find_open_file(struct contents *contents, const struct wanted *wanted)
{
	_cleanup_(guest_task_list_deinit) struct guest_task_list tasks = {0};
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list fds = {0};
	const struct guest_task *task = NULL;
	struct error *error = guest_tasks(contents->source.guest, GUEST_PROCESSES, &tasks);

	if (!error && !(task = guest_task_list_find(&tasks, wanted->pid)))
		error = error_remedy(error_create(ERROR_FAILED, "no process %u sleeps there", wanted->pid),
				     "ouassister ps lists them");
	if (!error)
		error = guest_task_fds(contents->source.guest, task->address, &fds);
	for (size_t i = 0; !error && i < fds.n; i++)
		if (fds.items[i].fd == wanted->fd)
			return guest_open_file(contents->source.guest, fds.items[i].file, &contents->file);
	return error ? error
		     : error_create(ERROR_FAILED, "process %u (%s) has no descriptor %u open", wanted->pid, task->comm,
				    wanted->fd);
}

static struct error *find_in_memory(const struct invocation *invocation, const struct wanted *wanted,
				    struct contents *contents)
{
	struct error *error = source_open(invocation, &contents->source);

	if (error)
		return error;
	return wanted->path ? guest_file_find(contents->source.guest, wanted->path, true, &contents->file)
			    : find_open_file(contents, wanted);
}

/* What the guest sees of a file of its disk is there in part and in memory in part. */
static struct error *open_view(const struct invocation *invocation, const struct wanted *wanted,
			       struct contents *contents)
{
	const struct read_options read = {.path = wanted->path,
					  .open_file = wanted->path ? NULL : &contents->file,
					  .image = invocation->image,
					  .guest = invocation->guest};
	struct stat status;
	struct error *error;

	source_close(&contents->source);
	error = update_file_open(&invocation->settings, invocation->vm, &read, &contents->view);
	output_begin();
	if (error || !wanted->path)
		return error;
	status = update_file_status(contents->view);
	guest_file_deinit(&contents->file);
	contents->file = (struct guest_file){.mode = status.st_mode,
					     .uid = status.st_uid,
					     .gid = status.st_gid,
					     .size = (uint64_t)status.st_size,
					     .mtime_s = status.st_mtim.tv_sec};
	return NULL;
}

static struct error *find(const struct invocation *invocation, struct contents *contents)
{
	struct wanted wanted = {0};
	struct error *error = take_words(invocation, &wanted);

	if (error)
		return error;
	contents->name = wanted.path ? wanted.path : invocation_option(invocation, "fd");
	error = find_in_memory(invocation, &wanted, contents);
	if (invocation->memory || (error && (error->code != ERROR_NOT_FOUND || !wanted.path)) ||
	    (!error && (contents->file.resident || (!wanted.path && !S_ISREG(contents->file.mode)))))
		return error;
	error_destroy(error);
	return open_view(invocation, &wanted, contents);
}

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(contents_deinit) struct contents contents = {0};
	struct error *error = find(invocation, &contents);

	if (!error)
		error = check_file(&contents);
	if (error)
		return error;
	if (invocation->json)
		return show_json(&contents);
	return read_chunks(&contents, isatty(STDOUT_FILENO) == 1 ? put_escaped : put_raw, NULL);
}

const struct verb verb_cat = {
	.name = "cat",
	.arguments = "VM PATH",
	.summary = "print a file as the sleeping guest sees it",
	.reads_memory = true,
	.takes_rest = true,
	.supervised = true,
	.options = options,
	.show = show,
};
