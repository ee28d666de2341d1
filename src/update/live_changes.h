/* SPDX-License-Identifier: Apache-2.0 */
/* What an update's changes do to live files, and what becomes of those that need not be done by exchanging a file. */
#ifndef UPDATE_LIVE_CHANGES_H
#define UPDATE_LIVE_CHANGES_H

#include "update/live.h"

/* A change that a bundle must not hold. */
struct live_conflict {
	const struct shadow_live_file *file; /* borrowed of the live files; NULL: none is left */
	const char *path;                    /* of the change, without the leading '/'; borrowed of the list */
};

/*
 * Takes out of the list what can be done to the file as it is: a log's new lines, an owner, a mode. They become
 * actions, appended to `actions`, and go to `became` (NULL: away). The first change that cannot be done so ends it:
 * *ret.
 */
struct error *live_resolve(const struct live *live, const struct change_layer *layers, size_t n_layers,
			   struct change_list *changes, struct action_list *actions, struct change_list *became,
			   struct live_conflict *ret) _must_check_;

/* Whether the content is the old one with something behind it. `old_size` bytes of it have the hash. */
struct error *live_only_grew(int fd, uint64_t old_size, const uint8_t sha256[SHA256_SIZE], bool *ret) _must_check_;

#endif
