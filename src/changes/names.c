/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of lower inodes that have several. Found by one walk over the lower tree, done only
 * when a touched file has another name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "changes/scan.h"

/*
 * overlayfs's value of "origin": version 0, magic 0xfb, length, flags, type of the file handle,
 * the file system's UUID, the handle itself.
 */
#define ORIGIN_MAGIC       0xfb
#define ORIGIN_TYPE_OFFSET 4
#define ORIGIN_HEADER_SIZE 21

static struct error *append_name(struct scan *scan, uint64_t inode, const char *path)
{
	struct lower_name name = {.inode = inode, .path = strdup(path)};

	if (!name.path)
		return error_no_memory();
	if ((scan->n_names & (scan->n_names - 1)) == 0) {
		void *larger = reallocarray(scan->names, scan->n_names ? 2 * scan->n_names : 1, sizeof(name));

		if (!larger) {
			free(name.path);
			return error_no_memory();
		}
		scan->names = larger;
	}
	scan->names[scan->n_names++] = name;
	return NULL;
}

static struct error *collect(struct scan *scan, const char *directory)
{
	_cleanup_(names_free_ptr) char **names = NULL;
	struct error *error;

	error = inode_names((struct inode_place){scan->layer->lower_fd, directory}, &names);
	for (size_t i = 0; !error && names[i]; i++) {
		_cleanup_(free_ptr) char *path = path_join(directory, names[i]);
		struct stat st;
		bool exists;

		if (!path)
			return error_no_memory();
		error = inode_stat((struct inode_place){scan->layer->lower_fd, path}, &exists, &st);
		if (error || !exists)
			continue;
		if (S_ISDIR(st.st_mode))
			error = collect(scan, path);
		else if (st.st_nlink > 1)
			error = append_name(scan, st.st_ino, path);
	}
	return error;
}

static int compare_names(const void *a, const void *b)
{
	const struct lower_name *x = a, *y = b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return strcmp(x->path, y->path);
}

static struct error *load(struct scan *scan)
{
	struct error *error;

	if (scan->names_loaded)
		return NULL;
	error = collect(scan, "");
	if (error)
		return error;
	if (scan->names)
		qsort(scan->names, scan->n_names, sizeof(*scan->names), compare_names);
	scan->names_loaded = true;
	return NULL;
}

struct error *scan_lower_names(struct scan *scan, uint64_t inode, const struct lower_name **ret, size_t *ret_n)
{
	size_t first = 0, end, n = 0;
	struct error *error;

	error = load(scan);
	if (error)
		return error;
	for (end = scan->n_names; first < end;) {
		size_t middle = first + (end - first) / 2;

		if (scan->names[middle].inode < inode)
			first = middle + 1;
		else
			end = middle;
	}
	while (first + n < scan->n_names && scan->names[first + n].inode == inode)
		n++;
	*ret = n ? scan->names + first : NULL;
	*ret_n = n;
	return NULL;
}

static struct error *handle_equal(struct inode_place place, const uint8_t *origin, size_t size, bool *ret)
{
	union {
		struct file_handle handle;
		uint8_t bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} buffer = {.handle.handle_bytes = MAX_HANDLE_SZ};
	size_t handle_size = size - ORIGIN_HEADER_SIZE;
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	int mount;

	error = inode_open(place, O_PATH, &fd);
	if (error)
		return error;
	if (name_to_handle_at(fd, "", &buffer.handle, &mount, AT_EMPTY_PATH) < 0)
		return error_system(errno, place.path, "cannot get the file handle");
	*ret = buffer.handle.handle_type == origin[ORIGIN_TYPE_OFFSET] && buffer.handle.handle_bytes == handle_size &&
	       memcmp(buffer.handle.f_handle, origin + ORIGIN_HEADER_SIZE, handle_size) == 0;
	return NULL;
}

struct error *scan_find_origin(struct scan *scan, const void *origin, size_t size, uint64_t *ret)
{
	const uint8_t *bytes = origin;
	struct error *error;

	*ret = 0;
	if (size <= ORIGIN_HEADER_SIZE || bytes[1] != ORIGIN_MAGIC)
		return NULL;
	error = load(scan);
	if (error)
		return error;
	for (size_t i = 0; i < scan->n_names; i++) {
		const struct lower_name *name = &scan->names[i];
		bool equal = false;

		if (i > 0 && name[-1].inode == name->inode)
			continue;
		error = handle_equal((struct inode_place){scan->layer->lower_fd, name->path}, bytes, size, &equal);
		if (error)
			return error;
		if (equal) {
			*ret = name->inode;
			return NULL;
		}
	}
	return NULL;
}
