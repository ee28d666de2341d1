/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts and control groups of a sleeping guest. Included by guest/guest.h. */
#ifndef GUEST_MOUNTS_H
#define GUEST_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

/* A line of /proc/PID/mountinfo, in its order. Strings are owned, without the escapes that the kernel writes. */
struct guest_mount {
	int32_t id, parent;    /* mnt_id */
	uint32_t major, minor; /* of the file system's device */
	char *root;            /* which directory of the file system is mounted: "/" */
	char *target;          /* where, as the task's root sees it */
	char *fstype;          /* with subtype: "fuse.sshfs" */
	char *source;          /* "/dev/vda1", "tmpfs" */
	char *options;         /* as /proc/PID/mounts: the mount's, then the file system's own as far as memory tells:
				  "rw,relatime" */
	char *mount_options;   /* the same in two, as mountinfo: the mount's own, "rw,relatime" */
	char *super_options;   /* and the file system's: "rw,errors=remount-ro" */
	uint32_t peer_group;   /* shared:N; 0: none */
	uint32_t master;       /* master:N; 0: none */
	uint32_t propagated;   /* propagate_from:N, the nearest visible group above the master; 0: not shown */
	bool unbindable;
};
struct guest_mount_list {
	struct guest_mount *items;
	size_t n;
	struct error *incomplete;
};
/* The mounts that the task (guest_task.address) sees; 0: the first process's (pid 1). */
struct error *guest_mounts(struct guest *guest, uint64_t task, struct guest_mount_list *ret) _must_check_;
void guest_mount_list_deinit(struct guest_mount_list *list);

/*
 * Leaves of a whole namespace's list what a path can reach, parents first: what a later mount covers goes, and what has
 * a place that is no path (an empty name, ".."). At most GUEST_VISIBLE_MAX are looked at; what was left out for being
 * too much or insane makes the list incomplete. ERROR_FORMAT: there is no root; the list is then in no order.
 */
#define GUEST_VISIBLE_MAX 4096u
struct error *guest_mounts_visible(struct guest_mount_list *list) _must_check_;

/* Whether `path` is the directory or lies below it, by name alone. */
bool guest_path_below(const char *path, const char *directory);

/* What statfs(2) says of a file system, but for the flags of a mount. */
struct guest_statfs {
	uint64_t type;                    /* magic number */
	uint64_t block_size, fragment;    /* bytes; f_bsize, f_frsize */
	bool room_known;                  /* else the four below and `files_free` are 0: memory does not tell */
	uint64_t blocks, free, available; /* in fragments */
	uint64_t files, files_free;
	uint32_t id[2];
	uint64_t name_max;
	bool read_only, synchronous, mandatory_locks; /* flags of the file system itself */
};
/* Of the mounted file system with this device number (guest_mount.major, .minor). */
struct error *guest_statfs(struct guest *guest, uint32_t major, uint32_t minor, struct guest_statfs *ret) _must_check_;

/* A line of /proc/PID/cgroup. */
struct guest_cgroup {
	uint32_t hierarchy; /* 0: version 2 */
	char *controllers;  /* "cpu,cpuacct", "name=systemd", "" for version 2; owned */
	char *path;         /* owned */
};
struct guest_cgroup_list {
	struct guest_cgroup *items;
	size_t n;
	struct error *incomplete;
};
struct error *guest_task_cgroups(struct guest *guest, uint64_t task, struct guest_cgroup_list *ret) _must_check_;
void guest_cgroup_list_deinit(struct guest_cgroup_list *list);

#endif
