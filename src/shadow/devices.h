/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: the guest's disk as block devices in the shadow, for programs that look for the disk
 * below the root file system (grub-probe, initramfs hooks). Read-only loop devices of the host over the exported
 * image; what the guest calls them is its own name for the disk.
 */
#ifndef SHADOW_DEVICES_H
#define SHADOW_DEVICES_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define DEVICES_PARTITIONS_MAX 128
/* Bytes of the name of a loop device, "loop7". */
#define DEVICES_NAME           24

struct device_partition {
	unsigned number;
	uint64_t start, size; /* bytes */
	dev_t device;
};

struct devices {
	char disk_name[24];           /* in the guest: "vda" */
	char loop_name[DEVICES_NAME]; /* on the host: "loop7" */
	int loop_fd;                  /* -1: there are no devices */
	dev_t disk;
	struct device_partition partitions[DEVICES_PARTITIONS_MAX];
	unsigned n_partitions;
};

/* The file becomes a free loop device, with LO_FLAGS_* as `flags`: its name, and a descriptor that keeps it. */
struct error *devices_attach(int file, uint32_t flags, char name[DEVICES_NAME], int *ret) _must_check_;

/* The disk image at `path`, a raw file, becomes a read-only loop device with the partitions of its table. */
struct error *devices_open(const char *path, const char *disk_name, struct devices *ret) _must_check_;
void devices_close(struct devices *devices);

/* The guest's name ("vda1") of what begins at byte `start` of the image; "" if none. */
void devices_name(const struct devices *devices, uint64_t start, char ret[32]);

/* Name of a partition of `devices`: "vda1", "nvme0n1p1". */
void devices_partition_name(const struct devices *devices, const struct device_partition *partition, char ret[32]);

#endif
