/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"
#include "update/os_release.h"

static void expect(const char *text, const char *key, const char *expected)
{
	_cleanup_(free_ptr) char *value = os_release_value(text, key);

	assert_string_equal(value, expected);
}

static void values(void **state)
{
	expect("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", "PRETTY_NAME",
	       "Debian GNU/Linux 12 (bookworm)");
	expect("ID=debian", "ID", "debian");
	expect("ID='arch'\n", "ID", "arch");
	expect("ID=\n", "ID", "");
	/* The first one counts, and a key is the whole of it. */
	expect("VERSION_ID=1\nID=a\nID=b\n", "ID", "a");
}

static void what_is_not_there_is_unknown(void **state)
{
	expect(NULL, "ID", "unknown");
	expect("", "ID", "unknown");
	expect("\n\nID\n#ID=x\n ID=x", "ID", "unknown");
}

static void quotes_that_do_not_match_stay(void **state)
{
	expect("ID=\"\n", "ID", "\"");
	expect("ID=\"a'\n", "ID", "\"a'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(what_is_not_there_is_unknown),
		cmocka_unit_test(quotes_that_do_not_match_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
