/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ext4 file system as its sleeping guest sees it: the disk, and over it what only the guest's memory holds. Written
 * to the throw-away copy of the disk; doc/disk.md has the steps and why they are in that order. Private to the room.
 */
#ifndef DISK_COHERENT_H
#define DISK_COHERENT_H

#include "base/error.h"
#include "disk/disk.h"

struct coherent_options {
	const char *device;           /* its name, for errors */
	int device_fd;                /* open for reading and writing */
	uint64_t size;                /* bytes */
	const char *directory;        /* an existing one of ours, to put an empty root on where nobody else sees it */
	const struct disk_keep *keep; /* an open file whose contents are wanted; NULL: none */
};

/*
 * Brings the ext4 file system on the device, which nobody has mounted, up to what memory knows of it as `system`. Its
 * journal is not to be replayed before, and is empty afterwards. A process without rights does it (confined_call.h),
 * which has the device and the memory image. ERROR_CONFLICT: memory is not that of this disk in this state; the device
 * is spoiled then.
 */
struct error *coherent_build(const struct coherent_options *options, struct guest *guest,
			     const struct guest_file_system *system, struct disk_newer *ret) _must_check_;

void disk_newer_deinit(struct disk_newer *newer);

#endif
