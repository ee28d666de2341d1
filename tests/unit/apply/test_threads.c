/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Staging by several threads, and by one from a pipe: the same tree, and the same refusals. $HELPER is a build that
 * does as $OUA_THREADS says.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

#define N_FILES 65

static const char *const threads[] = {"OUA_THREADS=1", "OUA_THREADS=2", "OUA_THREADS=100"};

/* Around pages, buffers and pieces; the largest are longer than one read. */
static const size_t sizes[] = {0,       1,   4095,   4096, 4097, 20000, 65536, 1 << 20, (1 << 20) + 1,
			       1500000, 100, 700000, 12345};

static void add_content(struct builder_entry *e, size_t size, unsigned seed)
{
	uint8_t *bytes = malloc(size + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
	/* Some have holes, at places that are no page's. */
	if (e->flags & PAYLOAD_ENTRY_SPARSE)
		memset(bytes + size / 3, 0, size / 3);
	builder_content(e, bytes, size);
	free(bytes);
}

static void make_update(struct builder *b)
{
	struct builder_entry *e, *first = NULL;
	char path[64];

	builder_init(b, FIXTURE_BASE);
	fixture_every_kind(b);
	builder_add(b, CHANGE_DIRECTORY, "threads", S_IFDIR | 0755);
	for (unsigned i = 0; i < N_FILES; i++) {
		snprintf(path, sizeof(path), "threads/%u", i);
		e = builder_add(b, CHANGE_WRITE, path, S_IFREG | 0640);
		e->flags = i % 7 == 3 ? PAYLOAD_ENTRY_SPARSE : 0;
		add_content(e, sizes[i % ARRAY_SIZE(sizes)], i);
		if (i == 5)
			first = e;
		/* Each of these needs another slot to be complete. */
		if (i % 5 == 0 && i > 5) {
			snprintf(path, sizeof(path), "threads/shared%u", i);
			e = builder_add(b, CHANGE_WRITE, path, S_IFREG | 0600);
			builder_share(b, e, first);
		}
		if (i % 9 == 0) {
			snprintf(path, sizeof(path), "threads/link%u", i);
			e = builder_add(b, CHANGE_LINK, path, S_IFREG | 0640);
			snprintf(path, sizeof(path), "threads/%u", i);
			builder_target(e, path);
		}
	}
	builder_write(b, FIXTURE_PAYLOAD);
}

static void assert_applied(const char *after)
{
	assert_ok(io_remove_tree(FIXTURE_ROOT "/.ouassister"));
	assert_tree(FIXTURE_ROOT, after);
}

static void all_make_the_same_tree(void **state)
{
	_cleanup_(free_ptr) char *after = NULL, *files = NULL;
	struct builder b;
	unsigned n = 0;

	need_root();
	make_update(&b);
	after = fixture_expected(&b);
	for (size_t i = 0; i < b.n_entries; i++)
		n += b.entries[i].change.kind == CHANGE_WRITE;
	files = string_format("\"files\":%u,", n);
	assert_non_null(files);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		fixture_copy();
		assert_int_equal(helper(0, threads[i], "apply", &b), 0);
		/* Nobody's work is counted twice or not at all. */
		assert_non_null(strstr(fixture_output, files));
		assert_applied(after);
	}
	builder_deinit(&b);
}

/* The same bytes in one pass. */
static void a_pipe_is_read_by_one(void **state)
{
	_cleanup_(free_ptr) char *after = NULL;
	struct builder b;
	pid_t pid;
	int fd;

	need_root();
	assert_int_equal(setenv("OUA_THREADS", "4", 1), 0);
	make_update(&b);
	after = fixture_expected(&b);
	fixture_copy();
	pid = helper_start(&b, &fd);
	assert_ok(io_write(fd, b.bytes, b.size, "pipe"));
	close(fd);
	assert_int_equal(helper_wait(pid), 0);
	assert_applied(after);
	assert_int_equal(unsetenv("OUA_THREADS"), 0);
	builder_deinit(&b);
}

/* Whoever held its other end is gone, and did not say so. */
static void a_silent_pipe_is_given_up(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	struct builder b;
	pid_t pid;
	int fd;

	need_root();
	assert_int_equal(setenv("OUA_SILENT_MS", "500", 1), 0);
	before = dump_tree(FIXTURE_BASE);
	make_update(&b);
	fixture_copy();
	pid = helper_start(&b, &fd);
	assert_ok(io_write(fd, b.bytes, b.size / 2, "pipe"));
	assert_int_equal(helper_wait(pid), 1);
	close(fd);
	shell("grep -q '\"result\":\"failed\".*cannot read the payload.*timed out' " FIXTURE_SPACE "/output");
	assert_tree(FIXTURE_ROOT, before);
	assert_int_equal(unsetenv("OUA_SILENT_MS"), 0);
	builder_deinit(&b);
}

/* As most guests have it; with blocks of either size, and with one that ends behind the payload's last page. */
static void a_disk_is_read(void **state)
{
	static const char *const options[] = {"-b 512", "-b 4096"};
	_cleanup_(free_ptr) char *after = NULL;
	struct builder b;

	need_root();
	make_update(&b);
	after = fixture_expected(&b);
	shell("truncate -s +4096 " FIXTURE_PAYLOAD " && mv " FIXTURE_PAYLOAD " " FIXTURE_SPACE "/disk");
	for (size_t i = 0; i < ARRAY_SIZE(options) * ARRAY_SIZE(threads); i++) {
		shell("losetup -r %s -f " FIXTURE_SPACE "/disk && ln -s $(losetup -n -O NAME -j " FIXTURE_SPACE
		      "/disk) " FIXTURE_PAYLOAD,
		      options[i % ARRAY_SIZE(options)]);
		fixture_copy();
		assert_int_equal(helper(0, threads[i / ARRAY_SIZE(options)], "apply", &b), 0);
		assert_applied(after);
		shell("losetup -d $(readlink " FIXTURE_PAYLOAD ") && rm " FIXTURE_PAYLOAD);
	}
	builder_deinit(&b);
}

static void assert_refused(const struct builder *b, const char *before, const char *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		fixture_copy();
		assert_int_equal(helper(0, threads[i], "apply", b), 1);
		assert_result("failed");
		assert_non_null(strstr(fixture_output, why));
		assert_int_not_equal(access(FIXTURE_ROOT "/.ouassister", F_OK), 0);
		assert_tree(FIXTURE_ROOT, before);
	}
}

/* Whichever thread meets it first: one error, and nothing is left of what the others did. */
static void damage_changes_nothing(void **state)
{
	_cleanup_(free_ptr) char *before = NULL;
	struct builder b;
	unsigned n = 0;

	need_root();
	before = dump_tree(FIXTURE_BASE);
	make_update(&b);
	for (size_t i = 0, at = b.content_start; i < b.n_entries; i++) {
		const struct builder_entry *e = &b.entries[i];
		size_t size = e->change.kind == CHANGE_WRITE && !(e->flags & PAYLOAD_ENTRY_SHARED) ? e->change.size : 0;

		if (size == 700000 && n < 2) {
			b.bytes[at + size / 2] ^= 1;
			assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, b.size, 0600));
			assert_refused(&b, before, "damaged");
			b.bytes[at + size / 2] ^= 1;
			n++;
		}
		at += (size + PAYLOAD_ALIGNMENT - 1) / PAYLOAD_ALIGNMENT * PAYLOAD_ALIGNMENT;
	}
	assert_int_equal(n, 2);
	/* Without the last page there is no content for the last file that has any. */
	assert_ok(io_replace_file(FIXTURE_PAYLOAD, b.bytes, b.size - PAYLOAD_ALIGNMENT, 0600));
	assert_refused(&b, before, "payload");
	builder_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_make_the_same_tree),    cmocka_unit_test(a_pipe_is_read_by_one),
		cmocka_unit_test(a_silent_pipe_is_given_up), cmocka_unit_test(a_disk_is_read),
		cmocka_unit_test(damage_changes_nothing),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
