/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sleeping guest's disk as it sees it, for others to look at.
 *
 *   disk-view [--alone] MEMORY FORMAT IMAGE COMMAND
 *
 * Runs COMMAND by the shell with IMAGE in the environment (the whole disk as a raw file), and for each file system
 * MOUNT0, MOUNT1, … (where it is mounted, the root first) and START0, … (where it begins, bytes). Prints first what
 * only memory had, a line each; --alone: the disk without memory. Needs root, works in the current directory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "disk/disk.h"

static int fail(struct error *error)
{
	fprintf(stderr, "disk-view: %s\n", error->message);
	error_destroy(error);
	return 1;
}

static struct error *open_all(const char *const *argv, bool alone, struct guest *guest, struct disk **ret)
{
	struct guest_mount_list mounts = {0};
	struct guest_file_system *systems = NULL;
	struct disk_memory memory = {.mounts = &mounts, .guest = alone ? NULL : guest};
	struct disk_options options = {.path = argv[2], .format = argv[1], .work_dir = ".", .memory = &memory};
	struct error *error = guest_mounts(guest, 0, &mounts);

	if (!error)
		error = guest_mounts_visible(&mounts);
	if (!error)
		error = guest_file_systems(guest, &systems, &memory.n_systems);
	memory.systems = systems;
	if (!error)
		error = disk_private_namespace();
	if (!error)
		error = disk_open(&options, ret);
	free(systems);
	guest_mount_list_deinit(&mounts);
	return error;
}

static void describe(const struct disk_mount *mount)
{
	const struct disk_newer *newer = mount->newer;

	if (!newer) {
		printf("# %s: the disk alone\n", mount->target);
		return;
	}
	printf("# %s: %" PRIu64 " blocks, %" PRIu64 " files with %" PRIu64 " bytes, %" PRIu64
	       " blocks without a place, %" PRIu64 " compared, %" PRIu64 " changes open, %zu unknown\n",
	       mount->target, newer->blocks, newer->files, newer->bytes, newer->allocated, newer->compared,
	       newer->open_changes, newer->n_unknown);
	for (size_t i = 0; i < newer->n_unknown; i++)
		printf("# unknown %" PRIu64 " %s: %s\n", newer->unknown[i].inode,
		       newer->unknown[i].path ? newer->unknown[i].path : "?", newer->unknown[i].why);
}

static void set_variable(const char *name, size_t i, const char *value)
{
	char full[32];

	snprintf(full, sizeof(full), "%s%zu", name, i);
	setenv(full, value, 1);
}

int main(int argc, char **argv)
{
	bool alone = argc > 1 && strcmp(argv[1], "--alone") == 0;
	const char *const *words = (const char *const *)argv + 1 + alone;
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(guest_close_ptr) struct guest *guest = NULL;
	_cleanup_(disk_close_ptr) struct disk *disk = NULL;
	const struct disk_mount *mounts;
	struct error *error;
	size_t n;

	if (argc - alone != 5) {
		fprintf(stderr, "usage: disk-view [--alone] MEMORY FORMAT IMAGE COMMAND\n");
		return 2;
	}
	error = image_open(words[0], NULL, &image);
	if (!error)
		error = guest_open(image, NULL, &guest);
	if (!error)
		error = open_all(words, alone, guest, &disk);
	if (error)
		return fail(error);
	mounts = disk_mounts(disk, &n);
	setenv("IMAGE", disk_image(disk), 1);
	for (size_t i = 0; i < n; i++) {
		char start[32];

		describe(&mounts[i]);
		snprintf(start, sizeof(start), "%" PRIu64, mounts[i].start);
		set_variable("MOUNT", i, mounts[i].path);
		set_variable("START", i, start);
	}
	fflush(stdout);
	return system(words[3]) == 0 ? 0 : 1; /* the tests' own words */
}
