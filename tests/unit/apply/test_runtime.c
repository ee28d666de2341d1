/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes below the guest's /run: done only where the guest has what it had, taken back where it is still ours, and
 * the same wherever the helper dies. $HELPER is a build with fault points.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"

#define RUN FIXTURE_ROOT "/run"

/* What it is now, as an action says it. */
static char *state_of(const char *path)
{
	_cleanup_(runtime_look_deinit) struct runtime_look look = {};
	char *text;

	/* Below what is no directory in this tree. */
	if (access(path, F_OK) == 0 || errno != ENOTDIR)
		assert_ok(runtime_look(AT_FDCWD, path, true, &look));
	text = runtime_state_text(&look.state);
	assert_non_null(text);
	return text;
}

/* By comparing two trees: what path is in the one and in the other. */
static void add(struct builder *b, const char *verb, const char *path, const char *data)
{
	_cleanup_(free_ptr) char *old = string_format(FIXTURE_SPACE "/old%s", path),
				 *new = string_format(FIXTURE_SPACE "/new%s", path);
	_cleanup_(free_ptr) char *before = state_of(old), *after = state_of(new);
	char *argv[] = {before, after, NULL};
	const struct action words = {.kind = ACTION_RUNTIME,
				     .verb = (char *)verb,
				     .path = (char *)path,
				     .argv = argv,
				     .data = (uint8_t *)data,
				     .size = data ? strlen(data) : 0};
	struct action action;

	/* Of a change of type the one is removed, and then the other made. */
	if (!strcmp(verb, "remove"))
		strcpy(after, "absent");
	else if (strcmp(verb, "attributes") && strncmp(before, after, 4) && strncmp(after, "symlink", 7))
		strcpy(before, "absent");
	if (!strcmp(verb, "attributes"))
		for (int i = 0; i < 2; i++)
			for (char *p = argv[i], n = 0; *p; p++)
				if (*p == ' ' && ++n == 4)
					*p-- = '\0';
	assert_null(action_problem(&words));
	assert_ok(action_copy(&words, &action));
	assert_ok(action_list_append(&b->actions, action));
}

#define MAKE_OLD                                                                                                       \
	"mkdir empty busy; echo one >replaced; echo a >appended; echo gone >gone; ln -s x link; echo m >mode; "        \
	"chmod 600 mode; echo theirs >theirs; echo b >grown; echo l >lines; "                                          \
	"mkdir -p deep/in to-file; echo d >deep/in/file; echo f >to-directory; "                                       \
	"chmod 644 replaced appended gone theirs grown"

static void make_trees(void)
{
	shell("umask 022; rm -rf " FIXTURE_SPACE "/old " FIXTURE_SPACE
	      "/new; for tree in old new; do mkdir -p " FIXTURE_SPACE "/$tree/run; cd " FIXTURE_SPACE
	      "/$tree/run; " MAKE_OLD "; done; "
	      "echo two >replaced; chown 5:6 replaced; chmod 2750 replaced; echo b >>appended; rm gone; ln -sfn y "
	      "link; "
	      "chmod 4711 mode; rmdir empty busy; mkdir made made/below there other; chmod 1777 made; "
	      "echo fresh >made/fresh; : >none; echo ours >theirs; echo c >>grown; cp made/fresh .; ln -s made "
	      "new-link; "
	      "mkdir evil; echo x >evil/x; echo lo >>lines; "
	      "rm -r deep to-file to-directory; mkdir to-directory; echo f >to-file; echo i >to-directory/inner");
}

static void make_update(struct builder *b)
{
	make_trees();
	builder_init(b, FIXTURE_BASE);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "new", 3);
	add(b, "remove", "/run/gone", NULL);
	add(b, "remove", "/run/empty", NULL);
	add(b, "remove", "/run/busy", NULL);
	add(b, "append", "/run/appended", "b\n");
	add(b, "append", "/run/grown", "c\n");
	add(b, "append", "/run/lines", "lo\n");
	add(b, "remove", "/run/deep/in/file", NULL);
	add(b, "remove", "/run/deep/in", NULL);
	add(b, "remove", "/run/deep", NULL);
	add(b, "remove", "/run/to-directory", NULL);
	add(b, "mkdir", "/run/to-directory", NULL);
	add(b, "write", "/run/to-directory/inner", "i\n");
	add(b, "remove", "/run/to-file", NULL);
	add(b, "write", "/run/to-file", "f\n");
	add(b, "write", "/run/replaced", "two\n");
	add(b, "write", "/run/theirs", "ours\n");
	add(b, "write", "/run/none", NULL);
	add(b, "mkdir", "/run/made", NULL);
	add(b, "mkdir", "/run/made/below", NULL);
	add(b, "write", "/run/made/fresh", "fresh\n");
	add(b, "mkdir", "/run/there", NULL);
	add(b, "mkdir", "/run/other", NULL);
	add(b, "symlink", "/run/link", NULL);
	add(b, "symlink", "/run/new-link", NULL);
	add(b, "attributes", "/run/mode", NULL);
	add(b, "write", "/run/evil/x", "x\n");
	builder_write(b, FIXTURE_PAYLOAD);
}

/* As it was, but for what the guest has done since: a file of its own contents, one that grew, a directory in use. */
static void make_guest(void)
{
	fixture_copy();
	shell("umask 022; rm -rf " RUN "; mkdir " RUN "; cd " RUN "; " MAKE_OLD "; echo changed >theirs; "
	      "echo more >>grown; echo oslo >>lines; touch busy/file; mkdir there other; chmod 700 other; ln -s ../etc "
	      "evil");
}

/* Names, attributes and contents below /run. */
static char *listing(void)
{
	char *text;

	shell("cd " RUN " && find . -printf '%%p %%y %%m %%U %%G %%l\\n' | sort >" FIXTURE_SPACE "/list && "
	      "find . -type f | sort | xargs sha256sum >>" FIXTURE_SPACE "/list");
	assert_ok(io_read_file(FIXTURE_SPACE "/list", 65536, &text, NULL));
	return text;
}

static void assert_done(void)
{
	shell("cd " RUN " && [ \"$(cat replaced)\" = two ] && [ \"$(stat -c %%a:%%u:%%g replaced)\" = 2750:5:6 ] && "
	      "[ \"$(cat appended)\" = \"$(printf 'a\\nb')\" ] && [ \"$(cat grown)\" = \"$(printf 'b\\nmore\\nc')\" ] "
	      "&& "
	      "[ ! -e gone ] && [ ! -e empty ] && [ -e busy/file ] && [ \"$(readlink link)\" = y ] && "
	      "[ \"$(readlink new-link)\" = made ] && [ \"$(stat -c %%a mode)\" = 4711 ] && [ \"$(cat theirs)\" = "
	      "changed ] && "
	      "[ \"$(stat -c %%a made)\" = 1777 ] && [ -d made/below ] && [ \"$(cat made/fresh)\" = fresh ] && "
	      "[ \"$(cat lines)\" = \"$(printf 'l\\noslo\\nlo')\" ] && [ ! -e deep ] && [ -f to-file ] && "
	      "[ \"$(cat to-directory/inner)\" = i ] && "
	      "[ -f none ] && [ ! -s none ] && [ \"$(stat -c %%a other)\" = 700 ] && [ ! -e ../etc/x ]");
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

static void assert_reason(const char *path, const char *reason)
{
	_cleanup_(free_ptr) char *words = string_format("\"%s\"", path), *skipped = string_format("\"%s\"", reason);
	char *line = strstr(fixture_output, words);
	char *end = line ? strchr(line, '\n') : NULL;

	print_message("%s: %s\n", path, reason);
	assert_non_null(end);
	*end = '\0';
	assert_non_null(strstr(line, skipped));
	*end = '\n';
}

static void whole_system(void)
{
	need_root();
	assert_int_equal(setenv("OUA_WHOLE_SYSTEM", "1", 1), 0);
}

static void done_and_undone(void **state)
{
	_cleanup_(free_ptr) char *before = NULL, *after = NULL;
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	before = listing();
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_done();
	assert_reason("/run/busy", "the guest has something in it");
	assert_reason("/run/theirs", "the guest has changed it since");
	assert_reason("/run/there", "it is so already");
	assert_reason("/run/other", "the guest has made one of its own");
	assert_reason("/run/evil/x", "the guest has no such directory");
	/* Once more is no more. */
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_done();
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	after = listing();
	assert_string_equal(before, after);
	builder_deinit(&b);
}

/* What others did to it since is theirs. */
static void not_ours_any_more(void **state)
{
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	shell("cd " RUN "; echo later >>appended; echo later >replaced; touch made/of-a-daemon; echo again >gone");
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	shell("cd " RUN " && grep -q later appended && grep -q later replaced && [ -e made/of-a-daemon ] && "
	      "[ ! -e made/fresh ] && grep -q again gone && [ \"$(readlink link)\" = x ] && [ -d empty ]");
	builder_deinit(&b);
}

/* A boot in between: nothing is left to go back from. */
static void after_a_boot(void **state)
{
	_cleanup_(free_ptr) char *before = NULL, *after = NULL;
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	shell("rm -rf " RUN "; mkdir -p " RUN "/made; echo two >" RUN "/replaced");
	before = listing();
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	after = listing();
	assert_string_equal(before, after);
	builder_deinit(&b);
}

static void forgotten(void **state)
{
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(access(RUN "/.ouassister", F_OK), 0);
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	assert_int_equal(access(RUN "/.ouassister", F_OK), -1);
	assert_done();
	builder_deinit(&b);
}

static void dies_anywhere(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	unsigned n_back = 0, n_done = 0;
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	before = listing();
	for (unsigned fault = 1;; fault++) {
		_cleanup_(free_ptr) char *after = NULL;

		make_guest();
		helper(fault, NULL, "apply", &b);
		if (!was_killed())
			break;
		/* Either way it comes to its end: all of it, and back again. */
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		assert_done();
		helper(fault, NULL, "rollback", NULL);
		n_back += was_killed();
		n_done++;
		if (was_killed())
			helper(0, NULL, "recover", NULL);
		/* It died before its first word to the journal, or after the last: all is as it was, which is looked
		 * at. */
		if (strstr(fixture_output, "\"nothing\"")) {
			int status = helper(0, NULL, "rollback", NULL);

			assert_true(status == 4 || status == 6);
		}
		after = listing();
		assert_string_equal(before, after);
	}
	print_message("%u ends of apply, %u of rollback\n", n_done, n_back);
	assert_true(n_done > 35 && n_back > 15);
	builder_deinit(&b);
}

/* One action alone: number 0. */
static void make_one(struct builder *b, const char *verb, const char *path, const char *data)
{
	make_trees();
	builder_init(b, FIXTURE_BASE);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "new", 3);
	add(b, verb, path, data);
	builder_write(b, FIXTURE_PAYLOAD);
	make_guest();
}

static bool holds(const char *path, const char *text)
{
	_cleanup_(free_ptr) char *found = NULL;
	struct error *error = io_read_file(path, 4096, &found, NULL);
	bool same = !error && !strcmp(found, text);

	error_destroy(error);
	return same;
}

#define MARK RUN "/.ouassister/0"
#define ITEM MARK ".old"

/* The guest changed it in the moment of the rename, and the helper died before it could see that. */
static void killed_before_the_look(void **state)
{
	static const struct {
		const char *verb, *path, *data, *old;
	} cases[] = {{"write", RUN "/replaced", "two\n", "one\n"}, {"remove", RUN "/gone", NULL, "gone\n"}};
	struct builder b;

	whole_system();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned n = 0;

		make_one(&b, cases[i].verb, cases[i].path + strlen(FIXTURE_ROOT), cases[i].data);
		for (unsigned fault = 1;; fault++) {
			make_guest();
			helper(fault, NULL, "apply", &b);
			if (!was_killed())
				break;
			if (!holds(ITEM, cases[i].old))
				continue;
			n++;
			shell("echo moment >" ITEM);
			assert_int_equal(helper(0, NULL, "apply", &b), 0);
			assert_reason(cases[i].path + strlen(FIXTURE_ROOT), "the guest has changed it since");
			assert_true(holds(cases[i].path, "moment\n"));
			assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
			assert_true(holds(cases[i].path, "moment\n"));
		}
		assert_true(n > 0);
		builder_deinit(&b);
	}
}

/* The same in going back: what was replaced, and what was made. */
static void killed_while_undone(void **state)
{
	static const struct {
		const char *verb, *path, *data;
	} cases[] = {{"write", RUN "/replaced", "two\n"}, {"write", RUN "/fresh", "fresh\n"}};
	struct builder b;

	whole_system();
	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const char *path = cases[i % 2].path;
		bool taken = i >= ARRAY_SIZE(cases);
		unsigned n = 0;

		make_one(&b, cases[i % 2].verb, path + strlen(FIXTURE_ROOT), cases[i % 2].data);
		for (unsigned fault = 1;; fault++) {
			make_guest();
			assert_int_equal(helper(0, NULL, "apply", &b), 0);
			helper(fault, NULL, "rollback", NULL);
			if (!was_killed())
				break;
			if (access(MARK, F_OK) < 0 || !holds(ITEM, cases[i % 2].data))
				continue;
			n++;
			shell("echo moment >" ITEM);
			if (taken)
				shell("echo newest >%s.new; mv %s.new %s", path, path, path);
			helper(0, NULL, "recover", NULL);
			assert_true(holds(path, taken ? "newest\n" : "moment\n"));
			if (taken && i % 2)
				shell("grep -qx moment " RUN "/.ouassister-kept-*");
		}
		assert_true(n > 0);
		builder_deinit(&b);
	}
}

/* ramfs before Linux 5.17. */
static void no_exchange(void **state)
{
	struct builder b;

	whole_system();
	make_one(&b, "write", "/run/replaced", "two\n");
	assert_int_equal(helper(0, "OUA_NO_EXCHANGE=1", "apply", &b), 0);
	assert_reason("/run/replaced", "the guest's kernel cannot exchange two names there");
	assert_null(strstr(fixture_output, "\"status\":1"));
	assert_true(holds(RUN "/replaced", "one\n"));
	assert_int_equal(access(MARK, F_OK), -1);
	builder_deinit(&b);
}

/* A guest whose /run is a link is left alone. */
static void no_tmpfs(void **state)
{
	struct builder b;

	whole_system();
	make_update(&b);
	make_guest();
	shell("rm -rf " RUN "; ln -s var " RUN);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_reason("/run/made", "the guest has no /run in memory");
	shell("[ ! -e " FIXTURE_ROOT "/var/made ]");
	builder_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(done_and_undone),     cmocka_unit_test(not_ours_any_more),
		cmocka_unit_test(after_a_boot),        cmocka_unit_test(killed_before_the_look),
		cmocka_unit_test(killed_while_undone), cmocka_unit_test(no_exchange),
		cmocka_unit_test(forgotten),           cmocka_unit_test(no_tmpfs),
		cmocka_unit_test(dies_anywhere),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
