/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper dies at every fault point, one after the other; then recover runs, twice. Whatever
 * the point was, the tree is the old one or the new one. $HELPER is a build with fault points.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

/* The last point before the commit, where there is most to undo; crash_anywhere() finds it. */
static unsigned last_old_point;

struct scene {
	struct builder b;
	char *before, *after;
};

static void scene_init(struct scene *s)
{
	builder_init(&s->b, FIXTURE_BASE);
	fixture_every_kind(&s->b);
	builder_write(&s->b, FIXTURE_PAYLOAD);
	s->before = dump_tree(FIXTURE_BASE);
	s->after = fixture_expected(&s->b);
}

static void scene_deinit(struct scene *s)
{
	builder_deinit(&s->b);
	free(s->before);
	free(s->after);
}

/* True if the tree is the new one; the kept old files are taken away first. */
static bool assert_old_or_new(const struct scene *s)
{
	_cleanup_(free_ptr) char *found = NULL;

	assert_ok(io_remove_tree(FIXTURE_ROOT "/.ouassister"));
	found = dump_tree(FIXTURE_ROOT);
	if (!strcmp(found, s->after))
		return true;
	assert_tree(FIXTURE_ROOT, s->before);
	return false;
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

/* Crashes `apply` at each point in turn; what is found afterwards is decided by recover. */
static void crash_apply_everywhere(const char *environment)
{
	struct scene s;
	unsigned n_old = 0, n_new = 0;

	scene_init(&s);
	for (unsigned fault = 1;; fault++) {
		int status;

		fixture_copy();
		status = helper(fault, environment, "apply", &s.b);
		if (!was_killed()) {
			assert_int_equal(status, 0);
			break;
		}
		status = helper(0, environment, "recover", NULL);
		assert_true(status == 0 || status == 4 || status == 6);
		assert_int_equal(helper(0, environment, "recover", NULL), 6);
		if (assert_old_or_new(&s))
			n_new++;
		else
			n_old++, last_old_point = environment ? last_old_point : fault;
	}
	print_message("%u points left the old tree, %u the new one\n", n_old, n_new);
	assert_true(n_old > 80 && n_new >= 2);
	scene_deinit(&s);
}

static void crash_anywhere(void **state)
{
	need_root();
	crash_apply_everywhere(NULL);
}

static void crash_anywhere_without_exchange(void **state)
{
	need_root();
	crash_apply_everywhere("OUA_NO_EXCHANGE=1");
}

/* Also in the middle of a record, of which half is on the disk then. */
static void crash_anywhere_with_torn_records(void **state)
{
	need_root();
	crash_apply_everywhere("OUA_TEAR=1");
}

static void crash_while_recovering(void **state)
{
	static const char *const environments[] = {NULL, "OUA_NO_EXCHANGE=1", "OUA_TEAR=1"};
	struct scene s;

	need_root();
	assert_int_not_equal(last_old_point, 0);
	scene_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(environments); i++) {
		for (unsigned fault = 1;; fault++) {
			fixture_copy();
			helper(last_old_point, NULL, "apply", &s.b);
			assert_true(was_killed());
			helper(fault, environments[i], "recover", NULL);
			if (!was_killed())
				break;
			helper(0, environments[i], "recover", NULL);
			assert_false(assert_old_or_new(&s));
		}
	}
	scene_deinit(&s);
}

static void crash_while_rolling_back(void **state)
{
	struct scene s;

	need_root();
	scene_init(&s);
	for (unsigned fault = 1;; fault++) {
		bool killed;

		fixture_copy();
		assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
		helper(fault, NULL, "rollback", NULL);
		killed = was_killed();
		if (killed)
			helper(0, NULL, "recover", NULL);
		/* Before the journal says so, the update stays. */
		if (assert_old_or_new(&s))
			assert_true(fault == 1);
		if (!killed)
			break;
	}
	scene_deinit(&s);
}

/* The same payload again instead of recover: it must end applied, wherever the first attempt died. */
static void crash_and_apply_again(void **state)
{
	struct scene s;

	need_root();
	scene_init(&s);
	for (unsigned fault = 1;; fault++) {
		bool killed;

		fixture_copy();
		helper(fault, NULL, "apply", &s.b);
		killed = was_killed();
		assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
		assert_true(assert_old_or_new(&s));
		if (!killed)
			break;
	}
	scene_deinit(&s);
}

/* A page of its own files that the disk does not give ends the helper. It says so, and what was begun can be ended. */
static void says_that_the_disk_failed(void **state)
{
	_cleanup_(free_ptr) char *options = NULL;
	const char *given = getenv("ASAN_OPTIONS");
	struct scene s;

	need_root();
	scene_init(&s);
	fixture_copy();
	/* The sanitizer would make an exit of it. */
	options = string_format("%s:handle_sigbus=0", given ? given : "");
	assert_non_null(options);
	assert_int_equal(setenv("ASAN_OPTIONS", options, 1), 0);
	assert_int_equal(setenv("OUA_FAULT_RUN", "kill -BUS $PPID", 1), 0);
	assert_int_equal(helper(8, NULL, "apply", &s.b), 1);
	assert_int_equal(unsetenv("OUA_FAULT_RUN"), 0);
	assert_int_equal(setenv("ASAN_OPTIONS", given ? given : "", 1), 0);
	assert_true(was_killed());
	assert_non_null(strstr(fixture_output, "SIGBUS"));
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_true(assert_old_or_new(&s));
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crash_anywhere),
		cmocka_unit_test(crash_anywhere_without_exchange),
		cmocka_unit_test(crash_anywhere_with_torn_records),
		cmocka_unit_test(crash_while_recovering),
		cmocka_unit_test(crash_while_rolling_back),
		cmocka_unit_test(crash_and_apply_again),
		cmocka_unit_test(says_that_the_disk_failed),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
