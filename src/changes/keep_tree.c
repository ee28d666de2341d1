/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All layers as one directory, which is an overlay's upper directory over the guest's tree: each layer lies where the
 * guest mounts it.
 *
 * Hard links need care. With index=on overlayfs keeps those names of a file together that were not touched, but only
 * the touched ones are in the upper directory; who mounts the result without that index would see the old file under
 * the others. scan_links() finds them, and they become links here.
 */
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/io.h"
#include "changes/keep.h"
#include "changes/scan.h"

/* Where a file of several names was written first. */
struct known {
	uint64_t inode;
	char *path;
};

struct keep {
	const struct change_layer *layers;
	size_t n_layers;
	int root_fd;
	const struct change_layer *layer; /* the one at hand */
	void *known;                      /* its files of several names, by tsearch(3) */
};

static int compare_known(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void free_known(void *node)
{
	free(((struct known *)node)->path);
	free(node);
}

/* *ret_linked: the inode was written before, and is now linked to `path`. Otherwise it is noted under that name. */
static struct error *link_known(struct keep *keep, uint64_t inode, const char *path, bool *ret_linked)
{
	struct known *entry = calloc(1, sizeof(*entry)), **found;

	if (entry) {
		entry->inode = inode;
		entry->path = strdup(path);
	}
	found = entry && entry->path ? tsearch(entry, &keep->known, compare_known) : NULL;
	if (!found) {
		if (entry)
			free_known(entry);
		return error_no_memory();
	}
	*ret_linked = *found != entry;
	if (!*ret_linked)
		return NULL;
	free_known(entry);
	if (linkat(keep->root_fd, (*found)->path, keep->root_fd, path, 0) < 0)
		return error_system(errno, path, "cannot link");
	return NULL;
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static struct error *keep_node(struct keep *keep, const char *path);

static struct error *keep_children(struct keep *keep, const char *path)
{
	_cleanup_(names_free_ptr) char **names = NULL;
	struct error *error = inode_names((struct inode_place){keep->layer->upper_fd, path}, &names);

	for (size_t i = 0; !error && names[i]; i++) {
		_cleanup_(free_ptr) char *child = path_join(path, names[i]);

		error = child ? keep_node(keep, child) : error_no_memory();
	}
	return error;
}

/* What is at `path` in the upper directory, and all below. Recursion ends with the longest path the kernel opens. */
static struct error *keep_node(struct keep *keep, const char *path)
{
	_cleanup_(free_ptr) char *guest_path = layer_guest_path(keep->layer, path);
	struct inode_place from = {keep->layer->upper_fd, path, keep->layer->acl_id_base};
	struct keep_place to = {keep->root_fd, guest_path};
	bool exists, linked = false;
	struct error *error;
	struct stat st;

	if (!guest_path)
		return error_no_memory();
	error = inode_stat(from, &exists, &st);
	if (error || !exists)
		return error;
	/* It has no attributes but that; its owner is the host's root, who is nobody in the guest. */
	if (is_whiteout(&st))
		return keep_make(from, &st, to);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		error = link_known(keep, st.st_ino, guest_path, &linked);
	if (error || linked)
		return error;
	error = keep_make(from, &st, to);
	if (!error && S_ISDIR(st.st_mode))
		error = keep_children(keep, path);
	/* A directory's times last. */
	return error ? error : keep_attributes(from, &st, keep->layer->xattr_prefix, keep->layer->target, to);
}

/* The layer that has the guest's path, and the path within. */
static const struct change_layer *find_layer(const struct keep *keep, const char *path, const char **ret)
{
	const struct change_layer *found = &keep->layers[0];
	size_t best = 0;

	*ret = path;
	for (size_t i = 0; i < keep->n_layers; i++) {
		const char *target = keep->layers[i].target + strspn(keep->layers[i].target, "/");
		size_t length = strlen(target);

		if (length <= best || strncmp(path, target, length) != 0 || (path[length] && path[length] != '/'))
			continue;
		best = length;
		found = &keep->layers[i];
		*ret = path + length + strspn(path + length, "/");
	}
	return found;
}

/* The directory of the guest's path, as the guest has it, where it is not there yet. */
static struct error *keep_parents(struct keep *keep, const char *path)
{
	struct error *error = NULL;

	for (const char *slash = strchr(path, '/'); !error && slash; slash = strchr(slash + 1, '/')) {
		_cleanup_(free_ptr) char *parent = strndup(path, (size_t)(slash - path));
		const struct change_layer *layer;
		struct inode_place from;
		struct stat st;
		bool exists;

		if (!parent)
			return error_no_memory();
		if (fstatat(keep->root_fd, parent, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		layer = find_layer(keep, parent, &from.path);
		from.root_fd = layer->lower_fd;
		error = inode_stat(from, &exists, &st);
		if (!error && !exists)
			error = error_create(ERROR_NOT_FOUND, "/%s is not in the guest", parent);
		if (!error)
			error = keep_make(from, &st, (struct keep_place){keep->root_fd, parent});
		if (!error)
			error = keep_attributes(from, &st, NULL, NULL, (struct keep_place){keep->root_fd, parent});
	}
	return error;
}

/* A new name changed the times of the directories above `path`: those of the guest again. */
static struct error *restore_times(const struct keep *keep, const char *path)
{
	struct error *error = NULL;

	for (const char *slash = strchr(path, '/'); !error && slash; slash = strchr(slash + 1, '/')) {
		_cleanup_(free_ptr) char *parent = strndup(path, (size_t)(slash - path));
		const struct change_layer *layer;
		const char *inside;
		bool exists = false;
		struct stat st;

		if (!parent)
			return error_no_memory();
		layer = find_layer(keep, parent, &inside);
		error = inode_stat((struct inode_place){layer->upper_fd, inside}, &exists, &st);
		if (!error && !exists)
			error = inode_stat((struct inode_place){layer->lower_fd, inside}, &exists, &st);
		if (!error && exists &&
		    utimensat(keep->root_fd, parent, (const struct timespec[]){st.st_atim, st.st_mtim},
			      AT_SYMLINK_NOFOLLOW) < 0)
			error = error_system(errno, parent, "cannot set the times");
	}
	return error;
}

/* The names that follow a file which was copied up under another one. */
static struct error *keep_links(struct keep *keep)
{
	const struct change_options options = {.keep_caches = true};
	_cleanup_(scan_deinit) struct scan scan = {.layer = keep->layer, .options = &options};
	struct error *error = scan_layer(&scan);

	if (!error)
		error = scan_links(&scan);
	for (size_t i = 0; !error && i < scan.n; i++) {
		const struct scan_entry *entry = &scan.entries[i];
		_cleanup_(free_ptr) char *from = NULL, *to = NULL;

		if (!entry->linked_below)
			continue;
		from = layer_guest_path(keep->layer, entry->node.upper);
		to = layer_guest_path(keep->layer, entry->path);
		if (!from || !to)
			return error_no_memory();
		error = keep_parents(keep, to);
		if (!error && linkat(keep->root_fd, from, keep->root_fd, to, 0) < 0 && errno != EEXIST)
			error = error_system(errno, to, "cannot link");
		if (!error)
			error = restore_times(keep, to);
	}
	return error;
}

static struct error *keep_layer(struct keep *keep)
{
	const char *target = keep->layer->target + strspn(keep->layer->target, "/");
	_cleanup_(names_free_ptr) char **names = NULL;
	struct error *error = inode_names((struct inode_place){keep->layer->upper_fd, ""}, &names);

	if (error || !names[0])
		return error;
	/* The root itself stays as the user made it, closed to others: what is below has the guest's set-user-id bits.
	 */
	if (*target)
		error = keep_parents(keep, target);
	if (!error)
		error = *target ? keep_node(keep, "") : keep_children(keep, "");
	if (!error && *target)
		error = restore_times(keep, target);
	if (!error)
		error = keep_links(keep);
	tdestroy(take_ptr(keep->known), free_known);
	return error;
}

struct error *changes_keep(const struct change_layer *layers, size_t n_layers, int directory_fd)
{
	struct keep keep = {.layers = layers, .n_layers = n_layers, .root_fd = directory_fd};
	struct error *error = NULL;

	for (size_t i = 0; !error && i < n_layers; i++) {
		keep.layer = &layers[i];
		error = keep_layer(&keep);
	}
	return error_wrap(error, "cannot keep the changes");
}

#define PROBE ".ouassister-probe"

struct error *changes_keep_probe(int directory_fd)
{
	/* Of the ids that a guest may use and file systems of other systems have not. */
	const uid_t id = 0x3fffffff;
	char path[64];
	bool able;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" PROBE, directory_fd);
	able = mknodat(directory_fd, PROBE, S_IFCHR | 0600, makedev(0, 0)) == 0 &&
	       unlinkat(directory_fd, PROBE, 0) == 0 && symlinkat("x", directory_fd, PROBE) == 0 &&
	       unlinkat(directory_fd, PROBE, 0) == 0 && mkdirat(directory_fd, PROBE, 0700) == 0 &&
	       setxattr(path, "trusted.overlay.opaque", "y", 1, 0) == 0 &&
	       fchownat(directory_fd, PROBE, id, id, AT_SYMLINK_NOFOLLOW) == 0;
	if (able)
		return unlinkat(directory_fd, PROBE, AT_REMOVEDIR) < 0
			       ? error_system(errno, NULL, "cannot remove " PROBE)
			       : NULL;
	struct error *error =
		error_system(errno, NULL,
			     "its file system cannot hold an overlay's upper directory (owners, whiteouts, "
			     "trusted attributes)");

	(void)unlinkat(directory_fd, PROBE, 0);
	(void)unlinkat(directory_fd, PROBE, AT_REMOVEDIR);
	return error_remedy(error, "use ext4, xfs, btrfs or tmpfs");
}
