/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path to the entry that touched it last: what the tree will look like at each point of
 * the payload's list, without carrying it out. 8 to 16 bytes an entry, in a room (apply/room.h) of `directory`.
 */
#ifndef APPLY_PATHS_H
#define APPLY_PATHS_H

#include <stddef.h>
#include <stdint.h>

#include "bundle/payload.h"

struct paths {
	const struct payload_entry *entries; /* borrowed */
	uint32_t *table;                     /* entry + 1, 0 for free */
	size_t mask;
};

struct error *paths_init(const char *directory, const struct payload *payload, struct paths *ret) _must_check_;
void paths_deinit(struct paths *paths);

/* Entry `i` is now the last one of its path. */
void paths_put(struct paths *paths, uint32_t i);
/* The last entry of the path of `n` bytes, UINT32_MAX if none. */
uint32_t paths_find(const struct paths *paths, const char *path, size_t n);

#endif
