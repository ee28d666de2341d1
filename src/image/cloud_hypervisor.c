/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.json is a tree of snapshots; somewhere in it the memory manager's has a member
 * memory_ranges: {data: [{gpa, length}…]} (MemoryManagerSnapshotData and MemoryRangeTable of its
 * sources). A snapshot's own state is JSON in a string.
 */
#include "image/cloud_hypervisor.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "image/map.h"

/* The states of some hundred devices take less than 1 MiB. */
#define STATE_SIZE_MAX  (16u << 20)

/* The tree is four levels deep; strings of JSON within strings of JSON could go on. */
#define STATE_DEPTH_MAX 16u

static json_t *find_ranges(json_t *value, unsigned depth);

/* A new reference to the ranges within a string that may be JSON, or NULL. */
static json_t *find_in_text(const json_t *string, unsigned depth)
{
	_cleanup_(json_decref_ptr) json_t *inner = NULL;
	const char *text = json_string_value(string);

	if (!strstr(text, "memory_ranges"))
		return NULL;
	inner = json_loadb(text, json_string_length(string), 0, NULL);
	return inner ? find_ranges(inner, depth) : NULL;
}

/* A new reference to the first array memory_ranges.data in the tree, or NULL. */
static json_t *find_ranges(json_t *value, unsigned depth)
{
	json_t *data = json_object_get(json_object_get(value, "memory_ranges"), "data"), *found = NULL, *item;
	const char *key;

	if (json_is_array(data))
		return json_incref(data);
	if (depth >= STATE_DEPTH_MAX)
		return NULL;
	if (json_is_string(value))
		return find_in_text(value, depth + 1);
	json_object_foreach(value, key, item)
	{
		found = find_ranges(item, depth + 1);
		if (found)
			return found;
	}
	return NULL;
}

static struct error *read_range(const json_t *item, struct cloud_hypervisor_range *ret)
{
	struct error *error = json_get_u64(item, "gpa", &ret->start);

	return error ? error : json_get_u64(item, "length", &ret->size);
}

static struct error *read_ranges(const json_t *data, struct cloud_hypervisor_ranges *ret)
{
	_cleanup_(cloud_hypervisor_ranges_deinit) struct cloud_hypervisor_ranges ranges = {0};
	size_t n = json_array_size(data);

	if (n == 0 || n > IMAGE_REGIONS_MAX)
		return error_create(ERROR_FORMAT, "it names %zu ranges of memory", n);
	ranges.items = calloc(n, sizeof(*ranges.items));
	if (!ranges.items)
		return error_no_memory();
	for (; ranges.n < n; ranges.n++) {
		struct error *error = read_range(json_array_get(data, ranges.n), &ranges.items[ranges.n]);

		if (error)
			return error;
	}
	*ret = ranges;
	ranges = (struct cloud_hypervisor_ranges){0};
	return NULL;
}

struct error *cloud_hypervisor_ranges_load(const char *memory_path, struct cloud_hypervisor_ranges *ret)
{
	const char *slash = strrchr(memory_path, '/');
	int directory_size = slash ? (int)(slash + 1 - memory_path) : 0;
	_cleanup_(free_ptr) char *path = string_format("%.*s" CLOUD_HYPERVISOR_STATE, directory_size, memory_path);
	_cleanup_(json_decref_ptr) json_t *state = NULL;
	_cleanup_(json_decref_ptr) json_t *data = NULL;
	struct error *error;

	if (!path)
		return error_no_memory();
	error = json_load_path(path, STATE_SIZE_MAX, &state);
	if (error)
		return error_remedy(error, "Cloud Hypervisor writes " CLOUD_HYPERVISOR_STATE " beside the memory: keep "
					   "them together");
	data = find_ranges(state, 0);
	if (!data)
		return error_format(path, ERROR_NO_ADDRESS, "no memory_ranges in Cloud Hypervisor's state");
	error = read_ranges(data, ret);
	return error_wrap(error, "%s", path);
}

void cloud_hypervisor_ranges_deinit(struct cloud_hypervisor_ranges *ranges)
{
	free(ranges->items);
	*ranges = (struct cloud_hypervisor_ranges){0};
}
