/* SPDX-License-Identifier: Apache-2.0 */
/* Files as a sleeping guest's memory has them: tmpfs, and the page cache of every file system. Included by
 * guest/guest.h. */
#ifndef GUEST_FILES_H
#define GUEST_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

struct guest_file {
	uint64_t inode_address; /* of its struct inode: what guest_file_read takes */
	uint64_t inode;         /* number */
	uint32_t mode;          /* type and permissions, as st_mode */
	uint32_t uid, gid;
	uint32_t links;
	uint32_t major, minor; /* of a device node */
	uint64_t size;         /* bytes */
	int64_t mtime_s;
	uint32_t mtime_ns;
	bool resident; /* every byte is in memory by nature (tmpfs, ramfs), but for swapped pages */
	char *name;    /* in its directory; owned */
	char *link;    /* target of a symbolic link, where memory has it; owned; NULL: not a link, or not in memory */
};

/*
 * Finds `path` (absolute, as pid 1 sees it) through the mounts and the dentry cache; symbolic links are followed,
 * those of the last component only if `follow`. ERROR_NOT_FOUND: memory does not know it (for tmpfs: it does not
 * exist).
 */
struct error *guest_file_find(struct guest *guest, const char *path, bool follow, struct guest_file *ret) _must_check_;
void guest_file_deinit(struct guest_file *file);
/* The file behind an open one (guest_fd.file): also what has no path (sockets, pipes) or has none any more. */
struct error *guest_open_file(struct guest *guest, uint64_t file, struct guest_file *ret) _must_check_;

/* An access control list as its kernel holds it; e_tag and e_perm as in linux/posix_acl.h, the guest's ids. */
#define GUEST_ACL_MAX 256u
struct guest_acl_entry {
	uint16_t tag, permissions;
	uint32_t id; /* of ACL_USER and ACL_GROUP */
};
struct guest_acl {
	struct guest_acl_entry entries[GUEST_ACL_MAX];
	size_t n; /* 0: it has none in memory */
};
/* The file's own, or what new files in the directory begin with (`otherwise`). */
struct error *guest_file_acl(struct guest *guest, const struct guest_file *file, bool otherwise, struct guest_acl *ret)
	_must_check_;

/*
 * Reads at most `size` bytes at `offset`; *ret_size is less only at the end of the file. A byte that memory does not
 * hold is ERROR_NOT_FOUND that names the place and why (never read, dropped, swapped out). Holes of tmpfs read as
 * zeros.
 */
struct error *guest_file_read(struct guest *guest, const struct guest_file *file, uint64_t offset, void *buffer,
			      size_t size, size_t *ret_size) _must_check_;

/*
 * Where data of a resident file begins at or behind `offset`, in bytes, and the end of the file. What lies between is a
 * hole. ERROR_NOT_FOUND: there is none any more.
 */
struct error *guest_file_next_data(struct guest *guest, const struct guest_file *file, uint64_t offset,
				   uint64_t *ret_offset, uint64_t *ret_end) _must_check_;

struct guest_file_list {
	struct guest_file *items;
	size_t n;
	struct error *incomplete;
};
/*
 * The entries of a directory as far as the dentry cache has them: all of them where it is resident (tmpfs), by name.
 * They are those of the directory's own file system: what is mounted on one of them is found by its path.
 */
struct error *guest_directory(struct guest *guest, const struct guest_file *directory, struct guest_file_list *ret)
	_must_check_;
void guest_file_list_deinit(struct guest_file_list *list);

/* What is not on disk yet. */
struct guest_dirty_file {
	uint64_t inode_address, inode;
	char device[32];      /* super_block.s_id */
	char *path;           /* where the dentry cache has one, from the file system's root; NULL: unknown, or a
				 block device; owned */
	uint64_t size;        /* bytes, as the guest sees it */
	uint64_t dirty_pages; /* dirty or under writeback, in pages of 4096 bytes */
	bool metadata;        /* the inode itself is dirty: times, size, owner, or queued for writing */
	bool block_device;    /* the pages are the device's own */
};
struct guest_dirty_list {
	struct guest_dirty_file *items;
	size_t n;
	struct error *incomplete;
};
/*
 * Inodes of file systems on block devices with dirty pages or metadata, and block devices with dirty pages of their
 * own: metadata blocks of the file systems on them.
 */
struct error *guest_dirty_files(struct guest *guest, struct guest_dirty_list *ret) _must_check_;
void guest_dirty_list_deinit(struct guest_dirty_list *list);

#endif
