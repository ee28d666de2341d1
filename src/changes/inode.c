/* SPDX-License-Identifier: Apache-2.0 */
#include "changes/inode.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/io.h"

#define XATTR_LIST_BYTES  65536 /* XATTR_LIST_MAX of Linux */
#define XATTR_VALUE_BYTES 65536 /* XATTR_SIZE_MAX of Linux */

/* "/proc/self/fd/N": the way to an inode's extended attributes through an O_PATH descriptor. */
struct proc_path {
	char text[32];
};

static struct proc_path proc_path(int fd)
{
	struct proc_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

struct error *inode_open(struct inode_place place, int flags, int *ret)
{
	const char *path = *place.path ? place.path : ".";
	int fd = io_openat2(place.root_fd, path, flags | O_NOFOLLOW,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	/* ELOOP: a component on the way is a symbolic link here, so nothing has this very path. */
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return error_create(ERROR_NOT_FOUND, "%s does not exist", path);
	if (fd < 0 && errno == ENAMETOOLONG)
		return error_create(ERROR_UNSUPPORTED, "a path of the guest is longer than %d bytes: %.64s…", PATH_MAX,
				    path);
	if (fd < 0)
		return error_system(errno, path, "cannot open in the layer");
	*ret = fd;
	return NULL;
}

struct error *inode_stat(struct inode_place place, bool *ret_exists, struct stat *ret)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	error = inode_open(place, O_PATH, &fd);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret_exists = false;
		return NULL;
	}
	if (error)
		return error;
	if (fstat(fd, ret) < 0)
		return error_system(errno, place.path, "cannot stat");
	*ret_exists = true;
	return NULL;
}

struct error *inode_xattr(struct inode_place place, const char *name, void *value, size_t size, ssize_t *ret)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	ssize_t n;

	error = inode_open(place, O_PATH, &fd);
	if (error)
		return error;
	n = getxattr(proc_path(fd).text, name, value, size);
	if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP)
		return error_system(errno, place.path, "cannot read the attribute %s", name);
	*ret = n;
	return NULL;
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct change_xattr *)a)->name, ((const struct change_xattr *)b)->name);
}

/* The name the guest uses, or NULL if it is overlayfs's own. PREFIX is "user.overlay." or "trusted.overlay.". */
static char *guest_xattr_name(const char *name, const char *prefix, bool *ret_private)
{
	const char *escape = "overlay.";
	size_t length = prefix ? strlen(prefix) : 0;

	*ret_private = false;
	if (!prefix || strncmp(name, prefix, length) != 0)
		return strdup(name);
	if (strncmp(name + length, escape, strlen(escape)) == 0)
		return string_format("%s%s", prefix, name + length + strlen(escape));
	*ret_private = true;
	return NULL;
}

/* Takes `base` from the ids that have it, in the form of linux/posix_acl_xattr.h. What is no ACL stays as it is. */
static void unshift_acl(uint32_t base, const char *name, void *value, size_t size)
{
	struct posix_acl_xattr_header *header = value;
	struct posix_acl_xattr_entry *entries = (void *)(header + 1);

	if (base == 0 || size < sizeof(*header) ||
	    (strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) != 0 && strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) != 0))
		return;
	for (size_t i = 0; i < (size - sizeof(*header)) / sizeof(*entries); i++) {
		uint32_t id = le32toh(entries[i].e_id), tag = le16toh(entries[i].e_tag);

		if ((tag == ACL_USER || tag == ACL_GROUP) && id >= base)
			entries[i].e_id = htole32(id - base);
	}
}

static struct error *add_xattr(const char *proc, struct inode_place place, const char *name, const char *prefix,
			       struct change_attributes *attributes)
{
	struct change_xattr *xattr = &attributes->xattrs[attributes->n_xattrs];
	_cleanup_(free_ptr) char *guest_name = NULL;
	_cleanup_(free_ptr) char *value = NULL;
	bool private;
	ssize_t n;

	guest_name = guest_xattr_name(name, prefix, &private);
	if (private)
		return NULL;
	value = malloc(XATTR_VALUE_BYTES);
	if (!guest_name || !value)
		return error_no_memory();
	n = getxattr(proc, name, value, XATTR_VALUE_BYTES);
	/* Listed for the overlay's sake but not there, as POSIX ACLs of some file systems. */
	if (n < 0 && errno == ENODATA)
		return NULL;
	if (n < 0)
		return error_system(errno, place.path, "cannot read the attribute %s", name);
	unshift_acl(place.acl_id_base, name, value, (size_t)n);
	xattr->value = malloc(n ? (size_t)n : 1);
	if (!xattr->value)
		return error_no_memory();
	memcpy(xattr->value, value, (size_t)n);
	xattr->size = (size_t)n;
	xattr->name = take_ptr(guest_name);
	attributes->n_xattrs++;
	return NULL;
}

static size_t count_names(const char *list, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += list[i] == '\0';
	return n;
}

static struct error *read_xattrs(int fd, struct inode_place place, const char *prefix,
				 struct change_attributes *attributes)
{
	_cleanup_(free_ptr) char *list = malloc(XATTR_LIST_BYTES);
	struct proc_path proc = proc_path(fd);
	ssize_t size;
	size_t n;

	if (!list)
		return error_no_memory();
	size = listxattr(proc.text, list, XATTR_LIST_BYTES);
	if (size < 0 && errno == EOPNOTSUPP)
		return NULL;
	if (size < 0)
		return error_system(errno, place.path, "cannot list extended attributes");
	n = count_names(list, (size_t)size);
	if (n == 0)
		return NULL;
	attributes->xattrs = calloc(n, sizeof(*attributes->xattrs));
	if (!attributes->xattrs)
		return error_no_memory();
	for (const char *name = list; name < list + size; name += strlen(name) + 1) {
		struct error *error = add_xattr(proc.text, place, name, prefix, attributes);

		if (error)
			return error;
	}
	qsort(attributes->xattrs, attributes->n_xattrs, sizeof(*attributes->xattrs), compare_xattrs);
	return NULL;
}

struct error *inode_attributes(struct inode_place place, const struct stat *st, const char *private_prefix,
			       struct change_attributes *ret)
{
	struct change_attributes attributes = {
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
	};
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	error = inode_open(place, O_PATH, &fd);
	if (error)
		return error;
	error = read_xattrs(fd, place, private_prefix, &attributes);
	if (error) {
		change_attributes_deinit(&attributes);
		return error;
	}
	*ret = attributes;
	return NULL;
}

static bool xattrs_equal(const struct change_attributes *a, const struct change_attributes *b)
{
	if (a->n_xattrs != b->n_xattrs)
		return false;
	for (size_t i = 0; i < a->n_xattrs; i++) {
		const struct change_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		if (strcmp(x->name, y->name) != 0 || x->size != y->size || memcmp(x->value, y->value, x->size) != 0)
			return false;
	}
	return true;
}

bool attributes_equal(const struct change_attributes *a, const struct change_attributes *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->mtime_s == b->mtime_s &&
	       a->mtime_ns == b->mtime_ns && xattrs_equal(a, b);
}

struct error *inode_target(struct inode_place place, const struct stat *st, char **ret)
{
	_cleanup_(free_ptr) char *target = malloc(PATH_MAX);
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	ssize_t n;

	if (!target)
		return error_no_memory();
	error = inode_open(place, O_PATH, &fd);
	if (error)
		return error;
	n = readlinkat(fd, "", target, PATH_MAX);
	if (n < 0)
		return error_system(errno, place.path, "cannot read the link");
	if (n == 0 || n == PATH_MAX || memchr(target, 0, (size_t)n))
		return error_format(place.path, ERROR_NO_ADDRESS, "a symbolic link's text cannot be");
	target[n] = '\0';
	*ret = take_ptr(target);
	return NULL;
}

struct error *inode_sha256(struct inode_place place, uint64_t size, uint8_t digest[SHA256_SIZE])
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error;
	struct stat st;

	error = inode_open(place, O_RDONLY | O_NONBLOCK, &fd);
	if (error)
		return error;
	if (fstat(fd, &st) < 0)
		return error_system(errno, place.path, "cannot stat");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return error_format(place.path, ERROR_NO_ADDRESS, "the file changed while it was read");
	return sha256_fd(fd, place.path, digest);
}

static struct error *read_preimage(struct inode_place place, const struct stat *st, struct change_preimage *preimage)
{
	struct error *error;

	preimage->exists = true;
	preimage->inode = st->st_ino;
	preimage->nlink = (uint32_t)st->st_nlink;
	preimage->ctime_s = st->st_ctim.tv_sec;
	preimage->ctime_ns = (uint32_t)st->st_ctim.tv_nsec;
	error = inode_attributes(place, st, NULL, &preimage->attributes);
	if (error)
		return error;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		preimage->rdev = st->st_rdev;
	if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
		preimage->size = (uint64_t)st->st_size;
	if (S_ISREG(st->st_mode))
		return inode_sha256(place, preimage->size, preimage->sha256);
	if (S_ISLNK(st->st_mode))
		return inode_target(place, st, &preimage->target);
	return NULL;
}

struct error *inode_preimage(struct inode_place place, struct change_preimage *ret)
{
	struct change_preimage preimage = {};
	struct error *error;
	struct stat st;
	bool exists;

	error = inode_stat(place, &exists, &st);
	if (error)
		return error;
	if (exists) {
		error = read_preimage(place, &st, &preimage);
		if (error) {
			change_preimage_deinit(&preimage);
			return error;
		}
	}
	*ret = preimage;
	return NULL;
}

void change_preimage_deinit(struct change_preimage *preimage)
{
	change_attributes_deinit(&preimage->attributes);
	free(take_ptr(preimage->target));
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct error *append_name(char ***names, size_t *n, const char *name)
{
	char **larger = *names;

	/* Room for the name and the NULL behind it; grows when n + 1 reaches a power of two. */
	if ((*n & (*n + 1)) == 0) {
		larger = reallocarray(*names, 2 * (*n + 1), sizeof(**names));
		if (!larger)
			return error_no_memory();
		*names = larger;
	}
	larger[*n] = strdup(name);
	if (!larger[*n])
		return error_no_memory();
	larger[++*n] = NULL;
	return NULL;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

struct error *inode_names(struct inode_place place, char ***ret)
{
	_cleanup_(names_free_ptr) char **names = calloc(1, sizeof(*names));
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct dirent *entry;
	struct error *error;
	size_t n = 0;

	if (!names)
		return error_no_memory();
	error = inode_open(place, O_RDONLY | O_DIRECTORY, &fd);
	if (error)
		return error;
	dir = fdopendir(fd);
	if (!dir)
		return error_system(errno, place.path, "cannot list");
	fd = -1;
	while ((errno = 0, entry = readdir(dir))) {
		error = is_dot(entry->d_name) ? NULL : append_name(&names, &n, entry->d_name);
		if (error)
			return error;
	}
	if (errno)
		return error_system(errno, place.path, "cannot list");
	qsort(names, n, sizeof(*names), compare_names);
	*ret = take_ptr(names);
	return NULL;
}

void names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}
