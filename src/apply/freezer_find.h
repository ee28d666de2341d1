/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroups may be frozen, and who is in them. Private to the freezer. */
#ifndef APPLY_FREEZER_FIND_H
#define APPLY_FREEZER_FIND_H

#include "apply/freezer.h"

/*
 * What may be frozen: whole branches that hold none of the spared. ret->list is empty where there is no freezer. Fails
 * where it cannot be told which cgroup is whose (in a cgroup namespace): a helper that believed what it is told there
 * would freeze itself. ret->group exists when it returns, and nobody is in it.
 */
struct error *freezer_find(const struct freezer_spared *spared, struct freezable *ret) _must_check_;
void freezable_deinit(struct freezable *freezable);
/* Whether a process is spared, or in a cgroup of those, or not known any more. */
bool freezer_spares(const struct freezer_spared *spared, pid_t pid);
/* Whether it is a thread of the kernel; one that has ended is as little to be moved. */
bool freezer_is_kernels(pid_t pid);
/* Whether a process is in one of the cgroups, or below. */
bool freezer_holds(const struct freezable *freezable, pid_t pid);

/* --- freezer_control.c: the files by which a cgroup is frozen, in both versions --- */

/* Opens those of the list, without the cgroups that somebody else has frozen or that went away. */
struct error *freezable_open(struct freezable *freezable) _must_check_;
void freezable_set(const struct freezable *freezable, bool frozen);
/* The first cgroup in which not all tasks stand still after this time; NULL: all do. Borrowed. */
const char *freezable_wait(const struct freezable *freezable, uint64_t at_most_ns);
/* Thaws one cgroup of either version; a path that is none is left alone. */
void freezer_thaw_directory(const char *directory);

/* --- freezer_group.c: version 1's group for those processes that are in the root of the hierarchy --- */

/*
 * Mounts the hierarchy at a place of our own, where nobody has mounted it; NULL where the kernel has none. The caller
 * frees the string, and unmounts when it is done, or when a killed helper was not.
 */
char *freezer_mount(void);
void freezer_unmount(void);
/* Makes the group below `top`; one that a killed helper has left is emptied first. The caller frees *ret. */
struct error *freezer_group_make(const char *top, char **ret) _must_check_;
/*
 * Moves those of the directory above into the group that are not spared, nor `also_spared` (0: nobody), and their
 * children. `seen` saves time in a later call, which moves who has been started since.
 */
void freezer_group_fill(const char *group, const struct freezer_spared *spared, pid_t also_spared,
			struct freezer_seen *seen);
/* Moves everybody back, and removes it. What is no group of ours is left alone. */
void freezer_group_empty(const char *group);

#endif
