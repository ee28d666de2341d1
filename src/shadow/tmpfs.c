/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of a tmpfs out of the guest's memory. Nobody else has the new tmpfs yet: no program of the guest runs, so
 * that names can be created one after the other without a race. The names are the guest's all the same.
 */
#include "shadow/tmpfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/tmpfs_numbers.h"

#define DEPTH_MAX  64u
#define CHUNK_SIZE (UINT64_C(1) << 20)
#define PAGE_BYTES 4096u
#define ID_NOBODY  65534u

/* A file that has several names: the first that was met. */
struct linked {
	uint64_t inode_address;
	int fd; /* O_PATH */
};

struct fill {
	struct guest *guest;
	const char *name;
	struct tmpfs_budget *budget;
	struct tmpfs_numbers *numbers;
	struct linked *linked;
	size_t n_linked;
	uint8_t *chunk; /* CHUNK_SIZE bytes */
	/* What was lost, and of the first file its name. */
	size_t n_damaged, n_left_out, n_swapped;
	char damaged[256], left_out[256], swapped[256];
	uint64_t work_seen; /* what of guest_work() is paid for */
	bool full;
};

static void lose(size_t *count, char first[256], const char *name)
{
	if ((*count)++ == 0)
		snprintf(first, 256, "%s", name);
}

/* Pays for what was read since the last time. */
static bool has_work_left(struct fill *fill)
{
	uint64_t now = guest_work(fill->guest), spent = now - fill->work_seen;

	fill->work_seen = now;
	fill->budget->work -= spent < fill->budget->work ? spent : fill->budget->work;
	if (fill->budget->work == 0)
		fill->full = true;
	return !fill->full;
}

static bool is_within_budget(struct fill *fill)
{
	if (fill->budget->entries == 0)
		fill->full = true;
	else
		fill->budget->entries--;
	return has_work_left(fill) && !fill->full;
}

static uint32_t host_id(uint32_t id)
{
	return SHADOW_ID_BASE + (id < SHADOW_ID_COUNT ? id : ID_NOBODY);
}

/* Owner first: a change of it takes the set-user-id bits away. */
static struct error *set_attributes(int parent, const char *name, const struct guest_file *file)
{
	const struct timespec time = {file->mtime_s, file->mtime_ns < 1000000000 ? file->mtime_ns : 0};
	const struct timespec times[2] = {time, time};

	if (fchownat(parent, name, host_id(file->uid), host_id(file->gid), AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(file->mode) && fchmodat(parent, name, file->mode & 07777, 0) < 0) ||
	    utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_system(errno, name, "cannot set its attributes");
	return NULL;
}

static struct error *set_acl(struct fill *fill, int fd, const struct guest_file *file, bool otherwise)
{
	struct {
		struct posix_acl_xattr_header header;
		struct posix_acl_xattr_entry entries[GUEST_ACL_MAX];
	} value = {.header.a_version = POSIX_ACL_XATTR_VERSION};
	char path[64];
	struct guest_acl acl;
	struct error *error = guest_file_acl(fill->guest, file, otherwise, &acl);

	if (error || acl.n == 0)
		return error;
	for (size_t i = 0; i < acl.n; i++) {
		const struct guest_acl_entry *entry = &acl.entries[i];
		bool named = entry->tag == ACL_USER || entry->tag == ACL_GROUP;

		value.entries[i] = (struct posix_acl_xattr_entry){entry->tag, entry->permissions,
								  named ? host_id(entry->id) : ACL_UNDEFINED_ID};
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (setxattr(path, otherwise ? "system.posix_acl_default" : "system.posix_acl_access", &value,
		     sizeof(value.header) + acl.n * sizeof(value.entries[0]), 0) < 0)
		return error_system(errno, file->name, "cannot set its access control list");
	return NULL;
}

/* After its mode, which the list says more of. Lists that cannot be read leave the file as its mode has it. */
static struct error *set_acls(struct fill *fill, int parent, const char *name, const struct guest_file *file)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	if (!S_ISREG(file->mode) && !S_ISDIR(file->mode))
		return NULL;
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, name, "cannot open");
	error = set_acl(fill, fd, file, false);
	if (!error && S_ISDIR(file->mode))
		error = set_acl(fill, fd, file, true);
	if (error && error->code != ERROR_NO_MEMORY) {
		log_debug("%s: %s", fill->name, error->message);
		error_destroy(take_ptr(error));
	}
	return error;
}

/* ---- Contents ---- */

/* Pages of zeros stay holes: those that the guest has written out as zeros are not told from them. */
static struct error *write_pages(struct fill *fill, int fd, const char *name, const uint8_t *bytes, uint64_t offset,
				 size_t size)
{
	for (size_t done = 0; done < size; done += PAGE_BYTES) {
		size_t n = size - done < PAGE_BYTES ? size - done : PAGE_BYTES;

		if (bytes_are_zero(bytes + done, n))
			continue;
		if (fill->budget->bytes < n) {
			fill->full = true;
			return NULL;
		}
		fill->budget->bytes -= n;
		if (pwrite(fd, bytes + done, n, (off_t)(offset + done)) != (ssize_t)n) {
			if (errno != ENOSPC)
				return error_system(errno, name, "cannot write");
			fill->full = true;
			return NULL;
		}
	}
	return NULL;
}

/* A part of which not all is in memory: page by page. */
static struct error *copy_pages(struct fill *fill, const struct guest_file *file, int fd, uint64_t offset, size_t size)
{
	for (size_t done = 0; done < size && has_work_left(fill); done += PAGE_BYTES) {
		size_t want = size - done < PAGE_BYTES ? size - done : PAGE_BYTES, n;
		struct error *error = guest_file_read(fill->guest, file, offset + done, fill->chunk, want, &n);

		if (error && error->code == ERROR_NO_MEMORY)
			return error;
		if (error && done == 0)
			lose(&fill->n_swapped, fill->swapped, file->name);
		if (!error)
			error = write_pages(fill, fd, file->name, fill->chunk, offset + done, n);
		else
			error_destroy(take_ptr(error));
		if (error)
			return error;
	}
	return NULL;
}

static struct error *copy_contents(struct fill *fill, const struct guest_file *file, int fd)
{
	uint64_t offset = 0, end;

	while (has_work_left(fill)) {
		uint64_t size = CHUNK_SIZE;
		size_t n;
		struct error *error = guest_file_next_data(fill->guest, file, offset, &offset, &end);

		if (error && error->code == ERROR_NOT_FOUND) {
			error_destroy(error);
			return NULL;
		}
		if (error)
			return error;
		size = end - offset < size ? end - offset : size;
		error = guest_file_read(fill->guest, file, offset, fill->chunk, (size_t)size, &n);
		if (!error)
			error = write_pages(fill, fd, file->name, fill->chunk, offset, n);
		else if (error->code != ERROR_NO_MEMORY) {
			error_destroy(error);
			error = copy_pages(fill, file, fd, offset, (size_t)size);
		}
		if (error)
			return error;
		offset += size;
	}
	return NULL;
}

static struct error *make_file(struct fill *fill, int parent, const struct guest_file *file)
{
	bool made = tmpfs_numbers_take(fill->numbers, parent, file);
	_cleanup_(close_fd) int fd =
		openat(parent, file->name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | (made ? 0 : O_CREAT | O_EXCL), 0600);
	struct error *error;

	if (fd < 0)
		return error_system(errno, file->name, "cannot create");
	if (file->size > INT64_MAX || ftruncate(fd, (off_t)file->size) < 0) {
		unlinkat(parent, file->name, 0);
		return error_create(ERROR_FORMAT, "%s: a size of %llu bytes", file->name,
				    (unsigned long long)file->size);
	}
	error = copy_contents(fill, file, fd);
	/* Half a file is not the guest's. */
	if (error || fill->full)
		unlinkat(parent, file->name, 0);
	if (!error && fill->full)
		lose(&fill->n_left_out, fill->left_out, file->name);
	return error;
}

/* ---- Entries ---- */

static struct error *link_first(struct fill *fill, int parent, const struct guest_file *file, bool *ret)
{
	char path[64];

	*ret = false;
	for (size_t i = 0; file->links > 1 && i < fill->n_linked; i++) {
		if (fill->linked[i].inode_address != file->inode_address)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fill->linked[i].fd);
		if (linkat(AT_FDCWD, path, parent, file->name, AT_SYMLINK_FOLLOW) < 0)
			return error_system(errno, file->name, "cannot link");
		*ret = true;
	}
	return NULL;
}

#define LINKED_MAX 256u /* descriptors */

static struct error *remember(struct fill *fill, int parent, const struct guest_file *file)
{
	struct error *error;
	int fd;

	if (file->links < 2 || fill->n_linked == LINKED_MAX)
		return NULL;
	error = array_room(&fill->linked, fill->n_linked, sizeof(*fill->linked));
	if (error)
		return error;
	fd = openat(parent, file->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	fill->linked[fill->n_linked++] = (struct linked){file->inode_address, fd};
	return NULL;
}

static struct error *make_node(struct fill *fill, int parent, const struct guest_file *file)
{
	int r;

	if (S_ISREG(file->mode))
		return make_file(fill, parent, file);
	if (tmpfs_numbers_take(fill->numbers, parent, file))
		return NULL;
	if (S_ISLNK(file->mode))
		r = symlinkat(file->link, parent, file->name);
	else
		r = mknodat(parent, file->name, (file->mode & S_IFMT) | 0600, makedev(file->major, file->minor));
	return r < 0 ? error_system(errno, file->name, "cannot create") : NULL;
}

static struct error *fill_directory(struct fill *fill, const struct guest_file *directory, int fd, unsigned depth);

static struct error *make_directory(struct fill *fill, int parent, const struct guest_file *file, unsigned depth)
{
	_cleanup_(close_fd) int fd = -1;

	if (depth == DEPTH_MAX) {
		lose(&fill->n_left_out, fill->left_out, file->name);
		return NULL;
	}
	if (!tmpfs_numbers_take(fill->numbers, parent, file) && mkdirat(parent, file->name, 0700) < 0)
		return error_system(errno, file->name, "cannot create");
	fd = openat(parent, file->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, file->name, "cannot open");
	return fill_directory(fill, file, fd, depth + 1);
}

static struct error *make_entry(struct fill *fill, int parent, const struct guest_file *file, unsigned depth)
{
	bool known = S_ISREG(file->mode) || S_ISFIFO(file->mode) || S_ISSOCK(file->mode) || S_ISCHR(file->mode) ||
		     S_ISBLK(file->mode) || (S_ISLNK(file->mode) && file->link && file->link[0]);
	bool linked;
	struct error *error;

	if (S_ISDIR(file->mode)) {
		error = make_directory(fill, parent, file, depth);
		if (!error)
			error = set_attributes(parent, file->name, file);
		return error ? error : set_acls(fill, parent, file->name, file);
	}
	if (!known)
		return error_create(ERROR_FORMAT, "%s: neither file nor link", file->name);
	error = link_first(fill, parent, file, &linked);
	if (!error && !linked) {
		error = make_node(fill, parent, file);
		if (!error && !fill->full)
			error = set_attributes(parent, file->name, file);
		if (!error && !fill->full)
			error = set_acls(fill, parent, file->name, file);
		if (!error && !fill->full)
			error = remember(fill, parent, file);
	}
	return error;
}

static bool is_name(const char *name)
{
	return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') &&
	       strlen(name) <= NAME_MAX;
}

/* One entry that fails does not keep the others away. */
static struct error *fill_directory(struct fill *fill, const struct guest_file *directory, int fd, unsigned depth)
{
	_cleanup_(guest_file_list_deinit) struct guest_file_list read = {0};
	const struct guest_file_list *list = tmpfs_numbers_list(fill->numbers, directory);
	struct error *error = list ? NULL : guest_directory(fill->guest, directory, &read);

	if (!list)
		list = &read;
	if (error && depth > 0 && error->code != ERROR_NO_MEMORY) {
		lose(&fill->n_damaged, fill->damaged, directory->name);
		error_destroy(take_ptr(error));
	}
	if (error)
		return error;
	if (list->incomplete)
		lose(&fill->n_damaged, fill->damaged, directory->name);
	for (size_t i = 0; !error && i < list->n; i++) {
		if (!is_within_budget(fill)) {
			lose(&fill->n_left_out, fill->left_out, list->items[i].name);
			break;
		}
		if (is_name(list->items[i].name))
			error = make_entry(fill, fd, &list->items[i], depth);
		if (error && error->code != ERROR_NO_MEMORY) {
			log_debug("%s: %s", fill->name, error->message);
			lose(&fill->n_damaged, fill->damaged, list->items[i].name);
			error_destroy(take_ptr(error));
		}
	}
	return error;
}

static void report(const struct fill *fill)
{
	if (fill->n_left_out)
		log_warning("%s: not all of it is in the shadow, it is too much or too deep: %s and what follows",
			    fill->name, fill->left_out);
	if (fill->n_damaged)
		log_warning("%s: memory does not have %zu of its entries in a readable state, %s among them",
			    fill->name, fill->n_damaged, fill->damaged);
	if (fill->n_swapped)
		log_warning("%s: files that are partly swapped out read as zeros there: %zu, %s among them", fill->name,
			    fill->n_swapped, fill->swapped);
}

struct error *tmpfs_fill(struct guest *guest, const struct guest_file *directory, const char *name, int fd,
			 struct tmpfs_budget *budget)
{
	_cleanup_(free_ptr) uint8_t *chunk = malloc(CHUNK_SIZE);
	struct fill fill = {
		.guest = guest, .name = name, .budget = budget, .chunk = chunk, .work_seen = guest_work(guest)};
	struct error *error;

	if (!chunk)
		return error_no_memory();
	if (!budget->begun)
		*budget = (struct tmpfs_budget){true, TMPFS_BYTES_MAX, TMPFS_ENTRIES_MAX, TMPFS_WORK_MAX};
	/* What it reads is not read again, but of a guest that lies; then something is left. */
	error = tmpfs_numbers_create(guest, directory, fd, budget->work / 2, &fill.numbers);
	if (!error)
		error = fill_directory(&fill, directory, fd, 0);
	tmpfs_numbers_destroy(fill.numbers);
	if (!error)
		error = set_attributes(fd, ".", directory);
	if (!error)
		error = set_acls(&fill, fd, ".", directory);
	for (size_t i = 0; i < fill.n_linked; i++)
		close(fill.linked[i].fd);
	free(fill.linked);
	report(&fill);
	return error;
}
