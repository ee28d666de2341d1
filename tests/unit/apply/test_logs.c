/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs that the guest goes on writing while the update is computed, applied and taken back: every line of both is
 * there afterwards. $HELPER is a build with fault points.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

#define LOG     "var/log/dpkg.log"
#define BEFORE  "old one\nold two\n"
#define UPDATED BEFORE "update one\nupdate two\n"

/* Held open by the test, as by a process that was there before the helper; the helper's children inherit it. */
#define HELD    9

/* A tree with logs, an update that adds to one, and attributes of another. */
static void prepare_content(struct builder *b, const char *content)
{
	fixture_copy();
	shell("cd %s && mkdir -p var/log && printf '%s' >" LOG " && echo one >var/log/owned && chmod 640 var/log/* && "
	      "touch -d @1600000000.5 var/log/* var/log && echo conf >etc/conf",
	      FIXTURE_ROOT, BEFORE);
	builder_init(b, FIXTURE_ROOT);
	builder_content(builder_add(b, CHANGE_WRITE, LOG, S_IFREG | 0600), content, strlen(content));
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "new", 3);
	builder_add(b, CHANGE_ATTRIBUTES, "var/log/owned", S_IFREG | 0644)->change.attributes.uid = 7;
	builder_add(b, CHANGE_ATTRIBUTES, "var/log", S_IFDIR | 0755);
	builder_add(b, CHANGE_ATTRIBUTES, "etc", S_IFDIR | 0755);
	builder_write(b, FIXTURE_PAYLOAD);
}

static void prepare(struct builder *b)
{
	prepare_content(b, UPDATED);
}

static void assert_file(const char *path, const char *wanted)
{
	_cleanup_(free_ptr) char *full = string_format("%s/%s", FIXTURE_ROOT, path);
	_cleanup_(free_ptr) char *found = NULL;

	assert_ok(io_read_file(full, 1 << 20, &found, NULL));
	assert_string_equal(found, wanted);
}

static struct stat look(const char *path)
{
	_cleanup_(free_ptr) char *full = string_format("%s/%s", FIXTURE_ROOT, path);
	struct stat s;

	assert_int_equal(stat(full, &s), 0);
	return s;
}

static void merges_what_the_guest_added(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct stat old, new;

	need_root();
	prepare(&b);
	shell("cd %s && echo guest >>" LOG " && echo two >>var/log/owned", FIXTURE_ROOT);
	old = look(LOG);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_result("applied");
	assert_file(LOG, BEFORE "guest\nupdate one\nupdate two\n");
	assert_file("var/log/owned", "one\ntwo\n");
	new = look(LOG);
	assert_int_equal(new.st_mode & 07777, 0600);
	/* A log's time is that of its last line. */
	assert_int_equal(new.st_mtime, old.st_mtime);
	assert_true(look("var/log/owned").st_mtime > 1700001000);
	assert_int_equal(look("var/log/owned").st_uid, 7);

	shell("cd %s && echo later >>" LOG " && echo later >>var/log/owned", FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_file(LOG, BEFORE "guest\nlater\n");
	assert_file("var/log/owned", "one\ntwo\nlater\n");
	assert_file("etc/conf", "conf\n");
	new = look(LOG);
	assert_int_equal(new.st_ino, old.st_ino);
	assert_int_equal(new.st_mode & 07777, 0640);
	assert_int_equal(look("var/log/owned").st_uid, 0);
	assert_true(look("var/log/owned").st_mtime > 1700001000);
}

/* The new log has the guest's lines once more: that there is no room for them is known before anything is staged. */
static void asks_for_room_for_the_guests_lines(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct stat grown;

	need_root();
	prepare(&b);
	shell("cd %s && yes 'a line of the guest' | head -c 60000000 >>" LOG, FIXTURE_ROOT);
	grown = look(LOG);
	shell("fallocate -l $(($(df -B1 --output=avail %s | tail -n 1) - 40000000)) %s/filler", FIXTURE_SPACE,
	      FIXTURE_SPACE);
	assert_int_equal(helper(0, NULL, "apply", &b), 1);
	assert_non_null(strstr(fixture_output, "and a margin of"));
	assert_null(strstr(fixture_output, "\"checked\""));
	assert_int_equal(look(LOG).st_size, grown.st_size);
	assert_int_equal(look(LOG).st_ino, grown.st_ino);
	assert_file("etc/conf", "conf\n");
	shell("rm %s/filler", FIXTURE_SPACE);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(look(LOG).st_size, grown.st_size + strlen(UPDATED) - strlen(BEFORE));
}

/* Nothing was added: it is a file like any other, with the update's time, and its old one comes back. */
static void leaves_untouched_logs_as_they_are(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;

	need_root();
	prepare(&b);
	before = dump_tree(FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_file(LOG, UPDATED);
	assert_int_equal(look(LOG).st_mtime, b.entries[0].change.attributes.mtime_s);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_tree(FIXTURE_ROOT, before);
}

/* Longer than any buffer, on both sides. */
static void merges_long_logs(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *content = NULL;
	size_t size;

	need_root();
	prepare(&b);
	builder_deinit(&b);
	shell("cd %s && seq 20000 >" LOG " && seq 20000 >../updated && seq -f 'update %%g' 30000 >>../updated",
	      FIXTURE_ROOT);
	assert_ok(io_read_file(FIXTURE_SPACE "/updated", 1 << 20, &content, &size));
	builder_init(&b, FIXTURE_ROOT);
	builder_content(builder_add(&b, CHANGE_WRITE, LOG, S_IFREG | 0600), content, size);
	builder_write(&b, FIXTURE_PAYLOAD);
	shell("cd %s && seq -f 'guest %%g' 15000 >>" LOG, FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	shell("cd %s && (seq 20000; seq -f 'guest %%g' 15000; seq -f 'update %%g' 30000) | cmp - " LOG, FIXTURE_ROOT);
	shell("cd %s && seq -f 'later %%g' 9000 >>" LOG, FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	shell("cd %s && (seq 20000; seq -f 'guest %%g' 15000; seq -f 'later %%g' 9000) | cmp - " LOG, FIXTURE_ROOT);
}

/* What is no growth at the end is a conflict, as for any other file. */
static void refuses_what_is_no_growth(void **state)
{
	static const char *const commands[] = {
		"mv " LOG " " LOG ".1; echo fresh >" LOG,
		"mv " LOG " " LOG ".1; (cat " LOG ".1; echo more) >" LOG,
		": >" LOG,
		"echo a longer log after it was cut to nothing >" LOG,
		"sed -i 's/one/ONE/' " LOG,
		"printf X | dd of=" LOG " conv=notrunc status=none; echo more >>" LOG,
		"echo more >>" LOG "; chmod 600 " LOG,
		"echo more >>" LOG "; setfattr -n user.x -v 1 " LOG,
		"touch " LOG,
		"rm " LOG,
		"mv var/log/owned x; cp -a x var/log/owned; echo more >>var/log/owned",
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *before = NULL;

		prepare(&b);
		shell("cd %s && %s", FIXTURE_ROOT, commands[i]);
		before = dump_tree(FIXTURE_ROOT);
		if (helper(0, NULL, "apply", &b) != 4)
			fail_msg("no conflict after: %s\n%s", commands[i], fixture_output);
		assert_result("conflict");
		assert_tree(FIXTURE_ROOT, before);
	}
}

/* An update that rewrote the log has no lines to add to the guest's. */
static void refuses_to_merge_a_rewritten_log(void **state)
{
	static const char *const contents[] = {"OLD one\nold two\nupdate\n", "short\n"};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *before = NULL;

		prepare_content(&b, contents[i]);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		assert_file(LOG, contents[i]);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_int_equal(helper(0, NULL, "forget", NULL), 0);
		builder_deinit(&b);

		prepare_content(&b, contents[i]);
		shell("cd %s && echo guest >>" LOG, FIXTURE_ROOT);
		before = dump_tree(FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "apply", &b), 4);
		assert_result("conflict");
		assert_tree(FIXTURE_ROOT, before);
	}
}

static void rollback_refuses_a_changed_log(void **state)
{
	static const char *const commands[] = {
		"sed -i 's/update one/update 1/' " LOG,
		"printf X | dd of=" LOG " conv=notrunc seek=20 bs=1 status=none",
		"mv " LOG " " LOG ".1; echo fresh >" LOG,
		"chmod 640 " LOG,
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *after = NULL;

		prepare(&b);
		shell("cd %s && echo guest >>" LOG, FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		shell("cd %s && %s", FIXTURE_ROOT, commands[i]);
		after = dump_tree(FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_result("conflict");
		assert_tree(FIXTURE_ROOT, after);
	}
}

/* How often a line stands in the log. */
static unsigned count_line(const char *line)
{
	_cleanup_(free_ptr) char *wanted = string_format("\n%s\n", line);
	_cleanup_(free_ptr) char *found = NULL;
	unsigned n = 0;

	assert_ok(io_read_file(FIXTURE_ROOT "/" LOG, 1 << 20, &found, NULL));
	for (const char *at = found; (at = strstr(at, wanted)); at++)
		n++;
	return n;
}

static bool was_switched(void)
{
	return strstr(fixture_output, "{\"event\":\"switched\"");
}

/* The guest adds a line at every point of an apply, one apply each, and then the update is taken back. */
static void add_everywhere(const char *command)
{
	bool reached = true;

	for (unsigned fault = 1; reached; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		int fd;

		prepare(&b);
		shell("cd %s && echo guest >>" LOG, FIXTURE_ROOT);
		unlink(FIXTURE_SPACE "/ran");
		fd = open(FIXTURE_ROOT "/" LOG, O_WRONLY | O_APPEND);
		assert_int_equal(dup2(fd, HELD), HELD);
		close(fd);
		assert_int_equal(setenv("OUA_FAULT_RUN", command, 1), 0);
		assert_int_equal(helper(fault, NULL, "apply", &b), 0);
		assert_result("applied");
		assert_true(was_switched());
		unsetenv("OUA_FAULT_RUN");
		close(HELD);
		reached = access(FIXTURE_SPACE "/ran", F_OK) == 0;
		assert_int_equal(count_line("guest"), 1);
		assert_int_equal(count_line("update two"), 1);
		if (count_line("meanwhile") != reached)
			fail_msg("point %u: %u lines of what the guest wrote", fault, count_line("meanwhile"));
		shell("cd %s && echo later >>" LOG, FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_result("rolled-back");
		assert_int_equal(count_line("guest"), 1);
		assert_int_equal(count_line("update one"), 0);
		assert_int_equal(count_line("later"), 1);
		if (count_line("meanwhile") != reached)
			fail_msg("point %u, rolled back: %u lines", fault, count_line("meanwhile"));
	}
}

static void keeps_what_comes_by_name(void **state)
{
	need_root();
	add_everywhere("echo meanwhile >>" FIXTURE_ROOT "/" LOG " && : >" FIXTURE_SPACE "/ran");
}

/* As long as the update is not done: who goes on after it writes to the old file, which is kept. */
static void keeps_what_comes_by_descriptor(void **state)
{
	need_root();
	add_everywhere("grep -q verified " FIXTURE_ROOT "/var/lib/ouassister/report || "
		       "{ echo meanwhile >&9 && : >" FIXTURE_SPACE "/ran; }");
}

/* The same with the helper killed at each point, recovered, and recovered again: no line is lost. */
static void crash_everywhere(const char *environment)
{
	unsigned n_old = 0, n_new = 0;
	bool killed = true;

	for (unsigned fault = 1; killed; fault++) {
		_cleanup_(builder_deinit) struct builder b;

		prepare(&b);
		shell("cd %s && echo guest >>" LOG, FIXTURE_ROOT);
		helper(fault, environment, "apply", &b);
		killed = strstr(fixture_output, "the helper was killed");
		shell("cd %s && echo meanwhile >>" LOG, FIXTURE_ROOT);
		if (killed)
			helper(0, environment, "recover", NULL);
		assert_int_equal(helper(0, environment, "recover", NULL), 6);
		assert_int_equal(count_line("guest"), 1);
		assert_int_equal(count_line("meanwhile"), 1);
		assert_file("etc/conf", count_line("update two") ? "new" : "conf\n");
		if (count_line("update two"))
			n_new++;
		else
			n_old++;
	}
	print_message("%u points left the old log, %u the new one\n", n_old, n_new);
	assert_true(n_old > 10 && n_new >= 2);
}

static void survives_being_killed(void **state)
{
	need_root();
	crash_everywhere(NULL);
	crash_everywhere("OUA_NO_EXCHANGE=1");
}

/* Going back is killed at each point and done again. */
static void survives_being_killed_on_the_way_back(void **state)
{
	bool killed = true;

	need_root();
	for (unsigned fault = 1; killed; fault++) {
		_cleanup_(builder_deinit) struct builder b;

		prepare(&b);
		shell("cd %s && echo guest >>" LOG, FIXTURE_ROOT);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		shell("cd %s && echo later >>" LOG, FIXTURE_ROOT);
		helper(fault, NULL, "rollback", NULL);
		killed = strstr(fixture_output, "the helper was killed");
		if (killed)
			helper(0, NULL, "recover", NULL);
		assert_int_equal(count_line("guest"), 1);
		assert_int_equal(count_line("later"), 1);
		/* Before the journal says so, the update stays. */
		assert_int_equal(count_line("update one"), fault == 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merges_what_the_guest_added),
		cmocka_unit_test(asks_for_room_for_the_guests_lines),
		cmocka_unit_test(leaves_untouched_logs_as_they_are),
		cmocka_unit_test(merges_long_logs),
		cmocka_unit_test(refuses_what_is_no_growth),
		cmocka_unit_test(refuses_to_merge_a_rewritten_log),
		cmocka_unit_test(rollback_refuses_a_changed_log),
		cmocka_unit_test(keeps_what_comes_by_name),
		cmocka_unit_test(keeps_what_comes_by_descriptor),
		cmocka_unit_test(survives_being_killed),
		cmocka_unit_test(survives_being_killed_on_the_way_back),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
