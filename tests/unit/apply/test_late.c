/* SPDX-License-Identifier: Apache-2.0 */
/* The second of two chained updates: beside the first, undone before it, and at low priority. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

static const char *const late[] = {"--late", NULL};

/* The first is every kind of change; the second alters, removes and adds upon it. */
struct scene {
	struct builder first, second;
	char *before, *between, *after;
};

/* Without stages, and without the times of directories, which the second does not set. */
static char *dump_without_stages(void)
{
	shell("cd %s && rm -rf plain && cp -a root plain && rm -rf plain/.ouassister plain/.ouassister-late && "
	      "find plain -type d -exec touch -d @1 {} +",
	      FIXTURE_SPACE);
	return dump_tree(FIXTURE_SPACE "/plain");
}

static void fill_second(struct builder *b)
{
	builder_init(b, FIXTURE_ROOT);
	builder_content(builder_add(b, CHANGE_WRITE, "usr/bin/one", 0100755), "second one", 10);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/late", 0100644), "late", 4);
	builder_add(b, CHANGE_DELETE, "etc/conf", 0);
	builder_write(b, FIXTURE_SPACE "/second");
	/* A pre-image that was computed offline knows neither inode nor change time. */
	for (size_t i = 0; i < b->n_entries; i++)
		b->entries[i].change.before.inode = b->entries[i].change.before.ctime_s = 0;
	builder_write(b, FIXTURE_SPACE "/second");
}

static int apply_second(const struct scene *s, unsigned fault)
{
	int status;

	shell("cd %s && mv payload first && cp second payload", FIXTURE_SPACE);
	status = helper_with(fault, NULL, "apply", &s->second, late);
	shell("cd %s && mv first payload", FIXTURE_SPACE);
	return status;
}

static void scene_init(struct scene *s)
{
	fixture_copy();
	builder_init(&s->first, FIXTURE_ROOT);
	fixture_every_kind(&s->first);
	builder_write(&s->first, FIXTURE_PAYLOAD);
	s->before = dump_without_stages();
	assert_int_equal(helper(0, NULL, "apply", &s->first), 0);
	s->between = dump_without_stages();
	fill_second(&s->second);
	assert_int_equal(apply_second(s, 0), 0);
	assert_result("applied");
	s->after = dump_without_stages();
	assert_string_not_equal(s->between, s->after);
}

static void scene_deinit(struct scene *s)
{
	builder_deinit(&s->first);
	builder_deinit(&s->second);
	free(s->before);
	free(s->between);
	free(s->after);
}

static void assert_now(const char *expected)
{
	_cleanup_(free_ptr) char *now = dump_without_stages();

	assert_string_equal(now, expected);
}

static void both_are_undone_one_after_the_other(void **state)
{
	_cleanup_(scene_deinit) struct scene s;

	need_root();
	scene_init(&s);
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister-late", F_OK), 0);
	/* The first lies below. */
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("conflict");
	assert_now(s.after);
	assert_int_equal(helper_with(0, NULL, "rollback", NULL, late), 4);
	assert_result("rolled-back");
	assert_now(s.between);
	assert_int_equal(helper_with(0, NULL, "rollback", NULL, late), 6);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_now(s.before);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 6);
}

static void what_the_guest_changed_is_still_refused(void **state)
{
	_cleanup_(scene_deinit) struct scene s;

	need_root();
	scene_init(&s);
	assert_int_equal(helper_with(0, NULL, "rollback", NULL, late), 4);
	/* Of the same size, with the same time. */
	shell("cd %s && printf XXXX | dd of=usr/bin/one conv=notrunc status=none && touch -r etc usr/bin/one",
	      FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("conflict");
}

static void forget_removes_both(void **state)
{
	_cleanup_(scene_deinit) struct scene s;

	need_root();
	scene_init(&s);
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister", F_OK), -1);
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister-late", F_OK), -1);
	assert_int_equal(access(FIXTURE_ROOT "/var/lib/ouassister", F_OK), -1);
	assert_now(s.after);
}

static void the_next_update_removes_both(void **state)
{
	_cleanup_(scene_deinit) struct scene s;
	_cleanup_(builder_deinit) struct builder next;

	need_root();
	scene_init(&s);
	builder_init(&next, FIXTURE_ROOT);
	builder_content(builder_add(&next, CHANGE_WRITE, "etc/late", 0100644), "next", 4);
	builder_write(&next, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &next), 0);
	assert_int_equal(access(FIXTURE_ROOT "/.ouassister-late", F_OK), -1);
	assert_int_equal(access(FIXTURE_ROOT "/var/lib/ouassister/late", F_OK), -1);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_now(s.after);
}

/* Wherever the second dies, the first stands, and both can be undone. */
static void crash_anywhere(void **state)
{
	_cleanup_(scene_deinit) struct scene s;
	unsigned n_between = 0;

	need_root();
	scene_init(&s);
	for (unsigned fault = 1;; fault++) {
		_cleanup_(free_ptr) char *now = NULL;
		bool killed;
		int status;

		fixture_copy();
		assert_int_equal(helper(0, NULL, "apply", &s.first), 0);
		apply_second(&s, fault);
		killed = strstr(fixture_output, "the helper was killed");
		status = helper_with(0, NULL, "recover", NULL, late);
		assert_true(status == 0 || status == 4 || status == 6);
		now = dump_without_stages();
		n_between += !strcmp(now, s.between);
		assert_true(!strcmp(now, s.between) || !strcmp(now, s.after));
		helper_with(0, NULL, "rollback", NULL, late);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_result("rolled-back");
		assert_now(s.before);
		if (!killed)
			break;
	}
	/* A helper without such points dies at none. */
	assert_true(n_between > 10 || n_between == 0);
}

static void works_in_the_background(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(close_fd) int in = -1;

	need_root();
	fixture_copy();
	builder_init(&b, FIXTURE_ROOT);
	builder_content(builder_add(&b, CHANGE_WRITE, "etc/conf", 0100644), "late", 4);
	builder_write(&b, FIXTURE_PAYLOAD);
	shell("cd %s && mkfifo in && { \"$HELPER\" apply --root %s --payload - --sha256 %s --background <in >output & "
	      "}",
	      FIXTURE_SPACE, FIXTURE_ROOT, b.hex);
	in = open(FIXTURE_SPACE "/in", O_WRONLY | O_CLOEXEC);
	assert_true(in >= 0);
	shell("for i in $(seq 1000); do for p in $(pgrep -f -- '--sha256 %s --background'); do "
	      "ionice -p $p | grep -q idle && exit 0; done; sleep 0.01; done; exit 1",
	      b.hex);
	assert_ok(io_write(in, b.bytes, b.size, NULL));
	close_fd(&in);
	wait_for_report("\"result\":\"applied\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_undone_one_after_the_other),
		cmocka_unit_test(what_the_guest_changed_is_still_refused),
		cmocka_unit_test(forget_removes_both),
		cmocka_unit_test(the_next_update_removes_both),
		cmocka_unit_test(crash_anywhere),
		cmocka_unit_test(works_in_the_background),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
