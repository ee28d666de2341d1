/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"
#include "update/deferral_command.h"

#define COMMAND(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The names that the command's words have, with a blank behind each. */
static void expect_names(const char *const *command, const char *expected)
{
	char text[256] = "";
	size_t n;

	for (size_t i = 0; command[i]; i++)
		if (command_names_package(command, i, &n))
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%.*s ", (int)n, command[i]);
	assert_string_equal(text, expected);
}

static void names(void **state)
{
	expect_names(COMMAND("apt-get", "install", "nginx", "libc6:i386", "a=1:2", "b/bookworm", "c+"),
		     "nginx libc6 a b c ");
	expect_names(COMMAND("apt-get", "install", "g++", "libstdc++6", "gone-", "./file.deb", "/srv/file.deb", "-y"),
		     "g++ libstdc++6 ");
	expect_names(
		COMMAND("apt-get", "-o", "install", "-t", "nginx", "install", "-o", "a", "--config-file", "b", "c"),
		"c ");
	expect_names(COMMAND("apt-get", "-y", "-qq", "--option=x", "install", "a"), "a ");
	expect_names(COMMAND("apt-get", "dist-upgrade"), "");
	expect_names(COMMAND("apt-get"), "");
	expect_names(COMMAND("apt-get", "install", ""), "");
}

static void verbs(void **state)
{
	assert_true(command_installs(COMMAND("apt", "-y", "install", "a")));
	assert_true(command_installs(COMMAND("apt", "-o", "x", "install")));
	assert_false(command_installs(COMMAND("apt", "-o", "install", "upgrade")));
	assert_false(command_installs(COMMAND("apt", "purge", "install")));
	assert_false(command_installs(COMMAND("apt")));
}

static void expect_words(const char **command, const char *const *expected)
{
	size_t i;

	assert_non_null(command);
	for (i = 0; expected[i]; i++) {
		assert_non_null(command[i]);
		assert_string_equal(command[i], expected[i]);
	}
	assert_null(command[i]);
	free(command);
}

static void shorter(void **state)
{
	static const bool leave[] = {false, false, true, false, true, false};
	const char *const *command = COMMAND("apt-get", "install", "a", "-t", "b", "c-");

	expect_words(command_without(command, leave), COMMAND("apt-get", "install", "-t", "c-"));
	command = COMMAND("apt-get", "install", "a", "-t", "x", "b=2", "c-");
	expect_words(command_with_only(command, 5), COMMAND("apt-get", "install", "-t", "x", "b=2", "c-"));
	expect_words(command_with_only(command, 2), COMMAND("apt-get", "install", "a", "-t", "x", "c-"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(verbs),
		cmocka_unit_test(shorter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
