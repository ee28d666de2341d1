/* SPDX-License-Identifier: Apache-2.0 */
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
		cmocka_unit_test(a_missing_memory_image_counts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
