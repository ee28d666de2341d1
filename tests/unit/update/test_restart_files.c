/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's files tell: unit files, and what scripts import. On a small tree. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/unit/test.h"
#include "update/restart.h"
#include "update/restart_imports.h"

static char root[] = "/tmp/ouassister-test-restart-XXXXXX";
static int root_fd;

static void put(const char *path, const char *text)
{
	_cleanup_(free_ptr) char *whole = string_format("%s/%s", root, path);
	_cleanup_(free_ptr) char *directory = strdup(whole);

	*strrchr(directory, '/') = '\0';
	assert_ok(io_mkdirs(directory, 0755));
	assert_ok(io_replace_file(whole, text, strlen(text), 0644));
}

static int setup(void **state)
{
	_cleanup_(free_ptr) char *lib = NULL;

	if (!mkdtemp(root))
		return -1;
	lib = string_format("%s/lib", root);
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	put("usr/lib/systemd/system/ssh.service", "[Service]\nEnvironmentFile=-/etc/default/ssh\n EnvironmentFile = "
						  "/etc/%p/more \n#EnvironmentFile=/etc/not\nType=notify\n");
	put("etc/default/ssh", "SSHD_OPTS=\n");
	put("usr/lib/systemd/system/once.service", "[Service]\nType=oneshot\n");
	put("usr/lib/systemd/system/no.service", "[Unit]\nRefuseManualStop=yes\n");
	put("usr/lib/systemd/system/over.service", "[Service]\nType=simple\n");
	put("etc/systemd/system/over.service", "[Service]\nType=oneshot\n");
	put("usr/lib/systemd/system/echo@.service", "[Service]\nEnvironmentFile=/etc/echo/%i.conf\n");
	put("usr/lib/systemd/system/echo.socket", "[Socket]\nAccept = yes\n");
	put("usr/lib/systemd/system/many@.service", "[Service]\n");
	put("usr/lib/systemd/system/mail-in.service", "[Service]\n");
	put("etc/systemd/system/mail-in.service.d/type.conf", "[Service]\nType=oneshot\n");
	put("etc/init.d/old", "#!/bin/sh\n");
	return symlink("usr/lib", lib);
}

static int teardown(void **state)
{
	close(root_fd);
	assert_ok(io_remove_tree(root));
	return 0;
}

/* What changes: one path, or none. */
static struct restart_unit read_unit(const char *name, const char *path)
{
	struct change change = {.kind = CHANGE_WRITE, .path = (char *)path, .sha256 = {1}};
	struct change_list list = {&change, path ? 1 : 0};
	_cleanup_(restart_changed_deinit) struct restart_changed changed = {0};
	struct restart_unit unit;

	assert_ok(restart_changed_init(&list, NULL, 0, &changed));
	assert_ok(restart_unit_read(root_fd, &changed, name, &unit));
	return unit;
}

static bool changes(const char *name, const char *path)
{
	_cleanup_(restart_unit_deinit) struct restart_unit unit = read_unit(name, path);

	if (unit.changed)
		assert_string_equal(unit.changed, path);
	return unit.changed != NULL;
}

static void a_unit_changes_with_its_files(void **state)
{
	assert_false(changes("ssh.service", NULL));
	assert_true(changes("ssh.service", "usr/lib/systemd/system/ssh.service"));
	assert_true(changes("ssh.service", "etc/systemd/system/ssh.service"));
	assert_true(changes("ssh.service", "etc/systemd/system/ssh.service.d/new.conf"));
	assert_true(changes("ssh.service", "usr/lib/systemd/system/service.d/new.conf"));
	assert_true(changes("ssh.service", "etc/default/ssh"));
	assert_true(changes("ssh.service", "etc/ssh/more"));
	assert_false(changes("ssh.service", "etc/not"));
	assert_false(changes("ssh.service", "etc/systemd/system/ssh.service.d/README"));
	assert_false(changes("ssh.service", "usr/lib/systemd/system/sshd.service"));
	assert_false(changes("ssh.service", "usr/lib/systemd/system/ssh.socket"));
}

static void the_file_that_wins_counts(void **state)
{
	assert_true(changes("over.service", "etc/systemd/system/over.service"));
	assert_false(changes("over.service", "usr/lib/systemd/system/over.service"));
}

static void instances_have_their_templates_files(void **state)
{
	assert_true(changes("many@7.service", "usr/lib/systemd/system/many@.service"));
	assert_true(changes("many@7.service", "etc/systemd/system/many@.service.d/x.conf"));
	assert_true(changes("many@7.service", "etc/systemd/system/many@7.service.d/x.conf"));
	assert_false(changes("many@7.service", "etc/systemd/system/many@8.service.d/x.conf"));
	assert_true(changes("echo@1.service", "etc/echo/1.conf"));
	assert_false(changes("echo@1.service", "etc/echo/2.conf"));
	assert_true(changes("mail-in.service", "etc/systemd/system/mail-.service.d/x.conf"));
}

static void init_scripts_are_units_too(void **state)
{
	assert_true(changes("old.service", "etc/init.d/old"));
	assert_false(changes("ssh.service", "etc/init.d/ssh"));
}

static void unit_files_say_what_a_restart_does(void **state)
{
	_cleanup_(restart_unit_deinit) struct restart_unit ssh = read_unit("ssh.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit once = read_unit("once.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit no = read_unit("no.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit over = read_unit("over.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit mail = read_unit("mail-in.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit echo = read_unit("echo@1.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit many = read_unit("many@1.service", NULL);
	_cleanup_(restart_unit_deinit) struct restart_unit none = read_unit("nobody-knows-it.service", NULL);

	assert_false(ssh.oneshot || ssh.refuses || ssh.one_connection);
	assert_true(once.oneshot);
	assert_true(no.refuses);
	assert_true(over.oneshot);
	assert_true(mail.oneshot);
	assert_true(echo.one_connection);
	assert_false(many.one_connection);
	assert_false(none.oneshot || none.refuses);
}

static void names_that_are_none_are_passed_over(void **state)
{
	assert_false(changes("", "etc/systemd/system/x"));
	assert_false(changes("x", "etc/systemd/system/x"));
	assert_false(changes("../../etc/passwd.service", "etc/passwd.service"));
}

/* --- imports --- */

/* The files that a trace from `path` reads, by name, each followed by a blank. */
static void expect_imports(enum import_language language, const char *path, const char *const *directories,
			   const char *expected)
{
	_cleanup_(imports_deinit) struct imports imports;
	char text[4096] = "";

	imports_init(&imports, root_fd, language);
	for (; *directories; directories++)
		imports_add_directory(&imports, *directories);
	assert_true(imports_add_file(&imports, path));
	imports_follow(&imports);
	assert_false(imports.cut);
	for (unsigned i = 0; i < imports.queue->len; i++) {
		strcat(text, g_ptr_array_index(imports.queue, i));
		strcat(text, " ");
	}
	assert_string_equal(text, expected);
}

static void python_imports_are_followed(void **state)
{
	static const char *const directories[] = {"/srv/app", "usr/lib/python3/dist-packages", NULL};

	put("srv/app/main", "#!/usr/bin/python3\nimport os, beside as b, pkg.deep\n  from pkg import (one,\n    two)\n"
			    "from nowhere import x\nimportant = 1\nfrom fromage\n# import commented\n");
	put("srv/app/beside.py", "import main\n");
	put("usr/lib/python3/dist-packages/pkg/__init__.py", "from . import hidden\n");
	put("usr/lib/python3/dist-packages/pkg/deep.py", "from ..pkg.two import *\n");
	put("usr/lib/python3/dist-packages/pkg/one.py", "");
	put("usr/lib/python3/dist-packages/pkg/two.py", "");
	put("usr/lib/python3/dist-packages/pkg/hidden.py", "import commented");
	put("usr/lib/python3/dist-packages/commented.py", "");
	put("usr/lib/python3/dist-packages/unused.py", "");
	expect_imports(IMPORTS_OF_PYTHON, "/srv/app/main", directories,
		       "srv/app/main srv/app/beside.py usr/lib/python3/dist-packages/pkg/__init__.py "
		       "usr/lib/python3/dist-packages/pkg/deep.py usr/lib/python3/dist-packages/pkg/one.py "
		       "usr/lib/python3/dist-packages/pkg/two.py usr/lib/python3/dist-packages/pkg/hidden.py "
		       "usr/lib/python3/dist-packages/commented.py ");
}

static void perl_imports_are_followed(void **state)
{
	static const char *const directories[] = {"usr/share/perl5", NULL};

	put("usr/sbin/foo", "#!/usr/bin/perl\nuse strict;\nuse lib '/srv/perl';\nuse A::B qw(X Y);\n"
			    "use parent -norequire, 'Base::Of';\nuse 5.010;\n  if (eval { require Late; 1 }) {\n# use "
			    "Hidden;\nrequire \"plain.pl\";\n"
			    "=pod\n\nuse Hidden;\n\n=cut\nuse Mine;\n__END__\nuse Hidden;\n");
	put("usr/share/perl5/A/B.pm", "use Late;\n");
	put("usr/share/perl5/Base/Of.pm", "");
	put("usr/share/perl5/Late.pm", "");
	put("usr/share/perl5/Hidden.pm", "");
	put("usr/share/perl5/plain.pl", "");
	put("srv/perl/Mine.pm", "");
	expect_imports(IMPORTS_OF_PERL, "/usr/sbin/foo", directories,
		       "usr/sbin/foo usr/share/perl5/A/B.pm usr/share/perl5/Base/Of.pm usr/share/perl5/Late.pm "
		       "usr/share/perl5/plain.pl srv/perl/Mine.pm ");
}

static void links_lead_to_the_file_itself(void **state)
{
	_cleanup_(imports_deinit) struct imports imports;

	imports_init(&imports, root_fd, IMPORTS_OF_PYTHON);
	assert_true(imports_add_file(&imports, "/lib/python3/dist-packages/pkg/one.py"));
	assert_true(imports_add_file(&imports, "/usr/lib/python3/dist-packages/pkg/one.py"));
	assert_false(imports_add_file(&imports, "/usr/lib/python3/dist-packages/pkg"));
	assert_false(imports_add_file(&imports, "/nowhere"));
	assert_int_equal(imports.queue->len, 1);
}

static void text_that_is_no_program_is_harmless(void **state)
{
	static const char *const texts[] = {"import",
					    "from",
					    "import ,,,\nfrom ....... import",
					    "from (\n(\n(",
					    "from a import (b\nimport c",
					    "import a.\nfrom .b import .",
					    "use ",
					    "require \"",
					    "use lib '",
					    "from\t\t",
					    "=cut\nuse A::::B",
					    "import \xff\xfe",
					    "from a import \\\n b"};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(texts); i++) {
		_cleanup_(imports_deinit) struct imports imports;
		_cleanup_(free_ptr) char *text = strdup(texts[i / 2]);

		imports_init(&imports, root_fd, i % 2 ? IMPORTS_OF_PERL : IMPORTS_OF_PYTHON);
		imports_add_directory(&imports, "/usr/lib");
		imports_read_text(&imports, "x/y.py", text);
		assert_int_equal(imports.queue->len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_changes_with_its_files),
		cmocka_unit_test(the_file_that_wins_counts),
		cmocka_unit_test(instances_have_their_templates_files),
		cmocka_unit_test(init_scripts_are_units_too),
		cmocka_unit_test(unit_files_say_what_a_restart_does),
		cmocka_unit_test(names_that_are_none_are_passed_over),
		cmocka_unit_test(python_imports_are_followed),
		cmocka_unit_test(perl_imports_are_followed),
		cmocka_unit_test(links_lead_to_the_file_itself),
		cmocka_unit_test(text_that_is_no_program_is_harmless),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
