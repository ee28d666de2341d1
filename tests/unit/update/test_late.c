/* SPDX-License-Identifier: Apache-2.0 */
/* What can wait for the guest's next boot, and what of /run is left to do then. */
#include "tests/unit/test.h"

#include <string.h>

#include "update/late.h"

static void packages_by_name(void **state)
{
	static const char *const late[] = {"linux-image-6.1.0-38-cloud-amd64",
					   "linux-image-cloud-amd64",
					   "linux-headers-6.1.0-38-common",
					   "intel-microcode",
					   "amd64-microcode",
					   "firmware-misc-nonfree",
					   "linux-firmware",
					   "grub-pc",
					   "grub2-common",
					   "shim-signed",
					   "systemd-boot"};
	static const char *const now[] = {"libc6",          "linux-libc-dev", "initramfs-tools", "systemd",  "kmod",
					  "openssh-server", "linux-base",     "fwupd",           "microcode"};

	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		assert_true(late_is_package(late[i], strlen(late[i])));
	for (size_t i = 0; i < ARRAY_SIZE(now); i++)
		assert_false(late_is_package(now[i], strlen(now[i])));
	/* So much of it as is given. */
	assert_true(late_is_package("grub-pc:amd64 2.06", 7));
}

static void packages_by_content(void **state)
{
	assert_true(late_is_content("/.\n/usr\n/usr/lib\n/usr/lib/firmware\n/usr/lib/firmware/x.bin\n/usr/share\n"
				    "/usr/share/doc\n/usr/share/doc/x\n/usr/share/doc/x/copyright\n"));
	assert_true(late_is_content("/boot\n/boot/memtest.bin\n/etc\n/etc/grub.d\n/etc/grub.d/20_memtest\n"));
	/* Nothing of it is for the boot. */
	assert_false(late_is_content("/.\n/usr\n/usr/share\n/usr/share/doc\n/usr/share/doc/x\n"));
	assert_false(late_is_content("/boot\n"));
	/* A program or a library that somebody may run now. */
	assert_false(late_is_content("/boot\n/boot/x\n/usr\n/usr/bin\n/usr/bin/x\n"));
	assert_false(late_is_content("/lib/modules/6.1/x.ko\n/usr/lib/x86_64-linux-gnu/libx.so.1\n"));
	/* No such place, although it begins so. */
	assert_false(late_is_content("/usr/lib/modules-load.d/x.conf\n"));
	assert_false(late_is_content("/bootstrap\n"));
	assert_true(late_is_content("diverted by y to: /z\n/boot/x\n"));
	assert_false(late_is_content(""));
}

static void files_that_are_made(void **state)
{
	static const char *const late[] = {"boot/initrd.img-6.1.0-38-cloud-amd64", "boot/grub/grub.cfg", "boot",
					   "var/lib/initramfs-tools/6.1.0-38-cloud-amd64",
					   "lib/modules/6.1.0-38-cloud-amd64/modules.dep"};
	static const char *const now[] = {"boot/vmlinuz-6.1.0-38-cloud-amd64", "boots", "etc/fstab",
					  "var/lib/dpkg/status", "lib/modules/6.1.0-38-cloud-amd64/kernel/fs/x.ko"};
	struct change_list list = {0};

	for (size_t i = 0; i < ARRAY_SIZE(late); i++)
		assert_true(late_is_made(late[i]));
	for (size_t i = 0; i < ARRAY_SIZE(now); i++)
		assert_false(late_is_made(now[i]));
	for (size_t i = 0; i < 4; i++)
		assert_ok(change_list_append(
			&list, (struct change){.kind = CHANGE_DELETE, .path = strdup(i % 2 ? late[i] : now[i])}));
	late_take_out(&list);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.items[0].path, now[0]);
	assert_string_equal(list.items[1].path, now[2]);
	change_list_deinit(&list);
}

static void add(struct action_list *list, const char *verb, const char *path, const char *before, const char *after,
		const char *data)
{
	const struct action borrowed = {.kind = ACTION_RUNTIME,
					.verb = (char *)verb,
					.path = (char *)path,
					.argv = (char *[]){(char *)before, (char *)after, NULL},
					.data = (uint8_t *)data,
					.size = data ? strlen(data) : 0};
	struct action copy;

	assert_ok(action_copy(&borrowed, &copy));
	assert_ok(action_list_append(list, copy));
}

static void what_is_left_below_run(void **state)
{
	_cleanup_(action_list_deinit) struct action_list first = {0}, total = {0}, left = {0};

	add(&first, "write", "/run/same", "absent", "file 1", "x");
	add(&first, "append", "/run/grows", "file 0", "file 1", "one\n");
	add(&first, "write", "/run/changes", "absent", "file 1", "x");
	add(&first, "write", "/run/gone", "absent", "file 1", "x");
	add(&total, "write", "/run/same", "absent", "file 1", "x");
	add(&total, "append", "/run/grows", "file 0", "file 2", "one\ntwo\n");
	add(&total, "write", "/run/changes", "absent", "file 2", "y");
	add(&total, "write", "/run/new", "absent", "file 1", "z");
	assert_ok(late_runtime(&first, &total, &left));
	assert_int_equal(left.n, 3);
	assert_string_equal(left.items[0].path, "/run/grows");
	assert_string_equal(left.items[0].argv[0], "file 1");
	assert_int_equal(left.items[0].size, 4);
	assert_memory_equal(left.items[0].data, "two\n", 4);
	assert_string_equal(left.items[1].path, "/run/changes");
	assert_string_equal(left.items[1].argv[0], "file 1");
	assert_string_equal(left.items[2].path, "/run/new");
	assert_string_equal(left.items[2].argv[0], "absent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packages_by_name),
		cmocka_unit_test(packages_by_content),
		cmocka_unit_test(files_that_are_made),
		cmocka_unit_test(what_is_left_below_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
