/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's own table of mounts over a real disk: parts of one file system at several places, places that lie. The
 * memory is what a test says it is. Needs root.
 */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "changes/changes.h"
#include "disk/disk.h"

#define ROOT_UUID "11111111-2222-3333-4444-555555555555"
#define DATA_UUID "22222222-2222-3333-4444-555555555555"

static int setup(void **state)
{
	return fixture_create("/tmp/test-shadow-mounts.XXXXXX", state);
}

/* Two partitions: the root, without an fstab that would say anything, and one with data. */
static void make_disk(const struct fixture *f)
{
	char tree[96];

	snprintf(tree, sizeof(tree), "%s/tree", f->dir);
	make_root(tree);
	shell("cd %s; echo ID=test >etc/os-release; mkdir -p mnt/ro 'mnt/odd name' real plain etc/inside\n"
	      "ln -s /real mnt/link; echo root >real/file; echo elsewhere >etc/inside/file; mkdir -p deep/er\n"
	      "mkdir -p os/sysroot; cp -a bin proc sys dev run tmp etc boot data root mnt os\n"
	      "mkdir -p ../data/www ../data/sub; echo page >../data/www/index; echo sub >../data/sub/file",
	      tree);
	shell("cd %s; truncate -s 120M disk.raw\n"
	      "printf 'label: gpt\nsize=80M,type=L\nsize=20M,type=L\n' | sfdisk -q disk.raw\n"
	      "mke2fs -q -t ext4 -U " ROOT_UUID " -d tree -E offset=$((1*1048576)) disk.raw 80M\n"
	      "mke2fs -q -t ext4 -U " DATA_UUID " -d data -E offset=$((81*1048576)) disk.raw 20M",
	      f->dir);
}

/* A line of the table: of which partition (0: no disk at all), which directory, where. */
struct line {
	int32_t id, parent;
	unsigned partition;
	const char *root, *target, *options, *fstype;
};

static void make_list(const struct line *lines, size_t n, struct guest_mount_list *ret)
{
	ret->items = calloc(n, sizeof(*ret->items));
	assert_non_null(ret->items);
	for (; ret->n < n; ret->n++) {
		const struct line *line = &lines[ret->n];

		ret->items[ret->n] = (struct guest_mount){
			.id = line->id,
			.parent = line->parent,
			.major = line->partition ? 254 : 0,
			.minor = line->partition ? line->partition : 77,
			.root = strdup(line->root),
			.target = strdup(line->target),
			.fstype = strdup(line->fstype ? line->fstype : "ext4"),
			.source = string_format(line->partition ? "/dev/vda%u" : "none", line->partition),
			.options = strdup(line->options ? line->options : "rw,relatime"),
		};
	}
	assert_ok(guest_mounts_visible(ret));
}

static void open_shadow(struct fixture *f, const struct line *lines, size_t n)
{
	static const struct guest_file_system systems[] = {
		{.type = "ext4",
		 .id = "vda1",
		 .major = 254,
		 .minor = 1,
		 .uuid = {0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55,
			  0x55}},
		{.type = "ext4",
		 .id = "vda2",
		 .major = 254,
		 .minor = 2,
		 .uuid = {0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55,
			  0x55}},
		{.type = "ext4", .id = "vdb1", .major = 254, .minor = 17, .uuid = {9}},
	};
	_cleanup_(guest_mount_list_deinit) struct guest_mount_list mounts = {0};
	const struct disk_memory memory = {&mounts, systems, ARRAY_SIZE(systems)};
	const struct disk_options disk_options = {
		.path = f->disk_path, .format = "raw", .work_dir = f->dir, .memory = &memory};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run, .mounts = &mounts};

	make_disk(f);
	make_list(lines, n, &mounts);
	assert_ok(disk_open(&disk_options, &f->disk));
	options.disk = f->disk;
	assert_ok(shadow_create(&options, &f->shadow));
}

static bool has_change(struct fixture *f, enum change_kind kind, const char *path)
{
	const struct change_options options = {0};
	const struct change_layer *layers;
	size_t n;

	if (!f->changes.items) {
		layers = shadow_layers(f->shadow, &n);
		assert_ok(changes_read(layers, n, &options, &f->changes));
	}
	for (size_t i = 0; i < f->changes.n; i++)
		if (f->changes.items[i].kind == kind && strcmp(f->changes.items[i].path, path) == 0)
			return true;
	return false;
}

static bool is_noted(const struct fixture *f, const char *text)
{
	size_t n;
	const char *const *notes = disk_notes(f->disk, &n);

	for (size_t i = 0; i < n; i++)
		if (strstr(notes[i], text))
			return true;
	return false;
}

/* A bind mount shows the same overlay: what is written at one place is there at the other. */
static void one_file_system_at_several_places(void **state)
{
	static const struct line lines[] = {
		{1, 0, 1, "/", "/"},
		{2, 1, 2, "/www", "/mnt/odd name"}, /* before the whole of it is */
		{3, 1, 2, "/", "/data", "rw,nosuid,noexec"},
		{4, 1, 1, "/real", "/plain"},
		{5, 1, 2, "/", "/mnt/ro", "ro,relatime"},
		{6, 1, 1, "/etc/inside/file", "/data2"}, /* no such place */
	};
	struct fixture *f = *state;
	_cleanup_(free_ptr) char *content = NULL;

	need_root();
	open_shadow(f, lines, ARRAY_SIZE(lines));
	assert_says(f->shadow, "cat '/mnt/odd name/index' /data/sub/file /plain/file", "page\nsub\nroot");
	assert_says(f->shadow, "echo a >/data/www/new; cat '/mnt/odd name/new'; echo b >/plain/new; cat /real/new",
		    "a\nb");
	assert_says(f->shadow, "mv /plain/file /plain/moved; cat /real/moved; ls /real", "root\nmoved\nnew");
	assert_int_equal(status_of(f->shadow, "cat /mnt/ro/www/new && ! echo x 2>/dev/null >/mnt/ro/y"), 0);
	assert_int_equal(status_of(f->shadow, "cp /bin/busybox /data/ls; /data/ls 2>/dev/null"), 126);
	assert_true(has_change(f, CHANGE_WRITE, "real/new"));
	assert_false(has_change(f, CHANGE_WRITE, "plain/new"));
	assert_true(has_change(f, CHANGE_WRITE, "data/www/new"));
	/* The tree that others read has the mounts as well. */
	assert_ok(io_read_in_root(disk_root(f->disk), "/data/sub/file", 100, &content, NULL));
	assert_string_equal(content, "sub\n");
}

static void places_that_lie(void **state)
{
	static const struct line lines[] = {
		{1, 0, 1, "/", "/"},
		{2, 1, 2, "/", "/mnt/link"},           /* a symbolic link */
		{3, 1, 2, "/", "/no/such/place"},      /* missing */
		{4, 1, 2, "/../../etc", "/data"},      /* no directory of the file system */
		{5, 1, 2, "/", "/data/../../../tmp"},  /* no path */
		{6, 1, 17, "/", "/deep/er"},           /* another disk */
		{7, 1, 0, "/", "/real", "rw", "nfs4"}, /* another machine */
		{8, 8, 2, "/", "/circle"},
		{9, 1, 2, "/www", "/plain"},
		{10, 9, 2, "/sub", "/plain"}, /* over it */
	};
	struct fixture *f = *state;

	need_root();
	open_shadow(f, lines, ARRAY_SIZE(lines));
	assert_true(is_noted(f, "/deep/er"));
	assert_true(is_noted(f, "nfs4"));
	assert_says(f->shadow, "ls /data; cat /real/file /plain/file; ls /deep/er; ls /mnt/link",
		    "capable\ndir\nfile\ngone\nids\nlink\nroot\nsub\nfile");
	assert_int_equal(status_of(f->shadow, "[ ! -e /no ] && [ ! -e /circle ]"), 0);
	/* What was mounted, was so below the shadow's root alone. */
	assert_int_equal(count_files("/proc/self/mountinfo", " /tmp/www"), 0);
}

/* The root is a directory of a file system of which all is mounted elsewhere: as an image-based system has it. */
static void root_is_a_directory(void **state)
{
	static const struct line lines[] = {
		{1, 0, 1, "/os", "/"},
		{2, 1, 1, "/", "/sysroot", "ro"},
		{3, 1, 1, "/os/data/dir", "/mnt"},
	};
	struct fixture *f = *state;
	size_t n;

	need_root();
	open_shadow(f, lines, ARRAY_SIZE(lines));
	assert_string_equal(disk_mounts(f->disk, &n)[0].target, "/");
	assert_int_equal(n, 2);
	assert_says(f->shadow, "cat /sysroot/real/file /mnt/below; echo x >/mnt/new; cat /data/dir/new",
		    "root\nbelow\nx");
	assert_true(has_change(f, CHANGE_WRITE, "data/dir/new"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_file_system_at_several_places, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(places_that_lie, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(root_is_a_directory, setup, fixture_teardown),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
