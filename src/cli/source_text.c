/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/log.h"
#include "cli/source.h"

#define PASSWD_MAX (1u << 20)

struct error *source_text(const struct source *source, const char *path, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = guest_file_find(source->guest, path, true, &file);

	if (error)
		return error;
	size = file.size < max ? file.size : max;
	text = malloc(size + 1);
	if (!text)
		return error_no_memory();
	error = guest_file_read(source->guest, &file, 0, text, size, &size);
	if (error)
		return error;
	text[size] = 0;
	*ret = take_ptr(text);
	*ret_size = size;
	return NULL;
}

static struct error *read_users(const struct source *source, struct users *ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	struct error *error = source_text(source, "/etc/passwd", PASSWD_MAX, &text, &size);

	if (!error)
		error = users_parse(text, size, ret);
	if (!error)
		text = NULL; /* it belongs to them */
	return error;
}

void source_users(const struct source *source, struct users *ret)
{
	struct error *error = read_users(source, ret);

	if (error)
		log_debug("users are shown by number: %s", error->message);
	error_destroy(error);
}
