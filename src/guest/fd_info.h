/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/PID/fdinfo/N tells of one open file. Included by guest/guest.h. */
#ifndef GUEST_FD_INFO_H
#define GUEST_FD_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/task_details.h"

struct guest;

enum guest_fd_kind {
	GUEST_FD_OTHER, /* with nothing more to tell, or of a kind that is not read */
	GUEST_FD_EVENT,
	GUEST_FD_TIMER,
	GUEST_FD_SIGNAL,
	GUEST_FD_EPOLL,
	GUEST_FD_INOTIFY,
	GUEST_FD_PROCESS,  /* pidfd */
	GUEST_FD_TERMINAL, /* the master of a pseudo terminal */
	GUEST_FD_UNIX,     /* a unix socket */
};

/* A file that an epoll descriptor waits for, in the kernel's order. */
struct guest_epoll_item {
	int32_t fd;
	uint32_t events;
	uint64_t data;
	int64_t position;
	uint64_t inode;
	uint32_t device; /* as the kernel has it: 12 bits major, 20 bits minor */
};

#define GUEST_HANDLE_MAX 16u
/* A watch of an inotify descriptor, in the kernel's order. */
struct guest_watch {
	uint32_t descriptor, mask;
	uint64_t inode;
	uint32_t device;
	uint8_t handle_type; /* 0: the handle is not known */
	uint8_t handle_size;
	uint8_t handle[GUEST_HANDLE_MAX];
};

/* A lock that was taken through this file. */
struct guest_file_lock {
	uint64_t flags; /* FL_* */
	uint8_t type;   /* F_RDLCK, F_WRLCK, F_UNLCK */
	int32_t pid;    /* -1: an open file description's */
	uint32_t device;
	uint64_t inode;
	int64_t start, end; /* bytes, end inclusive; INT64_MAX: the end of the file */
	uint32_t number;    /* of guest_file_locks(): from 1 on; who waits has that of what is waited for */
	uint32_t waits;     /* 0: is held; 1: waits for one that is, 2: for one that waits, … */
};
struct guest_lock_list {
	struct guest_file_lock *items; /* as /proc/locks */
	size_t n;
	struct error *incomplete;
};
struct error *guest_file_locks(struct guest *guest, struct guest_lock_list *ret) _must_check_;
void guest_lock_list_deinit(struct guest_lock_list *list);

struct guest_fd_info {
	int32_t mount;  /* mnt_id */
	bool has_inode; /* the kernel shows the inode's number (5.14 and later) */
	enum guest_fd_kind kind;
	/* GUEST_FD_EVENT */
	uint64_t count;
	int32_t id;
	bool has_semaphore, semaphore; /* the kernel shows that (6.5 and later) */
	/* GUEST_FD_TIMER; times in nanoseconds */
	int32_t clock;
	uint64_t ticks;
	uint32_t settime_flags;
	int64_t remaining_ns, interval_ns; /* remaining: when the guest was suspended; 0: not armed */
	/* GUEST_FD_SIGNAL */
	uint64_t signals; /* bit n - 1: signal n */
	/* GUEST_FD_PROCESS: in each process namespace from the initial one on */
	bool process_ended;
	uint32_t pids[GUEST_PID_LEVELS], n_pids;
	/* GUEST_FD_TERMINAL */
	int32_t terminal;
	/* GUEST_FD_UNIX: descriptors on their way */
	uint32_t passed;
	/* GUEST_FD_EPOLL, GUEST_FD_INOTIFY; owned */
	struct guest_epoll_item *items;
	size_t n_items;
	struct guest_watch *watches;
	size_t n_watches;
	/* Any file; owned */
	struct guest_file_lock *locks;
	size_t n_locks;
	struct error *incomplete;
};
/* `file`: guest_fd.file of an open file of the task (guest_task.address). */
struct error *guest_fd_info(struct guest *guest, uint64_t task, uint64_t file, struct guest_fd_info *ret) _must_check_;
void guest_fd_info_deinit(struct guest_fd_info *info);

#endif
