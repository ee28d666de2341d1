/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4). Two implementations of one interface: libcrypto's on the host
 * (sha256_openssl.c) and a portable one for the guest helper (sha256_portable.c), which links
 * nothing but its C library.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65 /* with its NUL */

struct sha256;

/* NULL without memory. */
struct sha256 *sha256_create(void);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
/* Ends the computation; the object can only be reset or destroyed afterwards. */
void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);
/* Begins anew. */
void sha256_reset(struct sha256 *hash);
void sha256_destroy(struct sha256 *hash);
DEFINE_CLEANUP(struct sha256 *, sha256_destroy)

/* From the file's position to its end. */
struct error *sha256_fd(int fd, const char *path, uint8_t digest[SHA256_SIZE]) _must_check_;

void sha256_to_hex(const uint8_t digest[SHA256_SIZE], char hex[SHA256_HEX_SIZE]);
/* Exactly 64 lower-case hexadecimal digits and a NUL; otherwise false. */
int sha256_from_hex(const char *hex, uint8_t digest[SHA256_SIZE]);

#endif
