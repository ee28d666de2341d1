/* SPDX-License-Identifier: Apache-2.0 */
/* What of a table of mounts a path can reach, with tables that no kernel has among them. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "guest/guest.h"

static void add(struct guest_mount_list *list, int32_t id, int32_t parent, const char *target)
{
	list->items = realloc(list->items, (list->n + 1) * sizeof(*list->items));
	assert_non_null(list->items);
	list->items[list->n++] = (struct guest_mount){.id = id,
						      .parent = parent,
						      .root = strdup("/"),
						      .target = strdup(target),
						      .fstype = strdup("ext4"),
						      .source = strdup("/dev/vda1"),
						      .options = strdup("rw")};
}

/* The numbers of the mounts that are left, in order: "1 3 ". */
static void assert_left(const struct guest_mount_list *list, const char *expected)
{
	char text[256] = "";

	for (size_t i = 0; i < list->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d ", list->items[i].id);
	assert_string_equal(text, expected);
}

static void all_of_a_plain_table(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};

	(void)state;
	/* The kernel's own order may have a child first. */
	add(&list, 4, 3, "/run/lock");
	add(&list, 2, 1, "/");
	add(&list, 3, 2, "/run");
	add(&list, 5, 2, "/odd name\n");
	add(&list, 6, 2, "/running");
	assert_ok(guest_mounts_visible(&list));
	assert_null(list.incomplete);
	assert_left(&list, "2 3 4 5 6 ");
}

static void later_mounts_cover(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};

	(void)state;
	add(&list, 1, 0, "/");
	add(&list, 2, 1, "/data");
	add(&list, 3, 2, "/data/below");
	add(&list, 4, 2, "/data"); /* on top of 2 */
	add(&list, 5, 4, "/data/seen");
	add(&list, 6, 1, "/srv/a/b");
	add(&list, 7, 1, "/srv/a"); /* hides 6 */
	assert_ok(guest_mounts_visible(&list));
	assert_left(&list, "1 4 5 7 ");
}

static void root_over_root(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};

	(void)state;
	add(&list, 1, 1, "/");
	add(&list, 2, 1, "/");
	add(&list, 3, 1, "/hidden");
	add(&list, 4, 2, "/seen");
	assert_ok(guest_mounts_visible(&list));
	assert_left(&list, "2 4 ");
}

/* The kernel's very first mount is mounted on itself. */
static void root_on_itself(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};

	(void)state;
	add(&list, 1, 1, "/");
	add(&list, 2, 1, "/run");
	add(&list, 3, 2, "/run/lock");
	assert_ok(guest_mounts_visible(&list));
	assert_left(&list, "1 2 3 ");
}

static void lies(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	char *deep = calloc(1, 5001);

	(void)state;
	memset(deep, 'x', 5000);
	for (size_t i = 0; i < 5000; i += 10)
		deep[i] = '/';
	add(&list, 1, 0, "/");
	add(&list, 2, 1, "/a/../../etc");
	add(&list, 3, 1, "relative");
	add(&list, 4, 1, "/double//slash");
	add(&list, 5, 1, "/end/");
	add(&list, 6, 1, "");
	add(&list, 7, 1, deep);
	add(&list, 8, 9, "/circle");
	add(&list, 9, 8, "/circle/x");
	add(&list, 10, 10, "/self");
	add(&list, 11, 1, "/good");
	add(&list, 1, 11, "/good/same-number");
	assert_ok(guest_mounts_visible(&list));
	assert_non_null(list.incomplete);
	assert_left(&list, "1 11 1 ");
	free(deep);
}

static void no_root(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};

	(void)state;
	assert_error(guest_mounts_visible(&list), ERROR_FORMAT);
	add(&list, 1, 2, "/");
	add(&list, 2, 1, "/");
	assert_error(guest_mounts_visible(&list), ERROR_FORMAT);
}

static void very_many(void **state)
{
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list list = {0};
	char target[32];

	(void)state;
	add(&list, 1, 0, "/");
	/* A chain, each on the one before, and all in the same place. */
	for (int i = 2; i < 20000; i++) {
		snprintf(target, sizeof(target), "/%d", i % 3);
		add(&list, i, i % 2 ? i - 1 : 1, target);
	}
	assert_ok(guest_mounts_visible(&list));
	assert_non_null(list.incomplete);
	assert_in_range(list.n, 1, GUEST_VISIBLE_MAX);
}

static void below(void **state)
{
	(void)state;
	assert_true(guest_path_below("/a/b", "/a"));
	assert_true(guest_path_below("/a", "/a"));
	assert_true(guest_path_below("/a", "/"));
	assert_false(guest_path_below("/ab", "/a"));
	assert_false(guest_path_below("/", "/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_a_plain_table),
		cmocka_unit_test(later_mounts_cover),
		cmocka_unit_test(root_over_root),
		cmocka_unit_test(root_on_itself),
		cmocka_unit_test(lies),
		cmocka_unit_test(no_root),
		cmocka_unit_test(very_many),
		cmocka_unit_test(below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
