/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <linux/stat.h>

#include "apply/fault.h"
#include "base/io.h"

#define NOT_LOOKED_UP  UINT32_MAX
#define OPEN_DIRECTORY (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct error *conflict(const char *path, const char *format, ...)
{
	_cleanup_(free_ptr) char *text = NULL;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0) {
		text = NULL;
		return error_no_memory();
	}
	return error_recode(error_format(path, ERROR_NO_ADDRESS, "%s", text), ERROR_CONFLICT);
}

static void node_from_statx(const struct statx *s, struct node *ret)
{
	*ret = (struct node){
		.exists = true,
		.locked = s->stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND),
		.mount_root = s->stx_attributes & STATX_ATTR_MOUNT_ROOT,
		.mode = s->stx_mode,
		.uid = s->stx_uid,
		.gid = s->stx_gid,
		.nlink = s->stx_nlink,
		.inode = s->stx_ino,
		.size = s->stx_size,
		.rdev = makedev(s->stx_rdev_major, s->stx_rdev_minor),
		.device = makedev(s->stx_dev_major, s->stx_dev_minor),
		.mount = s->stx_mask & STATX_MNT_ID ? s->stx_mnt_id : 0,
		.mtime_s = s->stx_mtime.tv_sec,
		.mtime_ns = s->stx_mtime.tv_nsec,
		.ctime_s = s->stx_ctime.tv_sec,
		.ctime_ns = s->stx_ctime.tv_nsec,
	};
}

static void node_from_stat(const struct stat *s, struct node *ret)
{
	*ret = (struct node){
		.exists = true,
		.mode = s->st_mode,
		.uid = s->st_uid,
		.gid = s->st_gid,
		.nlink = s->st_nlink,
		.inode = s->st_ino,
		.size = s->st_size,
		.rdev = s->st_rdev,
		.device = s->st_dev,
		.mtime_s = s->st_mtim.tv_sec,
		.mtime_ns = s->st_mtim.tv_nsec,
		.ctime_s = s->st_ctim.tv_sec,
		.ctime_ns = s->st_ctim.tv_nsec,
	};
}

/* Kernels before 4.11 have no statx. */
static int read_stat(int directory, const char *name, int flags, struct node *ret)
{
	struct stat s;

	if (fstatat(directory, name, &s, flags) < 0)
		return -1;
	node_from_stat(&s, ret);
	return 0;
}

struct error *node_read(int directory, const char *name, const char *path, struct node *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
	struct node node;
	struct statx s;
	long r;

	r = syscall(SYS_statx, directory, name, flags, STATX_BASIC_STATS | STATX_MNT_ID, &s);
	if (r == 0)
		node_from_statx(&s, &node);
	else if (errno == ENOSYS)
		r = read_stat(directory, name, flags, &node);
	if (r < 0 && errno == ENOENT)
		node = (struct node){};
	else if (r < 0)
		return error_system(errno, path, "cannot look at");
	*ret = node;
	return NULL;
}

struct error *tree_node(struct tree *tree, const char *path, struct node *ret)
{
	struct error *error;
	const char *name;
	int fd;

	error = tree_parent(tree, path, &fd, &name);
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = (struct node){};
		return NULL;
	}
	if (error)
		return error;
	return node_read(fd, name, path, ret);
}

/*
 * The kernel says of a symlink, too, that it is no directory. To be told apart: where no directory is nothing of ours
 * can be, behind a symlink it may.
 */
static int open_component(int directory, const char *name)
{
	int fd = openat(directory, name, OPEN_DIRECTORY);
	struct stat s;

	if (fd < 0 && errno == ENOTDIR)
		errno = fstatat(directory, name, &s, AT_SYMLINK_NOFOLLOW) < 0 || S_ISLNK(s.st_mode) ||
					S_ISDIR(s.st_mode)
				? ELOOP
				: ENOTDIR;
	return fd;
}

/* openat2 came with Linux 5.6; before it, one openat a component, none of which follows a symlink. */
static int open_components(int root_fd, const char *path)
{
	_cleanup_(close_fd) int fd = openat(root_fd, ".", OPEN_DIRECTORY);

	while (fd >= 0 && *path) {
		char name[NAME_MAX + 1];
		size_t n = strcspn(path, "/");
		int next;

		if (n > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		next = open_component(fd, name);
		close_fd(&fd);
		fd = next;
		path += n + (path[n] == '/');
	}
	return take_fd(fd);
}

static int open_directory(int root_fd, const char *path)
{
	int fd = -1;

	errno = ENOSYS;
	if (!fault_no_openat2())
		fd = io_openat2(root_fd, *path ? path : ".", OPEN_DIRECTORY,
				RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (fd < 0 && errno == ENOSYS)
		fd = open_components(root_fd, path);
	return fd;
}

static struct error *open_error(int errnum, const char *path)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return error_recode(error_system(errnum, path, "no such directory"), ERROR_NOT_FOUND);
	case ELOOP:
	case EXDEV:
		return conflict(path, "a symlink stands where a directory is expected");
	default:
		return error_system(errnum, path, "cannot open directory");
	}
}

struct error *tree_open(const char *root, struct tree *ret)
{
	struct tree tree = {.stage = STAGE_NAME, .parent_fd = -1, .parent_file_system = NOT_LOOKED_UP};
	_cleanup_(close_fd) int fd = -1;
	_cleanup_(free_ptr) char *absolute = realpath(root, NULL);
	struct error *error;

	if (!absolute)
		return error_system(errno, root, "cannot open the root directory");
	fd = open(absolute, OPEN_DIRECTORY);
	if (fd < 0)
		return error_system(errno, root, "cannot open the root directory");
	error = node_read(fd, "", root, &tree.root_node);
	if (error)
		return error;
	if (!strcmp(absolute, "/"))
		*absolute = '\0';
	tree.root_fd = take_fd(fd);
	tree.root = take_ptr(absolute);
	*ret = tree;
	return NULL;
}

void tree_close(struct tree *tree)
{
	for (size_t i = 0; i < tree->n_file_systems; i++) {
		close_fd(&tree->file_systems[i].root_fd);
		close_fd(&tree->file_systems[i].stage_fd);
		free(tree->file_systems[i].mount);
	}
	free(tree->file_systems);
	free(tree->root);
	close_fd(&tree->parent_fd);
	close_fd(&tree->root_fd);
	*tree = (struct tree){.root_fd = -1, .parent_fd = -1};
}

void tree_forget_parent(struct tree *tree)
{
	close_fd(&tree->parent_fd);
	tree->parent_file_system = NOT_LOOKED_UP;
}

struct error *tree_parent(struct tree *tree, const char *path, int *ret_fd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	char parent[PATH_MAX];

	if (n >= sizeof(parent))
		return error_system(ENAMETOOLONG, path, "cannot open directory");
	if (tree->parent_fd < 0 || strncmp(tree->parent, path, n) || tree->parent[n]) {
		memcpy(parent, path, n);
		parent[n] = '\0';
		tree_forget_parent(tree);
		tree->parent_fd = open_directory(tree->root_fd, parent);
		if (tree->parent_fd < 0)
			return open_error(errno, parent);
		memcpy(tree->parent, parent, n + 1);
	}
	*ret_fd = tree->parent_fd;
	*ret_name = slash ? slash + 1 : *path ? path : ".";
	return NULL;
}

/* Climbs to the directory where this mount begins. */
static struct error *find_mount_root(struct tree *tree, const char *path, int start_fd, int *ret)
{
	_cleanup_(close_fd) int fd = openat(start_fd, ".", OPEN_DIRECTORY);
	struct error *error;

	for (unsigned depth = 0; depth < PATH_MAX; depth++) {
		_cleanup_(close_fd) int up = -1;
		struct node here, above;

		if (fd < 0)
			return error_system(errno, path, "cannot find the mount point of");
		error = node_read(fd, "", path, &here);
		if (error)
			return error;
		if (here.mount_root || (here.device == tree->root_node.device && here.inode == tree->root_node.inode))
			break;
		up = openat(fd, "..", OPEN_DIRECTORY);
		if (up < 0)
			continue;
		error = node_read(up, "", path, &above);
		if (error)
			return error;
		if (above.device != here.device || above.mount != here.mount || above.inode == here.inode)
			break;
		close_fd(&fd);
		fd = take_fd(up);
	}
	*ret = take_fd(fd);
	return NULL;
}

static struct error *append_file_system(struct tree *tree, struct file_system file_system, uint32_t *ret)
{
	struct file_system *grown;

	grown = reallocarray(tree->file_systems, tree->n_file_systems + 1, sizeof(*grown));
	if (!grown) {
		free(file_system.mount);
		close_fd(&file_system.root_fd);
		return error_no_memory();
	}
	tree->file_systems = grown;
	grown[tree->n_file_systems] = file_system;
	*ret = tree->n_file_systems++;
	return NULL;
}

/* Where an open directory is, relative to the tree's root. */
static struct error *name_of(const struct tree *tree, int fd, const char *path, char **ret)
{
	char link[64], target[PATH_MAX];
	size_t skip = strlen(tree->root);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return error_system(errno, path, "cannot name the mount point of");
	target[n] = '\0';
	if (strncmp(target, tree->root, skip) || (target[skip] && target[skip] != '/'))
		return conflict(path, "its file system is mounted outside the root directory");
	*ret = strdup(target + skip + (target[skip] == '/'));
	return *ret ? NULL : error_no_memory();
}

static struct error *add_file_system(struct tree *tree, const char *path, int fd, const struct node *node,
				     uint32_t *ret)
{
	struct file_system new = {.device = node->device, .mount_id = node->mount, .root_fd = -1, .stage_fd = -1};
	struct error *error;

	if (tree->n_file_systems == FILE_SYSTEMS_MAX)
		return conflict(path, "more than %d file systems are concerned", FILE_SYSTEMS_MAX);
	error = find_mount_root(tree, path, fd, &new.root_fd);
	if (error)
		return error;
	error = name_of(tree, new.root_fd, path, &new.mount);
	if (error) {
		close_fd(&new.root_fd);
		return error;
	}
	return append_file_system(tree, new, ret);
}

struct error *tree_file_system(struct tree *tree, const char *path, uint32_t *ret)
{
	struct error *error;
	const char *name;
	struct node node;
	int fd;

	error = tree_parent(tree, path, &fd, &name);
	if (error)
		return error;
	if (tree->parent_file_system != NOT_LOOKED_UP) {
		*ret = tree->parent_file_system;
		return NULL;
	}
	error = node_read(fd, "", path, &node);
	if (error)
		return error;
	if (node.locked)
		return conflict(path, "its directory is immutable");
	for (uint32_t i = 0; i < tree->n_file_systems; i++) {
		const struct file_system *f = &tree->file_systems[i];

		if (f->device == node.device && f->mount_id == node.mount) {
			*ret = tree->parent_file_system = i;
			return NULL;
		}
	}
	error = add_file_system(tree, path, fd, &node, ret);
	if (!error)
		tree->parent_file_system = *ret;
	return error;
}

struct error *tree_add_mount(struct tree *tree, const char *mount)
{
	struct file_system new = {.root_fd = -1, .stage_fd = -1};
	struct error *error;
	struct node node;
	uint32_t index;

	new.root_fd = open_directory(tree->root_fd, mount);
	if (new.root_fd < 0)
		return open_error(errno, mount);
	error = node_read(new.root_fd, "", mount, &node);
	if (error) {
		close_fd(&new.root_fd);
		return error;
	}
	new.device = node.device;
	new.mount_id = node.mount;
	new.mount = strdup(mount);
	if (!new.mount) {
		close_fd(&new.root_fd);
		return error_no_memory();
	}
	return append_file_system(tree, new, &index);
}
