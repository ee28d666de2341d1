/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's user names, out of its own passwd file. */
#ifndef CLI_USERS_H
#define CLI_USERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct user {
	uint32_t uid;
	const char *name; /* in users.text */
};

struct users {
	struct user *items; /* by uid, the first line of a uid first */
	size_t n;
	char *text;
};

/* Takes NAME:X:UID:… out of the lines; others are passed over. `text` is taken over on success. */
struct error *users_parse(char *text, size_t size, struct users *ret) _must_check_;
/* NULL: no name is known. */
const char *users_find(const struct users *users, uint32_t uid);
void users_deinit(struct users *users);

#endif
