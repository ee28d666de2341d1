/* SPDX-License-Identifier: Apache-2.0 */
#include "update/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "update/newer.h"

#define LINKS_MAX 40u /* as many as the kernel follows */

struct walk {
	const struct sleeping *sleeping;
	char *rest;             /* what is still to be followed, with the targets of links put in; owned */
	size_t position;        /* in it */
	char path[PATH_MAX];    /* where we are, without a slash at its end: "" is the root */
	struct view_file place; /* what is there */
	unsigned links;         /* followed so far */
	bool follow;            /* the one at the end, too */
};

void view_file_deinit(struct view_file *file)
{
	free(file->path);
	free(file->link);
	guest_file_deinit(&file->memory);
	close_fd(&file->fd);
	*file = (struct view_file){.fd = -1};
}

static void walk_deinit(struct walk *walk)
{
	free(walk->rest);
	view_file_deinit(&walk->place);
}

/* ---- One file, by a path without links ---- */

static bool is_on_disk(const struct sleeping *sleeping, const char *path)
{
	const struct guest_mount *mount = sleeping_mount_of(sleeping, path);
	size_t n;
	const struct disk_mount *mounts = disk_mounts(sleeping->disk, &n);

	for (size_t i = 0; mount && i < n; i++)
		if (mounts[i].major == mount->major && mounts[i].minor == mount->minor)
			return true;
	return !mount;
}

static struct error *read_link(int fd, const char *path, char **ret)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, sizeof(target));

	if (n < 0)
		return error_system(errno, path, "read the link");
	*ret = strndup(target, (size_t)n);
	return *ret ? NULL : error_no_memory();
}

static struct error *look_on_disk(const struct sleeping *sleeping, struct view_file *ret)
{
	ret->fd = io_openat2(disk_root(sleeping->disk), ret->path, O_PATH | O_NOFOLLOW,
			     RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (ret->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return error_create(ERROR_NOT_FOUND, "%s: the guest has no such file", ret->path);
	if (ret->fd < 0 || fstat(ret->fd, &ret->status) < 0)
		return error_system(errno, ret->path, "look at");
	ret->unknown = newer_find_unknown(sleeping->disk, ret->path, ret->status.st_ino);
	return S_ISLNK(ret->status.st_mode) ? read_link(ret->fd, ret->path, &ret->link) : NULL;
}

static struct error *look_in_memory(const struct sleeping *sleeping, struct view_file *ret)
{
	struct guest_file *file = &ret->memory;
	struct error *error = guest_file_find(sleeping->guest, ret->path, false, file);

	if (error)
		return error;
	ret->in_memory = true;
	ret->status = (struct stat){
		.st_ino = file->inode,
		.st_mode = file->mode,
		.st_nlink = file->links,
		.st_uid = file->uid,
		.st_gid = file->gid,
		.st_rdev = makedev(file->major, file->minor),
		.st_size = (off_t)file->size,
		.st_mtim = {.tv_sec = file->mtime_s, .tv_nsec = file->mtime_ns},
	};
	if (!S_ISLNK(file->mode))
		return NULL;
	if (!file->link)
		return error_create(ERROR_NOT_FOUND, "%s: where the link leads is not in the guest's memory",
				    ret->path);
	ret->link = strdup(file->link);
	return ret->link ? NULL : error_no_memory();
}

static struct error *look(const struct sleeping *sleeping, const char *path, struct view_file *ret)
{
	struct view_file file = {.fd = -1, .path = strdup(*path ? path : "/")};
	struct error *error;

	if (!file.path)
		return error_no_memory();
	error = is_on_disk(sleeping, file.path) ? look_on_disk(sleeping, &file) : look_in_memory(sleeping, &file);
	if (error) {
		view_file_deinit(&file);
		return error;
	}
	view_file_deinit(ret);
	*ret = file;
	return NULL;
}

/* ---- A path ---- */

static struct error *too_long(const struct walk *walk)
{
	return error_create(ERROR_FAILED, "%s: the path is too long", walk->path);
}

/* What follows the link comes behind its target, which begins where the link is, or at the root. */
static struct error *follow_link(struct walk *walk, size_t parent)
{
	char *rest;

	if (++walk->links > LINKS_MAX)
		return error_create(ERROR_FAILED, "%s: too many symbolic links", walk->path);
	rest = string_format("%s/%s", walk->place.link, walk->rest + walk->position);
	if (!rest)
		return error_no_memory();
	free(walk->rest);
	walk->rest = rest;
	walk->position = 0;
	walk->path[*rest == '/' ? 0 : parent] = 0;
	return look(walk->sleeping, walk->path, &walk->place);
}

static struct error *go_up(struct walk *walk)
{
	char *slash = strrchr(walk->path, '/');

	if (slash)
		*slash = 0;
	return look(walk->sleeping, walk->path, &walk->place);
}

static struct error *take_component(struct walk *walk)
{
	const char *name = walk->rest + walk->position;
	size_t size = strcspn(name, "/"), parent = strlen(walk->path);
	bool more = name[size + strspn(name + size, "/")] != 0;
	struct error *error;

	walk->position += size + (name[size] == '/');
	if (size == 0 || (size == 1 && *name == '.'))
		return NULL;
	if (!S_ISDIR(walk->place.status.st_mode))
		return error_create(ERROR_NOT_FOUND, "%s: it is not a directory", walk->path);
	if (size == 2 && memcmp(name, "..", 2) == 0)
		return go_up(walk);
	if (parent + 1 + size >= sizeof(walk->path))
		return too_long(walk);
	walk->path[parent] = '/';
	memcpy(walk->path + parent + 1, name, size);
	walk->path[parent + 1 + size] = 0;
	error = look(walk->sleeping, walk->path, &walk->place);
	if (error || !walk->place.link || (!more && !walk->follow))
		return error;
	return follow_link(walk, parent);
}

struct error *view_find(const struct sleeping *sleeping, const char *path, bool follow, struct view_file *ret)
{
	_cleanup_(walk_deinit) struct walk walk = {
		.sleeping = sleeping, .rest = strdup(path), .follow = follow, .place = {.fd = -1}};
	struct error *error;

	if (!walk.rest)
		return error_no_memory();
	error = look(sleeping, "", &walk.place);
	while (!error && walk.rest[walk.position])
		error = take_component(&walk);
	if (error)
		return error;
	*ret = walk.place;
	walk.place = (struct view_file){.fd = -1};
	return NULL;
}

/* ---- Contents ---- */

static struct error *list_on_disk(const struct view_file *directory, struct names *ret)
{
	_cleanup_(closedir_ptr) DIR *stream = NULL;
	int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error *error = NULL;
	struct dirent *entry;

	if (fd < 0)
		return error_system(errno, directory->path, "read directory");
	stream = fdopendir(fd);
	if (!stream) {
		close_fd(&fd);
		return error_no_memory();
	}
	for (errno = 0; !error && (entry = readdir(stream)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = names_add(ret, entry->d_name);
	return error || !errno ? error : error_system(errno, directory->path, "read directory");
}

static struct error *list_in_memory(const struct sleeping *sleeping, const struct view_file *directory,
				    struct names *ret)
{
	struct guest_file_list list = {0};
	struct error *error;

	if (!directory->memory.resident)
		return error_create(ERROR_UNSUPPORTED,
				    "%s: the file system there is not on the disk, and not all of its names are in "
				    "memory",
				    directory->path);
	error = guest_directory(sleeping->guest, &directory->memory, &list);
	for (size_t i = 0; !error && i < list.n; i++)
		error = names_add(ret, list.items[i].name);
	if (!error)
		error = error_wrap(take_ptr(list.incomplete), "%s", directory->path);
	guest_file_list_deinit(&list);
	return error;
}

struct error *view_list(const struct sleeping *sleeping, const struct view_file *directory, struct names *ret)
{
	struct error *error =
		directory->in_memory ? list_in_memory(sleeping, directory, ret) : list_on_disk(directory, ret);

	names_sort(ret);
	return error;
}

struct error *view_read(const struct sleeping *sleeping, const struct view_file *file, uint64_t offset, void *buffer,
			size_t size, size_t *ret)
{
	_cleanup_(close_fd) int fd = -1;
	char path[64];
	size_t done = 0;
	ssize_t n = 1;

	if (file->in_memory)
		return guest_file_read(sleeping->guest, &file->memory, offset, buffer, size, ret);
	if (file->unknown)
		return error_create(ERROR_NOT_FOUND, "%s: what the guest sees of it is not known: %s", file->path,
				    file->unknown->why);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	while (fd >= 0 && n > 0 && done < size) {
		n = pread(fd, (char *)buffer + done, size - done, (off_t)(offset + done));
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || n < 0)
		return error_system(errno, file->path, "read");
	*ret = done;
	return NULL;
}
