/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "base/json.h"
#include "tests/unit/test.h"
#include "update/kept.h"

static void a_vm_that_was_only_woken_can_still_go_back(void **state)
{
	_cleanup_(json_decref_ptr) json_t *before =
		json_pack("{s:I, s:i, s:{s:b, s:n, s:[s]}}", "keep_until_s", (json_int_t)4000000000, "files", 3, "late",
			  "applied", 1, "error", "packages", "linux");
	_cleanup_(json_decref_ptr) json_t *report = json_pack("{s:i}", "files", 0);
	_cleanup_(json_decref_ptr) json_t *expected = json_pack("{s:i, s:I, s:{s:b, s:n}}", "files", 0, "keep_until_s",
								(json_int_t)4000000000, "late", "applied", 1, "error");

	assert_ok(kept_carry(before, report));
	assert_true(json_equal(report, expected));
}

static void nothing_comes_of_nothing(void **state)
{
	_cleanup_(json_decref_ptr) json_t *report = json_object();
	_cleanup_(json_decref_ptr) json_t *undone = json_pack("{s:n}", "keep_until_s");

	assert_ok(kept_carry(NULL, report));
	assert_int_equal(json_object_size(report), 0);
	assert_ok(kept_carry(undone, report));
	assert_true(json_is_null(json_object_get(report, "keep_until_s")));
}

static void a_second_update_that_was_cut_is_remembered(void **state)
{
	struct state s = {.state = STATE_OPEN_LATE};
	const json_t *late;

	assert_ok(kept_note_cut(&s));
	late = json_object_get(s.report, "late");
	assert_true(json_is_false(json_object_get(late, "applied")));
	/* It is known what became of it. */
	assert_int_equal(json_object_set_new(s.report, "late", json_pack("{s:b}", "applied", 1)), 0);
	assert_ok(kept_note_cut(&s));
	assert_true(json_is_true(json_object_get(json_object_get(s.report, "late"), "applied")));
	state_deinit(&s);
	s.state = STATE_OPEN;
	assert_ok(kept_note_cut(&s));
	assert_null(s.report);
}

static void it_is_said_while_it_is_possible(void **state)
{
	static const struct {
		enum update_state state;
		int64_t ahead_s;
		bool said;
	} cases[] = {{STATE_OPEN, 100, true},       {STATE_OPEN_LATE, 100, true}, {STATE_APPLIED, 100, true},
		     {STATE_SUSPENDED, 100, false}, {STATE_BUNDLED, 100, false},  {STATE_ROLLED_BACK, 100, false},
		     {STATE_OPEN, -100, false}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct state s = {.state = cases[i].state};
		_cleanup_(json_decref_ptr) json_t *document = json_object();

		s.report = json_pack("{s:I}", "keep_until_s",
				     (json_int_t)(clock_realtime_ns() / 1000000000 + cases[i].ahead_s));
		assert_ok(kept_describe(&s, document));
		assert_int_equal(json_object_get(document, "keep_until_s") != NULL, cases[i].said);
		state_deinit(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vm_that_was_only_woken_can_still_go_back),
		cmocka_unit_test(nothing_comes_of_nothing),
		cmocka_unit_test(a_second_update_that_was_cut_is_remembered),
		cmocka_unit_test(it_is_said_while_it_is_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
