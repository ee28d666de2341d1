/* SPDX-License-Identifier: Apache-2.0 */
#include "update/restart_changed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_changes(const void *a, const void *b)
{
	return strcmp((*(const struct change *const *)a)->path, (*(const struct change *const *)b)->path);
}

/* As the payload is made (bundle/payload_write.c): then only attributes travel, and the inode stays. */
static bool keeps_inode(const struct change *change)
{
	const struct change_preimage *before = &change->before;

	if (change->kind == CHANGE_ATTRIBUTES)
		return true;
	return change->kind == CHANGE_WRITE && before->exists && S_ISREG(before->attributes.mode) &&
	       before->nlink == 1 && before->size == change->size &&
	       memcmp(before->sha256, change->sha256, SHA256_SIZE) == 0;
}

static bool keeps_content(const struct change *change)
{
	const struct change_preimage *before = &change->before;

	if (change->kind == CHANGE_ATTRIBUTES)
		return true;
	return change->kind == CHANGE_WRITE && before->exists && S_ISREG(before->attributes.mode) &&
	       before->size == change->size && memcmp(before->sha256, change->sha256, SHA256_SIZE) == 0;
}

/* Changes by path, for the one that a link is another name of. */
struct by_path {
	const struct change **items;
	size_t n;
};

static struct error *by_path_init(const struct change_list *list, struct by_path *ret)
{
	ret->items = calloc(list->n + 1, sizeof(*ret->items));
	if (!ret->items)
		return error_no_memory();
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind != CHANGE_DELETE)
			ret->items[ret->n++] = &list->items[i];
	qsort(ret->items, ret->n, sizeof(*ret->items), compare_changes);
	return NULL;
}

static const struct change *by_path_find(const struct by_path *index, const char *path)
{
	const struct change key = {.path = (char *)path}, *pointer = &key;
	const struct change **found = bsearch(&pointer, index->items, index->n, sizeof(*index->items), compare_changes);

	return found ? *found : NULL;
}

/* A name of a file that stays, and had this name before. */
static bool is_link_already(const struct change *change, const struct by_path *index)
{
	const struct change *target;

	if (change->kind != CHANGE_LINK || !change->before.exists)
		return false;
	target = by_path_find(index, change->target);
	return target && keeps_inode(target) && target->before.exists && target->before.inode == change->before.inode;
}

static size_t bucket_of(const struct restart_changed *changed, struct restart_device device, uint64_t inode)
{
	uint64_t hash = (inode ^ ((uint64_t)device.major << 40) ^ ((uint64_t)device.minor << 20)) *
			UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(hash >> 32) & (changed->n_buckets - 1);
}

static void add_file(struct restart_changed *changed, struct restart_device device, const struct change *change)
{
	size_t bucket = bucket_of(changed, device, change->before.inode);

	if (restart_changed_inode(changed, device, change->before.inode))
		return;
	changed->files[changed->n++] = (struct restart_file){.device = device,
							     .inode = change->before.inode,
							     .path = change->path,
							     .next = changed->buckets[bucket]};
	changed->buckets[bucket] = (uint32_t)changed->n;
}

static struct error *make_room(struct restart_changed *changed, size_t n)
{
	changed->n_buckets = 64;
	while (changed->n_buckets < 2 * n)
		changed->n_buckets *= 2;
	changed->files = calloc(n + 1, sizeof(*changed->files));
	changed->buckets = calloc(changed->n_buckets, sizeof(*changed->buckets));
	changed->paths = calloc(n + 1, sizeof(*changed->paths));
	return changed->files && changed->buckets && changed->paths ? NULL : error_no_memory();
}

struct error *restart_changed_init(const struct change_list *changes, const struct restart_device *devices,
				   size_t n_devices, struct restart_changed *ret)
{
	struct restart_changed changed = {0};
	struct by_path index = {0};
	struct error *error = make_room(&changed, changes->n);

	if (!error)
		error = by_path_init(changes, &index);
	for (size_t i = 0; !error && i < changes->n; i++) {
		const struct change *change = &changes->items[i];
		const struct change_preimage *before = &change->before;

		if (is_link_already(change, &index))
			continue;
		if (!keeps_content(change))
			changed.paths[changed.n_paths++] = change->path;
		if (!keeps_inode(change) && before->exists && S_ISREG(before->attributes.mode) &&
		    change->layer < n_devices)
			add_file(&changed, devices[change->layer], change);
	}
	free(index.items);
	if (error) {
		restart_changed_deinit(&changed);
		return error;
	}
	qsort(changed.paths, changed.n_paths, sizeof(*changed.paths), compare_paths);
	*ret = changed;
	return NULL;
}

void restart_changed_deinit(struct restart_changed *changed)
{
	free(changed->files);
	free(changed->buckets);
	free(changed->paths);
	*changed = (struct restart_changed){0};
}

struct restart_file *restart_changed_inode(const struct restart_changed *changed, struct restart_device device,
					   uint64_t inode)
{
	uint32_t i = changed->n_buckets ? changed->buckets[bucket_of(changed, device, inode)] : 0;

	for (; i; i = changed->files[i - 1].next) {
		struct restart_file *file = &changed->files[i - 1];

		if (file->inode == inode && file->device.major == device.major && file->device.minor == device.minor)
			return file;
	}
	return NULL;
}

bool restart_changed_path(const struct restart_changed *changed, const char *path)
{
	return changed->n_paths &&
	       bsearch(&path, changed->paths, changed->n_paths, sizeof(*changed->paths), compare_paths) != NULL;
}

/* Before "DIRECTORY/". */
static bool is_before(const void *item, const void *directory)
{
	const char *path = *(const char *const *)item;
	size_t length = strlen(directory);
	int order = strncmp(path, directory, length);

	return order < 0 || (order == 0 && (unsigned char)path[length] < '/');
}

size_t restart_changed_below(const struct restart_changed *changed, const char *directory, const char *const **ret)
{
	size_t low = array_lower_bound(changed->paths, changed->n_paths, sizeof(*changed->paths), directory, is_before);
	size_t n = 0, length = strlen(directory);

	while (low + n < changed->n_paths && !strncmp(changed->paths[low + n], directory, length) &&
	       changed->paths[low + n][length] == '/')
		n++;
	*ret = changed->paths + low;
	return n;
}
