/* SPDX-License-Identifier: Apache-2.0 */
#include "update/newer.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"

static void log_mount(const char *vm, const struct disk_mount *mount)
{
	const struct disk_newer *newer = mount->newer;

	if (newer->open_changes)
		log_warning(
			"%s: %llu process%s of the guest %s in the middle of a change of %s: it may be seen by half",
			vm, (unsigned long long)newer->open_changes, newer->open_changes == 1 ? "" : "es",
			newer->open_changes == 1 ? "was" : "were", mount->target);
	for (size_t i = 0; i < newer->n_unknown; i++)
		log_warning("%s: what the guest sees of inode %llu of %s (%s) is not known: %s", vm,
			    (unsigned long long)newer->unknown[i].inode, mount->target,
			    newer->unknown[i].path ? newer->unknown[i].path : "no path in memory",
			    newer->unknown[i].why);
}

void newer_log(const char *vm, const struct disk *disk)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n);

	for (size_t i = 0; i < n; i++)
		if (mounts[i].newer)
			log_mount(vm, &mounts[i]);
}

static struct error *describe_unknown(const struct disk_newer *newer, json_t *list)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < newer->n_unknown; i++) {
		const struct disk_unknown *unknown = &newer->unknown[i];
		json_t *item =
			json_pack("{s:I, s:n, s:s}", "inode", (json_int_t)unknown->inode, "path", "why", unknown->why);

		if (!item)
			return error_no_memory();
		if (unknown->path)
			error = json_set_bytes(item, "path", unknown->path, strlen(unknown->path));
		if (json_array_append_new(list, item) < 0 && !error)
			error = error_no_memory();
	}
	return error;
}

struct error *newer_describe(const struct disk_mount *mount, json_t *ret)
{
	const struct disk_newer *newer = mount->newer;
	json_t *list = json_array(), *object;

	if (!newer) {
		json_decref(list);
		return NULL;
	}
	object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "blocks", (json_int_t)newer->blocks, "files",
			   (json_int_t)newer->files, "bytes", (json_int_t)newer->bytes, "allocated",
			   (json_int_t)newer->allocated, "open_changes", (json_int_t)newer->open_changes, "unknown",
			   list);
	if (json_object_set_new(ret, "newer", object) < 0)
		return error_no_memory();
	return describe_unknown(newer, list);
}

/* The mount of the disk that the path, without its leading '/', lies on. */
static const struct disk_mount *mount_of(const struct disk_mount *mounts, size_t n, const char *path)
{
	const struct disk_mount *found = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *target = mounts[i].target + 1;
		size_t length = strlen(target);

		if (strncmp(path, target, length) == 0 && (!length || !path[length] || path[length] == '/') &&
		    (!found || length >= strlen(found->target + 1)))
			found = &mounts[i];
	}
	return found;
}

/* `path` as mount_of() takes it. */
static const struct disk_unknown *find_unknown(const struct disk *disk, const char *path, uint64_t inode)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n), *mount = mount_of(mounts, n, path);

	for (size_t i = 0; mount && mount->newer && i < mount->newer->n_unknown; i++)
		if (mount->newer->unknown[i].inode == inode)
			return &mount->newer->unknown[i];
	return NULL;
}

const struct disk_unknown *newer_find_unknown(const struct disk *disk, const char *path, uint64_t inode)
{
	return find_unknown(disk, path + 1, inode);
}

struct error *newer_refuse_unknown(const struct disk *disk, const struct change_list *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		const struct change *change = &changes->items[i];
		const struct disk_unknown *unknown =
			change->before.exists ? find_unknown(disk, change->path, change->before.inode) : NULL;

		if (unknown)
			return error_remedy(
				error_create(ERROR_CONFLICT,
					     "the update changes /%s, and what the guest sees of it is not "
					     "known: %s",
					     change->path, unknown->why),
				"wake the guest, let it write out its files (sync), suspend it, and try again");
	}
	return NULL;
}
