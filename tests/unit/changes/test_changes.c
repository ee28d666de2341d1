/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers made by hand: what an overlay's upper directory can hold that the round trip, which
 * uses the kernel's own overlay, does not make, and what no overlay ever made.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "changes/changes.h"

struct fixture {
	char directory[32];
	int lower_fd, upper_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->directory, "/tmp/test-changes.XXXXXX");
	if (!mkdtemp(f->directory) || chdir(f->directory) < 0 || mkdir("lower", 0755) < 0 || mkdir("upper", 0755) < 0)
		return -1;
	f->lower_fd = open("lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->upper_fd = open("upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->lower_fd);
	close(f->upper_fd);
	assert_int_equal(chdir("/"), 0);
	error_destroy(io_remove_tree(f->directory));
	free(f);
	return 0;
}

static void put(const char *path, const char *content)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(content, file);
	fclose(file);
}

static void mark(const char *path, const char *name, const char *value)
{
	assert_int_equal(setxattr(path, name, value, strlen(value), 0), 0);
}

static struct error *capture(struct fixture *f, struct change_list *list)
{
	const struct change_layer layer = {"/", f->lower_fd, f->upper_fd, "trusted.overlay."};

	return changes_read(&layer, 1, NULL, list);
}

/* The only change of that kind and path. */
static const struct change *find(const struct change_list *list, enum change_kind kind, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].kind == kind && strcmp(list->items[i].path, path) == 0)
			return &list->items[i];
	return NULL;
}

static void test_whiteouts_as_attributes(void **state)
{
	struct fixture *f = *state;
	struct change_list list;

	need_root();
	mkdir("lower/d", 0755);
	put("lower/d/gone", "x");
	put("lower/d/empty", "x");
	mkdir("upper/d", 0755);
	mark("upper/d", "trusted.overlay.opaque", "x");
	put("upper/d/gone", "");
	mark("upper/d/gone", "trusted.overlay.whiteout", "y");
	put("upper/d/empty", "");
	put("upper/plain", "");
	/* Not in a directory that is marked: an empty file, as the kernel sees it. */
	mark("upper/plain", "trusted.overlay.whiteout", "y");
	assert_ok(capture(f, &list));
	assert_non_null(find(&list, CHANGE_DELETE, "d/gone"));
	assert_non_null(find(&list, CHANGE_WRITE, "d/empty"));
	assert_non_null(find(&list, CHANGE_WRITE, "plain"));
	assert_int_equal(find(&list, CHANGE_WRITE, "plain")->attributes.n_xattrs, 0);
	change_list_deinit(&list);
}

static void test_escaped_attributes(void **state)
{
	struct fixture *f = *state;
	const struct change *change;
	struct change_list list;

	need_root();
	put("upper/file", "x");
	mark("upper/file", "trusted.overlay.overlay.redirect", "guest's own");
	mark("upper/file", "trusted.overlay.origin", "private");
	mark("upper/file", "user.overlay.origin", "not private here");
	assert_ok(capture(f, &list));
	change = find(&list, CHANGE_WRITE, "file");
	assert_non_null(change);
	assert_int_equal(change->attributes.n_xattrs, 2);
	assert_string_equal(change->attributes.xattrs[0].name, "trusted.overlay.redirect");
	assert_string_equal(change->attributes.xattrs[1].name, "user.overlay.origin");
	change_list_deinit(&list);
}

/* A guest's containers keep overlay layers on its disk: they must come through untouched. */
static void test_marks_below_are_the_guests(void **state)
{
	struct fixture *f = *state;
	const struct change *change;
	struct change_list list;

	need_root();
	mkdir("lower/d", 0755);
	mark("lower/d", "trusted.overlay.opaque", "y");
	assert_int_equal(mknod("lower/d/whiteout", S_IFCHR, makedev(0, 0)), 0);
	mkdir("upper/d", 0700);
	put("upper/d/new", "x");
	assert_ok(capture(f, &list));
	assert_null(find(&list, CHANGE_DELETE, "d/whiteout"));
	change = find(&list, CHANGE_ATTRIBUTES, "d");
	assert_non_null(change);
	assert_int_equal(change->attributes.mode & 07777, 0700);
	assert_int_equal(change->attributes.n_xattrs, 1);
	assert_string_equal(change->attributes.xattrs[0].name, "trusted.overlay.opaque");
	change_list_deinit(&list);
}

static void test_redirects(void **state)
{
	struct fixture *f = *state;
	struct change_list list;

	need_root();
	assert_int_equal(system("mkdir -p lower/a/b/c upper/other upper/a && echo x >lower/a/b/c/file"), 0);
	mark("upper/other", "trusted.overlay.redirect", "/a/b");
	assert_int_equal(mknod("upper/a/b", S_IFCHR, makedev(0, 0)), 0);
	assert_ok(capture(f, &list));
	assert_non_null(find(&list, CHANGE_DIRECTORY, "other"));
	assert_non_null(find(&list, CHANGE_DIRECTORY, "other/c"));
	assert_non_null(find(&list, CHANGE_WRITE, "other/c/file"));
	assert_non_null(find(&list, CHANGE_DELETE, "a/b/c/file"));
	assert_non_null(find(&list, CHANGE_DELETE, "a/b"));
	change_list_deinit(&list);
}

static void refused(struct fixture *f, const char *redirect)
{
	struct change_list list;

	mkdir("lower/a", 0755);
	put("lower/file", "x");
	mkdir("upper/other", 0755);
	mark("upper/other", "trusted.overlay.redirect", redirect);
	assert_error(capture(f, &list), ERROR_FORMAT);
}

static void test_forged_redirects(void **state)
{
	static const char *const redirects[] = {"/../etc", "/a/../..", "..",    "a/b",     "", "/",
						"//a",     "/a/",      "/file", "/absent", "."};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(redirects); i++)
		refused(*state, redirects[i]);
}

static void test_metacopy_is_refused(void **state)
{
	struct fixture *f = *state;
	struct change_list list;

	need_root();
	put("upper/file", "");
	mark("upper/file", "trusted.overlay.metacopy", "");
	assert_error(capture(f, &list), ERROR_FORMAT);
}

static void test_lower_symlinks_are_not_followed(void **state)
{
	struct fixture *f = *state;
	struct change_list list;

	need_root();
	assert_int_equal(symlink("/etc", "lower/d"), 0);
	mkdir("upper/d", 0755);
	put("upper/d/passwd", "x");
	assert_ok(capture(f, &list));
	assert_non_null(find(&list, CHANGE_DIRECTORY, "d"));
	assert_true(find(&list, CHANGE_DIRECTORY, "d")->before.exists);
	assert_non_null(find(&list, CHANGE_WRITE, "d/passwd"));
	assert_false(find(&list, CHANGE_WRITE, "d/passwd")->before.exists);
	change_list_deinit(&list);
}

static void test_order(void **state)
{
	struct fixture *f = *state;
	struct change_list list;
	size_t write, link, delete, last;

	need_root();
	assert_int_equal(system("mkdir -p lower/d upper/d; echo x >lower/d/old; mknod upper/d/old c 0 0;"
				"echo y >upper/d/z; ln upper/d/z upper/d/a"),
			 0);
	assert_ok(capture(f, &list));
	write = (size_t)(find(&list, CHANGE_WRITE, "d/a") - list.items);
	link = (size_t)(find(&list, CHANGE_LINK, "d/z") - list.items);
	delete = (size_t)(find(&list, CHANGE_DELETE, "d/old") - list.items);
	last = (size_t)(find(&list, CHANGE_ATTRIBUTES, "d") - list.items);
	assert_true(write < link && link < delete &&delete < last);
	change_list_deinit(&list);
}

/* What is not carried leaves no trace, but goes with a directory that is deleted. */
static void test_exclusions(void **state)
{
	static const char *const exclude[] = {"/opt/not", NULL};
	struct fixture *f = *state;
	const struct change_layer layer = {"/", f->lower_fd, f->upper_fd, "trusted.overlay."};
	const struct change_options options = {.keep_caches = true, .exclude = exclude};
	struct change_list list;

	need_root();
	assert_int_equal(
		system("mkdir -p upper/run upper/opt/not upper/opt/nothing upper/var/lib/apt/lists upper/var/lib/dpkg;"
		       "touch upper/run/pid upper/opt/not/a upper/opt/nothing/b upper/var/lib/apt/lists/c "
		       "upper/var/lib/dpkg/lock; mkdir -p lower/var/cache/apt/archives;"
		       "touch lower/var/cache/apt/archives/d; mkdir upper/var/cache; mknod upper/var/cache/apt c 0 0"),
		0);
	assert_ok(changes_read(&layer, 1, &options, &list));
	assert_null(find(&list, CHANGE_WRITE, "run/pid"));
	assert_null(find(&list, CHANGE_DIRECTORY, "run"));
	assert_null(find(&list, CHANGE_WRITE, "opt/not/a"));
	assert_null(find(&list, CHANGE_WRITE, "var/lib/dpkg/lock"));
	assert_non_null(find(&list, CHANGE_WRITE, "opt/nothing/b"));
	assert_non_null(find(&list, CHANGE_WRITE, "var/lib/apt/lists/c"));
	assert_non_null(find(&list, CHANGE_DELETE, "var/cache/apt/archives/d"));
	change_list_deinit(&list);
	assert_ok(capture(f, &list));
	assert_null(find(&list, CHANGE_WRITE, "var/lib/apt/lists/c"));
	assert_non_null(find(&list, CHANGE_DELETE, "var/cache/apt/archives/d"));
	change_list_deinit(&list);
}

static void test_further_layer(void **state)
{
	struct fixture *f = *state;
	const struct change_layer layers[] = {{"/", f->lower_fd, f->lower_fd, "trusted.overlay."},
					      {"/boot", f->lower_fd, f->upper_fd, "trusted.overlay."}};
	struct change_list list;
	char byte;
	int fd;

	need_root();
	mkdir("upper/grub", 0755);
	put("upper/grub/file", "y");
	assert_ok(changes_read(layers, 2, NULL, &list));
	assert_non_null(find(&list, CHANGE_DIRECTORY, "boot/grub"));
	assert_non_null(find(&list, CHANGE_ATTRIBUTES, "boot"));
	assert_int_equal(find(&list, CHANGE_WRITE, "boot/grub/file")->layer, 1);
	assert_ok(changes_open_content(layers, 2, find(&list, CHANGE_WRITE, "boot/grub/file"), &fd));
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'y');
	close(fd);
	change_list_deinit(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whiteouts_as_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escaped_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_below_are_the_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forged_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_metacopy_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lower_symlinks_are_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exclusions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_further_layer, setup, teardown),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
