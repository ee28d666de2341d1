/* SPDX-License-Identifier: Apache-2.0 */
/* Private: the room that the shadow's programs have used on the guest's file systems. */
#ifndef SHADOW_USAGE_H
#define SHADOW_USAGE_H

#include <stdint.h>

#include "shadow/internal.h"

struct room {
	int64_t bytes, files;
};

/* What stands for a file system of the guest: a layer, or a tmpfs of ours. */
struct usage {
	uint32_t major, minor; /* in the guest */
	int fd;                /* a directory of it, in which everything is */
	bool store;            /* the file system `fd` is on holds all layers */
	bool walked;           /* measured by looking at every file */
	struct room before;    /* when the shadow was made */
	struct room last;      /* of the last walk */
	uint64_t good_until_ns;
};

/* Measures them all. The guest's mounts are known, the layers and tmpfs are made. */
struct error *usage_begin(struct shadow *shadow) _must_check_;
void usage_end(struct shadow *shadow);

/* What was used since on the guest's file system with this device number; below 0 where files of ours were deleted. */
struct room usage_since(struct shadow *shadow, uint32_t major, uint32_t minor);

#endif
