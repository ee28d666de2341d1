/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's mounts by its own table, which is in its memory. Each tmpfs is made once a shadow, where no program of
 * the guest can reach it, and then mounted at each of its places: a second mount of one shows the same files. A mount
 * point is found beneath the shadow's root without following any link, whatever the guest's table says.
 */
#include "shadow/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

/* Of one tmpfs; what the guest allowed itself may be more than this host has. */
#define SIZE_MAX_KIB     (UINT64_C(4) << 20)
#define SIZE_DEFAULT_KIB (UINT64_C(1) << 20)
#define INODES_MAX       1000000u
/* What we may put there ourselves, on top of what the guest had. */
#define INODES_EXTRA     64u
#define RUN_ATTRIBUTES   (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* Our own file systems are there; what the guest mounts below them is not for the tree. */
static bool is_ours(const char *target)
{
	return guest_path_below(target, "/proc") || guest_path_below(target, "/sys") ||
	       guest_path_below(target, "/dev");
}

static bool is_memory(const struct guest_mount *mount)
{
	return strcmp(mount->fstype, "tmpfs") == 0 || strcmp(mount->fstype, "ramfs") == 0;
}

/* ---- Options ---- */

/* The option's number, as text "NAME=NUMBER" among others; `otherwise` if there is none. */
static uint64_t option_number(const char *options, const char *name, uint64_t otherwise)
{
	size_t n = strlen(name);

	for (const char *p = options; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return strtoull(p + n + 1, NULL, 10);
	}
	return otherwise;
}

static bool has_option(const char *options, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = options; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	}
	return false;
}

uint64_t mounts_attributes(const char *options)
{
	/* The guest's device nodes are no devices here. */
	uint64_t attributes = MOUNT_ATTR_NODEV;

	if (has_option(options, "ro"))
		attributes |= MOUNT_ATTR_RDONLY;
	if (has_option(options, "nosuid"))
		attributes |= MOUNT_ATTR_NOSUID;
	if (has_option(options, "noexec"))
		attributes |= MOUNT_ATTR_NOEXEC;
	return attributes;
}

static struct error *open_instance(const struct shadow *shadow, const struct guest_mount *mount, int *ret)
{
	/* One that is full is ENOSPC for its writer, not the end of everything by the limit of memory. */
	uint64_t half = shadow->limits.memory_bytes / 2 / 1024,
		 most = half && half < SIZE_MAX_KIB ? half : SIZE_MAX_KIB;
	uint64_t kib = option_number(mount->options, "size", SIZE_DEFAULT_KIB);
	uint64_t inodes = option_number(mount->options, "nr_inodes", INODES_MAX);
	char size[32], count[32];

	/* Its directories have no size, which ls shows. */
	if (strcmp(mount->fstype, "ramfs") == 0 && has_option(mount->options, "ro"))
		return setup_ramfs(ret);
	snprintf(size, sizeof(size), "%lluk", (unsigned long long)(kib && kib < most ? kib : most));
	inodes = inodes && inodes < INODES_MAX ? inodes : INODES_MAX;
	snprintf(count, sizeof(count), "%llu", (unsigned long long)(inodes + INODES_EXTRA));
	return setup_tmpfs_sized(size, count, ret);
}

/* ---- Making ---- */

/* The mount of the same tmpfs that shows most of it: what all others are parts of. */
static const struct guest_mount *widest(const struct guest_mount_list *list, const struct guest_mount *mount)
{
	const struct guest_mount *found = mount;

	for (size_t i = 0; i < list->n; i++) {
		const struct guest_mount *other = &list->items[i];

		if (other->major == mount->major && other->minor == mount->minor && is_memory(other) &&
		    guest_path_below(found->root, other->root) && strlen(other->root) < strlen(found->root))
			found = other;
	}
	return found;
}

static struct error *place_instance(struct shadow *shadow, int mount, const char *name, char **ret)
{
	_cleanup_(free_ptr) char *parent = string_format("%s/memory", shadow->run_dir);
	_cleanup_(free_ptr) char *path = string_format("%s/memory/%s", shadow->run_dir, name);
	struct error *error;

	if (!parent || !path)
		return error_no_memory();
	if (mkdir(parent, 0700) < 0 && errno != EEXIST)
		return error_system(errno, parent, "cannot create the directory");
	error = setup_mount_at(mount, path);
	if (error)
		return error;
	*ret = take_ptr(path);
	return NULL;
}

static struct error *make_instance(struct shadow *shadow, const struct guest_mount *mount)
{
	_cleanup_(guest_file_deinit) struct guest_file directory = {0};
	_cleanup_(close_fd) int fd = -1, tree = -1;
	struct mounted_tmpfs *tmpfs;
	struct error *error;
	char name[24];

	error = guest_file_find(shadow->guest, mount->target, false, &directory);
	if (!error && !S_ISDIR(directory.mode))
		error = error_create(ERROR_UNSUPPORTED, "a single file of a tmpfs is mounted there");
	if (!error)
		error = array_room(&shadow->tmpfs, shadow->n_tmpfs, sizeof(*shadow->tmpfs));
	if (!error)
		error = open_instance(shadow, mount, &fd);
	if (error)
		return error;
	tmpfs = &shadow->tmpfs[shadow->n_tmpfs];
	*tmpfs = (struct mounted_tmpfs){.major = mount->major, .minor = mount->minor, .root = strdup(mount->root)};
	if (!tmpfs->root)
		return error_no_memory();
	snprintf(name, sizeof(name), "%zu", shadow->n_tmpfs);
	error = place_instance(shadow, fd, name, &tmpfs->path);
	if (error) {
		free(tmpfs->root);
		return error;
	}
	shadow->n_tmpfs++;
	tree = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree < 0)
		return error_system(errno, tmpfs->path, "cannot open");
	return tmpfs_fill(shadow->guest, &directory, mount->target, tree, &shadow->tmpfs_budget);
}

static const struct mounted_tmpfs *find_instance(const struct shadow *shadow, const struct guest_mount *mount)
{
	for (size_t i = 0; i < shadow->n_tmpfs; i++) {
		const struct mounted_tmpfs *tmpfs = &shadow->tmpfs[i];

		if (tmpfs->major == mount->major && tmpfs->minor == mount->minor &&
		    guest_path_below(mount->root, tmpfs->root))
			return tmpfs;
	}
	return NULL;
}

/* ---- Mounting ---- */

/* Where all of a file system of the guest is mounted on the host, and which of its directories that begins with. */
struct source {
	const char *path, *root;
};

static bool find_source(const struct shadow *shadow, const struct guest_mount *mount, struct source *ret)
{
	const struct mounted_tmpfs *tmpfs = find_instance(shadow, mount);

	if (tmpfs) {
		*ret = (struct source){tmpfs->path, tmpfs->root};
		return true;
	}
	for (size_t i = 0; i < shadow->n_layers; i++) {
		const struct layer *layer = &shadow->layers[i];

		if (!layer->stash || layer->major != mount->major || layer->minor != mount->minor ||
		    !guest_path_below(mount->root, layer->root))
			continue;
		*ret = (struct source){layer->stash, layer->root};
		return true;
	}
	return false;
}

/* What the mount shows: a part of the file system, found without following its links. */
static struct error *clone_part(const struct source *source, const struct guest_mount *mount, int *ret)
{
	uint64_t set = mounts_attributes(mount->options);
	struct mount_attr attr = {
		.attr_set = set,
		.attr_clr = (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) & ~set,
		.propagation = MS_PRIVATE,
	};
	_cleanup_(close_fd) int top = open(source->path, O_PATH | O_DIRECTORY | O_CLOEXEC), part = -1, fd = -1;
	const char *below = mount->root + (source->root[1] ? strlen(source->root) : 0);
	struct error *error;

	if (top < 0)
		return error_system(errno, source->path, "cannot open");
	error = setup_open(top, *below ? below : "/", O_PATH, &part);
	if (error)
		return error;
	fd = open_tree(part, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_system(errno, mount->target, "cannot clone the mount");
	*ret = take_fd(fd);
	return NULL;
}

static struct error *attach(const struct shadow *shadow, int root, const struct guest_mount *mount)
{
	_cleanup_(close_fd) int fd = -1;
	struct source source;
	struct error *error;

	if (!find_source(shadow, mount, &source))
		return NULL;
	error = clone_part(&source, mount, &fd);
	return error ? error : setup_attach(root, fd, mount->target);
}

/* One that does not come about is missing, as it is said; the others are not in its way. */
static struct error *leave_out(const struct guest_mount *mount, struct error *error)
{
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	log_warning("the guest's %s on %s is not in the shadow: %s", mount->fstype, mount->target, error->message);
	error_destroy(error);
	return NULL;
}

static struct error *copy_mount(const struct guest_mount *from, struct guest_mount *ret)
{
	*ret = *from;
	ret->root = strdup(from->root);
	ret->target = strdup(from->target);
	ret->fstype = strdup(from->fstype);
	ret->source = strdup(from->source);
	ret->options = strdup(from->options);
	ret->mount_options = from->mount_options ? strdup(from->mount_options) : NULL;
	ret->super_options = from->super_options ? strdup(from->super_options) : NULL;
	return ret->root && ret->target && ret->fstype && ret->source && ret->options &&
			       (ret->mount_options || !from->mount_options) &&
			       (ret->super_options || !from->super_options)
		       ? NULL
		       : error_no_memory();
}

static struct error *copy_mounts(const struct guest_mount_list *from, struct guest_mount_list *ret)
{
	struct error *error = NULL;

	ret->items = calloc(from->n + 1, sizeof(*ret->items));
	if (!ret->items)
		return error_no_memory();
	for (; !error && ret->n < from->n; ret->n++)
		error = copy_mount(&from->items[ret->n], &ret->items[ret->n]);
	return error;
}

struct error *mounts_learn(struct shadow *shadow, const struct guest_mount_list *mounts)
{
	struct error *error;

	if (mounts)
		return copy_mounts(mounts, &shadow->mounts);
	if (!shadow->guest)
		return NULL;
	error = guest_mounts(shadow->guest, 0, &shadow->mounts);
	if (!error)
		error = guest_mounts_visible(&shadow->mounts);
	if (shadow->mounts.incomplete)
		log_warning("not all of the guest's mounts are known: %s", shadow->mounts.incomplete->message);
	if (!error || error->code == ERROR_NO_MEMORY)
		return error;
	log_warning("the shadow has the mounts of the guest's /etc/fstab, for its memory does not tell: %s",
		    error->message);
	error_destroy(error);
	guest_mount_list_deinit(&shadow->mounts);
	return NULL;
}

/* Opened anew each time: the root itself may have just been mounted. */
static struct error *attach_in_tree(const struct shadow *shadow, const struct guest_mount *mount)
{
	_cleanup_(close_fd) int root = open(shadow->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return error_system(errno, shadow->root, "cannot open");
	return attach(shadow, root, mount);
}

static struct error *make_mount(struct shadow *shadow, const struct guest_mount *mount)
{
	struct error *error = NULL;

	if (shadow->guest && is_memory(mount) && !find_instance(shadow, mount))
		error = make_instance(shadow, widest(&shadow->mounts, mount));
	if (!error && !is_ours(mount->target))
		error = attach_in_tree(shadow, mount);
	return error;
}

/* Of a guest that was shut down, or whose mounts memory does not tell: empty but for what packages take for "systemd
 * runs here". */
static struct error *make_own_run(struct shadow *shadow)
{
	static const struct {
		const char *name;
		mode_t mode;
	} directories[] = {{"lock", 01777}, {"systemd", 0755}, {"systemd/system", 0755}};
	_cleanup_(close_fd) int mount = -1, tree = -1;
	struct error *error = setup_tmpfs("256m", 0755, RUN_ATTRIBUTES, &mount);

	if (!error)
		error = place_instance(shadow, mount, "run", &shadow->own_run);
	if (error)
		return error;
	tree = open(shadow->own_run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (tree < 0 || mkdirat(tree, directories[i].name, 0700) < 0 ||
		    fchownat(tree, directories[i].name, SHADOW_ID_BASE, SHADOW_ID_BASE, 0) < 0 ||
		    fchmodat(tree, directories[i].name, directories[i].mode, 0) < 0)
			return error_system(errno, directories[i].name, "cannot make the directory below /run");
	return NULL;
}

struct error *mounts_make(struct shadow *shadow)
{
	struct error *error = shadow->guest && shadow->mounts.n ? NULL : make_own_run(shadow);

	for (size_t i = 0; !error && i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		if (guest_path_below(mount->target, "/proc") || guest_path_below(mount->target, "/sys") ||
		    strcmp(mount->target, "/dev") == 0)
			continue;
		error = make_mount(shadow, mount);
		/* Without its root there is nothing. */
		if (i > 0)
			error = leave_out(mount, error);
	}
	return error;
}

static struct error *make_mount_point(int root, const char *target)
{
	char path[4096];
	size_t n = strlen(target);

	for (size_t i = strlen("/dev/") + 1; i <= n; i++) {
		if (target[i] != '/' && target[i] != '\0')
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)i - 1, target + 1);
		if (mkdirat(root, path, 0755) < 0 && errno != EEXIST)
			return error_system(errno, target, "cannot create the mount point");
	}
	return NULL;
}

struct error *mounts_attach_dev(const struct shadow *shadow, int root)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		struct source source;

		if (!guest_path_below(mount->target, "/dev") || !find_source(shadow, mount, &source))
			continue;
		error = make_mount_point(root, mount->target);
		if (!error)
			error = attach(shadow, root, mount);
		error = leave_out(mount, error);
	}
	return error;
}

void mounts_destroy(struct shadow *shadow)
{
	_cleanup_(free_ptr) char *parent = string_format("%s/memory", shadow->run_dir);

	for (size_t i = 0; i < shadow->n_tmpfs; i++) {
		struct mounted_tmpfs *tmpfs = &shadow->tmpfs[i];

		umount2(tmpfs->path, MNT_DETACH);
		rmdir(tmpfs->path);
		free(tmpfs->path);
		free(tmpfs->root);
	}
	if (shadow->own_run) {
		umount2(shadow->own_run, MNT_DETACH);
		rmdir(shadow->own_run);
		free(shadow->own_run);
	}
	if (parent)
		rmdir(parent);
	free(shadow->tmpfs);
	guest_mount_list_deinit(&shadow->mounts);
}
