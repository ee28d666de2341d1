/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the helper's worker runs: not where the agent that started it runs.
 */
#ifndef APPLY_SURROUNDINGS_H
#define APPLY_SURROUNDINGS_H

#include <stdbool.h>

/*
 * Known environment, umask 077, "/" as working directory. With `whole_system` also: pid 1's mount
 * namespace, a cgroup of our own (a restart of the agent's service ends what is in its cgroup)
 * no interest for the OOM killer, and the processor before all others. What cannot be had is noted in the report.
 */
void surroundings_enter(bool whole_system, int report_fd);
/* For what the foreground does itself: the environment, and with `whole_system` the mount namespace. */
void surroundings_join(bool whole_system);
/* Removes the cgroups, once nothing is in them. */
void surroundings_forget(void);

/* Of the calling thread, for processor and disk. Processes started meanwhile have that of the disk. */
enum priority {
	PRIORITY_EQUAL,
	PRIORITY_FIRST,      /* behind a closed gate, as long as nobody works for us */
	PRIORITY_BACKGROUND, /* the disk is others' before it is ours */
};
void surroundings_priority(enum priority priority);

#endif
