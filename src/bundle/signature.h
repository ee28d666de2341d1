/* SPDX-License-Identifier: Apache-2.0 */
/* The signature frame of a bundle, for the files of this room. */
#ifndef BUNDLE_SIGNATURE_H
#define BUNDLE_SIGNATURE_H

#include <stdint.h>

#include "bundle/bundle.h"
#include "bundle/trailer.h"

/* Makes the frame over the header's and the trailer's frames, as they stand in the file. */
struct error *signature_make(const struct bundle_signing_key *key, const uint8_t header[BUNDLE_HEADER_FRAME_SIZE],
			     const uint8_t trailer[BUNDLE_TRAILER_FRAME_SIZE], uint8_t ret[BUNDLE_SIGNATURE_FRAME_SIZE])
	_must_check_;

/*
 * Reads the frame that ends a signed bundle of `size` bytes and checks that it was made by the key it names; whether
 * that key is to be trusted is another question. A frame that is none is ERROR_FORMAT, a signature that is not of
 * these bytes ERROR_CONFLICT.
 */
struct error *signature_read(int fd, uint64_t size, const char *path, uint8_t ret_key[BUNDLE_KEY_SIZE]) _must_check_;

#endif
