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

/* Opens the bytes and reads what they are taken for. What is unpacked goes to memory. */
static inline void fuzz_image(const uint8_t *data, size_t size, const struct image_options *options)
{
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(close_fd) int fd = memfd_create("input", MFD_CLOEXEC);
	char path[64];
	struct error *error;

	setenv("TMPDIR", "/dev/shm", 1);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = image_open(path, options, &image);
	if (error)
		error_destroy(error);
	else
		fuzz_read_image(image);
}

#endif
