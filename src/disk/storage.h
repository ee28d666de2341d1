/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the virtual disk as a plain, writable file: a throw-away qcow2 overlay above the
 * image's chain, served by qemu-storage-daemon through FUSE.
 *
 * It refuses to write to the chain: every file of it is opened read-only and locked as
 * QEMU locks images, so that an image some QEMU writes to is ERROR_BUSY and, while the storage is
 * open, no QEMU can begin to write. Backing names in headers are never interpreted by the daemon: the
 * chain is stated to it file by file.
 */
#ifndef DISK_STORAGE_H
#define DISK_STORAGE_H

#include <stddef.h>

#include "disk/disk.h"

struct storage;

/*
 * `overlay_dir` takes the overlay (unlinked as soon as it is open); `run_dir` the exported file
 * and the daemon's log, both existing. `files` is the chain of disk_files(), borrowed.
 */
struct error *storage_open(const struct disk_file *files, size_t n, const char *overlay_dir, const char *run_dir,
			   struct storage **ret) _must_check_;

/* The exported file: its path and a descriptor open for reading; borrowed. */
const char *storage_path(const struct storage *storage);
int storage_fd(const struct storage *storage);

/* Ends the daemon; everything written is gone. */
void storage_close(struct storage *storage);
DEFINE_CLEANUP(struct storage *, storage_close)

#endif
