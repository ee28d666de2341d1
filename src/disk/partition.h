/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies on the virtual disk: its partitions (GPT, MBR, or the whole disk as one) and what
 * libblkid recognises in each. Nothing is mounted and nothing written here.
 */
#ifndef DISK_PARTITION_H
#define DISK_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* GPT allows 128 by default; more is a hostile table. */
#define PARTITIONS_MAX 256

enum partition_kind {
	PARTITION_EMPTY,       /* nothing is recognised in it */
	PARTITION_FILE_SYSTEM, /* one that we mount: ext2 to ext4, xfs, btrfs */
	PARTITION_ESP,         /* the EFI system partition */
	PARTITION_SWAP,
	PARTITION_CONTAINER, /* LVM, LUKS, md, zfs, …: holds file systems that we cannot reach */
	PARTITION_OTHER,     /* a file system that we do not mount */
	PARTITION_AMBIGUOUS, /* several signatures: whose it is nobody can tell */
};

/* Strings are libblkid's, NULL where there is none. */
struct partition {
	unsigned number;      /* 1 and up; 0: the whole disk */
	uint64_t start, size; /* bytes; inside the disk */
	enum partition_kind kind;
	char *type;         /* "ext4", "LVM2_member"; NULL if EMPTY or AMBIGUOUS */
	char *uuid, *label; /* of the content */
	char *part_uuid, *part_label;
};

struct partition_list {
	struct partition *items;
	size_t n;
};

/* `fd` is the disk of `size` bytes; `path` is for errors. Neither a table nor any content is ERROR_UNSUPPORTED. */
struct error *partition_list_read(int fd, uint64_t size, const char *path, struct partition_list *ret) _must_check_;
void partition_list_deinit(struct partition_list *list);

/* "partition 2" or "the whole disk"; `buffer` has PARTITION_NAME_SIZE bytes. Returns it. */
#define PARTITION_NAME_SIZE 32
const char *partition_name(const struct partition *partition, char *buffer);

#endif
