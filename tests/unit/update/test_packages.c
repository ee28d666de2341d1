/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "tests/unit/test.h"
#include "update/packages.h"

static void expect(const char *before, const char *after, const char *expected)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(packages_difference(before, after, &list));
	text = json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(text, expected);
}

static void differences(void **state)
{
	expect("a 1\nb 1\n", "a 1\nb 1\n", "[]");
	expect("a 1\nb 1\n", "a 1\nb 2\n", "[{\"name\":\"b\",\"old\":\"1\",\"new\":\"2\"}]");
	expect("a 1\n", "a 1\nb 2\n", "[{\"name\":\"b\",\"old\":null,\"new\":\"2\"}]");
	expect("a 1\nb 1\n", "b 1\n", "[{\"name\":\"a\",\"old\":\"1\",\"new\":null}]");
	expect("", "ab 1\n", "[{\"name\":\"ab\",\"old\":null,\"new\":\"1\"}]");
	expect("a 1\nab 1\n", "ab 1\nb 1\n",
	       "[{\"name\":\"a\",\"old\":\"1\",\"new\":null},{\"name\":\"b\",\"old\":null,\"new\":\"1\"}]");
}

static void lines_that_are_none_are_passed_over(void **state)
{
	expect("\n\nnoversion\n a\na 1", "a 1", "[]");
}

static void a_running_package_manager_is_a_conflict(void **state)
{
	struct guest_task process = {.pid = 7, .comm = "dpkg"};
	struct guest_task_list list = {.items = &process, .n = 1};

	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_CONFLICT);
	process.kernel_thread = true;
	/* Now the process list is quiet, and the descriptor is none. */
	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_SYSTEM);
}

/* The kernel keeps the same of both names; the second always runs, and waits. */
static void a_service_that_waits_is_none(void **state)
{
	static char works[] = "/usr/bin/python3\0/usr/bin/unattended-upgrade",
		    waits[] = "/usr/bin/python3\0/usr/share/unattended-upgrades/unattended-upgrade-shutdown\0"
			      "--wait-for-signal";
	struct guest_task process = {.pid = 7, .comm = "unattended-upgr"};
	struct guest_task_list list = {.items = &process, .n = 1};

	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_CONFLICT);
	process.cmdline = (struct guest_bytes){works, sizeof(works)};
	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_CONFLICT);
	process.cmdline = (struct guest_bytes){works, sizeof(works) - 1};
	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_CONFLICT);
	process.cmdline = (struct guest_bytes){waits, sizeof(waits)};
	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_SYSTEM);
	process.cmdline = (struct guest_bytes){waits, 0};
	assert_error(dpkg_manager.quiescent(-1, &list), ERROR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(differences),
		cmocka_unit_test(lines_that_are_none_are_passed_over),
		cmocka_unit_test(a_running_package_manager_is_a_conflict),
		cmocka_unit_test(a_service_that_waits_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
