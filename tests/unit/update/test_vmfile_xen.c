/* SPDX-License-Identifier: Apache-2.0 */
/* Saved domains of Xen's in place of VM files. The files are made, and hold a configuration but no memory. */
#include <endian.h>

#include "base/io.h"
#include "tests/unit/test.h"
#include "update/vmfile.h"

static char directory[] = "/tmp/ouassister-test-vmfile-xen-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(directory) && setenv("OUASSISTER_XEN_SAVE_DIR", directory, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return 0;
}

/* A file of `xl save`'s with this configuration, and nothing behind it. */
static char *write_save(const char *name, const char *config)
{
	char *path = string_format("%s/%s", directory, name);
	uint32_t size = (uint32_t)strlen(config) + 1;
	const uint32_t fields[] = {htole32(0x01020304), htole32(3), 0, htole32(size + 4), htole32(size)};
	uint8_t bytes[4096] = "Xen saved domain, xl format\n \0 \r";

	assert_true(32 + sizeof(fields) + size <= sizeof(bytes));
	memcpy(bytes + 32, fields, sizeof(fields));
	memcpy(bytes + 32 + sizeof(fields), config, size);
	assert_ok(io_replace_file(path, bytes, 32 + sizeof(fields) + size, 0600));
	return path;
}

#define INFO         "\"c_info\": {\"type\": \"pv\", \"name\": \"web1\", \"uuid\": \"3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d11\"}"
#define DISK(fields) "{\"pdev_path\": \"/dev/vg/web1\", \"vdev\": \"xvda\", \"format\": \"raw\", " fields "}"
#define CDROM        "{\"pdev_path\": \"/srv/cd.iso\", \"vdev\": \"hdc\", \"format\": \"raw\", \"is_cdrom\": 1}"

static void by_path_and_by_name(void **state)
{
	_cleanup_(free_ptr) char *path =
		write_save("web1", "{" INFO ", \"disks\": [" CDROM ", " DISK("\"readwrite\": 1") "]}");
	static const char *const names[] = {NULL, "xen:web1"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct vm_settings settings;
		struct vm_file file;

		assert_ok(vm_file_load("/nonexistent", names[i] ? names[i] : path, &file));
		assert_string_equal(file.driver, "xen");
		assert_string_equal(file.name, "web1");
		assert_string_equal(file.domain, "web1");
		assert_string_equal(file.uuid, "3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d11");
		assert_string_equal(file.memory, path);
		assert_string_equal(file.disk, "/dev/vg/web1");
		assert_string_equal(file.format, "raw");
		assert_int_equal(file.channel, CHANNEL_NONE);
		settings = vm_file_settings(&file, NULL);
		assert_string_equal(settings.uuid, file.uuid);
		vm_file_deinit(&file);
	}
}

static void odd_names(void **state)
{
	_cleanup_(free_ptr) char *path = write_save(
		"odd",
		"{\"c_info\": {\"name\": \"-a b/c\", \"uuid\": \"u\"}, \"disks\": [" DISK("\"readwrite\": 1") "]}");
	struct vm_file file;

	assert_ok(vm_file_load("/nonexistent", path, &file));
	assert_string_equal(file.name, "xa_b_c");
	assert_string_equal(file.domain, "-a b/c");
	vm_file_deinit(&file);
}

static void bad_saves_are_refused(void **state)
{
	static const struct {
		const char *config;
		enum error_code code;
	} cases[] = {
		{"", ERROR_FORMAT},
		{"no JSON", ERROR_FORMAT},
		{"[]", ERROR_FORMAT},
		{"{}", ERROR_FORMAT},
		{"{\"c_info\": 7}", ERROR_FORMAT},
		{"{" INFO "}", ERROR_UNSUPPORTED},
		{"{" INFO ", \"disks\": 7}", ERROR_UNSUPPORTED},
		{"{" INFO ", \"disks\": [7, " CDROM "]}", ERROR_UNSUPPORTED},
		{"{" INFO ", \"disks\": [{\"readwrite\": 1}]}", ERROR_UNSUPPORTED},
		{"{" INFO ", \"disks\": [{\"readwrite\": 1, \"pdev_path\": \"iqn.2001-05:a\"}]}", ERROR_UNSUPPORTED},
		{"{" INFO ", \"disks\": [{\"readwrite\": 1, \"pdev_path\": \"/a\", \"format\": \"vhd\"}]}",
		 ERROR_UNSUPPORTED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(free_ptr) char *path = write_save("bad", cases[i].config);
		struct vm_file file;

		assert_error(vm_file_load("/nonexistent", path, &file), cases[i].code);
	}
}

#define GOOD                                                                                                           \
	"{" INFO                                                                                                       \
	", \"disks\": [" DISK("\"readwrite\": 1") ", {\"readwrite\": 1, \"pdev_path\": \"/b\", \"vdev\": \"xvdb\"}]}"

static void vm_file(void **state)
{
	static const struct {
		const char *text;
		const char *disk, *format;
	} cases[] = {
		{"[vm]\ndriver = xen\nmemory = saved\n", "/dev/vg/web1", "raw"},
		{"[vm]\ndriver = xen\nmemory = saved\n[xen]\ndomain = web1\ntarget = xvdb\n", "/b", "raw"},
		{"[vm]\ndriver = xen\nmemory = saved\ndisk = /copy\nformat = qcow2\n", "/copy", "qcow2"},
		/* It was woken since: what it is said by its spent image. */
		{"[vm]\ndriver = xen\nmemory = woken\n", "/dev/vg/web1", "raw"},
	};
	_cleanup_(free_ptr) char *saved = write_save("saved", GOOD);
	_cleanup_(free_ptr) char *spent = write_save("woken.spent", GOOD);
	_cleanup_(free_ptr) char *path = string_format("%s/guest.vm", directory);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_file file;

		assert_ok(io_replace_file(path, cases[i].text, strlen(cases[i].text), 0600));
		assert_ok(vm_file_load("/nonexistent", path, &file));
		assert_string_equal(file.name, "guest");
		assert_string_equal(file.domain, "web1");
		assert_non_null(file.uuid);
		assert_string_equal(file.disk, cases[i].disk);
		assert_string_equal(file.format, cases[i].format);
		assert_string_equal(file.path, path);
		vm_file_deinit(&file);
	}
}

static void bad_vm_files_are_refused(void **state)
{
	static const struct {
		const char *text;
		enum error_code code;
	} cases[] = {
		{"[vm]\ndriver = xen\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = nowhere\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = saved\ndisk = /copy\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = saved\nformat = vhd\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = saved\n[qemu]\nqmp = x\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = saved\n[xen]\ndomain = other\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = saved\n[xen]\ntarget = xvdz\n", ERROR_USAGE},
		{"[vm]\ndriver = xen\nmemory = guest.vm\n", ERROR_FORMAT},
		/* Neither saved nor running: this host is no dom0. */
		{"[vm]\ndriver = xen\nmemory = nowhere\n[xen]\ndomain = web1\n", ERROR_NOT_FOUND},
	};
	_cleanup_(free_ptr) char *saved = write_save("saved", GOOD);
	_cleanup_(free_ptr) char *path = string_format("%s/guest.vm", directory);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_file file;

		assert_ok(io_replace_file(path, cases[i].text, strlen(cases[i].text), 0600));
		assert_error(vm_file_load("/nonexistent", path, &file), cases[i].code);
	}
}

static void names_without_a_file(void **state)
{
	static const char *const names[] = {"xen:", "xen:no-such", "xen:../web1", "xen:.hidden"};
	struct vm_file file;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_error(vm_file_load("/nonexistent", names[i], &file), ERROR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_path_and_by_name),      cmocka_unit_test(odd_names),
		cmocka_unit_test(bad_saves_are_refused),    cmocka_unit_test(vm_file),
		cmocka_unit_test(bad_vm_files_are_refused), cmocka_unit_test(names_without_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
