/* SPDX-License-Identifier: Apache-2.0 */
/* Which files an update takes away, and who uses them: on made lists. */
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/test.h"
#include "update/restart.h"

static const struct restart_device disk = {254, 2}, boot = {254, 1}, tmpfs = {0, 21};

static struct change regular(enum change_kind kind, const char *path, uint64_t inode, bool same_bytes)
{
	struct change change = {.kind = kind,
				.path = (char *)path,
				.size = 10,
				.before = {.exists = inode != 0, .inode = inode, .nlink = 1, .size = 10}};

	change.attributes.mode = change.before.attributes.mode = S_IFREG | 0644;
	if (!same_bytes)
		change.sha256[0] = 1;
	return change;
}

/* What the tests look at: replaced, rewritten, deleted, new, with two names, elsewhere. */
static struct change changes[8];
static const struct change_list list = {changes, 8};
static struct restart_changed changed;

static int setup(void **state)
{
	const struct restart_device devices[] = {disk, boot};

	changes[0] = regular(CHANGE_WRITE, "usr/lib/libssl.so.3", 100, false);
	changes[1] = regular(CHANGE_WRITE, "usr/lib/libsame.so", 101, true);
	changes[2] = regular(CHANGE_DELETE, "usr/lib/libgone.so.1", 102, false);
	changes[3] = regular(CHANGE_WRITE, "usr/lib/libnew.so", 0, false);
	/* Written again with the bytes it had, but it has two names: another inode. */
	changes[4] = regular(CHANGE_WRITE, "usr/bin/perl", 104, true);
	changes[4].before.nlink = 2;
	changes[5] = regular(CHANGE_ATTRIBUTES, "usr/bin/chmodded", 105, true);
	changes[6] = regular(CHANGE_LINK, "usr/bin/chmodded-too", 105, true);
	changes[6].target = (char *)"usr/bin/chmodded";
	changes[7] = regular(CHANGE_WRITE, "boot/config", 100, false);
	changes[7].layer = 1;
	assert_ok(restart_changed_init(&list, devices, ARRAY_SIZE(devices), &changed));
	return 0;
}

static int teardown(void **state)
{
	restart_changed_deinit(&changed);
	return 0;
}

static void inodes_that_go_are_found(void **state)
{
	assert_string_equal(restart_changed_inode(&changed, disk, 100)->path, "usr/lib/libssl.so.3");
	assert_string_equal(restart_changed_inode(&changed, boot, 100)->path, "boot/config");
	assert_non_null(restart_changed_inode(&changed, disk, 102));
	assert_non_null(restart_changed_inode(&changed, disk, 104));
	assert_null(restart_changed_inode(&changed, disk, 101));
	assert_null(restart_changed_inode(&changed, disk, 105));
	assert_null(restart_changed_inode(&changed, tmpfs, 100));
	assert_null(restart_changed_inode(&changed, disk, 999));
}

static void paths_whose_content_changes_are_found(void **state)
{
	const char *const *paths;

	assert_true(restart_changed_path(&changed, "usr/lib/libnew.so"));
	assert_true(restart_changed_path(&changed, "usr/lib/libgone.so.1"));
	assert_false(restart_changed_path(&changed, "usr/lib/libsame.so"));
	assert_false(restart_changed_path(&changed, "usr/bin/perl"));
	assert_false(restart_changed_path(&changed, "usr/bin/chmodded-too"));
	assert_int_equal(restart_changed_below(&changed, "usr/lib", &paths), 3);
	assert_string_equal(paths[0], "usr/lib/libgone.so.1");
	assert_int_equal(restart_changed_below(&changed, "usr/li", &paths), 0);
	assert_int_equal(restart_changed_below(&changed, "zzz", &paths), 0);
}

static void many_files_are_all_found(void **state)
{
	enum {
		N = 5000
	};
	_cleanup_(restart_changed_deinit) struct restart_changed many = {0};
	struct change_list long_list = {calloc(N, sizeof(struct change)), N};

	for (size_t i = 0; i < N; i++) {
		long_list.items[i] = regular(CHANGE_WRITE, "x", 1 + i * 64, false);
		long_list.items[i].path = malloc(32);
		snprintf(long_list.items[i].path, 32, "d/%zu", i);
	}
	assert_ok(restart_changed_init(&long_list, &disk, 1, &many));
	for (size_t i = 0; i < N; i++)
		assert_string_equal(restart_changed_inode(&many, disk, 1 + i * 64)->path, long_list.items[i].path);
	for (size_t i = 0; i < N; i++)
		free(long_list.items[i].path);
	free(long_list.items);
}

/* --- mappings and open files --- */

static struct guest_map map(const char *perms, struct restart_device device, uint64_t inode, const char *path)
{
	struct guest_map made = {.inode = inode, .major = device.major, .minor = device.minor, .path = (char *)path};

	memcpy(made.perms, perms, 5);
	return made;
}

static const struct restart_input input = {.changed = &changed, .devices = &disk, .n_devices = 1};

static void expect_map(struct guest_map made, enum restart_reason_kind kind, const char *file)
{
	static uint32_t who;
	_cleanup_(restart_reasons_deinit) struct restart_reasons reasons = {0};
	struct guest_map twice[] = {made, made};
	struct guest_map_list maps = {twice, 2, NULL};

	assert_ok(restart_look_at_maps(&input, ++who, &maps, &reasons));
	assert_int_equal(reasons.n, file ? 1 : 0);
	if (file) {
		assert_int_equal(reasons.items[0].kind, kind);
		assert_string_equal(reasons.items[0].file, file);
	}
}

static void mappings_tell_by_inode(void **state)
{
	/* Data too: it is the update's file. */
	expect_map(map("r--p", disk, 100, "/usr/lib/libssl.so.3"), RESTART_REPLACED, "/usr/lib/libssl.so.3");
	/* Another path to it, of another mount namespace. */
	expect_map(map("r-xp", disk, 100, "/snap/libssl.so.3"), RESTART_REPLACED, "/usr/lib/libssl.so.3");
	expect_map(map("r-xp", disk, 101, "/usr/lib/libsame.so"), 0, NULL);
	/* The same number on another file system. */
	expect_map(map("r-xp", tmpfs, 100, "/dev/shm/x"), 0, NULL);
}

static void deleted_code_tells_of_an_earlier_update(void **state)
{
	expect_map(map("r-xp", disk, 7, "/usr/lib/libold.so (deleted)"), RESTART_DELETED, "/usr/lib/libold.so");
	expect_map(map("rw-p", disk, 7, "/usr/share/data (deleted)"), 0, NULL);
	expect_map(map("r-xp", tmpfs, 7, "/memfd:jit (deleted)"), 0, NULL);
	expect_map(map("r-xp", disk, 7, "/tmp/x (deleted)"), 0, NULL);
	expect_map(map("r-xp", disk, 7, "/var/lib/x/#77 (deleted)"), 0, NULL);
	expect_map(map("r-xp", disk, 7, "/root/orcexec.abc (deleted)"), 0, NULL);
	expect_map(map("r-xp", disk, 7, "/root/jna1234.tmp (deleted)"), 0, NULL);
	expect_map(map("r-xp", disk, 7, "/opt/jnatools (deleted)"), RESTART_DELETED, "/opt/jnatools");
}

static void expect_fd(uint64_t inode, const char *path, enum restart_reason_kind kind, const char *file)
{
	_cleanup_(restart_reasons_deinit) struct restart_reasons reasons = {0};
	struct guest_fd fd = {.inode = inode, .path = (char *)path};
	struct guest_fd_list files = {&fd, 1, NULL};

	assert_ok(restart_look_at_files(&input, &files, &reasons));
	assert_int_equal(reasons.n, file ? 1 : 0);
	if (file) {
		assert_int_equal(reasons.items[0].kind, kind);
		assert_string_equal(reasons.items[0].file, file);
	}
}

static void open_libraries_tell_too(void **state)
{
	expect_fd(100, "/usr/lib/libssl.so.3", RESTART_OPEN, "/usr/lib/libssl.so.3");
	expect_fd(100, "/usr/lib/other.so", 0, NULL);
	expect_fd(7, "/usr/lib/libold.so.2 (deleted)", RESTART_DELETED, "/usr/lib/libold.so.2");
	expect_fd(7, "/var/log/some.log (deleted)", 0, NULL);
	expect_fd(7, "socket:[77]", 0, NULL);
	expect_fd(7, NULL, 0, NULL);
}

/* --- whose --- */

static void expect_place(struct guest_task task, enum restart_kind kind, const char *name)
{
	_cleanup_(free_ptr) char *found = NULL;
	enum restart_kind found_kind;

	assert_ok(restart_place(&task, &found_kind, &found));
	assert_int_equal(found_kind, kind);
	assert_string_equal(found, name);
}

#define TASK(number, group, program)                                                                                   \
	(struct guest_task)                                                                                            \
	{                                                                                                              \
		.pid = number, .cgroup = (char *)group, .exe = (char *)program, .comm = "x"                            \
	}

static void processes_have_their_place(void **state)
{
	expect_place(TASK(1, "/init.scope", "/usr/lib/systemd/systemd"), RESTART_OF_INIT, "init.scope");
	expect_place(TASK(9, "/system.slice/nginx.service", "/n"), RESTART_OF_UNIT, "nginx.service");
	expect_place(TASK(9, "/user.slice/user-0.slice/session-3.scope", "/n"), RESTART_OF_SESSION, "session-3.scope");
	expect_place(TASK(9, "/user.slice/user-0.slice/user@0.service/app.slice/x.service", "/n"), RESTART_OF_UNIT,
		     "user@0.service");
	expect_place(TASK(9, "/system.slice/docker-0123.scope", "/n"), RESTART_OF_CONTAINER, "docker-0123.scope");
	expect_place(TASK(9, "/docker/0123", "/n"), RESTART_OF_CONTAINER, "/docker/0123");
	expect_place(TASK(9, "/", "/usr/sbin/food"), RESTART_OF_PROCESS, "/usr/sbin/food");
	expect_place(TASK(9, NULL, NULL), RESTART_OF_PROCESS, "x");
}

static void one_entry_for_a_unit(void **state)
{
	_cleanup_(restart_plan_destroy_ptr) struct restart_plan *plan = restart_plan_create();
	_cleanup_(restart_reasons_deinit) struct restart_reasons a = {0}, b = {0};
	struct restart_finder *finder;
	struct guest_task nginx = TASK(20, "/system.slice/nginx.service", "/n");
	struct guest_task worker = TASK(21, "/system.slice/nginx.service", "/n");
	struct guest_task ssh = TASK(22, "/system.slice/ssh.service", "/n");

	assert_ok(restart_reasons_add(&a, RESTART_REPLACED, "/usr/lib/a"));
	assert_ok(restart_reasons_add(&b, RESTART_REPLACED, "/usr/lib/b"));
	assert_ok(restart_finder_create(plan, &finder));
	assert_ok(restart_finder_take(finder, &ssh, &b));
	assert_ok(restart_finder_take(finder, &nginx, &a));
	assert_ok(restart_finder_take(finder, &worker, &a));
	assert_ok(restart_finder_take(finder, &worker, &(struct restart_reasons){0}));
	restart_finder_destroy(finder);
	assert_int_equal(plan->n, 2);
	assert_string_equal(plan->items[0].name, "nginx.service");
	assert_int_equal(plan->items[0].n_tasks, 2);
	assert_int_equal(plan->items[0].reasons.n, 1);
	assert_int_equal(plan->items[1].n_tasks, 1);
}

static void reasons_are_bounded(void **state)
{
	_cleanup_(restart_reasons_deinit) struct restart_reasons reasons = {0};
	char name[32];

	for (unsigned i = 0; i < 2 * RESTART_REASONS_MAX; i++) {
		snprintf(name, sizeof(name), "/%u", i);
		assert_ok(restart_reasons_add(&reasons, RESTART_REPLACED, name));
	}
	assert_int_equal(reasons.n, RESTART_REASONS_MAX);
	assert_true(reasons.more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inodes_that_go_are_found),
		cmocka_unit_test(paths_whose_content_changes_are_found),
		cmocka_unit_test(many_files_are_all_found),
		cmocka_unit_test(mappings_tell_by_inode),
		cmocka_unit_test(deleted_code_tells_of_an_earlier_update),
		cmocka_unit_test(open_libraries_tell_too),
		cmocka_unit_test(processes_have_their_place),
		cmocka_unit_test(one_entry_for_a_unit),
		cmocka_unit_test(reasons_are_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
