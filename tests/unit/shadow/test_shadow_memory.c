/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shadow shows of a real guest's memory: that of tests/data, a guest of tests/vm/introspect.test as trim-image
 * left it. Much of it is missing, as in an image that was damaged; what is there must be right. Needs root.
 */
#include "tests/unit/shadow/fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/disk.h"
#include "image/image.h"
#include "shadow/internal.h"

static const char *image_path;

static int setup(void **state)
{
	return fixture_create("/tmp/test-shadow-memory.XXXXXX", state);
}

static void open_shadow(struct fixture *f)
{
	const struct shadow_tree tree = {.target = "/", .lower = f->root};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run};

	make_root(f->root);
	fixture_open_guest(f, image_path);
	options.guest = f->guest;
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
}

/* Owners, modes, times, kinds, links: as the guest made them (tests/vm/guest). */
static void run_is_the_guests(void **state)
{
	struct fixture *f = *state;

	need_root();
	open_shadow(f);
	assert_says(f->shadow, "stat -c '%F %a %u:%g' /run/empty /run/fifo /run/stream.sock /run/lock",
		    "regular empty file 640 33:44\nfifo 600 0:0\nsocket 755 0:0\ndirectory 1777 0:0");
	assert_says(f->shadow,
		    "stat -c '%h %Y' /run/web.pid; [ /run/web.pid -ef /run/web.hard ] && readlink /run/shm-link",
		    "2 981173106\n/run/lock");
	assert_says(f->shadow, "readlink /run/long-link | head -c 5; ls /run/many | busybox wc -l", "00000300");
}

/* What one run writes there, the next one finds; nothing of it is in the layer. */
static void run_is_one_for_all_runs(void **state)
{
	struct fixture *f = *state;
	char path[96];

	need_root();
	open_shadow(f);
	assert_says(f->shadow, "echo kept >/run/new; rm /run/replaced", "");
	assert_says(f->shadow, "cat /run/new; [ ! -e /run/replaced ] && echo gone", "kept\ngone");
	snprintf(path, sizeof(path), "%s/0/upper/run/new", f->layers);
	assert_int_not_equal(access(path, F_OK), 0);
	/* Where the guest has no tmpfs there is none. */
	assert_says(f->shadow, "echo on-disk >/tmp/file; cat /tmp/file", "on-disk");
	snprintf(path, sizeof(path), "%s/0/upper/tmp/file", f->layers);
	assert_int_equal(access(path, F_OK), 0);
}

static const struct action *find_action(const struct action_list *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].path, path) == 0)
			return &list->items[i];
	return NULL;
}

/* What nobody touched is no action, what was changed is one with what it was in memory. */
static void run_leaves_actions(void **state)
{
	_cleanup_(action_list_deinit) struct action_list none = {0}, list = {0};
	struct fixture *f = *state;
	const struct action *action;

	need_root();
	open_shadow(f);
	assert_int_equal(status_of(f->shadow, "cat /run/web.pid; ls -R /run/many >/dev/null"), 0);
	assert_ok(shadow_runtime_actions(f->shadow, &none));
	assert_int_equal(none.n, 0);
	assert_int_equal(status_of(f->shadow,
				   "set -e; DPKG_MAINTSCRIPT_PACKAGE=web DPKG_MAINTSCRIPT_NAME=postinst sh -c "
				   "'echo more >>/run/web.pid'; chmod 600 /run/empty; rm /run/shm-link; "
				   "chown 1:2 /run/many; rm /run/fifo; echo $$ >/run/own.pid; mkdir /run/new; "
				   "mv /run/stream.sock /run/moved.sock; ln -sfn elsewhere /run/long-link"),
			 0);
	assert_ok(shadow_runtime_actions(f->shadow, &list));
	for (size_t i = 0; i < list.n; i++)
		print_message("%s %s (%s)\n", list.items[i].verb, list.items[i].path, list.items[i].package);
	/* Its two names are one file, which the guest appends to once. */
	action = find_action(&list, "/run/web.pid");
	assert_string_equal(action->verb, "append");
	assert_memory_equal(action->data, "more\n", 5);
	assert_string_equal(action->package, "web");
	assert_string_equal(action->script, "postinst");
	assert_string_equal(find_action(&list, "/run/web.hard")->verb, "append");
	action = find_action(&list, "/run/empty");
	assert_string_equal(action->argv[0], "file 0640 33 44");
	assert_string_equal(action->argv[1], "file 0600 33 44");
	assert_string_equal(find_action(&list, "/run/shm-link")->argv[0], "symlink 0 0 /run/lock");
	assert_string_equal(find_action(&list, "/run/many")->argv[1], "directory 0755 1 2");
	assert_string_equal(find_action(&list, "/run/new")->verb, "mkdir");
	assert_string_equal(find_action(&list, "/run/long-link")->argv[1], "symlink 0 0 elsewhere");
	assert_int_equal(list.n, 7);
}

/* Memory that tells processes, but no mounts. */
static void run_without_mounts(void **state)
{
	_cleanup_(action_list_deinit) struct action_list list = {0};
	const struct guest_mount_list none = {0};
	struct fixture *f = *state;
	const struct shadow_tree tree = {.target = "/", .lower = f->root};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run, .mounts = &none};

	need_root();
	make_root(f->root);
	fixture_open_guest(f, image_path);
	options.guest = f->guest;
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
	assert_int_equal(status_of(f->shadow, "[ -d /run/systemd/system ] && echo x >/run/kept"), 0);
	assert_says(f->shadow, "cat /run/kept", "x");
	assert_ok(shadow_runtime_actions(f->shadow, &list));
	assert_int_equal(list.n, 1);
	assert_string_equal(list.items[0].path, "/run/kept");
}

static void nothing_of_the_host(void **state)
{
	struct fixture *f = *state;

	need_root();
	open_shadow(f);
	assert_int_equal(status_of(f->shadow, "echo x 2>/dev/null >/sys/new"), 1);
	assert_int_equal(status_of(f->shadow, "for d in mem kmsg kvm fuse loop-control vda; do\n"
					      "	[ ! -e /dev/$d ] || ! cat /dev/$d >/dev/null 2>&1 || exit 3; done"),
			 0);
	assert_int_equal(status_of(f->shadow, "echo x >/dev/null && [ -c /dev/ptmx ] && [ -d /dev/pts ]"), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(run_is_the_guests, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(run_is_one_for_all_runs, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(run_leaves_actions, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(run_without_mounts, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(nothing_of_the_host, setup, fixture_teardown),
	};

	if (argc != 2)
		return 2;
	image_path = argv[1];
	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
