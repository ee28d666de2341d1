/* SPDX-License-Identifier: Apache-2.0 */
/* Made files: bytes put together in memory and opened as an image. */
#ifndef TESTS_UNIT_IMAGE_MADE_H
#define TESTS_UNIT_IMAGE_MADE_H

#include <endian.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/image.h"
#include "tests/unit/test.h"

struct made {
	uint8_t *data;
	size_t size;
	size_t room; /* bytes at data */
};

static inline void made_deinit(struct made *made)
{
	free(made->data);
	*made = (struct made){0};
}

/* Makes room for `size` more bytes. Twice as much when it is full: under ASan, realloc() always copies. */
static inline void made_reserve(struct made *made, size_t size)
{
	if (made->size + size + 1 <= made->room)
		return;
	made->room = 2 * (made->size + size + 1);
	made->data = realloc(made->data, made->room);
	assert_non_null(made->data);
}

static inline void put(struct made *made, const void *data, size_t size)
{
	made_reserve(made, size);
	if (size > 0)
		memcpy(made->data + made->size, data, size);
	made->size += size;
}

static inline void put_u8(struct made *made, uint8_t value)
{
	put(made, &value, sizeof(value));
}

static inline void put_be16(struct made *made, uint16_t value)
{
	value = htobe16(value);
	put(made, &value, sizeof(value));
}

static inline void put_be32(struct made *made, uint32_t value)
{
	value = htobe32(value);
	put(made, &value, sizeof(value));
}

static inline void put_be64(struct made *made, uint64_t value)
{
	value = htobe64(value);
	put(made, &value, sizeof(value));
}

static inline void put_le32(struct made *made, uint32_t value)
{
	value = htole32(value);
	put(made, &value, sizeof(value));
}

/* Text with its length in a byte before it. */
static inline void put_name(struct made *made, const char *name)
{
	put_u8(made, (uint8_t)strlen(name));
	put(made, name, strlen(name));
}

static inline void put_fill(struct made *made, uint8_t fill, size_t size)
{
	made_reserve(made, size);
	memset(made->data + made->size, fill, size);
	made->size += size;
}

/*
 * Every prefix of the file, from the longest to the empty one, is refused as malformed, and the
 * error says where: at or before the cut. But one of `whole` bytes is a file of its own.
 */
static inline void assert_cuts_refused(const struct made *made, size_t whole)
{
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	char path[64];

	assert_int_equal(write(fd, made->data, made->size), (ssize_t)made->size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (size_t size = made->size; size-- > 0;) {
		struct image *image = NULL;
		struct error *error;

		if (size == whole)
			continue;

		assert_int_equal(ftruncate(fd, (off_t)size), 0);
		error = image_open(path, NULL, &image);
		if (!error)
			fail_msg("a file of %zu bytes, cut to %zu, is taken for whole", made->size, size);
		assert_int_equal(error->code, ERROR_FORMAT);
		assert_true(error->address <= size);
		assert_non_null(error->remedy);
		error_destroy(error);
	}
}

/* Opens the first `size` bytes as an image, without a file's name. */
static inline struct error *open_bytes(const void *data, size_t size, struct image **ret)
{
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return image_open(path, NULL, ret);
}

static inline struct error *open_made(const struct made *made, struct image **ret)
{
	return open_bytes(made->data, made->size, ret);
}

#endif
