/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sleeping kernel had mounted, by its own table: it knows better than /etc/fstab. The table is the guest's and
 * may say anything: it decides only which directory of its own disk is seen at which other.
 *
 * A file system is taken as a whole where its root is mounted, and else from each directory that is: what is mounted
 * from below such a directory is a part of it, and a change there shows at both places.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/private.h"

/* File systems of other machines, or of programs: not looked into, and worth a line. */
static const char *const unreachable[] = {"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "glusterfs", "afs"};

struct live {
	struct disk *disk;
	const struct disk_memory *memory;
	/* For each mount of memory->mounts the disk mount that it is a part of, or -1. */
	int *parts;
};

static bool is_one_device(const struct guest_mount *a, const struct guest_mount *b)
{
	return a->major == b->major && a->minor == b->minor;
}

/* ---- Which partition ---- */

static const struct guest_file_system *find_system(const struct disk_memory *memory, const struct guest_mount *mount)
{
	for (size_t i = 0; i < memory->n_systems; i++)
		if (memory->systems[i].major == mount->major && memory->systems[i].minor == mount->minor)
			return &memory->systems[i];
	return NULL;
}

/* "vda2", "nvme0n1p2": 2. 0: a whole disk. */
static unsigned partition_number(const char *id)
{
	size_t n = strlen(id);

	while (n > 0 && id[n - 1] >= '0' && id[n - 1] <= '9')
		n--;
	if (strncmp(id, "nvme", 4) == 0 && (n == 0 || id[n - 1] != 'p'))
		return 0;
	return (unsigned)strtoul(id + n, NULL, 10);
}

static bool has_uuid(const struct partition *partition, const uint8_t uuid[16])
{
	const char *p = partition->uuid;
	unsigned value;

	for (size_t i = 0; p && i < 16; i++) {
		p += *p == '-';
		if (sscanf(p, "%2x", &value) != 1 || value != uuid[i])
			return false;
		p += 2;
	}
	return p && *p == '\0';
}

const struct guest_file_system *disk_find_system(const struct disk_memory *memory, const struct partition *partition)
{
	static const uint8_t none[16];
	const struct guest_file_system *found = NULL;

	for (size_t i = 0; i < memory->n_systems; i++) {
		const struct guest_file_system *system = &memory->systems[i];

		if (memcmp(system->uuid, none, sizeof(none)) == 0 || !has_uuid(partition, system->uuid))
			continue;
		if (!found || partition->number == partition_number(system->id))
			found = system;
	}
	return found;
}

/* NULL: it is not on this disk. A copy with the same UUID is told by the number of its partition. */
static struct volume *find_volume(struct live *live, const struct guest_mount *mount)
{
	static const uint8_t none[16];
	const struct guest_file_system *system = find_system(live->memory, mount);
	struct volume *found = NULL;

	if (!system || memcmp(system->uuid, none, sizeof(none)) == 0)
		return NULL;
	for (size_t i = 0; i < live->disk->n_volumes; i++) {
		struct volume *volume = &live->disk->volumes[i];

		if (!has_uuid(volume->fs.partition, system->uuid))
			continue;
		if (!found || volume->fs.partition->number == partition_number(system->id))
			found = volume;
	}
	return found;
}

/* ---- What is left out ---- */

static bool is_on_device(const struct guest_mount *mount)
{
	return mount->major != 0 || strncmp(mount->source, "/dev/", 5) == 0;
}

/* Memory has these, or the shadow its own. */
static bool is_worth_a_note(const struct guest_mount *mount)
{
	for (size_t i = 0; i < ARRAY_SIZE(unreachable); i++)
		if (strcmp(mount->fstype, unreachable[i]) == 0)
			return true;
	return is_on_device(mount) ||
	       (strcmp(mount->fstype, "autofs") == 0 && strncmp(mount->target, "/proc/", 6) != 0) ||
	       strcmp(mount->fstype, "fuseblk") == 0 || strcmp(mount->fstype, "fuse") == 0 ||
	       strncmp(mount->fstype, "fuse.", 5) == 0 || strcmp(mount->fstype, "overlay") == 0;
}

static struct error *leave_out(struct disk *disk, const struct guest_mount *mount, const char *reason)
{
	if (is_on_device(mount) && disk_is_essential(mount->target))
		return error_create(ERROR_UNSUPPORTED, "the guest has %s mounted on %s, but %s", mount->source,
				    mount->target, reason);
	return disk_note(disk, "%s on %s (%s) is left out: %s", mount->source, mount->target, mount->fstype, reason);
}

/* ---- Directories of file systems ---- */

#define RESOLVE_PLACE (RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

struct error *disk_clone_directory(const char *top, const char *path, int *ret)
{
	_cleanup_(close_fd) int whole = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC), part = -1;
	int fd;

	if (whole < 0)
		return error_system(errno, top, "open");
	part = io_openat2(whole, path, O_PATH, RESOLVE_PLACE);
	if (part < 0)
		return error_recode(error_system(errno, path, "open"), ERROR_NOT_FOUND);
	fd = open_tree(part, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (fd < 0)
		return error_system(errno, path, "clone the mount of");
	*ret = fd;
	return NULL;
}

struct error *disk_open_place(const char *root, const char *target, int *ret)
{
	_cleanup_(close_fd) int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (top < 0)
		return error_system(errno, root, "open");
	fd = io_openat2(top, target, O_PATH, RESOLVE_PLACE);
	if (fd < 0)
		return error_recode(error_system(errno, target, "open"), ERROR_NOT_FOUND);
	*ret = fd;
	return NULL;
}

/* Where all of the file system is mounted: of btrfs its top level, whatever its default subvolume is. */
static struct error *whole_of(struct disk *disk, struct volume *volume, char **ret)
{
	size_t index = (size_t)(volume - disk->volumes);
	_cleanup_(free_ptr) char *top = NULL;
	struct error *error;

	if (strcmp(volume->fs.partition->type, "btrfs") != 0) {
		*ret = strdup(volume->path);
		return *ret ? NULL : error_no_memory();
	}
	error = disk_make_directory(disk, "whole", index, &top);
	/* A second mount of it in the same place does no harm, and goes with the first. */
	if (!error)
		error = file_system_mount(&volume->fs, NULL, "5", top);
	if (error)
		return error;
	*ret = take_ptr(top);
	return NULL;
}

/* The directory of the volume becomes a mount of its own, and a line of disk_mounts(). */
static struct error *add_base(struct live *live, const struct guest_mount *mount, struct volume *volume)
{
	struct disk *disk = live->disk;
	_cleanup_(free_ptr) char *top = NULL;
	_cleanup_(free_ptr) char *path = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct error *error = whole_of(disk, volume, &top);
	struct stat st;

	if (!error)
		error = disk_clone_directory(top, mount->root, &fd);
	if (!error && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)))
		error = error_create(ERROR_NOT_FOUND, "%s is not a directory", mount->root);
	if (!error)
		error = disk_make_directory(disk, "mounts", disk->n_mounts, &path);
	if (error)
		return error;
	if (move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, path, "put the mount in its place");
	return disk_add_live(disk, &volume->fs, mount, path);
}

/* ---- Which directories ---- */

/* The disk mount that the mount shows a part of; -1: none yet. */
static int find_base(const struct live *live, const struct guest_mount *mount)
{
	for (size_t i = 0; i < live->disk->n_mounts; i++) {
		const struct disk_mount *base = &live->disk->mounts[i];

		if (base->major == mount->major && base->minor == mount->minor &&
		    guest_path_below(mount->root, base->root))
			return (int)i;
	}
	return -1;
}

/* The mount of the same file system that shows most of it; the root stands for itself. */
static const struct guest_mount *widest(const struct live *live, const struct guest_mount *mount)
{
	const struct guest_mount_list *list = live->memory->mounts;
	const struct guest_mount *found = mount;

	for (size_t i = 1; mount != &list->items[0] && i < list->n; i++) {
		const struct guest_mount *other = &list->items[i];

		if (is_one_device(other, mount) && guest_path_below(found->root, other->root) &&
		    strlen(other->root) < strlen(found->root))
			found = other;
	}
	return found;
}

static struct error *take_mount(struct live *live, size_t index)
{
	const struct guest_mount *mount = &live->memory->mounts->items[index];
	struct volume *volume = find_volume(live, mount);
	struct error *error;

	live->parts[index] = -1;
	if (!volume)
		return is_worth_a_note(mount) ? leave_out(live->disk, mount, "it is not on this disk") : NULL;
	if (volume->problem && (index == 0 || disk_is_essential(mount->target)))
		return take_ptr(volume->problem);
	if (volume->problem)
		return leave_out(live->disk, mount, volume->problem->message);
	live->parts[index] = find_base(live, mount);
	if (live->parts[index] >= 0)
		return NULL;
	if (live->disk->n_mounts == DISK_MOUNTS_MAX)
		return leave_out(live->disk, mount, "there are too many");
	error = add_base(live, widest(live, mount), volume);
	if (error && error->code == ERROR_NOT_FOUND && index > 0) {
		struct error *note = leave_out(live->disk, mount, error->message);

		error_destroy(error);
		return note;
	}
	live->parts[index] = (int)live->disk->n_mounts - 1;
	return error;
}

/* ---- One tree ---- */

/* A place that is not there (in a tmpfs, or a lie) is left as it is: those who want it have it by itself. */
static struct error *place(struct live *live, size_t index, const char *root)
{
	const struct guest_mount *mount = &live->memory->mounts->items[index];
	const struct disk_mount *base = &live->disk->mounts[live->parts[index]];
	const char *below = mount->root + (base->root[1] ? strlen(base->root) : 0);
	_cleanup_(close_fd) int part = -1, target = -1;
	struct error *error = disk_clone_directory(base->path, *below ? below : "/", &part);

	if (!error)
		error = disk_open_place(root, mount->target, &target);
	if (!error && move_mount(part, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		error = error_system(errno, mount->target, "build the guest's tree");
	if (!error || index == 0)
		return error;
	/* A file on a directory, a directory that is gone: what a table can say that does not fit its disk. */
	if (error->code == ERROR_NO_MEMORY)
		return error;
	error_destroy(error);
	return NULL;
}

static struct error *build_tree(struct live *live)
{
	_cleanup_(free_ptr) char *root = NULL;
	struct error *error = disk_make_directory(live->disk, "root", 0, &root);

	for (size_t i = 0; !error && i < live->memory->mounts->n; i++)
		if (live->parts[i] >= 0)
			error = place(live, i, root);
	if (error)
		return error;
	live->disk->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return live->disk->root_fd < 0 ? error_system(errno, root, "open") : NULL;
}

bool disk_has_live_root(struct disk *disk, const struct disk_memory *memory)
{
	struct live live = {.disk = disk, .memory = memory};

	return memory->mounts->n > 0 && strcmp(memory->mounts->items[0].target, "/") == 0 &&
	       find_volume(&live, &memory->mounts->items[0]) != NULL;
}

struct error *disk_mount_live(struct disk *disk, const struct disk_memory *memory)
{
	_cleanup_(free_ptr) int *parts = calloc(memory->mounts->n, sizeof(*parts));
	struct live live = {.disk = disk, .memory = memory, .parts = parts};
	struct error *error = NULL;

	disk->mounts = calloc(DISK_MOUNTS_MAX, sizeof(*disk->mounts));
	if (!parts || !disk->mounts)
		return error_no_memory();
	for (size_t i = 0; !error && i < memory->mounts->n; i++)
		error = take_mount(&live, i);
	if (!error)
		error = build_tree(&live);
	if (!error)
		disk_drop_volumes(disk);
	return error;
}
