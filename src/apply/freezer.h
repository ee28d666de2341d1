/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands the guest's processes still while files are exchanged, by the cgroup freezer, so that no program starts on
 * half an update: version 2 (Linux 5.2), or version 1, which has no hierarchy of its own in a guest whose services are
 * all in the root of it, and gets one group there for as long as it takes. Not frozen are: pid 1, the helper itself,
 * kernel threads, and the channel: the cgroups of everything that the helper descends from (the guest agent, sshd and
 * its session). Nothing between freeze and thaw may wait for another process.
 *
 * A guest must never stay frozen. A watchdog process thaws when the limit passes, or at once when the helper dies; a
 * list in /run lets the next helper thaw should both be killed. Cgroups that somebody else froze are left as they are.
 */
#ifndef APPLY_FREEZER_H
#define APPLY_FREEZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apply/tree.h"
#include "base/error.h"

#define FREEZER_LOADERS_MAX 8
#define FREEZER_PIDS_MAX    64
#define FREEZER_LIST        "/run/.ouassister-frozen" /* below the root: a cgroup directory a line */

struct cgroup_list {
	char **paths;
	size_t n;
};

/* What must go on, remembered before the helper leaves where it was started. */
struct freezer_spared {
	struct cgroup_list cgroups; /* each as "HIERARCHY:/path" (freezer_find.c), whatever is mounted where */
	/* The helper and all it descends from: where cgroups tell nothing, as they are all in the root. */
	pid_t pids[FREEZER_PIDS_MAX];
	size_t n_pids;
};

enum freezer_version {
	FREEZER_UNIFIED, /* cgroup.freeze */
	FREEZER_ONE,     /* the controller "freezer" of version 1: freezer.state */
};

/* What can be frozen: as few cgroups as possible. */
struct freezable {
	enum freezer_version version;
	char *mount;             /* of the hierarchy */
	struct cgroup_list list; /* absolute paths of their directories, below `mount` */
	char *group;             /* version 1: that of `list` which we have made; NULL if none */
	int *fds;                /* of the control files of `list`, once opened */
};

/* Threads of the kernel, most of what is not to be moved: they are asked only once what they are. */
struct freezer_seen {
	pid_t *pids;
	size_t n;
};

struct freezer {
	unsigned limit_ms;                   /* 0: nothing is frozen */
	const struct freezer_spared *spared; /* borrowed; NULL: the channel is not known, and nothing is frozen */
	/* Inodes of dynamic loaders that are exchanged with their C library: not while a program is inside one. */
	uint64_t loaders[FREEZER_LOADERS_MAX];
	size_t n_loaders;
	uint64_t frozen_us; /* of all the times together */
	/* While frozen. */
	struct freezable what;
	struct freezer_seen seen;
	int pipe_fd;       /* its end is the watchdog's sign */
	pid_t watchdog;    /* 0: not frozen */
	uint64_t begun_ns; /* CLOCK_MONOTONIC */
	char *list_path;
};

/* This process, all it descends from, their cgroups, and pid 1's: to be asked before the channel is left. */
void freezer_spare_channel(struct freezer_spared *ret);
/* Adds a process that is to go on, and its cgroups: this one again, where it went from the channel. */
void freezer_spare(struct freezer_spared *spared, pid_t pid);
void freezer_spared_deinit(struct freezer_spared *spared);

/* Never fails: what cannot be frozen, and why, is noted in the report. `tree` says where paths are exchanged. */
void freezer_freeze(struct freezer *freezer, const struct tree *tree, int report_fd);
/* Everything runs again when it returns; nothing to do if it was not frozen. */
void freezer_thaw(struct freezer *freezer, int report_fd);

/* Thaws what a killed helper and its killed watchdog may have left. `root` is the tree's, "" for "/". */
void freezer_thaw_left(const char *root, int report_fd);

#endif
