/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file system of the guest: a loop device over its part of the exported disk, the replay of
 * its journal, and read-only mounts, by a reader in userspace (ext2 to ext4) or the host's kernel.
 */
#ifndef DISK_FILESYSTEM_H
#define DISK_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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
	enum disk_way way;
	const char *run_dir; /* of the disk; borrowed */
	/* Of DISK_WAY_USERSPACE: */
	int image_fd;                 /* the disk, for reading only */
	char *mounted_at;             /* where its first mount is, which others are copies of; NULL: not mounted */
	pid_t reader, shifted_reader; /* 0: none */
};

/*
 * Attaches and replays; with `memory` (may be NULL) that tells of this file system, what memory has is laid over it
 * instead. `disk_fd` is open for writing: a throw-away; `disk_path` is its name, `run_dir` a directory of
 * the disk's own, both borrowed until deinit. What cannot be used is said by partition and reason. Deinit after a
 * failure, too.
 */
struct file_system_options {
	int disk_fd;
	const char *disk_path, *run_dir;
	const struct partition *partition;
	const struct disk_memory *memory;
	enum disk_way way;
};
struct error *file_system_open(const struct file_system_options *options, struct file_system *ret) _must_check_;

/*
 * Mounts it read-only on the directory `path`. `subvolume` and `subvolume_id` are btrfs's, NULL
 * for the default one; others ignore them.
 */
struct error *file_system_mount(struct file_system *fs, const char *subvolume, const char *subvolume_id,
				const char *path) _must_check_;

/* The same of all of it with other ids, as disk_mount_shifted() has it; once, and only where a process reads it. */
struct error *file_system_mount_shifted(struct file_system *fs, uint32_t base, uint32_t count, const char *path)
	_must_check_;

/* Whether a process reads it, and not the host's kernel. */
bool file_system_in_userspace(const struct file_system *fs);

/* Drops our hold of the device; mounts keep theirs. Nothing is mounted after that, but with other ids. */
void file_system_release(struct file_system *fs);

/* The mounts of it are to be gone before. `newer` stays: disk_newer_deinit(). */
void file_system_deinit(struct file_system *fs);

#endif
