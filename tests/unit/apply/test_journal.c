/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's two records: whatever a write leaves half done, one of them says where the update stands. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply/journal.h"
#include "apply/room.h"
#include "base/io.h"
#include "tests/unit/test.h"

#define RECORD_SIZE 160
#define N_SLOTS     3

static char directory[64];
static struct tree tree;

static char *path_of(const char *name)
{
	char *path = string_format("%s/%s", directory, name);

	assert_non_null(path);
	return path;
}

static void load(const char *name, char **ret, size_t *ret_size)
{
	_cleanup_(free_ptr) char *path = path_of(name);

	assert_ok(io_read_file(path, 1 << 20, ret, ret_size));
}

/* As a disk would: the same file, other bytes. */
static void store(const char *bytes, size_t size)
{
	_cleanup_(free_ptr) char *path = path_of("journal");
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_ok(io_write(fd, bytes, size, path));
}

static void assert_phase(enum phase phase)
{
	struct tree again = {.root_fd = -1, .parent_fd = -1};
	struct journal journal;

	assert_ok(tree_open(directory, &again));
	assert_ok(journal_read(directory, &journal, &again));
	assert_int_equal(journal.phase, phase);
	assert_int_equal(again.n_file_systems, phase == PHASE_NONE ? 0 : 2);
	tree_close(&again);
}

static void assert_unreadable(enum error_code code)
{
	struct tree again = {.root_fd = -1, .parent_fd = -1};
	struct journal journal;

	assert_ok(tree_open(directory, &again));
	assert_error(journal_read(directory, &journal, &again), code);
	tree_close(&again);
}

static int setup(void **state)
{
	_cleanup_(free_ptr) char *mount = NULL;

	strcpy(directory, "/tmp/test-journal-XXXXXX");
	assert_non_null(mkdtemp(directory));
	mount = path_of("mount");
	assert_int_equal(mkdir(mount, 0700), 0);
	assert_ok(tree_open(directory, &tree));
	assert_ok(tree_add_mount(&tree, ""));
	assert_ok(tree_add_mount(&tree, "mount"));
	return 0;
}

static int teardown(void **state)
{
	tree_close(&tree);
	assert_ok(io_remove_tree(directory));
	return 0;
}

static struct journal begin(void)
{
	struct journal journal = JOURNAL_INIT;

	memset(journal.id, 7, sizeof(journal.id));
	journal.phase = PHASE_STAGING;
	assert_ok(journal_create(directory, &journal, &tree, (const uint8_t *)"index", 5, N_SLOTS));
	return journal;
}

static void enter(struct journal *journal, enum phase phase)
{
	journal->phase = phase;
	assert_ok(journal_write(journal));
}

static void newest_counts(void **state)
{
	static const enum phase phases[] = {PHASE_SWITCHING, PHASE_COMMITTED, PHASE_APPLIED, PHASE_UNDOING,
					    PHASE_STAGING};
	struct journal journal;
	struct stat before, after;
	_cleanup_(free_ptr) char *path = path_of("journal");

	assert_phase(PHASE_NONE);
	journal = begin();
	assert_phase(PHASE_STAGING);
	assert_int_equal(stat(path, &before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		enter(&journal, phases[i]);
		assert_phase(phases[i]);
	}
	/* In place: the same file of the same length. */
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(before.st_blocks, after.st_blocks);
	journal_close(&journal);
	assert_ok(journal_remove(directory));
	assert_phase(PHASE_NONE);
}

/* Of each write any number of bytes arrives: what is read is what was before, or what was written. */
static void torn_writes(void **state)
{
	static const enum phase phases[] = {PHASE_SWITCHING, PHASE_COMMITTED, PHASE_APPLIED};
	enum phase was = PHASE_STAGING;
	struct journal journal = begin();

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		_cleanup_(free_ptr) char *before = NULL, *after = NULL;
		size_t size, start = (size_t)journal.next * JOURNAL_BLOCK;

		load("journal", &before, &size);
		enter(&journal, phases[i]);
		load("journal", &after, &size);
		for (size_t n = 0; n <= RECORD_SIZE; n++) {
			memcpy(before + start, after + start, n);
			store(before, size);
			assert_phase(n == RECORD_SIZE ? phases[i] : was);
		}
		/* Nothing of the other record has changed. */
		assert_memory_equal(before, after, size);
		was = phases[i];
	}
	journal_close(&journal);
}

/* After a write that failed the same record is written again, and the other one stays. */
static void failed_write(void **state)
{
	struct journal journal = begin();
	_cleanup_(free_ptr) char *path = path_of("journal"), *before = NULL, *after = NULL;
	size_t size, start;
	int good = journal.fd;

	enter(&journal, PHASE_SWITCHING);
	load("journal", &before, &size);
	start = (size_t)!journal.next * JOURNAL_BLOCK;
	journal.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(journal.fd >= 0);
	journal.phase = PHASE_COMMITTED;
	assert_error(journal_write(&journal), ERROR_SYSTEM);
	assert_phase(PHASE_SWITCHING);
	close(journal.fd);
	journal.fd = good;
	enter(&journal, PHASE_UNDOING);
	assert_phase(PHASE_UNDOING);
	load("journal", &after, &size);
	assert_memory_equal(before + start, after + start, JOURNAL_BLOCK);
	journal_close(&journal);
}

/* What another process goes on with is durable first, and is not altered by that. */
static void confirmed(void **state)
{
	struct tree again = {.root_fd = -1, .parent_fd = -1};
	_cleanup_(free_ptr) char *before = NULL, *after = NULL;
	struct journal journal = begin(), unconfirmed;
	size_t size;

	enter(&journal, PHASE_SWITCHING);
	journal.deferred = true;
	journal.switched_ns = 5;
	enter(&journal, PHASE_COMMITTED);
	journal_close(&journal);
	load("journal", &before, &size);
	assert_ok(tree_open(directory, &again));
	assert_ok(journal_read(directory, &journal, &again));
	assert_true(journal.deferred);
	assert_int_equal(journal.switched_ns, 5);
	assert_string_equal(again.file_systems[1].mount, "mount");
	unconfirmed = journal;
	assert_error(journal_write(&unconfirmed), ERROR_SYSTEM);
	assert_ok(journal_confirm(directory, &journal));
	load("journal", &after, &size);
	assert_memory_equal(before, after, size);
	enter(&journal, PHASE_APPLIED);
	assert_phase(PHASE_APPLIED);
	tree_close(&again);
	journal_close(&journal);
}

static void bad_journals(void **state)
{
	struct journal journal = begin();
	_cleanup_(free_ptr) char *good = NULL, *bad = NULL;
	size_t size;

	enter(&journal, PHASE_SWITCHING);
	load("journal", &good, &size);
	bad = malloc(size);
	assert_non_null(bad);
	for (size_t cut = 0; cut < size; cut += cut < RECORD_SIZE + 2 || cut > 8150 ? 1 : 97) {
		store(good, cut);
		assert_unreadable(ERROR_FORMAT);
	}
	/* One damaged byte anywhere: the other record, or an error; never this record with another word. */
	for (size_t i = 0; i < size; i += i % JOURNAL_BLOCK < RECORD_SIZE || i >= 8192 ? 1 : 97) {
		memcpy(bad, good, size);
		bad[i] = (char)(bad[i] ^ 0x40);
		store(bad, size);
		if (i >= 8192)
			assert_unreadable(ERROR_FORMAT);
		else
			assert_phase(i >= JOURNAL_BLOCK && i < JOURNAL_BLOCK + RECORD_SIZE ? PHASE_STAGING
											   : PHASE_SWITCHING);
	}
	memcpy(bad, good, size);
	bad[10]++, bad[JOURNAL_BLOCK + 10]++;
	store(bad, size);
	assert_unreadable(ERROR_FORMAT);
	/* Two of one number, both whole: not written by us. */
	memcpy(bad, good, size);
	memcpy(bad, bad + JOURNAL_BLOCK, JOURNAL_BLOCK);
	store(bad, size);
	assert_unreadable(ERROR_FORMAT);
	/* As the first version wrote it, whole. */
	memset(bad, 0, size);
	memcpy(bad, "OUAJRNL\1", 8);
	store(bad, 120);
	assert_unreadable(ERROR_UNSUPPORTED);
	journal_close(&journal);
}

static void slots_are_those_of_the_record(void **state)
{
	struct slot slots[N_SLOTS] = {{.staged = 1}, {.old = 2}, {.mtime_s = 3, .file_system = 1}};
	_cleanup_(room_destroy_ptr) struct slot *found = NULL;
	struct journal journal = begin();

	assert_error(journal_read_slots(directory, &journal, N_SLOTS, 2, &found), ERROR_FORMAT);
	assert_ok(journal_write_slots(directory, &journal, slots, N_SLOTS));
	assert_ok(journal_read_slots(directory, &journal, N_SLOTS, 2, &found));
	assert_memory_equal(slots, found, sizeof(slots));
	assert_error(journal_read_slots(directory, &journal, N_SLOTS, 1, &found), ERROR_FORMAT);
	assert_error(journal_read_slots(directory, &journal, N_SLOTS + 1, 2, &found), ERROR_FORMAT);
	journal_close(&journal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(newest_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(failed_write, setup, teardown),
		cmocka_unit_test_setup_teardown(confirmed, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_journals, setup, teardown),
		cmocka_unit_test_setup_teardown(slots_are_those_of_the_record, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
