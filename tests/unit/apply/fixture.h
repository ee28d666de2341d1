/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small guest tree on a tmpfs of the test's own mount namespace (nothing is left mounted, also
 * if the test dies), an update that holds every kind of change, and the helper run on it.
 */
#ifndef TEST_APPLY_FIXTURE_H
#define TEST_APPLY_FIXTURE_H

#include <sys/types.h>

#include "builder.h"
#include "tests/unit/test.h"

/* Skips unless root. Mounts, and makes `FIXTURE_ROOT "/base"`, which stays as it is. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/*
 * A directory every system has: one of our own would have to be removed, and that takes the mount away
 * from another test that has it in its own namespace at the same time.
 */
#define FIXTURE_SPACE   "/mnt"
#define FIXTURE_BASE    FIXTURE_SPACE "/base"
#define FIXTURE_ROOT    FIXTURE_SPACE "/root"
#define FIXTURE_PAYLOAD FIXTURE_SPACE "/payload"

/* A shell command that must succeed. */
void shell(const char *format, ...) _printf_(1, 2);

/* FIXTURE_ROOT becomes a fresh copy of the base. */
void fixture_copy(void);

/* Every kind of change, on the tree `b` takes its pre-images from. */
void fixture_every_kind(struct builder *b);

/* A dump of the base with the update done the plainest way; the caller frees it. */
char *fixture_expected(const struct builder *b);

/*
 * Runs the helper ($HELPER) on FIXTURE_ROOT. `fault`: 0, or the point to die at; `environment`:
 * "NAME=1" or NULL. Its standard output goes to fixture_output.
 */
extern char fixture_output[1 << 20];
int helper(unsigned fault, const char *environment, const char *verb, const struct builder *b);
/* The same with further options, NULL-terminated (at most 12). */
int helper_with(unsigned fault, const char *environment, const char *verb, const struct builder *b,
		const char *const *options);
/* Starts `apply --payload -` in the background with a pipe. */
pid_t helper_start(const struct builder *b, int *ret_stdin);
/* The helper's exit status. */
int helper_wait(pid_t pid);
/* Waits until the report holds `text`. */
void wait_for_report(const char *text);

void assert_result(const char *result);
/* The tree is as `dump` says; tells the first line that differs. */
void assert_tree(const char *root, const char *dump);

#endif
