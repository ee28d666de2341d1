/* SPDX-License-Identifier: Apache-2.0 */
/* LZO1X, the compression of lzop, unpacked. Private to image/. */
#ifndef IMAGE_LZO_H
#define IMAGE_LZO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Unpacks all of `in` into `out`, which has room for `room` bytes; *ret: how many there are. False
 * if it is malformed or needs more room; then `out` holds anything.
 */
bool lzo1x_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t room, size_t *ret);

#endif
