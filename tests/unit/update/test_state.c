/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "base/json.h"
#include "tests/unit/test.h"
#include "update/state.h"

static char directory[] = "/tmp/ouassister-test-state-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return 0;
}

static void absent_is_none(void **state)
{
	struct state s;

	assert_ok(state_load("/nonexistent", &s));
	assert_int_equal(s.state, STATE_NONE);
	state_deinit(&s);
}

static void every_state_survives_the_round_trip(void **state)
{
	for (int i = 0; i < STATE_MAX; i++) {
		struct state s = {.vm_file = strdup("/x.vm"), .loading = true, .resumed_ns = 1234567890123456789};
		struct state back;

		s.fingerprint = json_pack("{s:i}", "a", 1);
		s.error = strdup("why");
		assert_ok(state_enter(&s, directory, (enum update_state)i));
		assert_ok(state_load(directory, &back));
		assert_int_equal(back.state, i);
		assert_true(back.loading);
		assert_true(back.resumed_ns == s.resumed_ns);
		assert_true(json_equal(back.fingerprint, s.fingerprint));
		assert_int_equal(back.error != NULL, i == STATE_FAILED || i == STATE_ROLLED_BACK);
		state_deinit(&s);
		state_deinit(&back);
	}
}

static void damaged_files_are_errors(void **state)
{
	static const char *const cases[] = {"", "{}", "[]", "{\"state\":\"sleepy\"}", "{\"state\":3}", "nonsense"};
	_cleanup_(free_ptr) char *path = string_format("%s/state.json", directory);
	struct state s;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_ok(io_replace_file(path, cases[i], strlen(cases[i]), 0600));
		assert_error(state_load(directory, &s), ERROR_FORMAT);
	}
}

/* What must never be possible, whatever the table says elsewhere. */
static void the_dangerous_transitions_are_closed(void **state)
{
	static const enum update_state awake[] = {STATE_LOADED, STATE_RUNNING, STATE_APPLIED, STATE_ROLLED_BACK,
						  STATE_FAILED};

	for (size_t i = 0; i < ARRAY_SIZE(awake); i++)
		assert_error(state_allows(awake[i], OPERATION_UPDATE), ERROR_BUSY);
	assert_error(state_allows(STATE_LOADED, OPERATION_SUSPEND), ERROR_BUSY);
	assert_error(state_allows(STATE_RUNNING, OPERATION_SUSPEND), ERROR_BUSY);
	for (int i = 0; i < STATE_MAX; i++)
		assert_ok(state_allows((enum update_state)i, OPERATION_RESUME));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_is_none),
		cmocka_unit_test(every_state_survives_the_round_trip),
		cmocka_unit_test(damaged_files_are_errors),
		cmocka_unit_test(the_dangerous_transitions_are_closed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
