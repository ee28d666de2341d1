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
	static const char *const cases[] = {"",
					    "{}",
					    "[]",
					    "{\"state\":\"sleepy\"}",
					    "{\"state\":3}",
					    "nonsense",
					    "{\"state\":\"open\"}",
					    "{\"version\":7,\"state\":\"open\"}",
					    "{\"version\":\"1\",\"state\":\"open\"}",
					    "{\"version\":1,\"state\":\"open\",\"spent\":[]}",
					    "{\"version\":1,\"state\":\"open\",\"vm_file\":{}}",
					    "{\"version\":1,\"state\":\"open\",\"resumed_ns\":\"1\"}"};
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
		assert_error(state_allows(awake[i], OPERATION_UPDATE, "web1"), ERROR_BUSY);
	assert_error(state_allows(STATE_LOADED, OPERATION_SUSPEND, "web1"), ERROR_BUSY);
	assert_error(state_allows(STATE_RUNNING, OPERATION_SUSPEND, "web1"), ERROR_BUSY);
	for (int i = 0; i < STATE_MAX; i++)
		assert_ok(state_allows((enum update_state)i, OPERATION_RESUME, "web1"));
}

/* It is not busy: waiting would not help. */
static void a_vm_that_sleeps_has_nothing_to_go_back_to(void **state)
{
	static const enum update_state asleep[] = {STATE_NONE, STATE_SUSPENDED, STATE_BUNDLED};

	for (size_t i = 0; i < ARRAY_SIZE(asleep); i++) {
		struct error *error = state_allows(asleep[i], OPERATION_ROLLBACK, "web1");

		assert_non_null(error);
		assert_int_equal(error->code, ERROR_NOTHING);
		assert_non_null(strstr(error->message, "web1"));
		assert_non_null(error->remedy);
		error_destroy(error);
	}
	assert_error(state_allows(STATE_RUNNING, OPERATION_ROLLBACK, "web1"), ERROR_BUSY);
	assert_ok(state_allows(STATE_OPEN, OPERATION_ROLLBACK, "web1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_is_none),
		cmocka_unit_test(every_state_survives_the_round_trip),
		cmocka_unit_test(damaged_files_are_errors),
		cmocka_unit_test(the_dangerous_transitions_are_closed),
		cmocka_unit_test(a_vm_that_sleeps_has_nothing_to_go_back_to),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
