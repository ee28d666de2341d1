/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"
#include "update/follow_ups.h"

static void add_change(struct change_list *list, enum change_kind kind, const char *path)
{
	assert_ok(change_list_append(list, (struct change){.kind = kind, .path = strdup(path)}));
}

static void add_action(struct action_list *list, enum action_phase phase, const char *verb)
{
	assert_ok(action_list_append(list, (struct action){.kind = ACTION_SYSTEMD,
							   .phase = phase,
							   .order = 1,
							   .verb = strdup(verb),
							   .unit = strdup("a.service")}));
}

static void they_come_right_after_the_files(void **state)
{
	struct change_list changes = {0};
	struct action_list actions = {0};

	add_change(&changes, CHANGE_WRITE, "usr/lib/tmpfiles.d/a.conf");
	add_change(&changes, CHANGE_WRITE, "etc/tmpfiles.d/a.conf");
	add_change(&changes, CHANGE_WRITE, "etc/tmpfiles.d/b.conf");
	add_change(&changes, CHANGE_WRITE, "etc/apparmor.d/usr.bin.x");
	add_action(&actions, ACTION_BEFORE, "stop");
	add_action(&actions, ACTION_AFTER, "start");
	assert_ok(follow_ups_add(&changes, NULL, "#1 SMP", &actions));
	assert_int_equal(actions.n, 4);
	assert_string_equal(actions.items[0].verb, "stop");
	assert_string_equal(actions.items[1].argv[3], "systemd-tmpfiles");
	assert_string_equal(actions.items[1].argv[4], "a.conf");
	assert_string_equal(actions.items[1].argv[5], "b.conf");
	assert_null(actions.items[1].argv[6]);
	assert_string_equal(actions.items[2].argv[4], "usr.bin.x");
	assert_string_equal(actions.items[3].verb, "start");
	for (size_t i = 0; i < actions.n; i++)
		assert_null(action_problem(&actions.items[i]));
	change_list_deinit(&changes);
	action_list_deinit(&actions);
}

static void other_files_ask_for_nothing(void **state)
{
	static const char *const paths[] = {
		"usr/lib/tmpfiles.d/a.txt",    "usr/lib/tmpfiles.d/sub/a.conf", "usr/lib/tmpfiles.d/.conf",
		"etc/apparmor.d/local/x",      "etc/apparmor.d/abi/y",          "etc/apparmor.d/x.dpkg-dist",
		"etc/tmpfiles.d/-option.conf", "home/etc/tmpfiles.d/a.conf",    "etc/apparmor.d/.hidden"};
	struct change_list changes = {0};
	struct action_list actions = {0};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		add_change(&changes, CHANGE_WRITE, paths[i]);
	add_change(&changes, CHANGE_DELETE, "etc/tmpfiles.d/gone.conf");
	assert_ok(follow_ups_add(&changes, NULL, "#1 SMP", &actions));
	assert_int_equal(actions.n, 0);
	change_list_deinit(&changes);
}

static void very_many_are_all(void **state)
{
	struct change_list changes = {0};
	struct action_list actions = {0};
	char path[64];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "usr/lib/tmpfiles.d/%u.conf", i);
		add_change(&changes, CHANGE_WRITE, path);
	}
	assert_ok(follow_ups_add(&changes, NULL, "#1 SMP", &actions));
	assert_int_equal(actions.n, 1);
	assert_null(actions.items[0].argv[4]);
	change_list_deinit(&changes);
	action_list_deinit(&actions);
}

static void what_profiles_include_asks_for_all(void **state)
{
	struct change_list changes = {0};
	struct action_list actions = {0};

	add_change(&changes, CHANGE_WRITE, "etc/apparmor.d/usr.bin.x");
	add_change(&changes, CHANGE_WRITE, "etc/apparmor.d/abstractions/base");
	assert_ok(follow_ups_add(&changes, NULL, "#1 SMP", &actions));
	assert_int_equal(actions.n, 1);
	assert_string_equal(actions.items[0].argv[3], "apparmor_parser");
	assert_null(actions.items[0].argv[4]);
	change_list_deinit(&changes);
	action_list_deinit(&actions);
}

/* What was compiled offline is loaded, if it travels and the guest's parser looks there; `-T` is the fallback's. */
static void what_was_compiled_is_loaded(void **state)
{
	static const struct {
		const char *brought, *cache;
		bool loads;
	} cases[] = {
		{"var/cache/apparmor/201d1af9.0/usr.bin.x", "/var/cache/apparmor/201d1af9.0", true},
		{"var/cache/apparmor/201d1af9.0/usr.bin.x", NULL, false},
		{"var/cache/apparmor/201d1af9.0/usr.bin.x", "/var/cache/apparmor/201d1af9", false},
		{"var/cache/apparmor/201d1af9.0", "/var/cache/apparmor/201d1af9.0", false},
		{"srv/cache/201d1af9.0/usr.bin.x", "/var/cache/apparmor/201d1af9.0", false},
		{"var/cache/apparmor/201d1af9.0/usr.bin.x", "/", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct change_list changes = {0};
		struct action_list actions = {0};
		char **argv;

		add_change(&changes, CHANGE_WRITE, "etc/apparmor.d/usr.bin.x");
		add_change(&changes, CHANGE_WRITE, cases[i].brought);
		assert_ok(follow_ups_add(&changes, cases[i].cache, "#1 SMP", &actions));
		assert_int_equal(actions.n, 1);
		assert_null(action_problem(&actions.items[0]));
		argv = actions.items[0].argv;
		assert_string_equal(argv[3], "apparmor_parser");
		if (cases[i].loads) {
			assert_string_equal(argv[4], cases[i].cache);
			assert_string_equal(argv[5], "#1 SMP");
			argv += 2;
		}
		assert_string_equal(argv[4], "usr.bin.x");
		assert_null(argv[5]);
		change_list_deinit(&changes);
		action_list_deinit(&actions);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_right_after_the_files),
		cmocka_unit_test(other_files_ask_for_nothing),
		cmocka_unit_test(very_many_are_all),
		cmocka_unit_test(what_profiles_include_asks_for_all),
		cmocka_unit_test(what_was_compiled_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
