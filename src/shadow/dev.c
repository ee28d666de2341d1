/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's /dev; see shadow/dev.h. */
#include "shadow/dev.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/setup.h"
#include "shadow/tmpfs.h"

/* ---- Once a shadow ---- */

static const struct guest_mount *find_dev(const struct shadow *shadow)
{
	for (size_t i = 0; shadow->guest && i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		if (strcmp(mount->target, "/dev") == 0 &&
		    (strcmp(mount->fstype, "devtmpfs") == 0 || strcmp(mount->fstype, "tmpfs") == 0))
			return mount;
	}
	return NULL;
}

static struct error *fill(struct shadow *shadow)
{
	_cleanup_(guest_file_deinit) struct guest_file directory = {0};
	_cleanup_(close_fd) int fd = open(shadow->dev, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error *error;

	if (fd < 0)
		return error_system(errno, shadow->dev, "cannot open");
	error = guest_file_find(shadow->guest, "/dev", false, &directory);
	return error ? error : tmpfs_fill(shadow->guest, &directory, "/dev", fd, &shadow->tmpfs_budget);
}

struct error *dev_make(struct shadow *shadow)
{
	_cleanup_(free_ptr) char *path = string_format("%s/dev", shadow->run_dir);
	_cleanup_(close_fd) int mount = -1;
	struct error *error;

	if (!find_dev(shadow))
		return NULL;
	if (!path)
		return error_no_memory();
	/* Nobody opens a device in it. */
	error = setup_tmpfs("16m", 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &mount);
	if (!error)
		error = setup_mount_at(mount, path);
	if (error)
		return error;
	shadow->dev = take_ptr(path);
	error = fill(shadow);
	if (error && error->code != ERROR_NO_MEMORY) {
		log_warning("/dev has only what works in the shadow, not the guest's own names: %s", error->message);
		error_destroy(take_ptr(error));
		dev_destroy(shadow);
	}
	return error;
}

void dev_destroy(struct shadow *shadow)
{
	if (!shadow->dev)
		return;
	umount2(shadow->dev, MNT_DETACH);
	rmdir(shadow->dev);
	free(take_ptr(shadow->dev));
}

/* ---- Each run ---- */

/* A place for what is mounted there: of the guest's own if it has one of that kind, else an empty one. */
static struct error *make_place(int dev, const char *name, bool directory)
{
	struct stat st;
	int r;

	if (fstatat(dev, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode) == directory && !S_ISLNK(st.st_mode))
			return NULL;
		/* A directory or a link, where a device is to be. */
		if (unlinkat(dev, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0)
			return error_system(errno, name, "cannot make a place for the device");
	}
	r = directory ? mkdirat(dev, name, 0755) : mknodat(dev, name, S_IFREG | 0600, 0);
	return r < 0 ? error_system(errno, name, "cannot make a place for the device") : NULL;
}

static struct error *bind_file(int from, const char *path, int dev, const char *name)
{
	_cleanup_(close_fd) int tree = open_tree(from, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	_cleanup_(close_fd) int place = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (tree < 0 || place < 0 ||
	    move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_system(errno, name, "cannot show the device");
	return NULL;
}

/*
 * The guest's own node, if it is of the same device: with its number, owner and times. It is looked at and opened by
 * one descriptor, for other runs of the shadow have the same directory.
 */
static struct error *show_node(int dev, const char *name, dev_t device, bool *ret)
{
	_cleanup_(close_fd) int place = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct mount_attr attributes = {.attr_clr = MOUNT_ATTR_NODEV};
	_cleanup_(close_fd) int tree = -1;
	struct stat st;

	*ret = false;
	if (place < 0 || fstat(place, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != device)
		return NULL;
	tree = open_tree(place, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0 ||
	    move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_system(errno, name, "cannot show the device");
	*ret = true;
	return NULL;
}

/* Who may open the disk is what the guest has; it is read-only for all of them. */
static struct error *copy_owner(int ours, int dev, const char *name)
{
	struct stat st;

	if (fstatat(dev, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISBLK(st.st_mode))
		return NULL;
	if (fchownat(ours, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(ours, name, st.st_mode & 07777, 0) < 0)
		return error_system(errno, name, "cannot set owner and mode");
	return NULL;
}

/* The entry of our own directory is seen in the guest's; a link only where the guest has nothing. */
static struct error *carry(int ours, int dev, const char *name)
{
	char target[64];
	struct error *error;
	struct stat st;
	bool shown;
	ssize_t n;

	/* A node in the guest, of its own devpts: that opens where the terminals are. */
	if (strcmp(name, "ptmx") == 0) {
		error = make_place(dev, name, false);
		return error ? error : bind_file(ours, "pts/ptmx", dev, name);
	}
	if (fstatat(ours, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_system(errno, name, "cannot stat");
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(ours, name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (n <= 0 || (symlinkat(target, dev, name) < 0 && errno == EEXIST))
			return NULL;
		if (fchownat(dev, name, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0)
			return error_system(errno, name, "cannot create the link");
		return NULL;
	}
	/* Only terminals are a file system of their own; other directories are the guest's. */
	if (S_ISDIR(st.st_mode) && strcmp(name, "pts") != 0)
		return NULL;
	if (S_ISCHR(st.st_mode)) {
		error = show_node(dev, name, st.st_rdev, &shown);
		if (error || shown)
			return error;
	}
	error = S_ISBLK(st.st_mode) ? copy_owner(ours, dev, name) : NULL;
	if (!error)
		error = make_place(dev, name, S_ISDIR(st.st_mode));
	return error ? error : bind_file(ours, name, dev, name);
}

static struct error *carry_all(int ours, int dev)
{
	_cleanup_(closedir_ptr) DIR *dir = fdopendir(dup(ours));
	struct error *error = NULL;
	struct dirent *entry;

	if (!dir)
		return error_system(errno, "/dev", "cannot list");
	while (!error && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = carry(ours, dev, entry->d_name);
	return error;
}

struct error *dev_show(struct setup_state *state)
{
	const struct shadow *shadow = state->setup->shadow;
	_cleanup_(close_fd) int ours = -1, tree = -1, dev = -1;
	struct error *error;

	if (!shadow->dev)
		return NULL;
	error = setup_open(state->root, "/dev", O_RDONLY | O_DIRECTORY, &ours);
	if (error)
		return error;
	tree = open_tree(AT_FDCWD, shadow->dev, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return error_system(errno, shadow->dev, "cannot clone the mount");
	error = setup_attach(state->root, tree, "/dev");
	if (!error)
		error = setup_open(state->root, "/dev", O_RDONLY | O_DIRECTORY, &dev);
	if (!error)
		error = carry_all(ours, dev);
	return error ? error : nodes_link(dev, shadow);
}
