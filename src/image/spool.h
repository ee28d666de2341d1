/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An unlinked temporary file that takes what is unpacked. Private to image/.
 *
 * How much it will be is not known before: it grows while the file system, in $TMPDIR or
 * /var/tmp, keeps some room, and is given up with an error then. Guest memory holds secrets, so
 * nobody else can open it, and it is gone with its descriptor.
 */
#ifndef IMAGE_SPOOL_H
#define IMAGE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/ops.h"

/* Bytes that are written at once. */
#define SPOOL_BUFFER_SIZE (1u << 20)

/* Free bytes that are left to others on the file system. */
#define SPOOL_RESERVE     (UINT64_C(64) << 20)

struct spool {
	int fd;                /* owned */
	const char *directory; /* where it is; borrowed from the environment */
	uint8_t *buffer;       /* SPOOL_BUFFER_SIZE bytes; owned */
	size_t n_buffered;
	uint64_t size;    /* bytes in the file, without the buffered ones */
	uint64_t checked; /* up to this size there was room for it */
	/* Looks at the first bytes (all, or at least IMAGE_PROBE_SIZE), to stop early; NULL: any bytes will do. */
	struct error *(*inspect)(const void *data, const uint8_t *head, size_t size);
	const void *inspect_data; /* borrowed */
};

/* Fails at once where there is less room than `expected` bytes. */
struct error *spool_init(struct spool *spool, uint64_t expected) _must_check_;
struct error *spool_write(struct spool *spool, const void *data, size_t size) _must_check_;
/* As many zeros, which take no room. */
struct error *spool_zeros(struct spool *spool, uint64_t size) _must_check_;
/* Puts what was written in the place of the file's content, and says so in its path. */
struct error *spool_finish(struct spool *spool, struct image_file *file) _must_check_;
void spool_deinit(struct spool *spool);

#endif
