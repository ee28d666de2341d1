/* SPDX-License-Identifier: Apache-2.0 */
#include "image/spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"

/* Between two looks at the free space. */
#define CHECK_STEP (UINT64_C(64) << 20)

/* `errnum`: ENOSPC, or EFBIG where the process may not make a file that large. */
static struct error *no_room(const struct spool *spool, int errnum)
{
	struct error *error =
		error_system(errnum, spool->directory, "no room for the unpacked memory (%llu MiB are unpacked so far)",
			     (unsigned long long)(spool->size >> 20));

	if (errnum == EFBIG)
		return error_remedy(error, "Raise the limit on the size of files (ulimit -f)");
	return error_remedy(error, "Free some space there, or name a directory with more in TMPDIR");
}

/* Whether there is room for `more` bytes and the reserve. */
static struct error *check_room(struct spool *spool, uint64_t more)
{
	struct statvfs fs;

	if (fstatvfs(spool->fd, &fs) < 0)
		return error_system(errno, spool->directory, "cannot examine the file system");
	if ((uint64_t)fs.f_bavail * fs.f_frsize < more + SPOOL_RESERVE)
		return no_room(spool, ENOSPC);
	return NULL;
}

/* A file without a name, by O_TMPFILE or, where the file system has none, by removing its name at once. */
static struct error *open_unlinked(const char *directory, int *ret)
{
	_cleanup_(free_ptr) char *path = NULL;
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0) {
		*ret = fd;
		return NULL;
	}
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return error_system(errno, directory, "cannot make a temporary file");
	path = string_format("%s/ouassister-XXXXXX", directory);
	if (!path)
		return error_no_memory();
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, directory, "cannot make a temporary file");
	unlink(path);
	*ret = fd;
	return NULL;
}

struct error *spool_init(struct spool *spool, uint64_t expected)
{
	const char *directory = getenv("TMPDIR");
	struct error *error;

	*spool = (struct spool){.fd = -1, .directory = directory && *directory ? directory : "/var/tmp"};
	spool->buffer = malloc(SPOOL_BUFFER_SIZE);
	if (!spool->buffer)
		return error_no_memory();
	error = open_unlinked(spool->directory, &spool->fd);
	if (error)
		return error_remedy(error, "Name a directory for temporary files in TMPDIR");
	return check_room(spool, expected);
}

static struct error *flush(struct spool *spool)
{
	struct error *error = NULL;

	if (spool->size == 0 && spool->inspect)
		error = spool->inspect(spool->inspect_data, spool->buffer, spool->n_buffered);
	if (!error && spool->size >= spool->checked) {
		error = check_room(spool, CHECK_STEP);
		spool->checked = spool->size + CHECK_STEP;
	}
	if (error)
		return error;
	error = io_pwrite(spool->fd, spool->buffer, spool->n_buffered, spool->size, spool->directory);
	if (error && (error->errnum == ENOSPC || error->errnum == EFBIG)) {
		int errnum = error->errnum;

		error_destroy(error);
		return no_room(spool, errnum);
	}
	if (error)
		return error_wrap(error, "cannot keep the unpacked memory");
	spool->size += spool->n_buffered;
	spool->n_buffered = 0;
	return NULL;
}

struct error *spool_write(struct spool *spool, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		size_t room = SPOOL_BUFFER_SIZE - spool->n_buffered, n = size < room ? size : room;

		memcpy(spool->buffer + spool->n_buffered, bytes, n);
		spool->n_buffered += n;
		bytes += n;
		size -= n;
		if (spool->n_buffered == SPOOL_BUFFER_SIZE) {
			struct error *error = flush(spool);

			if (error)
				return error;
		}
	}
	return NULL;
}

struct error *spool_zeros(struct spool *spool, uint64_t size)
{
	struct error *error = flush(spool);

	if (error)
		return error;
	if (ftruncate(spool->fd, (off_t)(spool->size + size)) < 0)
		return errno == EFBIG ? no_room(spool, EFBIG)
				      : error_system(errno, spool->directory, "cannot keep the unpacked memory");
	spool->size += size;
	return NULL;
}

struct error *spool_finish(struct spool *spool, struct image_file *file)
{
	char *path = string_format("%s (unpacked)", file->path);
	const struct image_options *options = file->options;
	struct error *error;

	if (!path)
		return error_no_memory();
	error = flush(spool);
	if (error) {
		free(path);
		return error;
	}
	image_file_deinit(file);
	*file = (struct image_file){.fd = take_fd(spool->fd), .size = spool->size, .path = path, .options = options};
	return NULL;
}

void spool_deinit(struct spool *spool)
{
	close_fd(&spool->fd);
	free(spool->buffer);
	*spool = (struct spool){.fd = -1};
}
