/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's disk in one run's /dev and /sys. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

static struct error *make_node(int dev, const char *name, dev_t device)
{
	if (mknodat(dev, name, S_IFBLK | 0600, device) < 0 ||
	    fchownat(dev, name, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dev, name, 0600, 0) < 0)
		return error_system(errno, name, "cannot create the device");
	return NULL;
}

static struct error *make_directories(int parent, const char *path)
{
	char part[256];

	for (const char *p = strchr(path, '/');; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", p ? (int)(p - path) : (int)strlen(path), path);
		if (mkdirat(parent, part, 0755) < 0 && errno != EEXIST)
			return error_system(errno, part, "cannot create the directory");
		if (!p)
			return NULL;
	}
}

static struct error *make_link(int parent, const char *path, const char *target)
{
	if (symlinkat(target, parent, path) < 0 && errno != EEXIST)
		return error_system(errno, path, "cannot create the link");
	return NULL;
}

/*
 * Where the loop device's directory is, below /sys/devices/virtual. The guest's own /sys may have a loop device of the
 * same name; as deep down, because links in it count their way up.
 */
static const char *place_of(const struct setup_state *state)
{
	return state->setup->shadow->sys ? "shadow" : "block";
}

/*
 * /sys/dev/block/M:N, by which programs find the directory of a node. The number is that of our node; a partition's is
 * wanted (grub-probe), also if the guest has another device of that number.
 */
static struct error *link_number(const struct setup_state *state, int sys, dev_t device, bool replace,
				 const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("dev/block/%u:%u", major(device), minor(device));
	_cleanup_(free_ptr) char *target = string_format("../../devices/virtual/%s/%s", place_of(state), directory);

	if (!path || !target)
		return error_no_memory();
	if (replace && unlinkat(sys, path, 0) < 0 && errno != ENOENT)
		return error_system(errno, path, "cannot replace the link");
	return make_link(sys, path, target);
}

/*
 * The kernel's own directory of the loop device: udevadm, which grub-probe asks, insists on a real
 * sysfs. What would name a file of the host in it is covered.
 */
static struct error *show_directory(struct setup_state *state, const struct devices *devices)
{
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
	const char *place = place_of(state);
	_cleanup_(free_ptr) char *source = string_format("/sys/devices/virtual/block/%s", devices->loop_name);
	_cleanup_(free_ptr) char *path = string_format("/sys/devices/virtual/%s/%s", place, devices->loop_name);
	_cleanup_(free_ptr) char *hidden = string_format("%s/loop", path);
	_cleanup_(close_fd) int mount = -1, cover = -1;
	struct error *error;

	if (!source || !path || !hidden)
		return error_no_memory();
	mount = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mount < 0 || mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_system(errno, path, "cannot show the device's directory");
	error = setup_attach(state->root, mount, path);
	if (!error)
		error = setup_tmpfs("4k", 0555, attr.attr_set, &cover);
	return error ? error : setup_attach(state->root, cover, hidden);
}

static struct error *show_sys(struct setup_state *state, const struct devices *devices)
{
	_cleanup_(free_ptr) char *directory =
		string_format("devices/virtual/%s/%s", place_of(state), devices->loop_name);
	_cleanup_(free_ptr) char *block = string_format("block/%s", devices->loop_name);
	_cleanup_(free_ptr) char *block_target = string_format("../devices/virtual/block/%s", devices->loop_name);
	_cleanup_(close_fd) int sys = -1;
	struct error *error = setup_open(state->root, "/sys", O_RDONLY | O_DIRECTORY, &sys);

	if (!error && (!directory || !block || !block_target))
		error = error_no_memory();
	if (!error)
		error = make_directories(sys, directory);
	if (!error)
		error = make_directories(sys, "dev/block");
	/* The guest's own /sys has its disk there by its own name. */
	if (!error && !state->setup->shadow->sys)
		error = make_link(sys, block, block_target);
	if (!error)
		error = link_number(state, sys, devices->disk, false, devices->loop_name);
	for (unsigned i = 0; !error && i < devices->n_partitions; i++) {
		char name[96];

		snprintf(name, sizeof(name), "%s/%sp%u", devices->loop_name, devices->loop_name,
			 devices->partitions[i].number);
		error = link_number(state, sys, devices->partitions[i].device, true, name);
	}
	return error ? error : show_directory(state, devices);
}

/* /dev/disk/by-uuid, which decides whether grub names the root by UUID. */
static struct error *link_uuids(int dev, const struct shadow *shadow)
{
	struct error *error = make_directories(dev, "disk/by-uuid");

	for (size_t i = 0; !error && i < shadow->n_layers; i++) {
		const struct layer *layer = &shadow->layers[i];
		_cleanup_(free_ptr) char *path = NULL, *target = NULL;

		/* It comes from the guest's disk: nothing but what a UUID is made of becomes part of a path. */
		if (!layer->uuid || !layer->device[0] || !layer->uuid[0] ||
		    layer->uuid[strspn(layer->uuid, "0123456789abcdefABCDEF-")])
			continue;
		path = string_format("disk/by-uuid/%s", layer->uuid);
		target = string_format("../../%s", layer->device);
		error = path && target ? make_link(dev, path, target) : error_no_memory();
	}
	return error;
}

struct error *nodes_link(int dev, const struct shadow *shadow)
{
	if (shadow->devices.loop_fd < 0)
		return NULL;
	return link_uuids(dev, shadow);
}

struct error *nodes_show(struct setup_state *state)
{
	const struct devices *devices = &state->setup->shadow->devices;
	_cleanup_(close_fd) int dev = -1;
	struct error *error;
	char name[32];

	if (devices->loop_fd < 0)
		return NULL;
	error = setup_open(state->root, "/dev", O_RDONLY | O_DIRECTORY, &dev);
	if (!error)
		error = make_node(dev, devices->disk_name, devices->disk);
	for (unsigned i = 0; !error && i < devices->n_partitions; i++) {
		devices_partition_name(devices, &devices->partitions[i], name);
		error = make_node(dev, name, devices->partitions[i].device);
	}
	if (!error)
		error = link_uuids(dev, state->setup->shadow);
	if (!error)
		error = show_sys(state, devices);
	return error_wrap(error, "the guest's disk");
}
