/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deferred actions: what they do is not undone, so files must not go back below them, wherever the helper dies. dpkg is
 * the real one, on a database of the tree. $HELPER is a build with fault points.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"

#define ADMIN FIXTURE_ROOT "/var/lib/dpkg"
#define RAN   FIXTURE_ROOT "/ran"
#define STATUS(state_a, state_b)                                                                                       \
	"Package: a\nStatus: install ok " state_a "\nMaintainer: x\nArchitecture: all\nVersion: 2\nDescription: x\n\n" \
	"Package: b\nStatus: install ok " state_b "\nMaintainer: x\nArchitecture: all\nVersion: 2\nDescription: x\n"

/* The update brings the database and one file more; `argv` is what was put off. */
static void make_update(struct builder *b, const char *status, const char *const *argv)
{
	struct action words = {
		.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .verb = (char *)"deferred", .argv = (char **)argv};
	struct action action;
	struct builder_entry *entry;

	builder_init(b, FIXTURE_BASE);
	entry = builder_add(b, CHANGE_WRITE, "var/lib/dpkg/status", S_IFREG | 0644);
	builder_content(entry, status, strlen(status));
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "new", 3);
	assert_ok(action_copy(&words, &action));
	assert_ok(action_list_append(&b->actions, action));
	builder_write(b, FIXTURE_PAYLOAD);
}

/* The tree of the guest, with what dpkg wants of a database; `postinst` is b's. */
static void make_guest(const char *postinst)
{
	fixture_copy();
	shell("cd " ADMIN " && rm info/* && mkdir updates triggers && touch available info/a.list info/b.list "
	      "info/a.md5sums info/b.md5sums && printf '#!/bin/sh\\n%s\\n' >info/b.postinst && chmod 755 "
	      "info/b.postinst",
	      postinst);
}

static bool is_new(void)
{
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(io_read_file(FIXTURE_ROOT "/etc/conf", 100, &text, NULL));
	return !strcmp(text, "new");
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

static void set_environment(void)
{
	assert_int_equal(setenv("OUA_WHOLE_SYSTEM", "1", 1), 0);
	assert_int_equal(setenv("DPKG_ADMINDIR", ADMIN, 1), 0);
}

/* It is killed in the middle of a package no action names, which the audit then objects to. */
#define CUT                                                                                                            \
	"echo ran >>" RAN "; [ -z \"$OUASSISTER_AGAIN\" ] || exec sed -i 's/ok half-configured/ok installed/' " ADMIN  \
	"/status; sed -i '0,/ok installed/s//ok half-configured/' " ADMIN "/status"

/* At every point: with the script begun the new files stay, and another attempt ends it. */
static void die_anywhere(const char *verb)
{
	static const char *const argv[] = {"sh", "-c", CUT, NULL};
	unsigned n_begun = 0;
	struct builder b;

	make_update(&b, STATUS("installed", "installed"), argv);
	for (unsigned fault = 1;; fault++) {
		bool begun;

		make_guest("exit 0");
		helper(fault, NULL, "apply", &b);
		if (!was_killed())
			break;
		begun = access(RAN, F_OK) == 0;
		n_begun += begun;
		helper(0, NULL, verb, strcmp(verb, "apply") ? NULL : &b);
		if (begun) {
			assert_true(is_new());
			assert_null(strstr(fixture_output, "rolled-back"));
		}
		/* Where the update stands already and nothing was cut, the script's first run is the one that cuts. */
		if (begun && !strstr(fixture_output, "\"nothing\""))
			assert_result("applied");
	}
	/* After the script, and around the last word of the journal. */
	assert_true(n_begun >= 3);
	builder_deinit(&b);
}

static void die_and_apply_again(void **state)
{
	need_root();
	set_environment();
	die_anywhere("apply");
}

static void die_and_recover(void **state)
{
	need_root();
	set_environment();
	die_anywhere("recover");
}

/* What is wrong afterwards is an error, and no way back. */
static void nothing_goes_back(void **state)
{
	static const char *const argv[] = {
		"sh", "-c", "echo ran >>" RAN "; sed -i '0,/ok installed/s//ok half-configured/' " ADMIN "/status",
		NULL};
	struct builder b;
	unsigned fault = 1;

	need_root();
	set_environment();
	make_update(&b, STATUS("installed", "installed"), argv);
	do {
		make_guest("exit 0");
		helper(fault++, NULL, "apply", &b);
		assert_true(was_killed());
	} while (access(RAN, F_OK) < 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(helper(0, NULL, "apply", &b), 1);
		assert_result("failed");
		assert_non_null(strstr(fixture_output, "dpkg --audit"));
		assert_true(is_new());
	}
	builder_deinit(&b);
}

/* a is configured already, which dpkg calls an error; `postinst` is b's, `before` the database before. */
static void configure_both(const char *postinst, const char *before, bool fails)
{
	static const char *const argv[] = {"env", "X=y", "dpkg", "--log=/dev/null", "--configure", "a", "b", NULL};
	_cleanup_(free_ptr) char *status = NULL;
	struct builder b;

	make_update(&b, before, argv);
	make_guest(postinst);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_non_null(strstr(fixture_output, "already installed and configured"));
	assert_int_equal(!!strstr(fixture_output, "it is configured already"), !fails);
	assert_int_equal(!!strstr(fixture_output, "\"failed\":1"), fails);
	assert_ok(io_read_file(ADMIN "/status", 4096, &status, NULL));
	assert_int_equal(!!strstr(status, "half-configured"), fails);
	builder_deinit(&b);
}

static void failure_is_not_hidden(void **state)
{
	need_root();
	set_environment();
	configure_both("exit 3", STATUS("installed", "half-configured"), true);
	configure_both("exit 0", STATUS("installed", "half-configured"), false);
	configure_both("exit 3", STATUS("installed", "installed"), false);
}

/* A dpkg that was killed left a in between, too, which the action does not name. */
static void cut_is_finished(void **state)
{
	static const char *const argv[] = {"dpkg", "--log=/dev/null", "--configure", "b", NULL};
	_cleanup_(free_ptr) char *status = NULL;
	struct builder b;
	unsigned fault = 1;

	need_root();
	set_environment();
	make_update(&b, STATUS("installed", "half-configured"), argv);
	do {
		make_guest("touch " RAN);
		helper(fault++, NULL, "apply", &b);
		assert_true(was_killed());
	} while (access(RAN, F_OK) < 0);
	shell("sed -i '0,/ok installed/s//ok half-configured/' " ADMIN "/status");
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_result("applied");
	assert_ok(io_read_file(ADMIN "/status", 4096, &status, NULL));
	assert_null(strstr(status, "half-configured"));
	builder_deinit(&b);
}

/* Whether the newest record of the journal says that deferred actions may have begun (src/apply/journal.h). */
static bool is_marked(void)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	uint64_t sequence[2];
	uint32_t flags[2];
	size_t size;

	assert_ok(io_read_file(FIXTURE_ROOT "/var/lib/ouassister/journal", 1 << 20, &bytes, &size));
	assert_true(size > 8192);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(&sequence[i], bytes + (size_t)i * 4096 + 8, sizeof(*sequence));
		memcpy(&flags[i], bytes + (size_t)i * 4096 + 20, sizeof(*flags));
	}
	return flags[sequence[1] > sequence[0]] & 1;
}

/* The next update's helper does not take it for its own. */
static void mark_is_forgotten(void **state)
{
	static const char *const argv[] = {"true", NULL};
	struct builder b, next;

	need_root();
	set_environment();
	make_update(&b, STATUS("installed", "installed"), argv);
	make_guest("exit 0");
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_true(is_marked());
	builder_init(&next, FIXTURE_ROOT);
	builder_content(builder_add(&next, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "newer", 5);
	builder_write(&next, FIXTURE_PAYLOAD);
	assert_int_equal(helper(0, NULL, "apply", &next), 0);
	assert_false(is_marked());
	builder_deinit(&next);
	builder_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(die_and_apply_again), cmocka_unit_test(die_and_recover),
		cmocka_unit_test(nothing_goes_back),   cmocka_unit_test(failure_is_not_hidden),
		cmocka_unit_test(cut_is_finished),     cmocka_unit_test(mark_is_forgotten),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
