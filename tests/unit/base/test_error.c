/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

static void texts_and_codes(void **state)
{
	struct error *error = error_system(ENOENT, "/x", "cannot open");

	error = error_wrap(error, "VM %s", "web1");
	error = error_remedy(error, "look");
	error = error_recode(error, ERROR_NOT_FOUND);
	assert_string_equal(error->message, "VM web1: cannot open: /x: No such file or directory");
	assert_string_equal(error->remedy, "look");
	assert_string_equal(error->path, "/x");
	assert_int_equal(error->errnum, ENOENT);
	assert_int_equal(error->code, ERROR_NOT_FOUND);
	error_destroy(error);
}

static void null_stays_null(void **state)
{
	assert_null(error_wrap(NULL, "x"));
	assert_null(error_remedy(NULL, "x"));
	assert_null(error_recode(NULL, ERROR_BUSY));
	error_destroy(NULL);
}

static void exit_statuses_are_the_documented_ones(void **state)
{
	static const int expected[ERROR_CODE_MAX] = {
		[ERROR_USAGE] = 2, [ERROR_UNSUPPORTED] = 3, [ERROR_CONFLICT] = 4, [ERROR_BUSY] = 5, [ERROR_NOTHING] = 6,
	};

	for (int code = 1; code < ERROR_CODE_MAX; code++)
		assert_int_equal(error_exit_status((enum error_code)code), expected[code] ? expected[code] : 1);
}

static void no_memory_cannot_be_harmed(void **state)
{
	struct error *error = error_recode(error_wrap(error_no_memory(), "x"), ERROR_BUSY);

	assert_int_equal(error->code, ERROR_NO_MEMORY);
	assert_string_equal(error->message, "out of memory");
	error_destroy(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_and_codes),
		cmocka_unit_test(null_stays_null),
		cmocka_unit_test(exit_statuses_are_the_documented_ones),
		cmocka_unit_test(no_memory_cannot_be_harmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
