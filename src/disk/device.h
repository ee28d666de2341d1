/* SPDX-License-Identifier: Apache-2.0 */
/* A descriptor as libext2fs reads and writes it, for a process that has no names of files. Private to the room. */
#ifndef DISK_DEVICE_H
#define DISK_DEVICE_H

#include <ext2fs/ext2fs.h>
#include <stdint.h>

/*
 * Opens the file system in `size` bytes from `start` on of `fd`, which is borrowed. `flags` as ext2fs_open2(). What
 * lies outside of them is neither read nor written, whatever the file system says. Not for two threads.
 */
errcode_t device_open(int fd, uint64_t start, uint64_t size, int flags, ext2_filsys *ret);

#endif
