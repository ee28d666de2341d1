/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands the guest's processes still while files are exchanged, by the cgroup freezer (version 2, Linux 5.2), so that
 * no program starts on half an update. Not frozen are: pid 1, the helper itself, and the channel: the cgroups of
 * everything that the helper descends from (the guest agent, sshd and its session). Nothing between freeze and
 * thaw may wait for another process.
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
#define FREEZER_LIST        "/run/.ouassister-frozen" /* below the root: a cgroup directory a line */

/* Cgroups, as absolute paths of their directories. */
struct cgroup_list {
	char **paths;
	size_t n;
};

struct freezer {
	unsigned limit_ms;                /* 0: nothing is frozen */
	const struct cgroup_list *spared; /* borrowed; NULL: the channel is not known, and nothing is frozen */
	/* Inodes of dynamic loaders that are exchanged with their C library: not while a program is inside one. */
	uint64_t loaders[FREEZER_LOADERS_MAX];
	size_t n_loaders;
	uint64_t frozen_us; /* of all the times together */
	/* While frozen. */
	struct cgroup_list list;
	int *fds;          /* of the control files of `list` */
	int pipe_fd;       /* its end is the watchdog's sign */
	pid_t watchdog;    /* 0: not frozen */
	uint64_t begun_ns; /* CLOCK_MONOTONIC */
	char *list_path;
};

/* The cgroups of this process and of all it descends from, and pid 1's: to be asked before the channel is left. */
void freezer_spare_channel(struct cgroup_list *ret);
/* Adds the cgroup of a process, if it can be told. */
void freezer_spare(struct cgroup_list *list, pid_t pid);
/*
 * Whether these are truly the cgroups of the processes they were asked for. In a cgroup namespace they are not: a
 * helper that believed them would freeze itself.
 */
bool freezer_knows(const struct cgroup_list *spared);
/* Whether a process is in one of the cgroups, or below. */
bool freezer_holds(const struct cgroup_list *list, pid_t pid);
/*
 * freezer_find.c: what may be frozen, as few cgroups as possible: whole branches that hold none of the spared.
 * *ret is empty where there is no such freezer.
 */
struct error *freezer_find(const struct cgroup_list *spared, struct cgroup_list *ret) _must_check_;
struct error *cgroup_list_add(struct cgroup_list *list, const char *path) _must_check_;
void cgroup_list_deinit(struct cgroup_list *list);

/* Never fails: what cannot be frozen, and why, is noted in the report. `tree` says where paths are exchanged. */
void freezer_freeze(struct freezer *freezer, const struct tree *tree, int report_fd);
/* Everything runs again when it returns; nothing to do if it was not frozen. */
void freezer_thaw(struct freezer *freezer, int report_fd);

/* Thaws what a killed helper and its killed watchdog may have left. `root` is the tree's, "" for "/". */
void freezer_thaw_left(const char *root, int report_fd);

#endif
