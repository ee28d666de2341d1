/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much room the shadow's programs have used on each of the guest's file systems since the shadow was made. What
 * they delete of the guest's own files frees nothing here; what they wrote and delete again does.
 *
 * All layers share one store. What is used of it is known at once; how it divides takes a walk over the layers but for
 * the first one, which most guests do not have and which is done again only after a while.
 */
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/array.h"
#include "base/io.h"
#include "shadow/usage.h"

#define WALK_ENTRIES_MAX 200000u
/* A walk is good for a second, and for so many times as long as it took. */
#define WALK_TIMES       20u

static struct room room_of(const struct statfs *fs)
{
	return (struct room){.bytes = (int64_t)(fs->f_blocks - fs->f_bfree) * fs->f_bsize,
			     .files = (int64_t)(fs->f_files - fs->f_ffree)};
}

static struct room less(struct room a, struct room b)
{
	return (struct room){.bytes = a.bytes - b.bytes, .files = a.files - b.files};
}

/* What lies below the directory, links counted once for each name. */
static struct room walk(int fd)
{
	char path[40];
	char *paths[] = {path, NULL};
	struct room room = {0};
	unsigned n = 0;
	FTS *tree;
	FTSENT *entry;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/.", fd);
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	while (tree && (entry = fts_read(tree)) && n++ < WALK_ENTRIES_MAX) {
		if (entry->fts_level == 0 || entry->fts_info == FTS_DP || entry->fts_info == FTS_NS)
			continue;
		room.bytes += (int64_t)entry->fts_statp->st_blocks * 512;
		room.files++;
	}
	if (tree)
		fts_close(tree);
	return room;
}

static struct room measure(struct usage *usage)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct statfs fs;

	if (!usage->walked)
		return fstatfs(usage->fd, &fs) < 0 ? usage->before : room_of(&fs);
	if (usage->good_until_ns == 0 || now_ns > usage->good_until_ns) {
		usage->last = walk(usage->fd);
		usage->good_until_ns = clock_monotonic_ns();
		usage->good_until_ns += 1000000000 + (usage->good_until_ns - now_ns) * WALK_TIMES;
	}
	return usage->last;
}

struct room usage_since(struct shadow *shadow, uint32_t major, uint32_t minor)
{
	struct room used = {0};

	for (size_t i = 0; i < shadow->n_usages; i++) {
		struct usage *usage = &shadow->usages[i];
		struct room since;

		if (usage->major != major || usage->minor != minor)
			continue;
		since = less(measure(usage), usage->before);
		/* The first layer is what the others leave of the store. */
		for (size_t k = 0; usage->store && k < shadow->n_usages; k++)
			if (shadow->usages[k].walked)
				since = less(since, less(measure(&shadow->usages[k]), shadow->usages[k].before));
		used.bytes += since.bytes;
		used.files += since.files;
	}
	return used;
}

/* Takes a duplicate of `fd`. */
static struct error *add(struct shadow *shadow, struct usage usage, int fd)
{
	struct error *error = array_room(&shadow->usages, shadow->n_usages, sizeof(usage));

	if (error)
		return error;
	usage.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (usage.fd < 0)
		return error_system(errno, NULL, "cannot keep a directory of the shadow");
	usage.before = measure(&usage);
	shadow->usages[shadow->n_usages++] = usage;
	return NULL;
}

/* NULL: memory does not know that mount point. */
static const struct guest_mount *find_target(const struct shadow *shadow, const char *target)
{
	for (size_t i = shadow->mounts.n; i > 0; i--)
		if (strcmp(shadow->mounts.items[i - 1].target, target) == 0)
			return &shadow->mounts.items[i - 1];
	return NULL;
}

struct error *usage_begin(struct shadow *shadow)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < shadow->n_layers; i++) {
		const struct guest_mount *mount = find_target(shadow, shadow->layers[i].target);

		if (mount)
			error = add(
				shadow,
				(struct usage){
					.major = mount->major, .minor = mount->minor, .store = i == 0, .walked = i > 0},
				shadow->layers[i].upper_raw_fd);
	}
	for (size_t i = 0; !error && i < shadow->n_tmpfs; i++) {
		const struct mounted_tmpfs *tmpfs = &shadow->tmpfs[i];
		_cleanup_(close_fd) int fd = open(tmpfs->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			error = add(shadow, (struct usage){.major = tmpfs->major, .minor = tmpfs->minor}, fd);
	}
	return error;
}

void usage_end(struct shadow *shadow)
{
	for (size_t i = 0; i < shadow->n_usages; i++)
		close(shadow->usages[i].fd);
	free(shadow->usages);
	shadow->usages = NULL;
	shadow->n_usages = 0;
}
