/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BUNDLE_TRAILER_H
#define BUNDLE_TRAILER_H

#include "base/error.h"
#include "bundle/format.h"

/* A growing little-endian record; the caller knows that it fits. */
struct packer {
	uint8_t *data;
	size_t size;
};
void pack_bytes(struct packer *p, const void *data, size_t size);
void pack_u8(struct packer *p, uint8_t value);
void pack_le16(struct packer *p, uint16_t value);
void pack_le32(struct packer *p, uint32_t value);
void pack_le64(struct packer *p, uint64_t value);

/* The frames of a fixed size, heads included. */
#define BUNDLE_HEADER_FRAME_SIZE    (BUNDLE_FRAME_HEAD_SIZE + BUNDLE_HEADER_SIZE)
#define BUNDLE_TRAILER_FRAME_SIZE   (BUNDLE_FRAME_HEAD_SIZE + BUNDLE_TRAILER_SIZE)
#define BUNDLE_SIGNATURE_FRAME_SIZE (BUNDLE_FRAME_HEAD_SIZE + BUNDLE_SIGNATURE_SIZE)
void header_frame(uint32_t flags, uint8_t ret[BUNDLE_HEADER_FRAME_SIZE]);
void trailer_frame(const struct bundle_trailer *trailer, uint8_t ret[BUNDLE_TRAILER_FRAME_SIZE]);

/*
 * Reads header and trailer of a bundle of `size` bytes and checks that the frames they name fill
 * the file without a gap and are within the maxima. *ret_flags: BUNDLE_FLAG_SIGNED if a signature's frame ends the
 * file, which has been left room for and not been looked at.
 */
struct error *trailer_read(int fd, uint64_t size, const char *path, struct bundle_trailer *ret, uint32_t *ret_flags)
	_must_check_;

#endif
