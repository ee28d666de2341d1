/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/progress.h"
#include "cli/output.h"

#define VM_FILE_MAX (1 << 20)

/* Whether the file is what no VM file is: large, or with bytes that text does not have. */
static bool looks_like_memory(const char *path)
{
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	char start[4096];
	ssize_t n;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return false;
	n = pread(fd, start, sizeof(start), 0);
	return status.st_size > VM_FILE_MAX || (n > 0 && memchr(start, 0, (size_t)n));
}

struct error *source_hint(const struct invocation *invocation, struct error *error)
{
	if (!error || !invocation->vm || (error->code != ERROR_USAGE && error->code != ERROR_FORMAT) ||
	    !looks_like_memory(invocation->vm))
		return error;
	return error_remedy(error, "A memory image? Give it with --memory %s", invocation->vm);
}

static struct error *find_path(const struct invocation *invocation, char **ret)
{
	if (!invocation->memory)
		return source_hint(invocation, update_memory_path(&invocation->settings, invocation->vm, ret));
	*ret = strdup(invocation->memory);
	return *ret ? NULL : error_no_memory();
}

/* Errors of the image name it already. */
static struct error *name_source(const struct source *source, struct error *error)
{
	if (error && error->path && strcmp(error->path, source->path) == 0)
		return error;
	return error_wrap(error, "%s", source->path);
}

struct error *source_open(const struct invocation *invocation, struct source *ret)
{
	_cleanup_(source_close) struct source source = {0};
	struct error *error = find_path(invocation, &source.path);

	if (error)
		return error;
	progress_step("open", "reading memory");
	error = image_open(source.path, &invocation->image, &source.image);
	if (!error)
		log_debug("%s: %s, %llu MiB", source.path, image_format(source.image),
			  (unsigned long long)(image_ram_size(source.image) >> 20));
	if (!error)
		error = name_source(&source, guest_open(source.image, &invocation->guest, &source.guest));
	if (error)
		return error;
	output_begin();
	*ret = source;
	source = (struct source){0};
	return NULL;
}

void source_close(struct source *source)
{
	guest_close(source->guest);
	image_close(source->image);
	free(source->path);
	*source = (struct source){0};
}

struct error *source_conclude(const struct source *source, const struct error *incomplete)
{
	if (!incomplete)
		return NULL;
	if (incomplete->path && strcmp(incomplete->path, source->path) == 0)
		return error_create(ERROR_FAILED, "what was printed is incomplete: %s", incomplete->message);
	return error_create(ERROR_FAILED, "%s: what was printed is incomplete: %s", source->path, incomplete->message);
}
