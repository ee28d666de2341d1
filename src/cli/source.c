/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/progress.h"
#include "cli/output.h"

static struct error *find_path(const struct invocation *invocation, char **ret)
{
	if (!invocation->memory)
		return update_memory_path(&invocation->settings, invocation->vm, ret);
	*ret = strdup(invocation->memory);
	return *ret ? NULL : error_no_memory();
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
		error = error_wrap(guest_open(source.image, &invocation->guest, &source.guest), "%s", source.path);
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
	return error_create(ERROR_FAILED, "%s: what was printed is incomplete: %s", source->path, incomplete->message);
}
