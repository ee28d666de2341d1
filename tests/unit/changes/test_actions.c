/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "changes/changes.h"

/* "verb unit" each, "! word" for a command of one word. */
static struct action_list make(const char *const *texts)
{
	struct action_list list = {};

	for (; *texts; texts++) {
		const char *space = strchr(*texts, ' ');
		struct action action = {.kind = ACTION_SYSTEMD, .origin = strdup("package")};

		if (**texts == '!') {
			action.kind = ACTION_COMMAND;
			action.argv = calloc(2, sizeof(*action.argv));
			action.argv[0] = strdup(space + 1);
		} else {
			action.verb = space ? strndup(*texts, (size_t)(space - *texts)) : strdup(*texts);
			action.unit = space ? strdup(space + 1) : NULL;
		}
		assert_ok(action_list_append(&list, action));
	}
	return list;
}

static void check(const char *const *input, const char *const *expected)
{
	struct action_list list = make(input), result;
	size_t n = 0;

	assert_ok(action_list_coalesce(&list, &result));
	for (; expected[n]; n++) {
		const struct action *action = n < result.n ? &result.items[n] : NULL;
		char text[256];

		if (!action)
			fail_msg("%s is missing", expected[n]);
		if (action->kind == ACTION_COMMAND)
			snprintf(text, sizeof(text), "! %s", action->argv[0]);
		else
			snprintf(text, sizeof(text), "%s%s%s", action->verb, action->unit ? " " : "",
				 action->unit ? action->unit : "");
		assert_string_equal(text, expected[n]);
		assert_string_equal(action->origin, "package");
	}
	assert_int_equal(result.n, n);
	action_list_deinit(&list);
	action_list_deinit(&result);
}

#define CHECK(input, ...)                                                                                              \
	check((const char *const[]){input, NULL}, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define LIST(...) __VA_ARGS__

static void test_empty(void **state)
{
	const char *const none[] = {NULL};

	check(none, none);
}

static void test_reload_comes_first_once(void **state)
{
	CHECK(LIST("restart a.service", "daemon-reload", "restart b.service", "daemon-reload"), "daemon-reload",
	      "restart a.service", "restart b.service");
	CHECK(LIST("daemon-reload", "start a.service", "daemon-reexec"), "daemon-reexec", "start a.service");
}

static void test_requests_of_a_unit_melt(void **state)
{
	CHECK(LIST("restart a", "restart a"), "restart a");
	CHECK(LIST("start a", "restart a"), "restart a");
	CHECK(LIST("restart a", "start a"), "restart a");
	CHECK(LIST("reload a", "try-restart a"), "try-restart a");
	CHECK(LIST("try-restart a", "start a"), "restart a");
	CHECK(LIST("reload-or-restart a", "reload a"), "reload-or-restart a");
	CHECK(LIST("restart a", "restart b", "start a"), "restart b", "restart a");
}

static void test_stop(void **state)
{
	CHECK(LIST("restart a", "stop a"), "stop a");
	CHECK(LIST("stop a", "start a"), "restart a");
	CHECK(LIST("stop a", "try-restart a"), "stop a");
	CHECK(LIST("stop a", "reload a"), "stop a");
	CHECK(LIST("stop a", "start a", "stop a"), "stop a");
}

static void test_unknown_verbs_stay(void **state)
{
	CHECK(LIST("kill a", "restart a", "kill a", "isolate b"), "kill a", "restart a", "isolate b");
}

static void test_commands_stay_in_order(void **state)
{
	CHECK(LIST("! ldconfig", "restart a", "! udevadm", "! ldconfig"), "! ldconfig", "restart a", "! udevadm");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_reload_comes_first_once),
		cmocka_unit_test(test_requests_of_a_unit_melt),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_unknown_verbs_stay),
		cmocka_unit_test(test_commands_stay_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
