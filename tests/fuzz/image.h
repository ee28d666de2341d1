/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a memory image, for the targets of image/. */
#ifndef TESTS_FUZZ_IMAGE_H
#define TESTS_FUZZ_IMAGE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"

/* Looks through the image and reads the ends of its runs. */
static inline void fuzz_read_image(struct image *image)
{
	struct gpa found, at = {0};
	uint8_t buffer[8192];

	for (unsigned i = 0; i < 64; i++) {
		struct image_range range = image_next_range(image, at);

		if (range.size == 0)
			break;
		error_destroy(image_read(image, range.start, buffer, sizeof(buffer)));
		error_destroy(image_read(image, (struct gpa){range.start.v + range.size - 1}, buffer, sizeof(buffer)));
		at.v = range.start.v + range.size;
		if (at.v == 0)
			break;
	}
	(void)image_find_page(image, (struct gpa){0}, "\x0b\0\0\0", 4, &found);
}

/* Opens what the descriptor holds, and reads it. What is unpacked goes to memory. */
static inline void fuzz_open(int fd, const struct image_options *options)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	char path[64];
	struct error *error;

	setenv("TMPDIR", "/dev/shm", 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = image_open(path, options, &image);
	if (error)
		error_destroy(error);
	else
		fuzz_read_image(image);
}

/* Opens the bytes and reads what they are taken for. */
static inline void fuzz_image(const uint8_t *data, size_t size, const struct image_options *options)
{
	_cleanup_(close_fd) int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, data, size) == (ssize_t)size)
		fuzz_open(fd, options);
}

#define FUZZ_SPARSE_MAX (UINT64_C(1) << 30)

/*
 * A file with holes, as the input writes it down: pieces of le32 bytes to leave out, le16 bytes of content, the
 * content. tests/fuzz/pack-sparse makes such an input of a real file.
 */
static inline void fuzz_sparse_image(const uint8_t *data, size_t size)
{
	_cleanup_(close_fd) int fd = memfd_create("input", MFD_CLOEXEC);
	uint64_t offset = 0;

	while (fd >= 0 && size >= 6) {
		uint32_t gap = data[0] | data[1] << 8 | data[2] << 16 | (uint32_t)data[3] << 24;
		size_t n = data[4] | data[5] << 8;

		data += 6;
		size -= 6;
		if (n > size)
			n = size;
		offset += gap;
		if (offset > FUZZ_SPARSE_MAX || pwrite(fd, data, n, (off_t)offset) != (ssize_t)n)
			return;
		offset += n;
		if (ftruncate(fd, (off_t)offset) < 0)
			return;
		data += n;
		size -= n;
	}
	if (fd >= 0)
		fuzz_open(fd, NULL);
}

#endif
