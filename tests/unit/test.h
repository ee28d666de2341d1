/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test includes: cmocka with its prerequisites, and assertions on errors. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

/* The call succeeded; otherwise the test fails with the error's text. */
#define assert_ok(call)                                                                                                \
	do {                                                                                                           \
		struct error *_error = (call);                                                                         \
		if (_error)                                                                                            \
			fail_msg("%s: %s", #call, _error->message);                                                    \
	} while (0)

/* The call failed with that code. */
#define assert_error(call, expected)                                                                                   \
	do {                                                                                                           \
		struct error *_error = (call);                                                                         \
		if (!_error)                                                                                           \
			fail_msg("%s: succeeded, %s expected", #call, #expected);                                      \
		if (_error->code != (expected))                                                                        \
			fail_msg("%s: code %d, %s expected: %s", #call, _error->code, #expected, _error->message);     \
		error_destroy(_error);                                                                                 \
	} while (0)

/* Prints why and skips the rest of the test unless the user is root. */
#define need_root()                                                                                                    \
	do {                                                                                                           \
		if (geteuid() != 0) {                                                                                  \
			print_message("skipped: needs root\n");                                                        \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

#endif
