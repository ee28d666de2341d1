/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places where a test may cut the power. They exist only in the test's own build of the helper
 * (-DAPPLY_FAULT_POINTS); in the program that travels to a guest they are nothing.
 */
#ifndef APPLY_FAULT_H
#define APPLY_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef APPLY_FAULT_POINTS
/*
 * At the point whose number OUA_FAULT holds, counted from 1: ends the process at once, or does the shell command in
 * OUA_FAULT_RUN, as another process of the guest might at that moment.
 */
void fault_point(void);
/* True where OUA_NO_EXCHANGE asks for a file system without RENAME_EXCHANGE. */
bool fault_no_exchange(void);
/* True where OUA_NO_OPENAT2 asks for a kernel without openat2. */
bool fault_no_openat2(void);
/* True where OUA_WHOLE_SYSTEM asks to act and to ask the package manager, whatever the root is. */
bool fault_whole_system(void);
/* How many threads OUA_THREADS asks for; 0: it does not. */
size_t fault_threads(void);
/* True where OUA_TEAR asks for points at which half of a record is written. */
bool fault_tears(void);
/* The cgroup directory in OUA_CGROUP, below which processes are frozen, whatever the root is; NULL if there is none. */
const char *fault_cgroup(void);
/* How long nothing may come from a pipe: what OUA_SILENT_MS says, or else as usual. */
int fault_silent_ms(int usual);
/* How long the service manager's socket may take: what OUA_MANAGER_MS says, or else as usual. */
int fault_manager_ms(int usual);
/* True where OUA_NO_JOURNAL asks for an update without a journal: what a power loss then leaves proves that a test sees
 * it. */
bool fault_no_journal(void);
#else
static inline void fault_point(void)
{
}

static inline bool fault_no_exchange(void)
{
	return false;
}

static inline bool fault_no_openat2(void)
{
	return false;
}

static inline const char *fault_cgroup(void)
{
	return NULL;
}

static inline bool fault_whole_system(void)
{
	return false;
}

static inline size_t fault_threads(void)
{
	return 0;
}

static inline bool fault_tears(void)
{
	return false;
}

static inline int fault_silent_ms(int usual)
{
	return usual;
}

static inline int fault_manager_ms(int usual)
{
	return usual;
}

static inline bool fault_no_journal(void)
{
	return false;
}
#endif

#endif
