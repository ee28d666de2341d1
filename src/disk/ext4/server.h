/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE side of the ext4 reader: answers the kernel's questions about one file system, by several threads. It
 * refuses every change. Nothing in the image ever changes, so the kernel may keep all that it has heard.
 */
#ifndef DISK_EXT4_SERVER_H
#define DISK_EXT4_SERVER_H

#include <stdint.h>

#include "base/error.h"
#include "disk/ext4/reader.h"
#include "disk/ext4/shift.h"

struct ext4_server;

#define EXT4_SERVER_THREADS_MAX 4

struct ext4_server_options {
	int disk_fd;          /* read-only; borrowed until the server is destroyed, as is fuse_fd */
	uint64_t start, size; /* bytes: where in it the file system is */
	struct shift shift;
	int fuse_fd;      /* of /dev/fuse; may be mounted before or after */
	unsigned threads; /* 1 at least, EXT4_SERVER_THREADS_MAX at most */
};

/* Reads the superblock and the table of groups, once for each thread. */
struct error *ext4_server_create(const struct ext4_server_options *options, struct ext4_server **ret) _must_check_;
void ext4_server_destroy(struct ext4_server *server);
DEFINE_CLEANUP(struct ext4_server *, ext4_server_destroy)

/* Returns when the file system is unmounted. */
struct error *ext4_server_serve(struct ext4_server *server) _must_check_;

#endif
