/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

struct error *names_add(struct names *names, const char *name)
{
	struct error *error = array_room(&names->items, names->n, sizeof(*names->items));
	char *copy = error ? NULL : strdup(name);

	if (error)
		return error;
	if (!copy)
		return error_no_memory();
	names->items[names->n++] = copy;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort(struct names *names)
{
	if (names->n > 1)
		qsort(names->items, names->n, sizeof(*names->items), compare);
}

void names_deinit(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct names){0};
}
