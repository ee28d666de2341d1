/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mounted file system has only in memory: blocks of its own, pages and attributes of its files. What is said
 * here is read for the disk's view (disk/coherent.h). Included by guest/guest.h.
 */
#ifndef GUEST_NEWER_H
#define GUEST_NEWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/image.h"

struct guest;
struct guest_file_system;

/* A piece of a device or of a file that memory has, whole and up to date. */
struct guest_piece {
	uint64_t offset;  /* on the file system's device, or in the file; bytes */
	uint32_t size;    /* bytes; a multiple of 512, at most GUEST_PIECE_MAX */
	bool newer;       /* than the disk: changed and not written, or just being written */
	struct gpa place; /* of its bytes, which lie one behind the other */
};
#define GUEST_PIECE_MAX (1u << 21)
typedef struct error *(*guest_piece_visit)(struct guest *guest, const struct guest_piece *piece, void *context);

/*
 * Calls `visit` for each block of the file system's device that the device's own page cache has, newer ones and
 * others. The others may be *older* than the disk where a block was freed and became a file's. ERROR_NOT_FOUND: memory
 * does not hold what is needed to know.
 */
struct error *guest_device_blocks(struct guest *guest, const struct guest_file_system *fs, guest_piece_visit visit,
				  void *context) _must_check_;

/* The bytes of a piece; ERROR_NOT_FOUND: the image does not hold them. */
struct error *guest_piece_read(struct guest *guest, const struct guest_piece *piece, void *buffer) _must_check_;

struct guest_time {
	int64_t s;
	uint32_t ns; /* below 10^9 */
};

/* An inode as its kernel has it in memory. */
struct guest_cached_inode {
	uint64_t address; /* of its struct inode */
	uint64_t number;
	uint32_t mode, links, uid, gid, generation;
	uint64_t size; /* bytes */
	struct guest_time atime, mtime, ctime;
	bool data;      /* some of its contents may be newer than the disk: see guest_inode_data() */
	bool changed;   /* it waits to be written itself */
	bool encrypted; /* its pages are not what the disk has of them */
	bool journaled; /* its contents go through the journal */
};
typedef struct error *(*guest_inode_visit)(struct guest *guest, const struct guest_cached_inode *inode, void *context);

/* Calls `visit` for each inode of the file system that is in memory. */
struct error *guest_cached_inodes(struct guest *guest, const struct guest_file_system *fs, guest_inode_visit visit,
				  void *context) _must_check_;

/*
 * Calls `visit` for each piece of the inode's contents that is newer than the disk, in the order of their offsets:
 * dirty, being written, or in the journal. They may reach beyond its size. ERROR_NOT_FOUND: a page is not in memory.
 */
struct error *guest_inode_data(struct guest *guest, const struct guest_cached_inode *inode, guest_piece_visit visit,
			       void *context) _must_check_;

/* Its path from the file system's root, where the dentry cache has one; else NULL. malloc'd. */
struct error *guest_inode_path(struct guest *guest, uint64_t address, char **ret) _must_check_;

/* Where the journal of an ext4 file system is in its log. */
struct guest_journal {
	bool known;          /* the rest is; not without a journal, nor where its types are nowhere (5.10) */
	uint64_t head;       /* the next block of the log to be written, in blocks of the journal */
	uint64_t first, end; /* the log's blocks: `first` to `end` - 1, and then `first` again */
	uint32_t committed;  /* number of the last transaction that is wholly in the log */
};
struct error *guest_journal(struct guest *guest, const struct guest_file_system *fs, struct guest_journal *ret)
	_must_check_;

/*
 * How many tasks were in the middle of a change of a file system: a handle of its journal open. More than 0 means that
 * blocks of one operation may be changed and others not yet.
 */
struct error *guest_open_changes(struct guest *guest, uint64_t *ret) _must_check_;

#endif
