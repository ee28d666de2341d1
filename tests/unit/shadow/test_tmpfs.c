/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tmpfs of a guest that lies: a directory that holds itself, twice. What is made of it is bounded by what it takes,
 * the same on each host. The guest is that of tests/data with some pointers turned. Needs root.
 */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "guest/internal.h"
#include "guest/vfs.h"
#include "image/image.h"
#include "shadow/tmpfs.h"
#include "tests/unit/guest/edits.h"

#define SELVES 2u

static const char *image_path;

struct filled {
	char dir[64];
	int fd;
	struct image *image;
	struct guest *guest;
	struct guest_file directory;
	const struct vfs_layout *layout;
	struct edit edits[SELVES * 8];
	size_t n_edits;
};

static int setup(void **state)
{
	struct filled *f = calloc(1, sizeof(*f));

	*state = f;
	f->fd = -1;
	if (geteuid() != 0)
		return 0;
	strcpy(f->dir, "/tmp/test-tmpfs.XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_ok(image_open(image_path, NULL, &f->image));
	assert_ok(guest_open(f->image, NULL, &f->guest));
	assert_ok(guest_file_find(f->guest, "/run/many", false, &f->directory));
	assert_ok(vfs_layout_get(f->guest, &f->layout));
	return 0;
}

static int teardown(void **state)
{
	struct filled *f = *state;
	struct error *error = NULL;

	edits_set(NULL, 0);
	guest_file_deinit(&f->directory);
	guest_close(f->guest);
	image_close(f->image);
	close_fd(&f->fd);
	if (f->dir[0])
		error = io_remove_tree(f->dir);
	error_destroy(error);
	free(f);
	return error ? -1 : 0;
}

/* The entry's inode becomes that of the directory that it is in. */
static struct error *turn_to_itself(struct guest *guest, const struct object *dentry, void *context)
{
	struct filled *f = context;
	const struct member *member = &f->layout->path->dentry_inode;
	uint64_t flips = object_get(dentry, member) ^ f->directory.inode_address;
	struct gpa place;

	if (f->n_edits == SELVES * 8)
		return NULL;
	assert_ok(memory_translate(&guest->memory, (struct gva){dentry->address.v + member->offset}, &place));
	for (unsigned i = 0; i < 8; i++)
		f->edits[f->n_edits++] = (struct edit){place.v + i, (uint8_t)(flips >> 8 * i)};
	return NULL;
}

static void bend(struct filled *f)
{
	uint64_t alias;

	assert_ok(memory_read_u64(&f->guest->memory,
				  (struct gva){f->directory.inode_address + f->layout->inode_aliases.offset}, &alias));
	assert_ok(vfs_walk_directory(f->guest, f->layout, alias - f->layout->dentry_alias.offset, turn_to_itself, f));
	assert_int_equal(f->n_edits, SELVES * 8);
	edits_set(f->edits, f->n_edits);
}

/* Every name below the directory, by a shell that follows nothing. */
static size_t count_entries(const char *dir)
{
	char command[128];
	size_t n = 0;
	FILE *find;

	snprintf(command, sizeof(command), "find %s -mindepth 1 | wc -l", dir);
	find = popen(command, "r");
	assert_non_null(find);
	assert_int_equal(fscanf(find, "%zu", &n), 1);
	pclose(find);
	return n;
}

static void all_of_one_that_does_not_lie(void **state)
{
	struct filled *f = *state;
	struct tmpfs_budget budget = {0};

	need_root();
	assert_ok(tmpfs_fill(f->guest, &f->directory, "/run/many", f->fd, &budget));
	assert_int_equal(count_entries(f->dir), 300);
	assert_int_equal(budget.entries, TMPFS_ENTRIES_MAX - 300);
	/* Far from what it may take: some fifty for each. */
	assert_true(budget.work > TMPFS_WORK_MAX - 300 * 50);
}

static void entries_have_an_end(void **state)
{
	struct filled *f = *state;
	struct tmpfs_budget budget = {.begun = true, .bytes = 1 << 20, .entries = 5000, .work = TMPFS_WORK_MAX};

	need_root();
	bend(f);
	assert_ok(tmpfs_fill(f->guest, &f->directory, "/run/many", f->fd, &budget));
	assert_int_equal(budget.entries, 0);
	assert_in_range(count_entries(f->dir), 4000, 5000);
}

static void work_has_an_end(void **state)
{
	struct filled *f = *state;
	struct tmpfs_budget budget = {.begun = true, .bytes = 1 << 20, .entries = TMPFS_ENTRIES_MAX, .work = 20000};
	uint64_t before;

	need_root();
	bend(f);
	before = guest_work(f->guest);
	assert_ok(tmpfs_fill(f->guest, &f->directory, "/run/many", f->fd, &budget));
	assert_int_equal(budget.work, 0);
	assert_true(budget.entries > TMPFS_ENTRIES_MAX / 2);
	/* The last step may go over it: one directory. */
	assert_true(guest_work(f->guest) - before < 20000 + 300 * 50);
}

/* Twice the same: the second fill has nothing left, and says so in place of making half of it. */
static void nothing_left(void **state)
{
	struct filled *f = *state;
	struct tmpfs_budget budget = {.begun = true, .bytes = 1 << 20, .entries = 300, .work = 1};

	need_root();
	assert_ok(tmpfs_fill(f->guest, &f->directory, "/run/many", f->fd, &budget));
	assert_int_equal(count_entries(f->dir), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_of_one_that_does_not_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_have_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(work_has_an_end, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_left, setup, teardown),
	};

	if (argc != 2)
		return 2;
	image_path = argv[1];
	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
