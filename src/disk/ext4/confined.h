/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the room: the process that reads a hostile file system, and what it gives away before it does. */
#ifndef DISK_EXT4_CONFINED_H
#define DISK_EXT4_CONFINED_H

#include <sys/types.h>

#include "disk/ext4/ext4.h"

struct confined_options {
	const struct ext4_mount_options *mount;
	int fuse_fd, socket;
	pid_t parent;
	unsigned threads;
};

/* What goes through the socket, once. */
struct confined_report {
	int code; /* enum error_code; 0: it serves now */
	char text[512];
};

/* In a child process of its own. */
_Noreturn void confined_run(const struct confined_options *options);

#endif
