/* SPDX-License-Identifier: Apache-2.0 */
/* The words of actions below /run: what they can say, and what is refused. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "changes/changes.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_states(void **state)
{
	static const char *const good[] = {
		"absent",
		"file 0644 0 12",
		"file 7777 4294967294 0",
		"file 0600 0 0 0 " EMPTY,
		"file 0600 0 0 65536 " EMPTY,
		"directory 1777 65534 0",
		"symlink 0 0 ../a b",
		"symlink 1 2 \xff",
	};
	static const char *const bad[] = {
		"",
		"absent ",
		"file",
		"file ",
		"file 644 0 0",
		"file 00644 0 0",
		"file 0644 0",
		"file 0644 0 ",
		"file 0644 0 0 ",
		"file 0644 0 00",
		"file 0644 0 4294967295",
		"file 0648 0 0",
		"file 0644 -1 0",
		"file 0644  0 0",
		"file 0644 0 0 0",
		"file 0644 0 0 0 ",
		"file 0644 0 0 65537 " EMPTY,
		"file 0644 0 0 0 " EMPTY "0",
		"file 0644 0 0 0 " EMPTY " ",
		"directory 0755 0 0 0 " EMPTY,
		"directory 10000 0 0",
		"symlink 0 0 ",
		"symlink 0 0",
		"symlink 0755 x y",
		"socket 0644 0 0",
	};
	struct runtime_state parsed;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_(free_ptr) char *text = NULL;

		assert_true(runtime_state_parse(good[i], &parsed));
		text = runtime_state_text(&parsed);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("\"%s\"\n", bad[i]);
		assert_false(runtime_state_parse(bad[i], &parsed));
	}
}

static const char *problem(const char *verb, const char *path, const char *before, const char *after, size_t size)
{
	const char *argv[] = {before, after, NULL};
	static uint8_t data[ACTION_RUNTIME_MAX + 1];
	const struct action action = {.kind = ACTION_RUNTIME,
				      .verb = (char *)verb,
				      .path = (char *)path,
				      .argv = (char **)argv,
				      .data = size ? data : NULL,
				      .size = size};

	return action_problem(&action);
}

#define FILE_OF(size) "file 0644 0 0 " #size " " EMPTY
#define DIRECTORY     "directory 0755 0 0"
#define LINK          "symlink 0 0 x"

static void test_problems(void **state)
{
	static const char *const paths[] = {"/run",      "/run/",   "/run//a", "/run/../a",  "/run/a/.", "/runa",
					    "/run/a/..", "/run/a/", "run/a",   "/var/run/a", "/tmp/a",   NULL};
	const struct action before = {.kind = ACTION_RUNTIME,
				      .phase = ACTION_BEFORE,
				      .verb = (char *)"mkdir",
				      .path = (char *)"/run/a",
				      .argv = (char *[]){(char *)"absent", (char *)DIRECTORY, NULL}};
	const struct action unit = {.kind = ACTION_RUNTIME,
				    .verb = (char *)"mkdir",
				    .path = (char *)"/run/a",
				    .unit = (char *)"x.service",
				    .argv = (char *[]){(char *)"absent", (char *)DIRECTORY, NULL}};

	assert_null(problem("write", "/run/a", "absent", FILE_OF(0), 0));
	assert_null(problem("write", "/run/a/b.c", FILE_OF(5), FILE_OF(7), 7));
	assert_null(problem("write", "/run/..a", LINK, FILE_OF(65536), 65536));
	assert_null(problem("append", "/run/a", FILE_OF(5), FILE_OF(7), 2));
	assert_null(problem("mkdir", "/run/a", "absent", DIRECTORY, 0));
	assert_null(problem("symlink", "/run/a", FILE_OF(1), LINK, 0));
	assert_null(problem("attributes", "/run/a", "file 0644 0 0", "file 0600 0 5", 0));
	assert_null(problem("attributes", "/run/a", DIRECTORY, "directory 1777 0 5", 0));
	assert_null(problem("remove", "/run/a", DIRECTORY, "absent", 0));
	assert_null(problem("remove", "/run/a", FILE_OF(9), "absent", 0));

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_non_null(problem("mkdir", paths[i], "absent", DIRECTORY, 0));
	assert_non_null(problem("write", "/run/a", "absent", FILE_OF(3), 2));
	assert_non_null(problem("write", "/run/a", DIRECTORY, FILE_OF(2), 2));
	assert_non_null(problem("write", "/run/a", "file 0644 0 0", FILE_OF(2), 2));
	assert_non_null(problem("append", "/run/a", FILE_OF(5), FILE_OF(7), 3));
	assert_non_null(problem("append", "/run/a", FILE_OF(5), FILE_OF(5), 0));
	assert_non_null(problem("append", "/run/a", FILE_OF(5), "file 0600 0 0 7 " EMPTY, 2));
	assert_non_null(problem("mkdir", "/run/a", FILE_OF(5), DIRECTORY, 0));
	assert_non_null(problem("mkdir", "/run/a", "absent", DIRECTORY, 1));
	assert_non_null(problem("symlink", "/run/a", DIRECTORY, LINK, 0));
	assert_non_null(problem("attributes", "/run/a", FILE_OF(1), FILE_OF(1), 0));
	assert_non_null(problem("attributes", "/run/a", "file 0644 0 0", DIRECTORY, 0));
	assert_non_null(problem("attributes", "/run/a", LINK, LINK, 0));
	assert_non_null(problem("remove", "/run/a", "absent", "absent", 0));
	assert_non_null(problem("remove", "/run/a", "file 0644 0 0", "absent", 0));
	assert_non_null(problem("remove", "/run/a", DIRECTORY, DIRECTORY, 0));
	assert_non_null(problem("unlink", "/run/a", DIRECTORY, "absent", 0));
	assert_non_null(problem(NULL, "/run/a", DIRECTORY, "absent", 0));
	assert_non_null(problem("mkdir", "/run/a", "absent", NULL, 0));
	assert_non_null(action_problem(&before));
	assert_non_null(action_problem(&unit));
}

static void test_words(void **state)
{
	const struct action action = {.kind = ACTION_RUNTIME,
				      .verb = (char *)"mkdir",
				      .path = (char *)"/run/sshd",
				      .argv = (char *[]){(char *)"absent", (char *)"directory 1755 3 4", NULL}};
	const char *const expected[] = {"mkdir", "1755", "3:4", "/run/sshd"};
	char **words;

	assert_ok(action_words(&action, &words));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(words[i], expected[i]);
	assert_null(words[ARRAY_SIZE(expected)]);
	action_words_free(words);
	assert_int_equal(action_kind_of("runtime"), ACTION_RUNTIME);
}

/* Units may lie below /run: it comes before the manager reads them. */
static void test_order(void **state)
{
	const struct action items[] = {
		{.kind = ACTION_SYSTEMD, .verb = (char *)"daemon-reload", .order = 1},
		{.kind = ACTION_SYSTEMD, .verb = (char *)"start", .unit = (char *)"a.service", .order = 2},
		{.kind = ACTION_RUNTIME,
		 .verb = (char *)"mkdir",
		 .path = (char *)"/run/a",
		 .argv = (char *[]){(char *)"absent", (char *)DIRECTORY, NULL}},
		{.kind = ACTION_SYSTEMD,
		 .phase = ACTION_BEFORE,
		 .verb = (char *)"stop",
		 .unit = (char *)"b.service",
		 .order = 3},
	};
	const struct action_list list = {(struct action *)items, ARRAY_SIZE(items)};
	struct action_list once, twice;

	assert_ok(action_list_coalesce(&list, &once));
	assert_ok(action_list_coalesce(&once, &twice));
	assert_int_equal(twice.n, 4);
	assert_int_equal(twice.items[0].phase, ACTION_BEFORE);
	assert_int_equal(twice.items[1].kind, ACTION_RUNTIME);
	assert_string_equal(twice.items[2].verb, "daemon-reload");
	assert_string_equal(twice.items[3].verb, "start");
	action_list_deinit(&once);
	action_list_deinit(&twice);
}

static void test_look(void **state)
{
	char dir[] = "/tmp/test-runtime.XXXXXX";
	struct runtime_look look = {};
	int fd, file;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_ok(runtime_look(fd, "a", true, &look));
	assert_int_equal(look.state.type, RUNTIME_ABSENT);
	assert_int_equal(symlinkat("/etc/passwd", fd, "a"), 0);
	assert_ok(runtime_look(fd, "a", true, &look));
	assert_int_equal(look.state.type, RUNTIME_SYMLINK);
	assert_string_equal(look.state.target, "/etc/passwd");
	runtime_look_deinit(&look);
	assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
	assert_ok(runtime_look(fd, "fifo", true, &look));
	assert_int_equal(look.state.type, RUNTIME_OTHER);
	assert_false(runtime_state_equal(&look.state, &look.state));
	file = openat(fd, "f", O_WRONLY | O_CREAT, 0640);
	assert_int_equal(ftruncate(file, ACTION_RUNTIME_MAX), 0);
	assert_ok(runtime_look(fd, "f", true, &look));
	assert_true(look.state.has_content);
	assert_int_equal(look.state.size, ACTION_RUNTIME_MAX);
	runtime_look_deinit(&look);
	/* Thousands of small ones are kept at once. */
	assert_int_equal(ftruncate(file, 1), 0);
	assert_ok(runtime_look(fd, "f", true, &look));
	assert_int_equal(look.state.size, 1);
	assert_true(malloc_usable_size(look.content) < 4096);
	runtime_look_deinit(&look);
	/* More is not read. */
	assert_int_equal(ftruncate(file, ACTION_RUNTIME_MAX + 1), 0);
	assert_ok(runtime_look(fd, "f", true, &look));
	assert_int_equal(look.state.type, RUNTIME_FILE);
	assert_false(look.state.has_content);
	assert_null(look.content);
	close(file);
	close(fd);
	assert_ok(io_remove_tree(dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states), cmocka_unit_test(test_problems), cmocka_unit_test(test_words),
		cmocka_unit_test(test_order),  cmocka_unit_test(test_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
