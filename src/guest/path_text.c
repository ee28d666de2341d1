/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/path_text.h"

#include <string.h>

#include "base/io.h"

void path_text_init(struct path_text *text)
{
	text->start = FILE_PATH_SIZE;
	text->names[FILE_PATH_SIZE] = '\0';
}

struct error *path_text_prepend(struct path_text *text, const char *name)
{
	size_t size = strlen(name);

	if (size + 1 > text->start)
		return error_create(ERROR_FORMAT, "a path of the guest has more than %u bytes", FILE_PATH_SIZE);
	text->start -= size;
	memcpy(text->names + text->start, name, size);
	text->names[--text->start] = '/';
	return NULL;
}

struct error *path_text_take(const struct path_text *text, const char *suffix, char **ret)
{
	char *path = string_format("%s%s", text->start == FILE_PATH_SIZE ? "/" : text->names + text->start, suffix);

	if (!path)
		return error_no_memory();
	*ret = path;
	return NULL;
}
