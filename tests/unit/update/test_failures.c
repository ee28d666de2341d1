/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "tests/unit/test.h"
#include "update/failures.h"

static void expect(const char *output, const char *expected)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(failures_find(output, &list));
	text = json_dumps(list, JSON_COMPACT);
	assert_string_equal(text, expected);
}

static void packages_that_failed(void **state)
{
	expect("", "[]");
	expect("Setting up a (1) ...\nfine\n", "[]");
	expect("Setting up a (1) ...\nfine\nSetting up b:amd64 (2) ...\nbroken\n"
	       "dpkg: error processing package b:amd64 (--configure):\n post-installation script failed\n",
	       "[{\"package\":\"b:amd64\",\"phase\":\"configure\",\"why\":\"post-installation script failed\","
	       "\"output\":\"Setting up b:amd64 (2) ...\\nbroken\\n\"}]");
	expect("dpkg: error processing archive /var/cache/apt/archives/b_2_all.deb (--unpack):\n why\n",
	       "[{\"package\":\"b\",\"phase\":\"unpack\",\"why\":\"why\",\"output\":\"\"}]");
}

/* Who was killed ended no line; what follows is not the next one's. */
static void words_before_and_behind(void **state)
{
	expect("Setting up a (1) ...\nName? dpkg: error processing package a (--configure):\n killed\n"
	       "dpkg: dependency problems\ndpkg: error processing package c (--configure):\n left\n",
	       "[{\"package\":\"a\",\"phase\":\"configure\",\"why\":\"killed\",\"output\":\"Setting up a (1) "
	       "...\\nName? \"},"
	       "{\"package\":\"c\",\"phase\":\"configure\",\"why\":\"left\","
	       "\"output\":\"dpkg: dependency problems\\n\"}]");
}

/* dpkg --configure -a tries again what failed, and may have success. */
static void what_is_tried_again(void **state)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;

	expect("Setting up a (1) ...\nno luck\ndpkg: error processing package a (--configure):\n status 3\n"
	       "Setting up a (1) ...\ndpkg: error processing package a (--configure):\n status 4\nmore\n"
	       "dpkg: error processing package b (--configure):\n status 5\n",
	       "[{\"package\":\"a\",\"phase\":\"configure\",\"why\":\"status 3\",\"output\":\"Setting up a (1) "
	       "...\\nno luck\\n\"},{\"package\":\"b\",\"phase\":\"configure\",\"why\":\"status 5\","
	       "\"output\":\"more\\n\"}]");
	list = json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "package", "a", "phase",
			 "configure", "package", "b:amd64", "phase", "configure", "package", "c", "phase", "unpack",
			 "package", "d", "phase", "configure", "package", "e", "phase", "configure");
	failures_drop_configured("iF ab\nii a\nii b:amd64\nii c\niF d\nii dd\nii e:amd64\n", list);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "package")), "c");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "package")), "d");
}

static void lines_that_are_no_failures(void **state)
{
	expect("dpkg: error processing package a\ndpkg: error processing a (--configure):\n"
	       "dpkg: error processing package (--configure):\n):\ndpkg: error processing package ):\n",
	       "[]");
	/* At the very end. */
	expect("dpkg: error processing package a (--x):",
	       "[{\"package\":\"a\",\"phase\":\"x\",\"why\":\"\",\"output\":\"\"}]");
}

static void output_is_bounded(void **state)
{
	_cleanup_(json_decref_ptr) json_t *list = NULL;
	char text[3 * FAILURE_OUTPUT_MAX];

	memset(text, 'x', sizeof(text));
	memcpy(text, "Setting up a (1) ...\n", 21);
	strcpy(text + 2 * FAILURE_OUTPUT_MAX, "\ndpkg: error processing package a (--x):\n y\n");
	assert_ok(failures_find(text, &list));
	assert_int_equal(json_string_length(json_object_get(json_array_get(list, 0), "output")), FAILURE_OUTPUT_MAX);
}

static void states_of_a_bundle(void **state)
{
	assert_ok(failures_check_states(""));
	assert_ok(failures_check_states("ii a\niU b\niF c\niW d\nit e\nrc f\n"));
	assert_error(failures_check_states("ii a\niH b\n"), ERROR_FAILED);
	assert_error(failures_check_states("ii a\niFRb\n"), ERROR_FAILED);
}

static void those_that_wait_are_named(void **state)
{
	_cleanup_(json_decref_ptr) json_t *list = json_pack("[{s:s}, {s:s}]", "package", "b", "package", "c:amd64");
	_cleanup_(action_list_deinit) struct action_list actions = {0};

	assert_ok(failures_add_waiting("ii a\niF b:amd64\niU c\niW d:amd64\nit e\nrc f\nun g\niU bb\niH h\n", list));
	assert_int_equal(json_array_size(list), 5);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "package")), "d:amd64");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 2), "why")), "waits for triggers");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 4), "package")), "bb");
	assert_ok(failures_add(list, &actions));
	assert_int_equal(actions.n, 1);
	assert_string_equal(actions.items[0].argv[6], "bb");
	assert_null(actions.items[0].argv[7]);
}

static void no_name_is_left_out(void **state)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	_cleanup_(action_list_deinit) struct action_list actions = {0};
	char last[16];

	for (size_t i = 0; i < 2 * FAILURES_MAX + 1; i++) {
		char line[32];

		snprintf(last, sizeof(last), "p%zu", i);
		snprintf(line, sizeof(line), "iU %s\n", last);
		assert_ok(failures_add_waiting(line, list));
	}
	assert_ok(failures_add(list, &actions));
	assert_int_equal(actions.n, 3);
	assert_string_equal(actions.items[2].argv[2], last);
	assert_null(actions.items[2].argv[3]);
}

static void a_script_that_failed_did_not_run_offline(void **state)
{
	static const char postinst[] = "installed a package post-installation script subprocess returned error";
	_cleanup_(json_decref_ptr) json_t *failures =
		json_pack("[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}]", "package", "a", "why", postinst,
			  "package", "a", "why", postinst, "package", "b", "why",
			  "new b package pre-installation script subprocess returned error", "package", "c", "why",
			  "left unconfigured");
	_cleanup_(json_decref_ptr) json_t *scripts = json_pack("{s:i, s:i}", "all", 5, "offline", 4);
	_cleanup_(json_decref_ptr) json_t *expected = json_pack("{s:i, s:i, s:i}", "all", 5, "offline", 2, "failed", 2);
	_cleanup_(json_decref_ptr) json_t *none = json_pack("{s:i, s:i}", "all", 5, "offline", 1);

	assert_ok(failures_count_scripts(failures, scripts));
	assert_true(json_equal(scripts, expected));
	/* The words are the guest's: they make no number negative. */
	assert_ok(failures_count_scripts(failures, none));
	assert_int_equal(json_integer_value(json_object_get(none, "offline")), 0);
	assert_ok(failures_count_scripts(NULL, none));
	assert_int_equal(json_integer_value(json_object_get(none, "failed")), 0);
}

static void the_deferred_did_not_fail(void **state)
{
	char *dragged[] = {(char *)"c", NULL};
	struct deferral item = {.package = (char *)"b", .script = (char *)"postinst", .dragged = dragged};
	const struct deferrals deferrals = {.items = &item, .n = 1};
	_cleanup_(json_decref_ptr) json_t *list = json_pack("[{s:s}, {s:s}, {s:s}, {s:s}]", "package", "b:amd64",
							    "package", "a", "package", "c", "package", "bb");

	failures_drop_deferred(&deferrals, list);
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "package")), "a");
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "package")), "bb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packages_that_failed),      cmocka_unit_test(words_before_and_behind),
		cmocka_unit_test(what_is_tried_again),       cmocka_unit_test(lines_that_are_no_failures),
		cmocka_unit_test(output_is_bounded),         cmocka_unit_test(states_of_a_bundle),
		cmocka_unit_test(those_that_wait_are_named), cmocka_unit_test(no_name_is_left_out),
		cmocka_unit_test(the_deferred_did_not_fail), cmocka_unit_test(a_script_that_failed_did_not_run_offline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
