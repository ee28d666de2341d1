/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers at any place in memory, in the byte order named, and zeros. The caller has checked that they are there. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DEFINE_BYTES_NUMBER(name, type, convert)                                                                       \
	static inline type name(const uint8_t *bytes)                                                                  \
	{                                                                                                              \
		type raw;                                                                                              \
                                                                                                                       \
		memcpy(&raw, bytes, sizeof(raw));                                                                      \
		return convert(raw);                                                                                   \
	}

DEFINE_BYTES_NUMBER(le16_at, uint16_t, le16toh)
DEFINE_BYTES_NUMBER(le32_at, uint32_t, le32toh)
DEFINE_BYTES_NUMBER(le64_at, uint64_t, le64toh)
DEFINE_BYTES_NUMBER(be32_at, uint32_t, be32toh)
DEFINE_BYTES_NUMBER(be64_at, uint64_t, be64toh)

#undef DEFINE_BYTES_NUMBER

/* Whether all are zero; none are. The C library compares far faster than a loop. */
static inline bool bytes_are_zero(const uint8_t *bytes, size_t size)
{
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

#endif
