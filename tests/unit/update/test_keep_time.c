/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"
#include "update/keep_time.h"

static void understood(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} cases[] = {{"none", 0},    {"1s", 1},       {"45s", 45},      {"90min", 5400},           {"12h", 43200},
		     {"7d", 604800}, {"2w", 1209600}, {"007d", 604800}, {"3660d", KEEP_TIME_MAX_S}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t seconds = 42;

		assert_ok(keep_time_parse(cases[i].text, &seconds));
		assert_int_equal(seconds, cases[i].seconds);
	}
	assert_ok(keep_time_parse(KEEP_TIME_DEFAULT, &(uint64_t){0}));
}

static void refused(void **state)
{
	static const char *const cases[] = {"",
					    "d",
					    "0",
					    "1",
					    "3600",
					    "0d",
					    "-1d",
					    "+1d",
					    " 1d",
					    "1d ",
					    "1 d",
					    "1.5d",
					    "7D",
					    "7days",
					    "none ",
					    "3661d",
					    "99999999999999999999999d",
					    "18446744073709551615w"};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t seconds = 42;

		assert_error(keep_time_parse(cases[i], &seconds), ERROR_USAGE);
		assert_int_equal(seconds, 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(understood), cmocka_unit_test(refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
