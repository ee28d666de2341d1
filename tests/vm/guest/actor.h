/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in a test's guest: a program that is one odd process after the other, for a reader of the kernel's memory to
 * find. Each part sets things up in the calling process and returns; the caller then sleeps for ever.
 */
#ifndef GUEST_ACTOR_H
#define GUEST_ACTOR_H

#include <stddef.h>

/* Says what failed, with errno, and ends the process. */
void die(const char *what) __attribute__((noreturn));
/* Dies where a call that returns -1 did. */
#define MUST(call)                                                                                                     \
	do {                                                                                                           \
		if ((call) == -1)                                                                                      \
			die(#call);                                                                                    \
	} while (0)
/* Says what this kernel does not have, and goes on. */
#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		if ((call) == -1)                                                                                      \
			perror(#call);                                                                                 \
	} while (0)

/* A new file of `size` bytes that differ from page to page; its descriptor, read and write. */
int make_file(const char *path, size_t size);

void act_maps(void);
void act_files(void);
void act_swapped(void);
void act_swapped_fork(void);
void act_sockets(void);
void act_ipc(void);
void act_namespaces(void);

#endif
