/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "update/live_changes.h"

static void test_holders(void **state)
{
	struct guest_fd fd = {.flags = O_WRONLY | O_APPEND, .inode = 7, .path = (char *)"/var/lib/x"};
	struct guest_map map = {.perms = "rw-s", .inode = 7, .path = (char *)"/var/lib/x"};

	assert_true(live_is_written(&fd));
	fd.flags = O_RDONLY;
	assert_false(live_is_written(&fd));
	fd = (struct guest_fd){.flags = O_RDWR, .inode = 7, .path = (char *)"/var/lib/x (deleted)"};
	assert_false(live_is_written(&fd));
	fd.path = (char *)"socket:[7]";
	assert_false(live_is_written(&fd));
	fd.path = NULL;
	assert_false(live_is_written(&fd));

	assert_true(live_is_mapped(&map));
	strcpy(map.perms, "rw-p");
	assert_false(live_is_mapped(&map));
	strcpy(map.perms, "r--s");
	assert_false(live_is_mapped(&map));
}

static struct shadow_live_file files[] = {
	{"/boot/seven", 7, "a (process 1)", "/boot"},
	{"/var/log/seven", 7, "b (process 2)", "/"},
	{"/var/lib/nine", 9, "c (process 3)", "/"},
};
static const struct live live = {.items = files, .n = 3};
static const struct change_layer layers[] = {{.target = "/"}, {.target = "/boot"}};

static struct change make(enum change_kind kind, const char *path, uint64_t inode)
{
	struct change change = {.kind = kind, .path = (char *)path};

	change.before = (struct change_preimage){.exists = inode != 0, .inode = inode};
	change.before.attributes.mode = S_IFREG | 0644;
	change.attributes.mode = S_IFREG | 0644;
	return change;
}

static const char *hit(struct change change)
{
	const struct shadow_live_file *file = live_hit(&live, layers, 2, &change);

	return file ? file->path : "none";
}

static void test_hits(void **state)
{
	struct change link = make(CHANGE_LINK, "elsewhere", 0);

	assert_string_equal(hit(make(CHANGE_WRITE, "var/lib/nine", 9)), "/var/lib/nine");
	/* Another name of the same file. */
	assert_string_equal(hit(make(CHANGE_DELETE, "var/lib/other", 9)), "/var/lib/nine");
	/* One number, two file systems. */
	assert_string_equal(hit(make(CHANGE_SYMLINK, "var/x", 7)), "/var/log/seven");
	assert_string_equal(hit(make(CHANGE_WRITE, "boot/x", 7)), "/boot/seven");
	assert_string_equal(hit(make(CHANGE_WRITE, "bootx", 7)), "/var/log/seven");
	assert_string_equal(hit(make(CHANGE_WRITE, "boot/x", 9)), "none");
	assert_string_equal(hit(make(CHANGE_WRITE, "new", 0)), "none");
	assert_string_equal(hit(make(CHANGE_ATTRIBUTES, "var/lib/nine", 9)), "none");
	link.target = (char *)"var/lib/nine";
	assert_string_equal(hit(link), "/var/lib/nine");
}

static void test_attributes(void **state)
{
	struct change change = make(CHANGE_ATTRIBUTES, "var/lib/nine", 9);
	struct change_list list = {0};
	struct action_list actions = {0};
	struct live_conflict conflict;

	change.path = strdup(change.path);
	change.attributes.mode = S_IFREG | 0600;
	assert_null(change_list_append(&list, change));
	assert_null(live_resolve(&live, layers, 2, &list, &actions, NULL, &conflict));
	assert_null(conflict.file);
	assert_int_equal(list.n, 0);
	assert_int_equal(actions.n, 1);
	assert_string_equal(actions.items[0].argv[0], "chmod");
	assert_string_equal(actions.items[0].argv[1], "600");
	assert_string_equal(actions.items[0].argv[2], "/var/lib/nine");
	action_list_deinit(&actions);
	change_list_deinit(&list);
}

static void test_conflict(void **state)
{
	struct change change = make(CHANGE_WRITE, "var/lib/nine", 9);
	struct change_list list = {0};
	struct action_list actions = {0};
	struct live_conflict conflict;

	change.path = strdup(change.path);
	assert_null(change_list_append(&list, change));
	assert_null(live_resolve(&live, layers, 2, &list, &actions, NULL, &conflict));
	assert_string_equal(conflict.file->path, "/var/lib/nine");
	assert_int_equal(list.n, 1);
	assert_int_equal(actions.n, 0);
	change_list_deinit(&list);
}

static void test_only_grew(void **state)
{
	_cleanup_(close_fd) int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t digest[SHA256_SIZE];
	bool grew;

	assert_int_equal(write(fd, "one\n", 4), 4);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_null(sha256_fd(fd, "log", digest));
	assert_int_equal(pwrite(fd, "two\n", 4, 4), 4);
	assert_null(live_only_grew(fd, 4, digest, &grew));
	assert_true(grew);
	assert_int_equal(pwrite(fd, "O", 1, 0), 1);
	assert_null(live_only_grew(fd, 4, digest, &grew));
	assert_false(grew);
	assert_int_equal(ftruncate(fd, 2), 0);
	assert_null(live_only_grew(fd, 4, digest, &grew));
	assert_false(grew);
}

/* The same path in a container hides nothing. */
static void test_seen(void **state)
{
	GHashTable *seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

	assert_true(live_is_new(seen, "/var/lib/nine", 9));
	assert_false(live_is_new(seen, "/var/lib/nine", 9));
	assert_true(live_is_new(seen, "/var/lib/nine", 10));
	assert_true(live_is_new(seen, "/var/lib/ten", 9));
	assert_false(live_is_new(seen, "/var/lib/nine", 10));
	g_hash_table_destroy(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holders),  cmocka_unit_test(test_hits),      cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_conflict), cmocka_unit_test(test_only_grew), cmocka_unit_test(test_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
