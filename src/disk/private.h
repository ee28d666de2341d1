/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the room: the disk and the steps of opening it, in the order disk_open() takes them. */
#ifndef DISK_PRIVATE_H
#define DISK_PRIVATE_H

#include "disk/disk.h"
#include "disk/filesystem.h"
#include "disk/fstab.h"
#include "disk/partition.h"
#include "disk/storage.h"

/* Every mount costs the guest's boot, too; more is a hostile table. */
#define DISK_MOUNTS_MAX 128
#define DISK_NOTES_MAX  (2 * FSTAB_LINES_MAX)

/* A file system with its first mount, from which the root is found. */
struct volume {
	struct file_system fs;
	char *path;            /* where its default tree is mounted, or NULL */
	struct error *problem; /* why it cannot be used, or NULL: only an error if it is needed */
};

struct disk {
	/*
	 * A directory with a tmpfs: "disk" is the exported file, "volumes/N" the first mounts,
	 * "mounts/N" those of disk_mounts(), "root" the combined tree.
	 */
	char *run_dir;
	bool run_dir_mounted;
	struct storage *storage;
	struct partition_list partitions;
	struct volume *volumes;
	size_t n_volumes;
	struct disk_mount *mounts; /* DISK_MOUNTS_MAX */
	size_t n_mounts;
	char **notes;
	size_t n_notes;
	int root_fd;
};

struct error *disk_note(struct disk *disk, const char *format, ...) _printf_(2, 3) _must_check_;

/* The volume on `partition`, or NULL. */
struct volume *disk_volume(struct disk *disk, const struct partition *partition);

/* Makes the directory run_dir/NAME with an optional number; the caller frees the path. */
struct error *disk_make_directory(struct disk *disk, const char *name, size_t number, char **ret) _must_check_;

/* Mounts what an fstab line says of a volume (subvol=, subvolid=) on `path`. */
struct error *disk_mount_entry(struct volume *volume, const struct fstab_entry *entry, const char *path) _must_check_;

/*
 * Finds the root: the one file system that holds /etc/fstab and /etc/os-release and whose fstab
 * says that "/" is itself. `fstab` gets its lines, `entry` the one of "/" (made up where there is
 * none), `volume` where it is.
 */
struct disk_root_choice {
	struct volume *volume;
	struct fstab fstab;
	struct fstab_entry *entry; /* within fstab.entries */
};
struct error *disk_find_root(struct disk *disk, struct disk_root_choice *ret) _must_check_;

/* Mounts what fstab says, into run_dir/mounts and as one tree into run_dir/root. */
struct error *disk_mount_all(struct disk *disk, const struct disk_root_choice *root) _must_check_;

/* A target that an update writes to: leaving out what is mounted there is an error. */
bool disk_is_essential(const char *target);

/* Lets go of the first mounts of all volumes. */
void disk_drop_volumes(struct disk *disk);

/* A detached copy of the mount at `top`, from its directory or file `path` on. ERROR_NOT_FOUND: that is not there. */
struct error *disk_clone_directory(const char *top, const char *path, int *ret) _must_check_;

/* Opens `target` in the tree at `root`, which mounts may have been added to, without following links. */
struct error *disk_open_place(const char *root, const char *target, int *ret) _must_check_;

/* Adds a line of disk_mounts() for what is mounted at `path` and was `mount` in the guest. */
struct error *disk_add_live(struct disk *disk, const struct file_system *fs, const struct guest_mount *mount,
			    const char *path) _must_check_;

/* What memory has mounted of this partition; NULL: nothing. */
const struct guest_file_system *disk_find_system(const struct disk_memory *memory, const struct partition *partition);

/* Whether what memory has as the root is on this disk. */
bool disk_has_live_root(struct disk *disk, const struct disk_memory *memory);

/* Mounts what memory says, into run_dir/mounts and as one tree into run_dir/root. */
struct error *disk_mount_live(struct disk *disk, const struct disk_memory *memory) _must_check_;

#endif
