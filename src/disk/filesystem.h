/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file system of the guest: a loop device over its part of the exported disk, the replay of
 * its journal, and read-only mounts by the host's kernel.
 */
#ifndef DISK_FILESYSTEM_H
#define DISK_FILESYSTEM_H

#include <stdint.h>

#include "base/error.h"
#include "disk/disk.h"
#include "disk/partition.h"

struct file_system {
	const struct partition *partition; /* borrowed; kind PARTITION_FILE_SYSTEM */
	int loop_fd;                       /* -1: not attached. The device detaches itself after its last user. */
	char device[32];                   /* "/dev/loop7" */
	uint32_t ext4_mount_count;         /* s_mnt_count and s_mtime as the disk has them, before the replay */
	uint64_t ext4_mount_time_s;
	enum disk_unmounted unmounted;
	bool has_newer; /* memory was laid over it: */
	struct disk_newer newer;
};

/*
 * Attaches and replays; with `memory` that tells of this file system, what memory has is laid over it instead.
 * `disk_fd` is open for writing: a throw-away. What cannot be used is said by partition and reason. Deinit after a
 * failure, too.
 */
struct error *file_system_open(int disk_fd, const struct partition *partition, const struct disk_memory *memory,
			       struct file_system *ret) _must_check_;

/*
 * Mounts it read-only on the directory `path`. `subvolume` and `subvolume_id` are btrfs's, NULL
 * for the default one; others ignore them.
 */
struct error *file_system_mount(const struct file_system *fs, const char *subvolume, const char *subvolume_id,
				const char *path) _must_check_;

/* Drops our hold of the device; mounts keep theirs. `newer` stays: disk_newer_deinit(). */
void file_system_deinit(struct file_system *fs);

#endif
