/* SPDX-License-Identifier: Apache-2.0 */
/* A list of strings of its own that grows. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"

struct names {
	char **items; /* owned, as each of them */
	size_t n;
};

/* Appends a copy. The list stays as it is when there is no memory. */
struct error *names_add(struct names *names, const char *name) _must_check_;
/* In the order of strcmp(3). */
void names_sort(struct names *names);
void names_deinit(struct names *names);

#endif
