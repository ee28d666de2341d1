/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program of the escape suite: runs in the shadow, tries one thing, `escape NAME`, and says by its exit status
 * whether it worked. What there is to be reached on the host is told by the environment (canary.h).
 */
#ifndef TESTS_ESCAPE_H
#define TESTS_ESCAPE_H

#include <stddef.h>

enum {
	ESCAPED = 0,
	HELD = 1,
	UNKNOWN = 2,
};

struct attempt {
	const char *name;
	int (*run)(void); /* negative, with errno: it did not work */
};

/* One a subject, ended by a NULL name. */
extern const struct attempt mount_attempts[], file_attempts[], process_attempts[], kernel_attempts[],
	network_attempts[], limit_attempts[];

/* A variable of the environment; without it the attempt makes no sense, and the program ends with UNKNOWN. */
const char *given(const char *name);
long given_number(const char *name);

/* 0 if the file begins with the host's secret. */
int read_secret(const char *path);
int read_secret_of(int fd);

/* A call that only privileges stop: 0 if it came as far as its arguments, of which the kernel complains; success
 * is an answer of the shadow, which has written the request down. */
int reached(long result);

#endif
