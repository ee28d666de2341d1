/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 (xxHash, seed 0): tells bytes that were damaged on their way from those that were not, and nothing about who
 * made them. What has to be proved against somebody's will is SHA-256 (base/sha256.h).
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct checksum;

/* NULL without memory. Begun. */
struct checksum *checksum_create(void);
/* Begins anew. */
void checksum_reset(struct checksum *checksum);
void checksum_update(struct checksum *checksum, const void *data, size_t size);
/* Of all bytes since it began; more may come. */
uint64_t checksum_value(const struct checksum *checksum);
void checksum_destroy(struct checksum *checksum);
DEFINE_CLEANUP(struct checksum *, checksum_destroy)

uint64_t checksum_of(const void *data, size_t size);
/* From the file's position to its end. */
struct error *checksum_fd(int fd, const char *path, uint64_t *ret) _must_check_;

#endif
