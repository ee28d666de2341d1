/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest without memory will be called, and which of its services are left alone. */
#include "../test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "update/restart.h"
#include "update/shut_down.h"
#include "update/sleeping.h"

static char directory[] = "/tmp/test-shut-down.XXXXXX";

static int setup(void **state)
{
	char path[64];

	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/boot", directory);
	if (mkdir(path, 0755) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/etc", directory);
	return mkdir(path, 0755);
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return 0;
}

static void write_file(const char *name, const void *data, size_t size)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	assert_non_null(path);
	assert_ok(io_replace_file(path, data, size, 0644));
}

/* An x86 kernel as far as its header goes. */
static void write_kernel(const char *name, const char *text, uint16_t offset)
{
	uint8_t kernel[65536] = {0};

	memcpy(kernel + 0x202, "HdrS", 4);
	kernel[0x20e] = (uint8_t)offset;
	kernel[0x20f] = (uint8_t)(offset >> 8);
	strcpy((char *)kernel + 0x3200, text);
	write_file(name, kernel, sizeof(kernel));
}

static bool find(struct guest_uts *ret)
{
	_cleanup_(close_fd) int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool known;

	assert_ok(shut_down_uts(root, ret, &known));
	return known;
}

static void the_newest_kernel_is_the_next_boot(void **state)
{
	struct guest_uts uts;

	assert_false(find(&uts));
	assert_string_equal(uts.nodename, "localhost");
	write_file("etc/hostname", "# a comment\nweb1\n", 17);
	write_kernel("boot/vmlinuz-6.1.0-9-amd64", "6.1.0-9-amd64 (a@b) #1 SMP Debian 6.1.27-1", 0x3000);
	write_kernel("boot/vmlinuz-6.1.0-10-amd64", "6.1.0-10-amd64 (a@b) #2 SMP Debian 6.1.38-1", 0x3000);
	assert_true(find(&uts));
	assert_string_equal(uts.release, "6.1.0-10-amd64");
	assert_string_equal(uts.version, "#2 SMP Debian 6.1.38-1");
	assert_string_equal(uts.nodename, "web1");
	assert_string_equal(uts.sysname, "Linux");
}

static void what_is_no_kernel_is_passed_over(void **state)
{
	struct guest_uts uts;
	char text[200];

	write_file("boot/vmlinuz-short", "HdrS", 4);
	write_kernel("boot/vmlinuz-9-no-version", "9-no-version", 0x3000);
	write_kernel("boot/vmlinuz-9-beyond", "9-beyond (a) #1", 0xfff0);
	memset(text, '9', sizeof(text) - 1);
	memcpy(text + sizeof(text) - 4, " #1", 4);
	write_kernel("boot/vmlinuz-9-long", text, 0x3000);
	assert_true(find(&uts));
	assert_string_equal(uts.release, "6.1.0-10-amd64");
}

static void held_services_are_found_by_name_and_template(void **state)
{
	_cleanup_(json_decref_ptr) json_t *held =
		json_pack("[{s:s}, {s:s}, {s:i}]", "name", "dbus.service", "name", "user@.service", "name", 3);

	assert_non_null(restart_held_find(held, "dbus.service"));
	assert_non_null(restart_held_find(held, "user@1000.service"));
	assert_non_null(restart_held_find(held, "user@.service"));
	assert_null(restart_held_find(held, "user.service"));
	assert_null(restart_held_find(held, "users@1000.service"));
	assert_null(restart_held_find(held, "cron.service"));
	assert_null(restart_held_find(held, "x@"));
	assert_null(restart_held_find(NULL, "dbus.service"));
}

static void a_mistyped_memory_is_no_shutdown(void **state)
{
	static const struct {
		const char *type;
		enum disk_unmounted unmounted;
		bool with_key, without_key;
	} cases[] = {
		{"ext4", DISK_UNMOUNTED_YES, true, true},     {"ext4", DISK_UNMOUNTED_NO, false, false},
		{"xfs", DISK_UNMOUNTED_UNKNOWN, false, true}, {"btrfs", DISK_UNMOUNTED_UNKNOWN, false, true},
		{"btrfs", DISK_UNMOUNTED_NO, false, false},   {"vfat", DISK_UNMOUNTED_UNKNOWN, true, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct disk_mount mount = {.type = (char *)cases[i].type, .unmounted = cases[i].unmounted};

		assert_int_equal(sleeping_mount_is_let_go(&mount, true), cases[i].with_key);
		assert_int_equal(sleeping_mount_is_let_go(&mount, false), cases[i].without_key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_kernel_is_the_next_boot),
		cmocka_unit_test(what_is_no_kernel_is_passed_over),
		cmocka_unit_test(held_services_are_found_by_name_and_template),
		cmocka_unit_test(a_mistyped_memory_is_no_shutdown),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
