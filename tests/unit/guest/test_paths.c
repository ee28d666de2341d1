/* SPDX-License-Identifier: Apache-2.0 */
/* Paths through dentries and mounts in made memory, whole and damaged. */
#include "guest/paths.h"
#include "tests/unit/guest/made.h"

/* Where the made structures lie: one page for each kind, 0x100 bytes for each object. */
#define DENTRIES   UINT64_C(0x20000)
#define MOUNTS     UINT64_C(0x30000)
#define NAMES      UINT64_C(0x40000)
#define INODES     UINT64_C(0x50000)
#define OPERATIONS UINT64_C(0x60000)

/* Members of struct dentry and struct mount as these tests lay them out. */
enum {
	PARENT = 0,
	NAME = 8,
	LENGTH = 16,
	HASHED = 24,
	INODE = 32,
	D_OPERATIONS = 40,
	SUPER = 48,
	INLINE = 56,
	INLINE_SIZE = 32,
	M_PARENT = 0,
	M_POINT = 8,
	M_VFS = 16,
	M_ROOT = 16,
	M_SUPER = 24,
	DNAME = 72,
};

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct path_layout layout;
};

static struct member word(uint32_t offset)
{
	return (struct member){.present = true, .offset = offset, .size = 8};
}

static uint64_t dentry(unsigned i)
{
	return KERNEL_BASE + DENTRIES + i * 0x100;
}

static uint64_t mount(unsigned i)
{
	return KERNEL_BASE + MOUNTS + i * 0x100;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	f->layout = (struct path_layout){
		.dentry_span = {.size = INLINE + INLINE_SIZE},
		.mount_span = {.size = 32},
		.dentry_parent = word(PARENT),
		.dentry_name = word(NAME),
		.dentry_length = {.present = true, .offset = LENGTH, .size = 4},
		.dentry_hashed = word(HASHED),
		.dentry_inode = word(INODE),
		.dentry_operations = word(D_OPERATIONS),
		.dentry_super = word(SUPER),
		.dentry_inline = {.present = true, .offset = INLINE, .size = INLINE_SIZE},
		.operations_name = word(DNAME),
		.mount_vfs = word(M_VFS),
		.mount_parent = word(M_PARENT),
		.mount_point = word(M_POINT),
		.mount_root = word(M_ROOT),
		.mount_super = word(M_SUPER),
		.inode_number = word(0),
		.inode_private = word(8),
		.namespace_operations = word(0),
		.namespace_name = word(8),
		.root = {.mount = mount(0), .dentry = dentry(0)},
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	made_guest_destroy(f->made);
	free(f);
	return 0;
}

/* A dentry in the cache, of a short name. */
static void add_dentry(struct fixture *f, unsigned i, unsigned parent, const char *name)
{
	uint64_t at = DENTRIES + i * 0x100;

	write_u64(f->made, at + PARENT, dentry(parent));
	write_u64(f->made, at + NAME, dentry(i) + INLINE);
	write_u32(f->made, at + LENGTH, (uint32_t)strlen(name));
	write_u64(f->made, at + HASHED, 1);
	write_u64(f->made, at + D_OPERATIONS, 0);
	write_at(f->made, at + INLINE, name, strlen(name));
}

static void add_mount(struct fixture *f, unsigned i, unsigned parent, unsigned point, unsigned root)
{
	uint64_t at = MOUNTS + i * 0x100;

	write_u64(f->made, at + M_PARENT, mount(parent));
	write_u64(f->made, at + M_POINT, dentry(point));
	write_u64(f->made, at + M_ROOT, dentry(root));
}

/* / (0, mount 0), /mnt (1), on it mount 1 with root 2, in that dir (3) and file (4). */
static void make_tree(struct fixture *f)
{
	add_dentry(f, 0, 0, "/");
	add_dentry(f, 1, 0, "mnt");
	add_dentry(f, 2, 2, "/");
	add_dentry(f, 3, 2, "dir");
	add_dentry(f, 4, 3, "file");
	add_mount(f, 0, 0, 0, 0);
	add_mount(f, 1, 0, 1, 2);
}

static void ready(struct fixture *f)
{
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->guest.effort = 0;
}

static void assert_path(struct fixture *f, unsigned of_mount, unsigned of_dentry, const char *wanted)
{
	const struct place place = {.mount = mount(of_mount), .dentry = dentry(of_dentry)};
	char *path = NULL;

	ready(f);
	assert_ok(place_path(&f->guest, &f->layout, &place, &path));
	assert_string_equal(path, wanted);
	free(path);
}

static void assert_no_path(struct fixture *f, unsigned of_mount, unsigned of_dentry)
{
	const struct place place = {.mount = mount(of_mount), .dentry = dentry(of_dentry)};
	char *path = NULL;

	ready(f);
	assert_error(place_path(&f->guest, &f->layout, &place, &path), ERROR_FORMAT);
	assert_null(path);
}

static void through_mounts(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	assert_path(f, 0, 0, "/");
	assert_path(f, 0, 1, "/mnt");
	assert_path(f, 1, 2, "/mnt");
	assert_path(f, 1, 4, "/mnt/dir/file");
}

static void roots(void **state)
{
	struct fixture *f = *state;

	/* The reader's root is a directory; what lies outside of it is shown from the top. */
	make_tree(f);
	f->layout.root = (struct place){.mount = mount(1), .dentry = dentry(3)};
	assert_path(f, 1, 4, "/file");
	assert_path(f, 1, 3, "/");
	assert_path(f, 0, 1, "/mnt");
	/* A file system that is unmounted and in use: its mount is its own parent. */
	add_mount(f, 1, 1, 2, 2);
	assert_path(f, 1, 4, "/file");
	f->layout.root = (struct place){0};
	assert_path(f, 1, 4, "/dir/file");
	/* Moved out of the directory that is mounted. */
	add_dentry(f, 5, 5, "/");
	add_dentry(f, 3, 5, "dir");
	assert_path(f, 1, 4, "/");
}

static void names(void **state)
{
	struct fixture *f = *state;
	char name[256];

	make_tree(f);
	write_u64(f->made, DENTRIES + 0x400 + HASHED, 0);
	assert_path(f, 1, 4, "/mnt/dir/file (deleted)");
	write_u64(f->made, DENTRIES + 0x200 + HASHED, 0); /* roots never are */
	assert_path(f, 1, 2, "/mnt");
	/* A long name lies elsewhere. */
	memset(name, 'n', 255);
	name[255] = '\0';
	write_at(f->made, NAMES, name, 255);
	write_u64(f->made, DENTRIES + 0x100 + NAME, KERNEL_BASE + NAMES);
	write_u32(f->made, DENTRIES + 0x100 + LENGTH, 255);
	ready(f);
	{
		char wanted[300];

		snprintf(wanted, sizeof(wanted), "/%s", name);
		assert_path(f, 0, 1, wanted);
	}
	write_u32(f->made, DENTRIES + 0x100 + LENGTH, 256);
	assert_no_path(f, 0, 1);
}

static void damaged(void **state)
{
	struct fixture *f = *state;

	/* Dentries in a circle, mounts in a circle, a pointer to nowhere. */
	make_tree(f);
	add_dentry(f, 3, 4, "dir");
	assert_no_path(f, 1, 4);
	make_tree(f);
	add_mount(f, 0, 1, 2, 0);
	f->layout.root = (struct place){0};
	assert_no_path(f, 0, 1);
	make_tree(f);
	write_u64(f->made, DENTRIES + 0x300 + PARENT, 8);
	assert_no_path(f, 1, 4);
	/* What all paths of a walk may cost is bounded. */
	make_tree(f);
	ready(f);
	f->guest.effort = EFFORT_MAX - 2;
	{
		const struct place place = {.mount = mount(1), .dentry = dentry(4)};
		char *path = NULL;

		assert_error(place_path(&f->guest, &f->layout, &place, &path), ERROR_FORMAT);
	}
}

/* A name that a function makes; `function` is what the dentry's operations hold. */
static void add_function(struct fixture *f, uint64_t function, const char *name)
{
	add_dentry(f, 6, 6, name);
	write_u64(f->made, DENTRIES + 0x600 + D_OPERATIONS, KERNEL_BASE + OPERATIONS);
	write_u64(f->made, DENTRIES + 0x600 + INODE, KERNEL_BASE + INODES);
	write_u64(f->made, INODES, 4711);
	write_u64(f->made, OPERATIONS + DNAME, function);
}

static void names_by_function(void **state)
{
	struct fixture *f = *state;
	const struct place place = {.mount = mount(2), .dentry = dentry(6)};
	char *path = NULL;

	make_tree(f);
	add_mount(f, 2, 2, 2, 2);
	for (unsigned i = NAME_PIPE; i < NAME_UNKNOWN; i++)
		f->layout.name_functions[i] = 0x1000 + i;
	add_function(f, 0x1000 + NAME_PIPE, "");
	assert_path(f, 2, 6, "pipe:[4711]");
	add_function(f, 0x1000 + NAME_SOCKET, "");
	assert_path(f, 2, 6, "socket:[4711]");
	add_function(f, 0x1000 + NAME_ANON, "[eventfd]");
	assert_path(f, 2, 6, "anon_inode:[eventfd]");
	add_function(f, 0x1000 + NAME_SIMPLE, "memfd:x");
	assert_path(f, 2, 6, "/memfd:x (deleted)");
	add_function(f, 0x1000 + NAME_PIDFD, "9");
	assert_path(f, 2, 6, "anon_inode:[pidfd]");
	/* A namespace: inode → namespace → operations → name. */
	add_function(f, 0x1000 + NAME_SPACE, "");
	write_u64(f->made, INODES + 8, KERNEL_BASE + INODES + 0x100);
	write_u64(f->made, INODES + 0x100, KERNEL_BASE + INODES + 0x200);
	write_u64(f->made, INODES + 0x208, KERNEL_BASE + NAMES);
	write_at(f->made, NAMES, "net", 4);
	assert_path(f, 2, 6, "net:[4711]");
	/* The same, bound to a file. */
	add_mount(f, 2, 0, 1, 6);
	assert_path(f, 2, 6, "/mnt");
	/* A function that is new to us. */
	add_mount(f, 2, 2, 2, 2);
	add_function(f, 0x7777, "x");
	ready(f);
	assert_ok(place_path(&f->guest, &f->layout, &place, &path));
	assert_null(path);
}

/* Walks of one verb that share their effort do not begin anew; what was too much stays too much. */
static void effort_is_shared(void **state)
{
	struct guest *guest = &((struct fixture *)*state)->guest;

	guest_share_effort(guest, true);
	guest_effort_begin(guest);
	assert_ok(guest_effort(guest, EFFORT_MAX, 0));
	guest_effort_begin(guest);
	assert_error(guest_effort(guest, 1, 0), ERROR_FORMAT);
	guest_effort_begin(guest);
	assert_true(guest_effort_spent(guest));
	guest_share_effort(guest, false);
	assert_ok(guest_effort(guest, EFFORT_MAX, 0));
	guest_effort_begin(guest);
	assert_ok(guest_effort(guest, 1, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(through_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(roots, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(names_by_function, setup, teardown),
		cmocka_unit_test_setup_teardown(effort_is_shared, setup, teardown),
	};

	return cmocka_run_group_tests_name("paths", tests, NULL, NULL);
}
