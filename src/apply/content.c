/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/content.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"

#define HOLE_SIZE       4096
#define COPY_SIZE       (128 * 1024)
#define CLONE_SIZE_MIN  (64 * 1024)  /* below it there is no room to save */
#define DIRECT_SIZE_MIN (128 * 1024) /* below it a write that is waited for costs more than it saves */
#define DIRECT_BLOCK    4096         /* no disk has larger ones that Linux mounts */

struct error *content_init(struct content *content)
{
	*content = (struct content){.checksum = checksum_create(), .fd = -1};
	return content->checksum ? NULL : error_no_memory();
}

void content_deinit(struct content *content)
{
	checksum_destroy(content->checksum);
	*content = (struct content){.fd = -1};
}

/*
 * What is large goes to the disk past the page cache, which would be filled with it at the cost of what the guest works
 * with, page by page: on a slow CPU that takes three times as long. Of the file systems those that write in place:
 * btrfs would leave such a file uncompressed. That it is durable is the business of the sync that follows, as for the
 * rest.
 */
static bool may_go_past_cache(const struct payload_entry *entry, int fd)
{
	struct statfs s;

	return entry->change.size >= DIRECT_SIZE_MIN && !(entry->flags & PAYLOAD_ENTRY_SPARSE) &&
	       fstatfs(fd, &s) == 0 && (s.f_type == EXT4_SUPER_MAGIC || s.f_type == XFS_SUPER_MAGIC);
}

void content_begin(struct content *content, const struct payload_entry *entry, int fd)
{
	checksum_reset(content->checksum);
	content->entry = entry;
	content->fd = fd;
	content->position = 0;
	content->past_cache = may_go_past_cache(entry, fd);
	content->direct = false;
}

/* A page of zeros at a page's place becomes a hole. */
static struct error *write_sparse(const struct content *content, const uint8_t *bytes, size_t n)
{
	const char *path = content->entry->change.path;
	size_t part = HOLE_SIZE - content->position % HOLE_SIZE;

	while (n) {
		struct error *error = NULL;

		if (part > n)
			part = n;
		if (!bytes_are_zero(bytes, part))
			error = io_write(content->fd, bytes, part, path);
		else if (lseek(content->fd, part, SEEK_CUR) < 0)
			error = error_system(errno, path, "cannot leave a hole in");
		if (error)
			return error;
		bytes += part;
		n -= part;
		part = HOLE_SIZE;
	}
	return NULL;
}

static void set_direct(struct content *content, bool direct)
{
	int flags = direct == content->direct ? -1 : fcntl(content->fd, F_GETFL);

	if (flags >= 0 && fcntl(content->fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0)
		content->direct = direct;
}

/* How many of the bytes, from the first on, went past the cache: none where that cannot be. */
static struct error *write_direct(struct content *content, const uint8_t *bytes, size_t n, size_t *ret)
{
	struct error *error = NULL;
	size_t done = 0;

	n = n / DIRECT_BLOCK * DIRECT_BLOCK;
	if (!content->past_cache || content->position % DIRECT_BLOCK || (uintptr_t)bytes % DIRECT_BLOCK)
		n = 0;
	set_direct(content, n > 0);
	while (done < n && content->direct && content->past_cache && !error) {
		ssize_t written = write(content->fd, bytes + done, n - done);

		if (written < 0 && errno != EINTR && errno != EINVAL)
			error = error_system(errno, content->entry->change.path, "cannot write");
		/* EINVAL: blocks of this disk are larger. */
		content->past_cache = written < 0 ? errno == EINTR : written > 0 && written % DIRECT_BLOCK == 0;
		done += written < 0 ? 0 : written;
	}
	set_direct(content, false);
	*ret = done;
	return error;
}

static struct error *write_dense(struct content *content, const uint8_t *bytes, size_t n)
{
	size_t direct;
	struct error *error = write_direct(content, bytes, n, &direct);

	if (error || direct == n)
		return error;
	return io_write(content->fd, bytes + direct, n - direct, content->entry->change.path);
}

static struct error *damaged(const struct content *content)
{
	return error_format(content->entry->change.path, ERROR_NO_ADDRESS, "its content in the payload is damaged");
}

struct error *content_write(struct content *content, const uint8_t *bytes, size_t n)
{
	const struct change *change = &content->entry->change;
	struct error *error;

	if (n > change->size - content->position)
		return damaged(content);
	checksum_update(content->checksum, bytes, n);
	error = content->entry->flags & PAYLOAD_ENTRY_SPARSE ? write_sparse(content, bytes, n)
							     : write_dense(content, bytes, n);
	if (error)
		return error;
	content->position += n;
	return NULL;
}

struct error *content_end(struct content *content)
{
	const struct change *change = &content->entry->change;

	if (content->position != change->size || checksum_value(content->checksum) != content->entry->checksum)
		return damaged(content);
	/* A hole at the end is not there until the size says so. */
	if (content->entry->flags & PAYLOAD_ENTRY_SPARSE && ftruncate(content->fd, change->size) < 0)
		return error_system(errno, change->path, "cannot set the size of");
	return NULL;
}

struct error *content_from_source(struct content *content, struct source *source)
{
	while (content->position < content->entry->change.size) {
		const uint8_t *bytes;
		size_t n;
		struct error *error = source_next(source, content->entry->change.size - content->position, &bytes, &n);

		if (!error)
			error = content_write(content, bytes, n);
		if (error)
			return error;
	}
	return NULL;
}

/*
 * What it saves is room: measured on xfs it takes as long as a copy, because the first file's bytes must be on the disk
 * before they can be shared.
 */
static bool clone_whole(const struct content *content, int from)
{
	return content->entry->change.size >= CLONE_SIZE_MIN && ioctl(content->fd, FICLONE, from) == 0;
}

/*
 * *ret_done is false where the kernel cannot, or not all of it: before Linux 4.5, before 5.3 from one file system to
 * another, and by a file system's own limits.
 */
static struct error *copy_in_kernel(const struct content *content, int from, bool *ret_done)
{
	const struct change *change = &content->entry->change;
	int64_t in = 0, out = 0;

	while ((uint64_t)in < change->size) {
		/* By number: the C library's stands in for it in ways of its own. */
		ssize_t n = syscall(SYS_copy_file_range, from, &in, content->fd, &out, change->size - in, 0);

		if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
			return error_system(errno, change->path, "cannot write");
		if (n <= 0)
			break;
	}
	*ret_done = (uint64_t)in == change->size;
	return NULL;
}

static struct error *copy_bytes(struct content *content, int from)
{
	_cleanup_(free_ptr) uint8_t *buffer = malloc(COPY_SIZE);
	const struct change *change = &content->entry->change;

	if (!buffer)
		return error_no_memory();
	while (content->position < change->size) {
		uint64_t left = change->size - content->position;
		size_t n = left < COPY_SIZE ? left : COPY_SIZE;
		struct error *error = io_pread(from, buffer, n, content->position, change->path);

		if (!error)
			error = content_write(content, buffer, n);
		if (error)
			return error;
	}
	return content_end(content);
}

struct error *content_share(struct content *content, int from, bool same_holes)
{
	bool sparse = content->entry->flags & PAYLOAD_ENTRY_SPARSE, done = false;
	struct error *error;

	if (same_holes && clone_whole(content, from))
		return NULL;
	/* Holes that should be here, and may not be there, only we can make. */
	error = sparse ? NULL : copy_in_kernel(content, from, &done);
	if (error || done)
		return error;
	/* It may have written a part, with offsets of its own: our position is still the start. */
	return copy_bytes(content, from);
}
