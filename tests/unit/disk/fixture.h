/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of its own for a group of tests, and the host's tools to fill it. */
#ifndef TESTS_UNIT_DISK_FIXTURE_H
#define TESTS_UNIT_DISK_FIXTURE_H

#include "tests/unit/test.h"

/* Group setup and teardown: the working directory is a new, empty one, removed at the end. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Runs a shell script (set -e) in the working directory; its failure fails the test. */
void shell(const char *format, ...) _printf_(1, 2);

/* A line for each of the named files, "a.img b.img", with its SHA-256. The caller frees. */
char *digest_of(const char *files);

/* Loop devices and processes that still have to do with the working directory. */
int count_leftovers(void);

#endif
