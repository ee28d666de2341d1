/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ext2, ext3 or ext4 file system of a guest as a read-only mount that the host's kernel does not parse: a process
 * of its own reads it through libext2fs and answers by FUSE. That process has an id that owns nothing, no capability,
 * an empty root, a short list of system calls, and no file but the disk (read-only) and its end of the mount; it
 * ends with its file system, and with the thread that started it.
 */
#ifndef DISK_EXT4_EXT4_H
#define DISK_EXT4_EXT4_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "disk/ext4/shift.h"

struct ext4_mount_options {
	int disk_fd;           /* the whole disk, open for reading only; borrowed */
	uint64_t start, size;  /* bytes: where in it the file system is */
	const char *name;      /* what the table of mounts calls it: "partition 1" */
	const char *directory; /* an existing one of ours, to put an empty root on where nobody else sees it */
	struct shift shift;
};

/*
 * *ret_mount: a mount (read-only, nosuid, nodev) that is nowhere yet. *ret_process: the caller ends it by
 * process_stop(), after the last mount is gone. ERROR_FORMAT, ERROR_UNSUPPORTED: what libext2fs says of it.
 */
struct error *ext4_mount(const struct ext4_mount_options *options, int *ret_mount, pid_t *ret_process) _must_check_;

#endif
