/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/paths.h"

#include <string.h>

#include "apply/room.h"

struct error *paths_init(const char *directory, const struct payload *payload, struct paths *ret)
{
	size_t size = 16;

	/* At most half full, so that a probe always meets a free place. */
	while (size < 2 * (size_t)payload->header.n_entries)
		size *= 2;
	*ret = (struct paths){.entries = payload->entries, .mask = size - 1};
	ret->table = room_create(directory, size * sizeof(*ret->table));
	return ret->table ? NULL : error_no_memory();
}

void paths_deinit(struct paths *paths)
{
	room_destroy(paths->table);
	*paths = (struct paths){};
}

/* FNV-1a, 64 bits. */
static uint64_t hash_of(const char *path, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)path[i]) * 0x100000001b3;
	return hash ^ hash >> 32;
}

/* The place of the path, or the free one where it belongs. */
static uint32_t *place_of(const struct paths *paths, const char *path, size_t n)
{
	for (size_t at = hash_of(path, n) & paths->mask;; at = (at + 1) & paths->mask) {
		uint32_t *place = &paths->table[at];
		const char *other;

		if (!*place)
			return place;
		other = paths->entries[*place - 1].change.path;
		if (!strncmp(other, path, n) && !other[n])
			return place;
	}
}

void paths_put(struct paths *paths, uint32_t i)
{
	const char *path = paths->entries[i].change.path;

	*place_of(paths, path, strlen(path)) = i + 1;
}

uint32_t paths_find(const struct paths *paths, const char *path, size_t n)
{
	return *place_of(paths, path, n) - 1;
}
