/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlays: one for each file system of the guest, each over an idmapped view of it. Why
 * they are mounted in the initial user namespace is told in doc/shadow.md.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

static struct error *make_directory(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return error_system(errno, path, "cannot create the directory");
	return NULL;
}

static struct error *open_directory(const char *path, int *ret)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return error_system(errno, path, "cannot open the directory");
	*ret = fd;
	return NULL;
}

/* The guest's tree with shifted ids, read-only, where overlayfs can name it. */
static struct error *mount_lower(const struct shadow *shadow, int shifted, struct layer *layer, size_t index)
{
	_cleanup_(free_ptr) char *path = string_format("%s/lower-%zu", shadow->run_dir, index);
	_cleanup_(close_fd) int fd = -1;
	struct error *error = NULL;

	if (!path)
		return error_no_memory();
	if (!shifted)
		error = userns_idmapped_mount(layer->lower, shadow->user_ns, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, &fd);
	if (!error)
		error = setup_mount_at(shifted ? shifted : fd, path);
	if (error)
		return error;
	layer->lower_mount = take_ptr(path);
	return NULL;
}

/* Owner, mode and times of the root directory are those of the guest's own; overlayfs copies no root up. */
static struct error *copy_root_attributes(const struct layer *layer)
{
	struct timespec times[2];
	struct stat st;

	if (fstat(layer->lower_fd, &st) < 0)
		return error_system(errno, layer->lower, "cannot stat");
	if (st.st_uid >= SHADOW_ID_COUNT || st.st_gid >= SHADOW_ID_COUNT)
		return error_create(ERROR_UNSUPPORTED, "%s: its owner %u:%u is beyond the ids the shadow maps",
				    layer->target, st.st_uid, st.st_gid);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (fchown(layer->upper_raw_fd, SHADOW_ID_BASE + st.st_uid, SHADOW_ID_BASE + st.st_gid) < 0 ||
	    fchmod(layer->upper_raw_fd, st.st_mode & 07777) < 0 || futimens(layer->upper_raw_fd, times) < 0)
		return error_system(errno, layer->target, "cannot prepare the layer");
	return NULL;
}

/* LAYERS/N/upper and LAYERS/N/work, and the view of the first with the guest's ids. */
static struct error *make_upper(const struct shadow *shadow, struct layer *layer, size_t index, int unshift_ns)
{
	_cleanup_(free_ptr) char *directory = string_format("%s/%zu", shadow->layers_dir, index);
	_cleanup_(free_ptr) char *upper = string_format("%s/%zu/upper", shadow->layers_dir, index);
	_cleanup_(free_ptr) char *work = string_format("%s/%zu/work", shadow->layers_dir, index);
	_cleanup_(close_fd) int view = -1;
	struct error *error;

	if (!directory || !upper || !work)
		return error_no_memory();
	error = make_directory(directory, 0700);
	if (!error)
		error = make_directory(upper, 0755);
	if (!error)
		error = make_directory(work, 0700);
	if (!error)
		error = open_directory(upper, &layer->upper_raw_fd);
	if (!error)
		error = open_directory(work, &layer->work_fd);
	if (!error)
		error = copy_root_attributes(layer);
	if (!error)
		error = userns_idmapped_mount(upper, unshift_ns,
					      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, &view);
	if (error)
		return error;
	layer->upper_fd = openat(view, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (layer->upper_fd < 0)
		return error_system(errno, upper, "cannot open the view of the layer");
	return NULL;
}

/*
 * A detached overlay. Directories go in by descriptor: no path of the host then shows in the
 * guest's /proc/self/mountinfo, and none needs escaping. `volatile` because a layer is used only by the process
 * that made it; after a crash of the host the emulation starts again.
 */
static struct error *overlay_open(const struct layer *layer, int lower_fd, int *ret)
{
	char device[40] = "/dev/";
	/* Programs take the device of their root from here (grub-probe). */
	const char *source = layer->device[0] ? device : "overlay";
	struct option {
		const char *key;
		int fd;
		const char *value;
	} options[] = {
		{"source", -1, source},
		{"lowerdir", lower_fd, NULL},
		{"upperdir", layer->upper_raw_fd, NULL},
		{"workdir", layer->work_fd, NULL},
		{"redirect_dir", -1, "on"},
		{"index", -1, "on"},
		{"metacopy", -1, "off"},
		{"xino", -1, "off"},
		{"volatile", -1, NULL},
	};
	_cleanup_(close_fd) int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	char path[64];
	int fd, r;

	strcat(device, layer->device);
	if (fs < 0)
		return error_remedy(error_system(errno, NULL, "cannot use overlayfs"),
				    "load the kernel module overlay");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (options[i].fd >= 0)
			snprintf(path, sizeof(path), "/proc/self/fd/%d", options[i].fd);
		if (options[i].fd < 0 && !options[i].value)
			r = fsconfig(fs, FSCONFIG_SET_FLAG, options[i].key, NULL, 0);
		else
			r = fsconfig(fs, FSCONFIG_SET_STRING, options[i].key,
				     options[i].value ? options[i].value : path, 0);
		if (r < 0)
			return error_system(errno, layer->target, "cannot set overlay option %s", options[i].key);
	}
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_remedy(error_system(errno, layer->target, "cannot create the overlay"),
				    "the state directory must be on ext4, xfs or btrfs");
	/* nodev: the guest's device nodes must not become the host's devices. */
	fd = fsmount(fs, FSMOUNT_CLOEXEC, DEFENCE("nodev") ? MOUNT_ATTR_NODEV : 0);
	if (fd < 0)
		return error_system(errno, layer->target, "cannot mount the overlay");
	*ret = fd;
	return NULL;
}

/* The tree is hostile: a symlink in the way of a mount point is refused. */
static struct error *open_target(const struct shadow *shadow, const char *target, int *ret)
{
	_cleanup_(close_fd) int root = open(shadow->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root < 0)
		return error_system(errno, shadow->root, "cannot open");
	fd = io_openat2(root, target, O_PATH | O_DIRECTORY,
			RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return error_system(errno, target, "the guest has no such mount point");
	*ret = fd;
	return NULL;
}

/* Out of everybody's sight, until mounts_make() puts it, or parts of it, where the guest has them. */
static struct error *stash_overlay(const struct shadow *shadow, struct layer *layer, size_t index, int overlay)
{
	_cleanup_(free_ptr) char *path = string_format("%s/layer-%zu", shadow->run_dir, index);
	struct error *error;

	if (!path)
		return error_no_memory();
	error = setup_mount_at(overlay, path);
	if (error)
		return error;
	layer->stash = take_ptr(path);
	return NULL;
}

static struct error *mount_layer(struct shadow *shadow, int shifted, struct layer *layer, size_t index, int unshift_ns)
{
	_cleanup_(close_fd) int overlay = -1, target = -1, lower = -1;
	struct error *error;
	struct stat st;

	error = open_directory(layer->lower, &layer->lower_fd);
	if (!error)
		error = mount_lower(shadow, shifted, layer, index);
	if (!error)
		error = open_directory(layer->lower_mount, &lower);
	if (!error)
		error = make_upper(shadow, layer, index, unshift_ns);
	if (!error)
		error = overlay_open(layer, lower, &overlay);
	if (!error && fstat(overlay, &st) < 0)
		error = error_system(errno, layer->target, "cannot stat the overlay");
	if (!error)
		layer->overlay = st.st_dev;
	if (!error && layer->root)
		return error_wrap(stash_overlay(shadow, layer, index, overlay), "layer for %s", layer->target);
	if (!error)
		error = open_target(shadow, layer->target, &target);
	if (error)
		return error_wrap(error, "layer for %s", layer->target);
	if (move_mount(overlay, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_system(errno, layer->target, "cannot attach the overlay");
	return NULL;
}

static struct error *layer_init(const struct shadow *shadow, const struct shadow_tree *tree, struct layer *layer)
{
	*layer = (struct layer){.lower_fd = -1, .upper_fd = -1, .upper_raw_fd = -1, .work_fd = -1};
	layer->target = strdup(tree->target);
	layer->lower = strdup(tree->lower);
	layer->uuid = tree->uuid ? strdup(tree->uuid) : NULL;
	devices_name(&shadow->devices, tree->start, layer->device);
	if (tree->major || tree->minor) {
		layer->major = tree->major;
		layer->minor = tree->minor;
		layer->root = strdup(tree->root);
		if (!layer->root)
			return error_no_memory();
	}
	return layer->target && layer->lower && (layer->uuid || !tree->uuid) ? NULL : error_no_memory();
}

static void layer_deinit(struct layer *layer)
{
	close_fd(&layer->lower_fd);
	close_fd(&layer->upper_fd);
	close_fd(&layer->upper_raw_fd);
	close_fd(&layer->work_fd);
	if (layer->lower_mount) {
		umount2(layer->lower_mount, MNT_DETACH);
		rmdir(layer->lower_mount);
	}
	if (layer->stash) {
		umount2(layer->stash, MNT_DETACH);
		rmdir(layer->stash);
	}
	free(layer->stash);
	free(layer->root);
	free(layer->lower_mount);
	free(layer->uuid);
	free(layer->lower);
	free(layer->target);
}

struct error *layers_mount(struct shadow *shadow, const struct shadow_tree *trees, size_t n)
{
	_cleanup_(close_fd) int unshift_ns = -1;
	struct error *error;

	error = make_directory(shadow->root, 0755);
	if (error)
		return error;
	error = userns_create(SHADOW_ID_BASE, 0, SHADOW_ID_COUNT, NULL, &unshift_ns);
	if (error)
		return error;
	shadow->layers = calloc(n, sizeof(*shadow->layers));
	shadow->views = calloc(n, sizeof(*shadow->views));
	if (!shadow->layers || !shadow->views)
		return error_no_memory();
	for (size_t i = 0; i < n; i++) {
		struct layer *layer = &shadow->layers[i];

		shadow->n_layers = i + 1;
		error = layer_init(shadow, &trees[i], layer);
		if (!error)
			error = mount_layer(shadow, trees[i].shifted, layer, i, unshift_ns);
		if (error)
			return error;
		shadow->views[i] = (struct change_layer){.target = layer->target,
							 .lower_fd = layer->lower_fd,
							 .upper_fd = layer->upper_fd,
							 .xattr_prefix = "trusted.overlay.",
							 .acl_id_base = SHADOW_ID_BASE};
	}
	return NULL;
}

void layers_unmount(struct shadow *shadow)
{
	/* Whatever is mounted below it goes with it. */
	umount2(shadow->root, MNT_DETACH);
	rmdir(shadow->root);
	for (size_t i = shadow->n_layers; i > 0; i--)
		layer_deinit(&shadow->layers[i - 1]);
	free(shadow->layers);
	free(shadow->views);
	shadow->layers = NULL;
	shadow->views = NULL;
	shadow->n_layers = 0;
}
