/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ext4 file system as its sleeping guest sees it: the disk, and over it what only the guest's memory holds. Written
 * to the throw-away copy of the disk; doc/disk.md has the steps and why they are in that order. Private to the room.
 */
#ifndef DISK_COHERENT_H
#define DISK_COHERENT_H

#include "base/error.h"
#include "disk/disk.h"

/*
 * Brings the ext4 file system on `device`, which nobody has mounted, up to what memory knows of it as `system`. Its
 * journal is not to be replayed before, and is empty afterwards. `device_fd` is open for writing on the same device.
 * ERROR_CONFLICT: memory is not that of this disk in this state; the device is spoiled then.
 */
struct error *coherent_build(const char *device, int device_fd, uint64_t size, struct guest *guest,
			     const struct guest_file_system *system, struct disk_newer *ret) _must_check_;

void disk_newer_deinit(struct disk_newer *newer);

#endif
