/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: control groups around everything that runs in one shadow. What RLIMIT_* bounds for each process or each
 * of the guest's 2^30 users, they bound for all of it together. "Disabled" is a group without directories.
 */
#ifndef SHADOW_CGROUP_H
#define SHADOW_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "shadow/shadow.h"

/* As many hierarchies as there are controllers that we use. */
#define CGROUP_DIRECTORIES_MAX 3

struct cgroup {
	char *directories[CGROUP_DIRECTORIES_MAX]; /* of the host */
	size_t n;
	const char *pids, *memory, *cpu; /* which of them has the controller; NULL: none */
	bool memory_unified;             /* version 2 */
};

/* New groups wherever this host lets us make them, with `limits` (none is 0) set. */
struct error *cgroup_create(const struct shadow_limits *limits, struct cgroup *ret) _must_check_;

/* Moves the calling process into all of them. */
struct error *cgroup_enter(const struct cgroup *cgroup) _must_check_;

/* How many processes in it the kernel has killed so far for want of memory. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);

/* Removes the groups of processes that are dead. */
void cgroup_tidy_up(void);

/* Removes the groups. Their processes have been waited for. */
void cgroup_deinit(struct cgroup *cgroup);

#endif
