/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/attributes.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PERMISSIONS     07777
#define XATTR_LIST_MAX  65536 /* of Linux */
#define XATTR_VALUE_MAX 65536

static struct timespec omitted(void)
{
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

struct error *attributes_set_time(int directory, const char *name, int64_t mtime_s, uint32_t mtime_ns, const char *path)
{
	struct timespec times[2] = {omitted(), {.tv_sec = mtime_s, .tv_nsec = mtime_ns}};

	if (utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return error_system(errno, path, "cannot set the time of");
	return NULL;
}

struct error *attributes_set_new(int fd, uint32_t mode, const struct change_attributes *to, const char *path)
{
	struct timespec times[2] = {omitted(), {.tv_sec = to->mtime_s, .tv_nsec = to->mtime_ns}};

	if ((to->uid || to->gid) && fchown(fd, to->uid, to->gid) < 0)
		return error_system(errno, path, "cannot set the owner of");
	if ((to->mode & PERMISSIONS) != mode && fchmod(fd, to->mode & PERMISSIONS) < 0)
		return error_system(errno, path, "cannot set the mode of");
	for (size_t i = 0; i < to->n_xattrs; i++) {
		const struct change_xattr *x = &to->xattrs[i];

		if (fsetxattr(fd, x->name, x->value, x->size, 0) < 0)
			return error_system(errno, path, "cannot set the attribute %s of", x->name);
	}
	if (futimens(fd, times) < 0)
		return error_system(errno, path, "cannot set the time of");
	return NULL;
}

static const struct change_xattr *find_xattr(const struct change_attributes *in, const char *name)
{
	for (size_t i = 0; in && i < in->n_xattrs; i++)
		if (!strcmp(in->xattrs[i].name, name))
			return &in->xattrs[i];
	return NULL;
}

static bool same_xattrs(const struct change_attributes *a, const struct change_attributes *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (size_t i = 0; i < a->n_xattrs; i++) {
		const struct change_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		if (strcmp(x->name, y->name) || x->size != y->size || memcmp(x->value, y->value, x->size))
			return false;
	}
	return true;
}

/* `link` is the inode's name below /proc/self/fd, which reaches every type without opening it. */
static struct error *set_xattrs(const char *link, const struct change_attributes *to,
				const struct change_attributes *from, const char *path)
{
	for (size_t i = 0; from && i < from->n_xattrs; i++) {
		const char *name = from->xattrs[i].name;

		if (!find_xattr(to, name) && removexattr(link, name) < 0 && errno != ENODATA)
			return error_system(errno, path, "cannot remove the attribute %s of", name);
	}
	for (size_t i = 0; i < to->n_xattrs; i++) {
		const struct change_xattr *x = &to->xattrs[i];

		if (setxattr(link, x->name, x->value, x->size, 0) < 0)
			return error_system(errno, path, "cannot set the attribute %s of", x->name);
	}
	return NULL;
}

static struct error *set_all(int fd, const struct change_attributes *to, const struct change_attributes *from,
			     const char *path)
{
	struct timespec times[2] = {omitted(), {.tv_sec = to->mtime_s, .tv_nsec = to->mtime_ns}};
	struct error *error;
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", to->uid, to->gid, AT_EMPTY_PATH) < 0)
		return error_system(errno, path, "cannot set the owner of");
	if (!S_ISLNK(to->mode) && chmod(link, to->mode & PERMISSIONS) < 0)
		return error_system(errno, path, "cannot set the mode of");
	error = set_xattrs(link, to, from, path);
	if (error)
		return error;
	if (utimensat(AT_FDCWD, link, times, 0) < 0)
		return error_system(errno, path, "cannot set the time of");
	return NULL;
}

static struct error *check_inode(const struct node *node, uint64_t inode, const char *path)
{
	if (!inode || (node->exists && node->inode == inode))
		return NULL;
	return conflict(path, "it was replaced since it was checked");
}

/* Most of what changes at all: by name, which saves two calls, and looked at afterwards. */
static struct error *set_time_alone(int directory, const char *name, uint64_t inode, const struct change_attributes *to,
				    const char *path)
{
	struct error *error = attributes_set_time(directory, name, to->mtime_s, to->mtime_ns, path);
	struct node node;

	if (error || !inode)
		return error;
	error = node_read(directory, name, path, &node);
	return error ? error : check_inode(&node, inode, path);
}

struct error *attributes_set(int directory, const char *name, uint64_t inode, const struct change_attributes *to,
			     const struct change_attributes *from, bool all, const char *path)
{
	_cleanup_(close_fd) int fd = -1;
	struct node node;
	struct error *error;

	if (!all && from && from->mode == to->mode && from->uid == to->uid && from->gid == to->gid &&
	    same_xattrs(from, to))
		return set_time_alone(directory, name, inode, to, path);

	fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open");
	error = node_read(fd, "", path, &node);
	if (!error)
		error = check_inode(&node, inode, path);
	if (error)
		return error;
	if ((node.mode ^ to->mode) & S_IFMT)
		return conflict(path, "it is of another type now");
	return set_all(fd, to, from, path);
}

static struct error *compare_xattr(const char *link, const struct change_xattr *expected, uint8_t *value,
				   const char *path)
{
	ssize_t n = lgetxattr(link, expected->name, value, XATTR_VALUE_MAX);

	if (n < 0 && errno != ENODATA && errno != ENOTSUP)
		return error_system(errno, path, "cannot read the attribute %s of", expected->name);
	if (n < 0 || (size_t)n != expected->size || memcmp(value, expected->value, n))
		return conflict(path, "its extended attribute %s changed", expected->name);
	return NULL;
}

static bool is_guests_own(const char *name)
{
	return !strncmp(name, "security.", 9) || !strncmp(name, "trusted.", 8) || !strncmp(name, "system.", 7);
}

struct error *attributes_compare_xattrs(int directory, const char *name, const struct change_attributes *expected,
					const char *path)
{
	_cleanup_(free_ptr) char *names = malloc(XATTR_LIST_MAX);
	_cleanup_(free_ptr) uint8_t *value = malloc(XATTR_VALUE_MAX);
	_cleanup_(free_ptr) char *link = NULL;
	struct error *error;
	ssize_t n;

	if (!names || !value || asprintf(&link, "/proc/self/fd/%d/%s", directory, name) < 0)
		return error_no_memory();
	for (size_t i = 0; i < expected->n_xattrs; i++) {
		error = compare_xattr(link, &expected->xattrs[i], value, path);
		if (error)
			return error;
	}
	n = llistxattr(link, names, XATTR_LIST_MAX);
	if (n < 0 && errno == ENOTSUP)
		return NULL;
	if (n < 0)
		return error_system(errno, path, "cannot list the extended attributes of");
	for (const char *p = names; p < names + n; p += strlen(p) + 1)
		if (!is_guests_own(p) && !find_xattr(expected, p))
			return conflict(path, "it has a new extended attribute %s", p);
	return NULL;
}
