/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about open files share. Private to guest/. */
#ifndef GUEST_FDS_H
#define GUEST_FDS_H

#include "guest/fd_info.h"
#include "guest/task.h"

/* Items of one descriptor that are kept: more than max_user_watches allows a small guest. */
#define FD_ITEMS_MAX (1u << 18)

/* Where an open file keeps what fdinfo tells. */
struct fd_layout {
	struct member operations, private_data, mount_id;
	struct member inode_super, super_device, inode_generation, inode_marks, inode_locks;
	struct member super_export, encode; /* super_block.s_export_op, export_operations.encode_fh */
	bool has_inode, has_semaphore;
	uint64_t functions[GUEST_FD_UNIX + 1]; /* file_operations by kind; 0: not in this kernel */
	uint64_t pidfs;                        /* those of a pidfd with an inode of its own (6.9 and later) */
	uint64_t encode_default, encode_tmpfs, encode_kernfs;
};

/* A lock on a file, and where it hangs: on the lists of its inode, of all locks, and of who waits for whom. */
struct lock_layout {
	struct member inode_link, link, blocked, waiter, owner, flags, type, pid, file, start, end;
};
struct error *lock_layout_get(struct guest *guest, const struct lock_layout **ret) _must_check_;
/* Reads one, but for the file that it is on: *ret_file is its struct file, *ret_owner whose it is. */
struct error *lock_read(struct guest *guest, const struct lock_layout *layout, struct gva lock,
			struct guest_file_lock *ret, uint64_t *ret_file, uint64_t *ret_owner) _must_check_;

/* The device that an inode's file system is on. */
struct error *fd_device(struct guest *guest, const struct fd_layout *layout, uint64_t inode, uint32_t *ret)
	_must_check_;
struct error *fd_layout_get(struct guest *guest, const struct fd_layout **ret) _must_check_;

/* `context`: what epoll and inotify keep behind file.private_data. What goes wrong is noted in ret->incomplete. */
struct error *fd_epoll_items(struct guest *guest, const struct fd_layout *layout, uint64_t context,
			     struct guest_fd_info *ret) _must_check_;
struct error *fd_inotify_watches(struct guest *guest, const struct fd_layout *layout, uint64_t context,
				 struct guest_fd_info *ret) _must_check_;
/* Locks on the inode that the file holds for the table of descriptors at `files`. */
struct error *fd_locks(struct guest *guest, const struct fd_layout *layout, uint64_t inode, uint64_t file,
		       uint64_t files, struct guest_fd_info *ret) _must_check_;

#endif
