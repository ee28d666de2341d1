/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process gives away before it works on bytes that a guest made: its id becomes one that owns nothing, its root
 * an empty directory, and of the system calls those are left that name no file, no process and no address. What it has
 * open it keeps. Private to the room.
 */
#ifndef DISK_CONFINE_H
#define DISK_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct confine_options {
	const char *directory; /* an existing one, to put an empty root on where nobody else sees it */
	pid_t parent;          /* who forked it, with whom it dies */
	uint64_t data_max;     /* bytes of memory beyond what it has */
	uint64_t file_max;     /* a regular file that it writes to gets no longer than that, bytes */
	bool writes;           /* it may write to files that it has open */
};

/* In a child process of its own, which can do nothing else afterwards. */
struct error *confine(const struct confine_options *options) _must_check_;

#endif
