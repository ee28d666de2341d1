/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "changes/changes.h"

/* "verb unit" each, "! word" for a command of one word. */
static struct action_list make(const char *const *texts)
{
	struct action_list list = {};

	for (; *texts; texts++) {
		const char *space = strchr(*texts, ' ');
		struct action action = {.kind = ACTION_SYSTEMD, .package = strdup("package")};

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
		assert_string_equal(action->package, "package");
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

/* "-" before a verb: before the files; the order is that of the texts. */
static struct action_list make_phases(const char *const *texts)
{
	struct action_list list = {};

	for (uint32_t i = 0; texts[i]; i++) {
		bool before = texts[i][0] == '-';
		const char *verb = texts[i] + before, *space = strchr(verb, ' ');
		struct action action = {.kind = ACTION_SYSTEMD,
					.phase = before ? ACTION_BEFORE : ACTION_AFTER,
					.order = i + 1,
					.verb = strndup(verb, (size_t)(space - verb)),
					.unit = space[1] ? strdup(space + 1) : NULL};

		assert_ok(action_list_append(&list, action));
	}
	return list;
}

static void assert_texts(const struct action_list *list, const char *const *expected)
{
	for (size_t i = 0; i < list->n || expected[i]; i++) {
		const struct action *action = &list->items[i];
		char text[128];

		assert_true(i < list->n && expected[i]);
		snprintf(text, sizeof(text), "%s%s %s", action->phase == ACTION_BEFORE ? "-" : "", action->verb,
			 action->unit ? action->unit : "");
		assert_string_equal(text, expected[i]);
	}
}

/* And once more: nothing changes. */
static void check_phases(const char *const *input, const char *const *expected)
{
	struct action_list list = make_phases(input), once, twice;

	assert_ok(action_list_coalesce(&list, &once));
	assert_texts(&once, expected);
	assert_ok(action_list_coalesce(&once, &twice));
	assert_texts(&twice, expected);
	action_list_deinit(&list);
	action_list_deinit(&once);
	action_list_deinit(&twice);
}

#define CHECK_PHASES(input, ...)                                                                                       \
	check_phases((const char *const[]){input, NULL}, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_phases(void **state)
{
	/* prerm and postinst of one package */
	CHECK_PHASES(LIST("-stop a", "start a"), "-stop a", "start a");
	CHECK_PHASES(LIST("-stop a", "daemon-reload ", "restart a"), "-stop a", "daemon-reload ", "start a");
	/* a unit that is stopped is neither reloaded nor restarted if it runs */
	CHECK_PHASES(LIST("-stop a", "try-restart a", "reload b"), "-stop a", "reload b");
	/* a later package stops it: what was asked before is void */
	CHECK_PHASES(LIST("restart a", "-stop a"), "-stop a");
	CHECK_PHASES(LIST("-stop a", "start a", "-stop a", "start a"), "-stop a", "start a");
	/* reloading is for the files that come */
	CHECK_PHASES(LIST("-daemon-reload ", "-stop a"), "-stop a", "daemon-reload ");
	CHECK_PHASES(LIST("-restart a", "restart a"), "-restart a", "restart a");
}

static struct action_list make_writes(const char *const *texts)
{
	struct action_list list = {};

	for (uint32_t i = 0; texts[i]; i++) {
		const char *equal = strchr(texts[i], '=');
		struct action action = {.kind = ACTION_WRITE,
					.path = strndup(texts[i], (size_t)(equal - texts[i])),
					.data = (uint8_t *)strdup(equal + 1),
					.size = strlen(equal + 1)};

		assert_ok(action_list_append(&list, action));
	}
	return list;
}

/* The last value of a sysctl counts; files of /sys may want every one of them, but not twice the same. */
static void test_writes(void **state)
{
	struct action_list list =
		make_writes((const char *const[]){"/proc/sys/a=1", "/sys/b=1", "/sys/b=1", "/proc/sys/a=0", "/sys/b=0",
						  "/sys/b=1", "/proc/sys/a=1", NULL});
	struct action_list result;

	assert_ok(action_list_coalesce(&list, &result));
	assert_int_equal(result.n, 4);
	assert_memory_equal(result.items[0].data, "1", 1);
	assert_memory_equal(result.items[1].data, "0", 1);
	assert_memory_equal(result.items[2].data, "1", 1);
	assert_string_equal(result.items[3].path, "/proc/sys/a");
	assert_memory_equal(result.items[3].data, "1", 1);
	action_list_deinit(&list);
	action_list_deinit(&result);
}

static void test_words(void **state)
{
	const struct action signal = {.kind = ACTION_SIGNAL, .pid = 12, .signal = 40, .queued = true, .value = -3};
	const char *const expected[] = {"kill", "-q", "-3", "-40", "12"};
	char **words;

	assert_ok(action_words(&signal, &words));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(words[i], expected[i]);
	assert_null(words[ARRAY_SIZE(expected)]);
	action_words_free(words);
	assert_int_equal(action_kind_of(action_kind_word(ACTION_MOUNT)), ACTION_MOUNT);
	assert_int_equal(action_kind_of("nothing"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_reload_comes_first_once),
		cmocka_unit_test(test_requests_of_a_unit_melt),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_unknown_verbs_stay),
		cmocka_unit_test(test_commands_stay_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
