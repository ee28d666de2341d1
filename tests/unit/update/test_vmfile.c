/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "tests/unit/test.h"
#include "update/vmfile.h"

static char directory[] = "/tmp/ouassister-test-vmfile-XXXXXX";

#define GOOD_VM   "# a comment\n[vm]\ndriver = qemu\nmemory = web1.mig\ndisk = /disks/web1.qcow2\nformat = qcow2\n"
#define GOOD_QEMU "[qemu]\ncommand = qemu-system-x86_64 -m 512 -name 'a b'\nqmp = web1.qmp\n"
#define GOOD      GOOD_VM GOOD_QEMU

static int setup(void **state)
{
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	assert_ok(io_remove_tree(directory));
	return 0;
}

static char *write_file(const char *name, const char *text)
{
	char *path = string_format("%s/%s", directory, name);

	assert_ok(io_replace_file(path, text, strlen(text), 0600));
	return path;
}

static void reads_everything(void **state)
{
	_cleanup_(free_ptr) char *path =
		write_file("web1.vm", GOOD "[channel]\ntype = ssh\nssh = root@10.0.0.2\nport = 2222\nkey = id\n"
					   "[update]\nproxy = http://proxy:3128\napt-options = A::B=1;C::D=2\n");
	_cleanup_(free_ptr) char *memory = string_format("%s/web1.mig", directory);
	_cleanup_(free_ptr) char *key = string_format("%s/id", directory);
	struct vm_file file;

	assert_ok(vm_file_load("/nonexistent", path, &file));
	assert_string_equal(file.name, "web1");
	assert_string_equal(file.directory, directory);
	assert_string_equal(file.memory, memory);
	assert_string_equal(file.disk, "/disks/web1.qcow2");
	assert_string_equal(file.command[4], "a b");
	assert_null(file.command[5]);
	assert_int_equal(file.channel, CHANNEL_SSH);
	assert_string_equal(file.key, key);
	assert_string_equal(file.apt_options[1], "C::D=2");
	vm_file_deinit(&file);
	assert_ok(vm_file_load(directory, "web1", &file));
	vm_file_deinit(&file);
}

static void bad_files_are_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"driver = qemu\n",
		GOOD_VM,
		GOOD_QEMU,
		GOOD "[vm]\ncolour = red\n",
		GOOD "[colour]\n",
		GOOD "[channel]\ntype = agent\n",
		GOOD "[channel]\ntype = ssh\n",
		GOOD "[channel]\ntype = telepathy\n",
		GOOD "[channel]\ntype = ssh\nssh = -oProxyCommand=x\n",
		GOOD "[channel]\ntype = ssh\nssh = root@h\nport = 22x\n",
		GOOD "[channel]\ntype = ssh\nssh = root@a b\n",
		GOOD "[channel]\ntype = ssh\nssh = @h\n",
		GOOD "[channel]\ntype = ssh\nssh = root@\n",
		GOOD "[channel]\ntype = ssh\nssh = root@-h\n",
		GOOD "[update]\napt-options = =1\n",
		GOOD "[update]\napt-options = --force\n",
		GOOD_VM "[qemu]\ncommand = qemu 'unfinished\nqmp = q\n",
		"[vm]\ndriver = vmware\nmemory = m\ndisk = d\nformat = qcow2\n" GOOD_QEMU,
		"[vm]\ndriver = qemu\nmemory = m\ndisk = d\nformat = vmdk\n" GOOD_QEMU,
		"[vm]\ndriver = qemu\nmemory = m\ndisk = d\nformat = qcow2\ngate = ajar\n" GOOD_QEMU,
		GOOD "[vm]\ndisk = other\n",
		GOOD "[channel]\ntype = none\n  type=none\n",
		GOOD "[update]\nverify-key =\n",
		GOOD "[update]\napt-options = \n",
		GOOD "[channel]\ntype = ssh\nssh = root@h\nport = 99999\n",
		GOOD "[channel]\ntype = ssh\nssh = root@h\nport = 0\n",
		GOOD "[update]\nproxy = http://\n",
		GOOD "[update]\nproxy = http://:3128\n",
		GOOD "[update]\nproxy = http://proxy:\n",
		GOOD "[update]\nproxy = http://proxy:99999\n",
		GOOD "[update]\nproxy = http://proxy:31x\n",
		GOOD "[update]\nproxy = http://pro xy:3128\n",
		GOOD "[update]\nproxy = http://[::1:3128\n",
		GOOD "[update]\nproxy = http://proxy:3128/path\n",
		GOOD "[update]\nproxy = proxy:3128\n",
		GOOD_VM "[qemu]\ncommand = \"\"\nqmp = q\n",
		GOOD_VM "[qemu]\ncommand = '' -m 512\nqmp = q\n",
		"[vm]\ndriver = libvirt\n",
		"[vm]\ndriver = libvirt\ndisk = d\n[libvirt]\ndomain = d\n",
		"[vm]\ndriver = libvirt\n[libvirt]\ndomain = d\n[qemu]\nqmp = q\n",
		"[vm]\ndriver = libvirt\n[libvirt]\ndomain = d\n[channel]\nagent = a\n",
		GOOD "[libvirt]\ndomain = d\n",
		"[vm]\ndriver = qemu # comment\nmemory = m\ndisk = d\nformat = qcow2\n" GOOD_QEMU,
	};
	struct vm_file file;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(free_ptr) char *path = write_file("bad.vm", cases[i]);

		assert_error(vm_file_load("/", path, &file), ERROR_USAGE);
	}
}

static void good_values_are_taken(void **state)
{
	static const char *const cases[] = {
		GOOD "[update]\nproxy = http://proxy\n",
		GOOD "[update]\nproxy = https://proxy.example:3128/\n",
		GOOD "[update]\nproxy = http://user:p%40ss@10.0.0.1:3128\n",
		GOOD "[update]\nproxy = http://[fe80::1]:3128\n",
		GOOD "[channel]\ntype = ssh\nssh = root@h\nport = 65535\n",
		/* Groups may be in parts; names are told apart by their group. */
		GOOD "[channel]\ntype = ssh\n[update]\nkeep = 7d\n[channel]\nssh = root@h\nkey = id\n",
		GOOD "[update]\n# keep = 1d\nkeep = 7d\n#keep = 2d\n",
	};
	struct vm_file file;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(free_ptr) char *path = write_file("good.vm", cases[i]);

		assert_ok(vm_file_load("/", path, &file));
		vm_file_deinit(&file);
	}
}

/* GLib ends a value at a NUL. */
static void bytes_are_no_text(void **state)
{
	static const char text[] = GOOD "[update]\nkeep = 7d\0x\n";
	_cleanup_(free_ptr) char *path = string_format("%s/nul.vm", directory);
	struct vm_file file;

	assert_ok(io_replace_file(path, text, sizeof(text) - 1, 0600));
	assert_error(vm_file_load("/", path, &file), ERROR_USAGE);
}

#define CASE(text) text, sizeof(text) - 1

static void sources_are_looked_at(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		bool taken;
	} cases[] = {
		{CASE("deb http://a b main\n"), true},
		{CASE("# none\n \n\t# neither\n"), false},
		{CASE(""), false},
		{CASE("deb http://a b main\n\0x"), false},
		{CASE("deb http://a.example/debian b main contrib\n"), false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_file file = {.path = (char *)"web1.vm"};
		char *text = NULL;

		file.sources = string_format("%s/sources.list", directory);
		assert_ok(io_replace_file(file.sources, cases[i].text, cases[i].size, 0600));
		if (cases[i].taken)
			assert_ok(vm_file_read_sources(&file, 40, &text));
		else
			assert_error(vm_file_read_sources(&file, 40, &text), ERROR_USAGE);
		assert_int_equal(text != NULL, cases[i].taken);
		free(text);
		free(file.sources);
	}
}

static void an_unknown_key_is_named_with_its_file(void **state)
{
	_cleanup_(free_ptr) char *path = write_file("named.vm", GOOD "[channel]\nagnet = x\n");
	struct vm_file file;
	struct error *error = vm_file_load("/", path, &file);

	assert_non_null(error);
	assert_non_null(strstr(error->message, "agnet"));
	assert_non_null(strstr(error->message, path));
	error_destroy(error);
}

static void names_are_checked(void **state)
{
	_cleanup_(free_ptr) char *path = write_file("bad name.vm", GOOD);
	struct vm_file file;

	assert_error(vm_file_load("/", path, &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "nosuch", &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "", &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "xen:web1", &file), ERROR_USAGE);
}

/* Before libvirt is asked. */
static void domains_are_named(void **state)
{
	_cleanup_(free_ptr) char *path = write_file("far.vm", "[vm]\ndriver = libvirt\n[libvirt]\ndomain = web1\n"
							      "uri = qemu+ssh://elsewhere/system\n");
	struct vm_file file;

	assert_error(vm_file_load(directory, "libvirt:", &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "libvirt:qemu:///system", &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "libvirt:qemu:///system#", &file), ERROR_USAGE);
	assert_error(vm_file_load(directory, "libvirt:qemu+ssh://elsewhere/system#web1", &file), ERROR_UNSUPPORTED);
	assert_error(vm_file_load(directory, "libvirt:qemu://elsewhere/system#web1", &file), ERROR_UNSUPPORTED);
	assert_error(vm_file_load(directory, "libvirt:lxc:///system#web1", &file), ERROR_UNSUPPORTED);
	assert_error(vm_file_load(directory, path, &file), ERROR_UNSUPPORTED);
	assert_true(vm_file_is_there("libvirt:web1"));
	assert_true(vm_file_is_there(path));
	assert_false(vm_file_is_there("/nonexistent/web1.vm"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_everything),      cmocka_unit_test(bad_files_are_refused),
		cmocka_unit_test(good_values_are_taken), cmocka_unit_test(bytes_are_no_text),
		cmocka_unit_test(sources_are_looked_at), cmocka_unit_test(an_unknown_key_is_named_with_its_file),
		cmocka_unit_test(names_are_checked),     cmocka_unit_test(domains_are_named),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
