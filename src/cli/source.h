/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that a call is about, opened: a sleeping VM's, or the file of --memory. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "base/error.h"
#include "cli/users.h"
#include "cli/verb.h"
#include "guest/guest.h"
#include "image/image.h"

struct source {
	char *path; /* of the file */
	struct image *image;
	struct guest *guest;
};

/* Needs neither root nor a state directory where --memory is given. The result may be printed then (output_begin()). */
struct error *source_open(const struct invocation *invocation, struct source *ret) _must_check_;
void source_close(struct source *source);

/* Takes and returns the error; says so where a memory image was given instead of a VM file, without --memory. */
struct error *source_hint(const struct invocation *invocation, struct error *error) _must_check_;

/* Whether --pid, where it is given, is a number. */
struct error *source_check_pid(const struct invocation *invocation) _must_check_;

/* The task of --pid; ERROR_NOT_FOUND: the guest has none of that number. Absent option: 0. */
struct error *source_find_task(const struct source *source, const struct invocation *invocation, uint64_t *ret)
	_must_check_;

/* The first `max` bytes of a text file in memory, with a NUL after them that *ret_size does not count; the caller frees
 * it. */
struct error *source_text(const struct source *source, const char *path, size_t max, char **ret, size_t *ret_size)
	_must_check_;

/* The names of users, where the guest's page cache has them; otherwise *ret stays empty, as the caller made it. */
void source_users(const struct source *source, struct users *ret);

/* What a verb with a list ends with: a failure that says why the list is incomplete (NULL: it is not). */
struct error *source_conclude(const struct source *source, const struct error *incomplete) _must_check_;

#endif
