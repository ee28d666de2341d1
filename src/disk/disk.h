/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's virtual disk as a read-only tree on the host.
 *
 * The image files are opened read-only by qemu-storage-daemon, below a throw-away qcow2 overlay
 * that takes every write (journal replay); the guest's files are never changed. Everything lives
 * in the calling process's private mount namespace and its children, so that nothing stays
 * mounted or running when the process ends, however it ends.
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/guest.h"

struct disk;

/*
 * An open file of the guest, whose contents are wanted aside: one without a name is not to be seen in the view. Only of
 * an ext4 file system that memory is laid over: disk_newer.kept says so.
 */
struct disk_keep {
	uint64_t inode_address; /* guest_cached_inode.address */
	int fd;                 /* an empty regular file, which gets them */
};

/* What the sleeping kernel had mounted. All borrowed. */
struct disk_memory {
	const struct guest_mount_list *mounts; /* of guest_mounts_visible(); n is 0: memory does not tell */
	const struct guest_file_system *systems;
	size_t n_systems;
	/*
	 * Its memory is laid over the disk: what is shown is what the guest sees. NULL: the disk alone is shown, its
	 * journals replayed.
	 */
	struct guest *guest;
	const struct disk_keep *keep; /* NULL: nothing is kept aside */
};

/* Who parses the file systems of the guest. */
enum disk_way {
	/* A process without rights, for ext2 to ext4 (disk/ext4/ext4.h); the host's kernel for xfs and btrfs, which is
	 * noted once. */
	DISK_WAY_USERSPACE,
	DISK_WAY_KERNEL, /* the host's kernel: an image that is trusted */
	DISK_WAYS,
};

/* "userspace" or "kernel". ERROR_USAGE: neither. */
struct error *disk_way_parse(const char *word, enum disk_way *ret) _must_check_;

struct disk_options {
	enum disk_way way;
	const char *path;     /* the image */
	const char *format;   /* "qcow2" or "raw": stated, never probed */
	const char *work_dir; /* existing directory, 0700, for the throw-away overlay and mount points; big enough for a
				 journal */
	/*
	 * What is where; NULL: the guest's /etc/fstab decides. That does so too if the file system that was mounted as
	 * the root is not on this disk, which is noted.
	 */
	const struct disk_memory *memory;
};

/* A file of the image: itself first, then its backing files down to the last. */
struct disk_file {
	char *path;   /* absolute */
	char *format; /* a missing backing format means raw */
	uint64_t device, inode;
	uint64_t size;         /* bytes of the file or block device */
	uint64_t virtual_size; /* bytes the guest sees of it */
	bool block_device;     /* raw only */
	int64_t mtime_ns, ctime_ns;
};

/* Whether the guest let go of a file system before it ended: read before anything is replayed. */
enum disk_unmounted {
	DISK_UNMOUNTED_UNKNOWN, /* its type does not tell (xfs, btrfs without a log tree) */
	DISK_UNMOUNTED_YES,
	DISK_UNMOUNTED_NO, /* mounted by a guest that sleeps or was cut off: the journal has something in it */
};

/* A file whose contents or attributes cannot be told: what is shown of it is what the disk has. */
struct disk_unknown {
	uint64_t inode;
	char *path; /* from the root of its file system; NULL: memory does not know it */
	char *why;
};

/* How much of a file system only memory had. */
struct disk_newer {
	uint64_t blocks;       /* of the file system's own */
	uint64_t files, bytes; /* files with contents, and how much of them */
	uint64_t allocated;    /* blocks of them that had no place on the disk yet */
	uint64_t compared;     /* inodes that memory and disk had to agree on */
	uint64_t open_changes; /* tasks that were in the middle of a change: what they did may be there by half */
	struct disk_unknown *unknown;
	size_t n_unknown;
	bool kept;        /* disk_keep.fd has the contents of its file, which is of this file system */
	uint64_t *inodes; /* the numbers of those files, ascending */
	size_t n_inodes;
};

/* A file system of the guest, or a directory of one, and where the guest has it mounted. */
struct disk_mount {
	char *target;          /* in the guest: "/", "/boot", no "..", no trailing slash; parents first, [0] is "/" */
	char *path;            /* on the host: directory where it is mounted read-only, without the mounts below it */
	char *type;            /* as blkid names it: "ext4" (also "ext2", "ext3"), "xfs", "btrfs" */
	char *uuid;            /* as blkid writes it */
	char *options;         /* mount options: the kernel's, or fstab's ("defaults" if none) */
	char *root;            /* which directory of the file system it is, by memory; else "/" */
	uint32_t major, minor; /* of the file system's device in the guest, by memory; else 0 */
	uint64_t start;        /* where the file system begins in disk_image(), bytes */
	uint32_t ext4_mount_count; /* s_mnt_count and s_mtime before the journal replay; 0 unless ext4 */
	uint64_t ext4_mount_time_s;
	enum disk_unmounted unmounted;
	const struct disk_newer *newer; /* borrowed from the disk; NULL: memory was not laid over it */
};

/* The files of the image, without opening the disk. The caller frees with disk_files_free(). */
struct error *disk_files(const char *path, const char *format, struct disk_file **ret, size_t *ret_n) _must_check_;
void disk_files_free(struct disk_file *files, size_t n);

/*
 * Opens, replays, finds the file systems, mounts. The caller must already be in a mount
 * namespace of its own (disk_private_namespace()); the thread that calls must live as long as the
 * disk, because the storage daemon dies with it. As long as the disk is open, no QEMU can open the
 * image for writing. ERROR_BUSY: one has already. ERROR_UNSUPPORTED: LVM, LUKS, md, encrypted image,
 * no file system with /etc/fstab …, each named.
 */
struct error *disk_open(const struct disk_options *options, struct disk **ret) _must_check_;

/* Moves the process into a mount namespace of its own that receives, but never sends, mounts. */
struct error *disk_private_namespace(void) _must_check_;

/* The guest's root with everything mounted in its place, as an O_PATH descriptor for io_open_in_root(); borrowed. */
int disk_root(const struct disk *disk);

/*
 * The whole virtual disk, partition table and all, as a raw file on the host: an absolute path, as long as the disk is
 * open. To be opened for reading only, for the file systems in it are mounted. Borrowed.
 */
const char *disk_image(const struct disk *disk);

/* Borrowed. */
const struct disk_mount *disk_mounts(const struct disk *disk, size_t *ret_n);

/*
 * A detached mount of what disk_mounts()[index] is, in which the guest's id n is base + n for n < count, and any other
 * is nobody. *ret is -1 where the kernel parses the file system: it can do that to disk_mount.path by itself (an
 * idmapped mount). What serves it lives as long as the disk and, like that, no longer than the calling thread.
 */
struct error *disk_mount_shifted(struct disk *disk, size_t index, uint32_t base, uint32_t count, int *ret) _must_check_;

/* What stands in the way of nothing but is worth a line: "EFI system partition 1 is left alone". Borrowed, n lines. */
const char *const *disk_notes(const struct disk *disk, size_t *ret_n);

/* One of a file system. */
struct disk_inode {
	uint64_t number;
	bool directory; /* its blocks, too */
};

/* Bytes from the beginning of a file system. */
struct disk_range {
	uint64_t start, size;
};

/*
 * Where in an ext4 file system the kernel finds these inodes: the blocks of inodes, and those of directories. Whoever
 * has them read in one go, before thousands of paths are looked up, saves a wait for each. The ranges come in order,
 * those that lie near each other as one; an inode that cannot be read is left out. ERROR_UNSUPPORTED: it is no ext2, 3
 * or 4. The caller frees *ret, *ret_n ranges.
 */
struct error *disk_metadata(const struct disk *disk, const struct disk_mount *mount, const struct disk_inode *inodes,
			    size_t n, struct disk_range **ret, size_t *ret_n) _must_check_;

/* Unmounts, detaches, ends the storage daemon, removes the overlay. */
void disk_close(struct disk *disk);
DEFINE_CLEANUP(struct disk *, disk_close)

#endif
