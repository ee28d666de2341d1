/* SPDX-License-Identifier: Apache-2.0 */
/* A path that is put together from its last name to its first, as links to parents lead. Private to guest/. */
#ifndef GUEST_PATH_TEXT_H
#define GUEST_PATH_TEXT_H

#include <stddef.h>

#include "base/error.h"

#define FILE_NAME_SIZE 256u  /* NAME_MAX and a NUL */
#define FILE_PATH_SIZE 4096u /* PATH_MAX; the kernel itself gives up on longer ones */

/* Grows to the left; names[start] is the first byte. */
struct path_text {
	char names[FILE_PATH_SIZE + 1];
	size_t start;
};
void path_text_init(struct path_text *text);
/* Puts "/name" in front. One that gets too long is ERROR_FORMAT: so any circle of names ends. */
struct error *path_text_prepend(struct path_text *text, const char *name) _must_check_;
/* The path, "/" if it has no names, with `suffix` behind it; malloc'd. */
struct error *path_text_take(const struct path_text *text, const char *suffix, char **ret) _must_check_;

#endif
