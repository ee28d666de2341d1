/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/excerpt.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

/* What the file has may be a payload in another form, which source.h turns into one. */
static bool is_payload(const struct excerpt *excerpt)
{
	char magic[sizeof(PAYLOAD_MAGIC) - 1];

	return pread(excerpt->fd, magic, sizeof(magic), (off_t)excerpt->start) == sizeof(magic) &&
	       !memcmp(magic, PAYLOAD_MAGIC, sizeof(magic));
}

bool excerpt_open(const struct source *source, struct excerpt *ret)
{
	_cleanup_(close_fd) int fd = -1;
	off_t position = lseek(source->fd, 0, SEEK_CUR);
	struct excerpt excerpt = {.path = source->path};
	struct stat s;
	char link[64];

	if (position < 0 || fstat(source->fd, &s) < 0 || !(S_ISREG(s.st_mode) || S_ISBLK(s.st_mode)) ||
	    (uint64_t)position < source->read)
		return false;
	/* Opened anew: a descriptor that is shared has one read-ahead for all. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", source->fd);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	excerpt.buffer = fd < 0 ? NULL : aligned_alloc(PAYLOAD_ALIGNMENT, EXCERPT_BUFFER_SIZE);
	if (!excerpt.buffer)
		return false;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	excerpt.start = (uint64_t)position - source->read;
	excerpt.fd = take_fd(fd);
	if (!is_payload(&excerpt)) {
		excerpt_close(&excerpt);
		return false;
	}
	*ret = excerpt;
	return true;
}

void excerpt_close(struct excerpt *excerpt)
{
	close_fd(&excerpt->fd);
	free(take_ptr(excerpt->buffer));
}

void excerpt_begin(struct excerpt *excerpt, uint64_t first, uint64_t limit)
{
	excerpt->begin = excerpt->end = excerpt->first = first;
	excerpt->limit = limit;
}

void excerpt_end(const struct excerpt *excerpt)
{
	if (excerpt->limit > excerpt->first)
		posix_fadvise(excerpt->fd, (off_t)(excerpt->start + excerpt->first),
			      (off_t)(excerpt->limit - excerpt->first), POSIX_FADV_DONTNEED);
}

struct error *excerpt_read(struct excerpt *excerpt, uint64_t position, uint64_t max, const uint8_t **ret,
			   size_t *ret_size)
{
	uint64_t n;

	if (position < excerpt->begin || position >= excerpt->end) {
		uint64_t left = excerpt->limit > position ? excerpt->limit - position : max;
		size_t size = left < EXCERPT_BUFFER_SIZE ? left : EXCERPT_BUFFER_SIZE;
		struct error *error =
			io_pread(excerpt->fd, excerpt->buffer, size, excerpt->start + position, excerpt->path);

		if (error)
			return error;
		excerpt->begin = position;
		excerpt->end = position + size;
	}
	n = excerpt->end - position;
	*ret = excerpt->buffer + (position - excerpt->begin);
	*ret_size = n < max ? n : max;
	return NULL;
}
