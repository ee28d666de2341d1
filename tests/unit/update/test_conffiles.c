/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"
#include "update/conffiles.h"

static void words_are_modes(void **state)
{
	struct conffiles conffiles;

	assert_ok(conffiles_load(NULL, &conffiles));
	assert_int_equal(conffiles.mode, CONFFILES_KEEP);
	assert_ok(conffiles_load("new", &conffiles));
	assert_int_equal(conffiles.mode, CONFFILES_NEW);
	assert_ok(conffiles_load("ask", &conffiles));
	assert_int_equal(conffiles.mode, CONFFILES_ASK);
	assert_error(conffiles_load("/nowhere/answers", &conffiles), ERROR_USAGE);
	assert_error(conffiles_load("/dev", &conffiles), ERROR_USAGE);
}

static void answers_are_lines(void **state)
{
	struct conffiles conffiles;

	assert_ok(conffiles_parse("# decided\n\nkeep /etc/a\r\nnew\t/etc/with space \nkeep /etc/#c", "x", &conffiles));
	assert_int_equal(conffiles.mode, CONFFILES_FILE);
	assert_int_equal(conffiles.n_answers, 3);
	assert_false(conffiles_find(&conffiles, "/etc/a")->take_new);
	assert_true(conffiles_find(&conffiles, "/etc/with space")->take_new);
	assert_non_null(conffiles_find(&conffiles, "/etc/#c"));
	assert_null(conffiles_find(&conffiles, "/etc"));
	conffiles_deinit(&conffiles);
	assert_ok(conffiles_parse("", "x", &conffiles));
	assert_int_equal(conffiles.n_answers, 0);
	conffiles_deinit(&conffiles);
}

static void bad_answers_are_refused(void **state)
{
	static const char *const texts[] = {
		"keep",        "keep ",         "keep etc/a",    "/etc/a",      "old /etc/a",
		"Keep /etc/a", "newest /etc/a", "new /etc/../a", "new /etc//a", "keep /etc/a\nnew /etc/a"};
	struct conffiles conffiles;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_error(conffiles_parse(texts[i], "x", &conffiles), ERROR_USAGE);
}

#define QUESTION                                                                                                       \
	" ==> Modified (by you or by a script) since installation.\n"                                                  \
	" ==> Package distributor has shipped an updated version.\n"                                                   \
	"   What would you like to do about it ?  Your options are:\n"                                                 \
	" The default action is to keep your current version.\n"

static void dpkg_is_answered(void **state)
{
	struct conffiles conffiles;

	assert_ok(conffiles_parse("new /etc/a\nkeep /etc/b\n", "x", &conffiles));
	assert_string_equal(conffiles_reply(&conffiles, "Setting up a ...\n\nConfiguration file '/etc/a'\n" QUESTION
							"*** a (Y/I/N/O/D/Z) [default=N] ? "),
			    "y\n");
	assert_string_equal(conffiles_reply(&conffiles, "\nConfiguration file '/etc/a'\n" QUESTION
							"*** a (Y/I/N/O/D/Z) [default=N] ? y\n"
							"\nConfiguration file `/etc/b'\n" QUESTION
							"*** b (Y/I/N/O/D/Z) [default=N] ? "),
			    "n\n");
	/* Undecided. */
	assert_string_equal(conffiles_reply(&conffiles, "\nConfiguration file '/etc/c'\n" QUESTION
							"*** c (Y/I/N/O/D/Z) [default=Y] ? "),
			    "n\n");
	conffiles.mode = CONFFILES_NEW;
	assert_string_equal(conffiles_reply(&conffiles, "\nConfiguration file '/etc/c'\n" QUESTION
							"*** c (Y/I/N/O/D/Z) [default=Y] ? "),
			    "y\n");
	conffiles_deinit(&conffiles);
}

static void nothing_else_is_dpkgs_question(void **state)
{
	static const char *const outputs[] = {
		"",
		"Really? ",
		"*** a (Y/I/N/O/D/Z) [default=N] ? ",
		"\nConfiguration file '/etc/a'\n" QUESTION,
		"\nConfiguration file '/etc/a'\n" QUESTION "*** a (Y/I/N/O/D/Z) [default=N] ? \nReally? ",
		"\nConfiguration file ",
		"\nConfiguration file '/etc/a",
		"\nConfiguration file '/etc/a\n (Y/I/N/O/D/Z) ",
	};
	struct conffiles conffiles;

	assert_ok(conffiles_parse("new /etc/a\n", "x", &conffiles));
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++)
		assert_null(conffiles_reply(&conffiles, outputs[i]));
	conffiles_deinit(&conffiles);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_modes),
		cmocka_unit_test(answers_are_lines),
		cmocka_unit_test(bad_answers_are_refused),
		cmocka_unit_test(dpkg_is_answered),
		cmocka_unit_test(nothing_else_is_dpkgs_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
