/* SPDX-License-Identifier: Apache-2.0 */
/* What the package managers' files and outputs tell; the managers themselves run in tests/vm/managers.test. */
#include "../test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "update/front_end.h"
#include "update/rpm.h"

static char directory[] = "/tmp/test-managers.XXXXXX";

static int setup(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return 0;
}

/* A file of the guest, with the directories on the way. */
static void make(const char *path)
{
	_cleanup_(free_ptr) char *whole = string_format("%s%s", directory, path);
	_cleanup_(free_ptr) char *parent = strndup(whole, (size_t)(strrchr(whole, '/') - whole));

	assert_ok(io_mkdirs(parent, 0755));
	assert_ok(io_replace_file(whole, "", 0, 0755));
}

static void empty(void)
{
	assert_ok(io_remove_tree(directory));
	assert_int_equal(mkdir(directory, 0755), 0);
}

static const char *detected(void)
{
	_cleanup_(close_fd) int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct package_manager *manager;
	struct error *error = packages_detect(root, &manager);

	if (!error)
		return manager->name;
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	error_destroy(error);
	return "none";
}

static void guests_are_told_apart(void **state)
{
	empty();
	assert_string_equal(detected(), "none");
	make("/usr/bin/dnf");
	assert_string_equal(detected(), "none");
	make("/usr/bin/rpm");
	make("/usr/lib/sysimage/rpm/rpmdb.sqlite");
	assert_string_equal(detected(), "dnf");
	make("/usr/bin/zypper");
	assert_string_equal(detected(), "zypper");
	make("/var/lib/dpkg/status");
	make("/usr/bin/dpkg");
	make("/usr/bin/apt-get");
	assert_string_equal(detected(), "dpkg");
	empty();
	make("/usr/bin/pacman");
	make("/var/lib/pacman/local/ALPM_DB_VERSION");
	assert_string_equal(detected(), "pacman");
	empty();
	make("/sbin/apk");
	make("/lib/apk/db/installed");
	assert_string_equal(detected(), "apk");
}

static struct error *ask_quiescent(const struct package_manager *manager, const struct guest_task_list *list)
{
	_cleanup_(close_fd) int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return manager->quiescent(root, list);
}

static void managers_at_work_are_a_conflict(void **state)
{
	static const struct {
		const struct package_manager *manager;
		const char *comm, *left;
	} cases[] = {
		{&dnf_manager, "dnf5", NULL},
		{&zypper_manager, "transactional-u", NULL},
		{&pacman_manager, "pacman", "/var/lib/pacman/db.lck"},
		{&apk_manager, "apk", "/lib/apk/db/installed.new"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_task process = {.pid = 7, .comm = ""};
		struct guest_task_list list = {.items = &process, .n = 1}, none = {0};

		snprintf(process.comm, sizeof(process.comm), "%s", cases[i].comm);
		empty();
		assert_ok(ask_quiescent(cases[i].manager, &none));
		assert_error(ask_quiescent(cases[i].manager, &list), ERROR_CONFLICT);
		process.kernel_thread = true;
		assert_ok(ask_quiescent(cases[i].manager, &list));
		if (!cases[i].left)
			continue;
		make(cases[i].left);
		assert_error(ask_quiescent(cases[i].manager, &none), ERROR_CONFLICT);
	}
}

static void removed(const char *before, const char *after, const char *expected)
{
	_cleanup_(free_ptr) char *names = NULL;

	assert_ok(front_end_removed(before, after, &names));
	assert_string_equal(names, expected);
}

static void removals_are_names_that_are_gone(void **state)
{
	removed("a 1\nb 1\n", "a 2\nb 1\n", "");
	removed("a 1\nb 1\n", "b 1\n", "a");
	removed("a 1\nab 1\nc 1\n", "ab 1\n", "a c");
	removed("kernel 1\nkernel 2\nkernel 3\n", "kernel 2\nkernel 3\nkernel 4\n", "");
	removed("a", "", "a");
	removed("", "", "");
}

static void lists_are_in_the_order_of_bytes(void **state)
{
	_cleanup_(free_ptr) char *sorted = front_end_sort("b 1\n\na-b 1\na 2\na 1\nB 1");

	assert_string_equal(sorted, "B 1\na 1\na 2\na-b 1\nb 1\n");
}

static void doubles_are_found(void **state)
{
	static const struct {
		const char *text, *name;
	} cases[] = {
		{"a.x86_64 a,\nb.x86_64 b,\n", NULL},
		{"a.i686 a,\na.x86_64 a,\n", NULL},
		{"a.x86_64 a,\na.x86_64 a,\n", "a.x86_64"},
		{"k.x86_64 installonlypkg(kernel),\nk.x86_64 k,installonlypkg(kernel),\n", NULL},
		{"kernel-core.x86_64 k,\nkernel-core.x86_64 k,\n", NULL},
		{"gpg-pubkey.(none) gpg,\ngpg-pubkey.(none) gpg,\n", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(free_ptr) char *name = rpm_find_double(cases[i].text);

		assert_int_equal(name != NULL, cases[i].name != NULL);
		if (name)
			assert_string_equal(name, cases[i].name);
	}
}

static void options_go_behind_the_verb(void **state)
{
	static const char *const verbs[] = {"install", "in", NULL};
	static const char *const with[] = {"-y", "install", "install", NULL}, *const without[] = {"remove", "x", NULL};
	GPtrArray *argv = g_ptr_array_new_with_free_func(free);

	assert_true(front_end_insert(with, verbs, "--only", argv));
	assert_int_equal(argv->len, 4);
	assert_string_equal(argv->pdata[2], "--only");
	assert_string_equal(argv->pdata[3], "install");
	assert_false(front_end_insert(without, verbs, "--only", argv));
	assert_int_equal(argv->len, 6);
	g_ptr_array_free(argv, TRUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_are_told_apart),
		cmocka_unit_test(managers_at_work_are_a_conflict),
		cmocka_unit_test(removals_are_names_that_are_gone),
		cmocka_unit_test(lists_are_in_the_order_of_bytes),
		cmocka_unit_test(doubles_are_found),
		cmocka_unit_test(options_go_behind_the_verb),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
