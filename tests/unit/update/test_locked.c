/* SPDX-License-Identifier: Apache-2.0 */
/* Needs root, and a directory below the working one on a file system that has chattr(1). */
#include "update/locked.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define TREE "/var/tmp/locked-test"

static int unlock(void **state)
{
	(void)state;
	return system("chattr -R -i -a " TREE " 2>/dev/null; rm -rf " TREE);
}

static int make_tree(void **state)
{
	if (geteuid() != 0)
		return 0;
	if (unlock(state))
		return -1;
	return system("mkdir -p " TREE "/etc " TREE "/fixed " TREE "/log; cd " TREE
		      "; touch etc/a etc/b fixed/c log/d\n"
		      "ln -s a etc/link; mkfifo etc/pipe; chattr +i etc/a fixed && chattr +a log/d");
}

static struct error *refuse(const char *path, mode_t type)
{
	struct change change = {.kind = CHANGE_WRITE,
				.path = (char *)path,
				.before = {.exists = type != 0, .attributes.mode = type | 0644}};
	const struct change_list list = {.items = &change, .n = 1};
	int fd = open(TREE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct error *error = locked_refuse(fd, &list);

	close(fd);
	return error;
}

static void what_is_locked_is_refused(void **state)
{
	need_root();
	assert_error(refuse("etc/a", S_IFREG), ERROR_CONFLICT);
	assert_error(refuse("log/d", S_IFREG), ERROR_CONFLICT);
	/* The directory takes no name, and gives none away. */
	assert_error(refuse("fixed/new", 0), ERROR_CONFLICT);
	assert_error(refuse("fixed/c", S_IFREG), ERROR_CONFLICT);
	assert_error(refuse("fixed", S_IFDIR), ERROR_CONFLICT);
}

static void what_is_not_passes(void **state)
{
	need_root();
	assert_ok(refuse("etc/b", S_IFREG));
	assert_ok(refuse("etc/new", 0));
	assert_ok(refuse("etc", S_IFDIR));
	assert_ok(refuse("", S_IFDIR));
	assert_ok(refuse("new/below/it", 0));
	/* Never through a link, and a pipe is not waited at. */
	assert_ok(refuse("etc/link", S_IFLNK));
	assert_ok(refuse("etc/pipe", S_IFIFO));
	assert_ok(refuse("etc/b/c", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_locked_is_refused, make_tree, unlock),
		cmocka_unit_test_setup_teardown(what_is_not_passes, make_tree, unlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
