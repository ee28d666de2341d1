/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "tests/unit/test.h"
#include "update/fingerprint.h"

static char directory[] = "/tmp/ouassister-test-fingerprint-XXXXXX";
static char *memory, *disk;

static int setup(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	memory = string_format("%s/memory", directory);
	disk = string_format("%s/disk", directory);
	return 0;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	free(memory);
	free(disk);
	return 0;
}

static json_t *fingerprint_now(void)
{
	struct vm_file file = {.memory = memory, .disk = disk, .format = (char *)"raw"};
	json_t *fingerprint;

	assert_ok(fingerprint_files(&file, &fingerprint));
	return fingerprint;
}

static void changes_are_seen(void **state)
{
	_cleanup_(json_decref_ptr) json_t *before = NULL, *same = NULL, *after = NULL;

	assert_ok(io_replace_file(memory, "m", 1, 0600));
	assert_ok(io_replace_file(disk, "0123456789abcdef", 16, 0600));
	before = fingerprint_now();
	same = fingerprint_now();
	assert_ok(fingerprint_compare(before, same));
	assert_ok(io_replace_file(disk, "0123456789abcdeX", 16, 0600));
	after = fingerprint_now();
	assert_error(fingerprint_compare(before, after), ERROR_CONFLICT);
}

/* The host was booted in between. */
static void numbers_of_file_systems_do_not_count(void **state)
{
	_cleanup_(json_decref_ptr) json_t *before = NULL, *after = NULL;

	assert_ok(io_replace_file(memory, "m", 1, 0600));
	assert_ok(io_replace_file(disk, "0123456789abcdef", 16, 0600));
	before = fingerprint_now();
	after = fingerprint_now();
	json_object_set_new(json_object_get(after, "memory"), "device", json_integer(1));
	json_object_set_new(json_array_get(json_object_get(after, "disk"), 0), "device", json_integer(1));
	assert_ok(fingerprint_compare(before, after));
}

/*
 * A device keeps its name and size when the host boots, and its node nothing else: here it is made anew, elsewhere, and
 * touched. A node of a loop device takes no part in what it leads to.
 */
static void a_device_is_known_by_its_name(void **state)
{
	_cleanup_(free_ptr) char *node = string_format("%s/node", directory);
	_cleanup_(free_ptr) char *other = string_format("%s/other", directory);
	struct vm_file file = {.disk = node, .format = (char *)"raw"};
	_cleanup_(json_decref_ptr) json_t *before = NULL, *after = NULL, *renamed = NULL, *regular = NULL;
	struct stat st;

	if (stat("/dev/loop0", &st) < 0 || !S_ISBLK(st.st_mode))
		skip();
	assert_int_equal(mknod(node, S_IFBLK | 0600, st.st_rdev), 0);
	assert_ok(fingerprint_files(&file, &before));
	assert_int_equal(mknod(other, S_IFBLK | 0600, st.st_rdev), 0);
	file.disk = other;
	assert_ok(fingerprint_files(&file, &renamed));
	assert_error(fingerprint_compare(before, renamed), ERROR_CONFLICT);
	assert_int_equal(rename(other, node), 0);
	file.disk = node;
	assert_ok(fingerprint_files(&file, &after));
	assert_ok(fingerprint_compare(before, after));
	assert_int_equal(unlink(node), 0);
	assert_ok(io_replace_file(node, "", 0, 0600));
	assert_ok(fingerprint_files(&file, &regular));
	assert_error(fingerprint_compare(before, regular), ERROR_CONFLICT);
	assert_error(fingerprint_compare(regular, before), ERROR_CONFLICT);
}

/* A VM that was shut down has none; one that comes or goes makes it another state of the VM. */
static void a_missing_memory_image_counts(void **state)
{
	static char *const names[] = {(char *)"/nonexistent/m", NULL};
	_cleanup_(json_decref_ptr) json_t *slept = NULL;

	assert_ok(io_replace_file(memory, "m", 1, 0600));
	assert_ok(io_replace_file(disk, "0123456789abcdef", 16, 0600));
	slept = fingerprint_now();
	assert_true(fingerprint_has_memory(slept));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct vm_file file = {.memory = names[i], .disk = disk, .format = (char *)"raw"};
		_cleanup_(json_decref_ptr) json_t *shut_down = NULL, *again = NULL;

		assert_ok(fingerprint_files(&file, &shut_down));
		assert_ok(fingerprint_files(&file, &again));
		assert_false(fingerprint_has_memory(shut_down));
		assert_ok(fingerprint_compare(shut_down, again));
		assert_error(fingerprint_compare(slept, shut_down), ERROR_CONFLICT);
		assert_error(fingerprint_compare(shut_down, slept), ERROR_CONFLICT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_seen),
		cmocka_unit_test(numbers_of_file_systems_do_not_count),
		cmocka_unit_test(a_device_is_known_by_its_name),
		cmocka_unit_test(a_missing_memory_image_counts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
