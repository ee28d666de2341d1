/* SPDX-License-Identifier: Apache-2.0 */
/* The header is all there is of the library: the guest helper links nothing. */
#include "base/checksum.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define READ_SIZE (256 * 1024)

struct checksum {
	XXH64_state_t state;
};

struct checksum *checksum_create(void)
{
	struct checksum *checksum = malloc(sizeof(*checksum));

	if (checksum)
		checksum_reset(checksum);
	return checksum;
}

void checksum_reset(struct checksum *checksum)
{
	XXH64_reset(&checksum->state, 0);
}

void checksum_update(struct checksum *checksum, const void *data, size_t size)
{
	XXH64_update(&checksum->state, data, size);
}

uint64_t checksum_value(const struct checksum *checksum)
{
	return XXH64_digest(&checksum->state);
}

void checksum_destroy(struct checksum *checksum)
{
	free(checksum);
}

uint64_t checksum_of(const void *data, size_t size)
{
	return XXH64(data, size, 0);
}

struct error *checksum_fd(int fd, const char *path, uint64_t *ret)
{
	_cleanup_(checksum_destroy_ptr) struct checksum *checksum = checksum_create();
	_cleanup_(free_ptr) uint8_t *buffer = malloc(READ_SIZE);
	ssize_t n;

	if (!checksum || !buffer)
		return error_no_memory();
	while ((n = read(fd, buffer, READ_SIZE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_system(errno, path, "cannot read");
		checksum_update(checksum, buffer, (size_t)n);
	}
	*ret = checksum_value(checksum);
	return NULL;
}
