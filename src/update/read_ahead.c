/* SPDX-License-Identifier: Apache-2.0 */
#include "update/read_ahead.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/io.h"
#include "base/log.h"

/* Of all file systems: 64 MiB that are read in vain are enough, and an argument takes 128 KiB. */
#define RANGES_MAX   4096
#define KIB_MAX      (64u << 10)
#define RANGE_LENGTH 24

struct inodes {
	struct disk_inode *items;
	size_t n;
};

static struct error *append(struct inodes *inodes, uint64_t number, bool directory)
{
	struct error *error = array_room(&inodes->items, inodes->n, sizeof(*inodes->items));

	if (!error)
		inodes->items[inodes->n++] = (struct disk_inode){.number = number, .directory = directory};
	return error;
}

/* Where a path of the guest is below its layer's target; NULL: it is not. */
static const char *below(const char *path, const char *target)
{
	size_t n = strlen(target + 1);

	if (!n)
		return path;
	if (strncmp(path, target + 1, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path + n + (path[n] == '/');
}

/* Each directory on the way to the entry that is not on the way to the one before it. */
static struct error *append_parents(const struct change_layer *layer, const char *path, const char *before,
				    struct inodes *inodes)
{
	struct error *error = NULL;

	for (const char *slash = strchr(path, '/'); slash && !error; slash = strchr(slash + 1, '/')) {
		size_t n = (size_t)(slash - path);
		_cleanup_(free_ptr) char *parent = strndup(path, n);
		_cleanup_(close_fd) int fd = -1;
		struct stat s;

		if (!parent)
			return error_no_memory();
		if (!strncmp(before, path, n) && before[n] == '/')
			continue;
		fd = io_openat2(layer->lower_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (fd < 0 || fstat(fd, &s) < 0)
			return NULL;
		error = append(inodes, s.st_ino, true);
	}
	return error;
}

static struct error *collect(const struct change_layer *layer, unsigned number, const struct change_list *changes,
			     struct inodes *ret)
{
	struct error *error = NULL;
	const char *before = "";

	for (size_t i = 0; i < changes->n && !error; i++) {
		const struct change *change = &changes->items[i];
		const char *path = change->layer == number ? below(change->path, layer->target) : NULL;

		if (!path)
			continue;
		error = append_parents(layer, path, before, ret);
		if (!error && change->before.exists)
			error = append(ret, change->before.inode, S_ISDIR(change->before.attributes.mode));
		before = path;
	}
	return error;
}

static json_t *to_json(const struct disk_range *ranges, size_t n)
{
	json_t *list = json_array();
	uint64_t kib = 0;

	for (size_t i = 0; i < n && i < RANGES_MAX; i++) {
		kib += ranges[i].size >> 10;
		if (kib > KIB_MAX || json_array_append_new(list, json_integer((json_int_t)ranges[i].start >> 10)) < 0 ||
		    json_array_append_new(list, json_integer((json_int_t)ranges[i].size >> 10)) < 0)
			break;
	}
	return list;
}

static const struct disk_mount *find_mount(const struct disk *disk, const char *target)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(mounts[i].target, target))
			return !strncmp(mounts[i].type, "ext", 3) ? &mounts[i] : NULL;
	return NULL;
}

/* Of one layer; *ret stays NULL where its file system does not tell. */
static struct error *describe(const struct disk *disk, const struct change_layer *layer, unsigned number,
			      const struct change_list *changes, json_t **ret)
{
	const struct disk_mount *mount = find_mount(disk, layer->target);
	_cleanup_(free_ptr) struct disk_range *ranges = NULL;
	struct inodes inodes = {0};
	struct error *error;
	size_t n = 0;

	if (!mount)
		return NULL;
	error = collect(layer, number, changes, &inodes);
	if (!error && inodes.n)
		error = disk_metadata(disk, mount, inodes.items, inodes.n, &ranges, &n);
	if (!error && n)
		*ret = json_pack("{s:s, s:o}", "target", layer->target, "kib", to_json(ranges, n));
	free(inodes.items);
	return error;
}

json_t *read_ahead_describe(const struct disk *disk, const struct change_layer *layers, size_t n_layers,
			    const struct change_list *changes)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n_layers && json_array_size(list) < HELPER_READ_AHEAD_MAX; i++) {
		json_t *one = NULL;
		struct error *error = describe(disk, &layers[i], (unsigned)i, changes, &one);

		/* The update is as good without. */
		if (error)
			log_debug("%s: nothing to be read ahead: %s", layers[i].target, error->message);
		error_destroy(error);
		if (one)
			json_array_append_new(list, one);
	}
	return list;
}

static char *to_word(const json_t *one)
{
	const char *target = json_string_value(json_object_get(one, "target"));
	const json_t *kib = json_object_get(one, "kib");
	size_t n = json_array_size(kib) & ~(size_t)1, size, used = 0;
	char *word;

	if (!target || *target != '/' || n == 0 || n > 2 * RANGES_MAX)
		return NULL;
	size = n / 2 * (2 * RANGE_LENGTH) + strlen(target) + 2;
	word = malloc(size);
	for (size_t i = 0; word && i < n; i += 2) {
		json_int_t start = json_integer_value(json_array_get(kib, i)),
			   length = json_integer_value(json_array_get(kib, i + 1));

		if (start < 0 || length <= 0 || length > KIB_MAX) {
			free(word);
			return NULL;
		}
		used += (size_t)snprintf(word + used, size - used, "%s%" PRIdMAX "+%" PRIdMAX, i ? "," : "",
					 (intmax_t)start, (intmax_t)length);
	}
	if (word)
		snprintf(word + used, size - used, ":%s", target);
	return word;
}

size_t read_ahead_words(const json_t *document, char *words[HELPER_READ_AHEAD_MAX])
{
	size_t n = 0, i;
	json_t *one;

	json_array_foreach(document, i, one)
	{
		char *word = n < HELPER_READ_AHEAD_MAX ? to_word(one) : NULL;

		if (word)
			words[n++] = word;
	}
	return n;
}
