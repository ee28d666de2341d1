/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/users.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static int by_uid(const void *left, const void *right)
{
	const struct user *a = left, *b = right;

	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	/* qsort() is not stable; the names lie in the order of the lines. */
	return a->name < b->name ? -1 : a->name > b->name;
}

/* Ends the line's name with a NUL; the line itself ends with one already. */
static bool parse_line(char *line, struct user *ret)
{
	char *name_end = strchr(line, ':');
	char *password_end = name_end ? strchr(name_end + 1, ':') : NULL;
	char *end;
	unsigned long uid;

	if (!password_end || name_end == line || password_end[1] < '0' || password_end[1] > '9')
		return false;
	uid = strtoul(password_end + 1, &end, 10);
	if (*end != ':' || uid > UINT32_MAX)
		return false;
	*name_end = 0;
	*ret = (struct user){.uid = (uint32_t)uid, .name = line};
	return true;
}

struct error *users_parse(char *text, size_t size, struct users *ret)
{
	size_t n_lines = 1;
	struct users users = {.text = text};

	for (size_t i = 0; i < size; i++)
		n_lines += text[i] == '\n';
	users.items = calloc(n_lines, sizeof(*users.items));
	if (!users.items)
		return error_no_memory();
	for (char *line = text, *end = text + size; line < end;) {
		char *next = memchr(line, '\n', (size_t)(end - line));

		/* A last line that was cut off has no newline: it is not believed. */
		if (!next)
			break;
		*next = 0;
		users.n += parse_line(line, &users.items[users.n]);
		line = next + 1;
	}
	qsort(users.items, users.n, sizeof(*users.items), by_uid);
	*ret = users;
	return NULL;
}

static bool is_before(const void *user, const void *uid)
{
	return ((const struct user *)user)->uid < *(const uint32_t *)uid;
}

const char *users_find(const struct users *users, uint32_t uid)
{
	size_t i = array_lower_bound(users->items, users->n, sizeof(*users->items), &uid, is_before);

	return i < users->n && users->items[i].uid == uid ? users->items[i].name : NULL;
}

void users_deinit(struct users *users)
{
	free(users->items);
	free(users->text);
	*users = (struct users){0};
}
