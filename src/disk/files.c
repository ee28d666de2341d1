/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of files an image is made of, read from their headers. */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/qcow2.h"
#include "disk/files.h"

/* A block device counts as raw; its size is not in st_size. */
static struct error *open_file(const char *path, struct disk_file *file, int *ret_fd)
{
	_cleanup_(close_fd) int fd = -1;
	struct stat st;

	/* O_NONBLOCK: a fifo in place of the image must not make us wait. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		struct error *error = error_create(ERROR_NOT_FOUND, "%s: there is no such disk image", path);
		return error_remedy(error, "correct the path in the VM file, or the image's backing file with "
					   "`qemu-img rebase -u`");
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_system(errno, path, "open disk image");
	file->size = st.st_size;
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &file->size) < 0)
			return error_system(errno, path, "read the size of");
		file->block_device = true;
	} else if (!S_ISREG(st.st_mode)) {
		return error_create(ERROR_UNSUPPORTED, "%s: a disk image is a regular file or a block device", path);
	}
	file->device = st.st_dev;
	file->inode = st.st_ino;
	file->mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
	file->ctime_ns = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec;
	*ret_fd = take_fd(fd);
	return NULL;
}

/*
 * The backing file's path as QEMU resolves it: relative to the directory of the file that names
 * it, as that was given. "PROTOCOL:…" is not a path.
 */
static struct error *backing_path(const char *image, const char *name, char **ret)
{
	const char *slash = strrchr(image, '/');
	size_t word = strcspn(name, ":/");
	char *path;

	if (strncmp(name, "file:", 5) == 0)
		name += 5;
	else if (name[word] == ':')
		return error_create(ERROR_UNSUPPORTED, "%s: the backing file \"%s\" is not a local file", image, name);
	if (name[0] == '/')
		path = strdup(name);
	else
		path = string_format("%.*s/%s", (int)(slash - image), image, name);
	if (!path)
		return error_no_memory();
	*ret = path;
	return NULL;
}

static struct error *check_format(const char *path, const char *format)
{
	if (strcmp(format, "qcow2") == 0 || strcmp(format, "raw") == 0)
		return NULL;
	return error_create(ERROR_UNSUPPORTED, "%s: disk format \"%s\" is not supported, only qcow2 and raw", path,
			    format);
}

/* Reads the header of a qcow2 file; `next` gets the backing file, if any, with no more than path and format set. */
static struct error *read_qcow2(int fd, struct disk_file *file, struct disk_file *next)
{
	size_t size = file->size < QCOW2_HEADER_MAX ? file->size : QCOW2_HEADER_MAX;
	_cleanup_(qcow2_header_deinit) struct qcow2_header header = {0};
	_cleanup_(free_ptr) char *buffer = NULL;
	struct error *error;

	buffer = malloc(size ? size : 1);
	if (!buffer)
		return error_no_memory();
	error = io_pread(fd, buffer, size, 0, file->path);
	if (!error)
		error = qcow2_parse_header(buffer, size, file->path, &header);
	if (!error)
		error = qcow2_check_extent(fd, file->size, &header, file->path);
	if (error)
		return error;
	file->virtual_size = header.virtual_size;
	if (!header.backing_file)
		return NULL;
	error = backing_path(file->path, header.backing_file, &next->path);
	if (error)
		return error;
	next->format = header.backing_format ? take_ptr(header.backing_format) : strdup("raw");
	return next->format ? NULL : error_no_memory();
}

/* Fills in `file`, of which path and format are set, and begins `next`. */
static struct error *read_file(struct disk_file *file, struct disk_file *next)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	error = check_format(file->path, file->format);
	if (!error)
		error = open_file(file->path, file, &fd);
	if (error)
		return error;
	if (strcmp(file->format, "qcow2") == 0)
		return read_qcow2(fd, file, next);
	file->virtual_size = file->size;
	return NULL;
}

static struct error *first_file(const char *path, const char *format, struct disk_file *file)
{
	_cleanup_(free_ptr) char *cwd = NULL;

	if (path[0] == '/') {
		file->path = strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return error_system(errno, NULL, "find the working directory");
		file->path = string_format("%s/%s", cwd, path);
	}
	file->format = strdup(format);
	return file->path && file->format ? NULL : error_no_memory();
}

static bool seen_before(const struct disk_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (files[i].device == files[n].device && files[i].inode == files[n].inode)
			return true;
	return false;
}

/* `files` has room for DISK_CHAIN_MAX + 1. */
static struct error *read_chain(struct disk_file *files, size_t *n)
{
	for (*n = 1;; (*n)++) {
		struct disk_file *file = &files[*n - 1];
		struct error *error;

		error = read_file(file, &files[*n]);
		if (error)
			return *n > 1 ? error_wrap(error, "backing file of %s", files[*n - 2].path) : error;
		if (seen_before(files, *n - 1))
			return error_format(file->path, ERROR_NO_ADDRESS, "the chain of backing files is a loop");
		if (!files[*n].path)
			return NULL;
		if (*n == DISK_CHAIN_MAX)
			return error_create(ERROR_UNSUPPORTED, "%s: more than %d backing files", files[0].path,
					    DISK_CHAIN_MAX);
	}
}

struct error *disk_files(const char *path, const char *format, struct disk_file **ret, size_t *ret_n)
{
	struct disk_file *files;
	struct error *error;
	size_t n = 0;

	files = calloc(DISK_CHAIN_MAX + 1, sizeof(*files));
	if (!files)
		return error_no_memory();
	error = first_file(path, format, &files[0]);
	if (!error)
		error = read_chain(files, &n);
	if (error) {
		disk_files_free(files, DISK_CHAIN_MAX + 1);
		return error;
	}
	*ret = files;
	*ret_n = n;
	return NULL;
}

void disk_files_free(struct disk_file *files, size_t n)
{
	for (size_t i = 0; files && i < n; i++) {
		free(files[i].path);
		free(files[i].format);
	}
	free(files);
}
