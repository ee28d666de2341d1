/* SPDX-License-Identifier: Apache-2.0 */
/* Where debugfs says that inodes and directories lie, there they are. */
#include "tests/unit/disk/fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/metadata.h"

#define START (UINT64_C(3) << 20)

/* What a command of debugfs prints on the image: numbers, one a line, that a filter has taken out of it. */
static size_t ask(const char *image, const char *command, const char *filter, uint64_t *ret, size_t max)
{
	_cleanup_(free_ptr) char *line = string_format("debugfs -R '%s' '%s?offset=%llu' 2>debugfs.err | %s", command,
						       image, (unsigned long long)START, filter);
	FILE *stream = popen(line, "r");
	size_t n = 0;

	assert_non_null(stream);
	while (n < max && fscanf(stream, "%lu", &ret[n]) == 1)
		n++;
	assert_int_equal(pclose(stream), 0);
	return n;
}

static uint64_t inode_of(const char *image, const char *path)
{
	_cleanup_(free_ptr) char *command = string_format("stat %s", path);
	uint64_t number;

	assert_int_equal(ask(image, command, "sed -n 's/^Inode: *\\([0-9]*\\).*/\\1/p'", &number, 1), 1);
	return number;
}

static bool has(const struct disk_range *ranges, size_t n, uint64_t start, uint64_t size)
{
	for (size_t i = 0; i < n; i++)
		if (start >= ranges[i].start && start + size <= ranges[i].start + ranges[i].size)
			return true;
	return false;
}

/* The block of its inode, and of a directory all of its own. */
static void assert_known(const char *image, const char *path, uint64_t block_size, bool directory,
			 const struct disk_range *ranges, size_t n)
{
	_cleanup_(free_ptr) char *imap = string_format("imap %s", path), *blocks = string_format("blocks %s", path);
	uint64_t found[64];
	size_t n_found = ask(image, imap, "sed -n 's/.*located at block \\([0-9]*\\),.*/\\1/p'", found, 1);

	assert_int_equal(n_found, 1);
	assert_true(has(ranges, n, found[0] * block_size, block_size));
	if (!directory)
		return;
	n_found = ask(image, blocks, "tr ' ' '\\n'", found, ARRAY_SIZE(found));
	assert_in_range(n_found, 1, ARRAY_SIZE(found));
	for (size_t i = 0; i < n_found; i++)
		assert_true(has(ranges, n, found[i] * block_size, block_size));
}

static void make(const char *image, const char *options)
{
	shell("[ -d tree ] || { mkdir -p tree/usr/share/many tree/etc && (cd tree/usr/share/many && seq 1500 | xargs "
	      "touch) "
	      "&& echo x >tree/etc/conf; }\n"
	      "rm -f %s; truncate -s 67M %s; mke2fs -q %s -d tree -E offset=%llu %s 64M",
	      image, image, options, (unsigned long long)START, image);
}

static struct error *ranges_of(const char *image, uint64_t start, const struct disk_inode *inodes, size_t n,
			       struct disk_range **ret, size_t *ret_n)
{
	_cleanup_(close_fd) int fd = open(image, O_RDONLY | O_CLOEXEC);

	return metadata_ranges(fd, start, UINT64_C(64) << 20, inodes, n, ret, ret_n);
}

static void ranges(void **state)
{
	/* Extents, the blocks of ext2, and small ones. */
	static const struct {
		const char *options;
		uint64_t block_size;
	} kinds[] = {
		{"-t ext4 -b 4096", 4096}, {"-t ext2 -b 4096", 4096}, {"-t ext4 -b 1024 -O ^64bit,^flex_bg", 1024}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_(free_ptr) struct disk_range *list = NULL;
		struct disk_inode inodes[5] = {{.directory = true}, {.directory = true}, {.directory = true}};
		uint64_t bytes = 0;
		size_t n = 0;

		make("disk", kinds[i].options);
		inodes[0].number = inode_of("disk", "/");
		inodes[1].number = inode_of("disk", "/usr/share/many");
		inodes[2].number = inode_of("disk", "/etc");
		inodes[3].number = inode_of("disk", "/etc/conf");
		inodes[4].number = inode_of("disk", "/usr/share/many/1500");
		assert_ok(ranges_of("disk", START, inodes, ARRAY_SIZE(inodes), &list, &n));
		assert_in_range(n, 2, 20);
		assert_known("disk", "/", kinds[i].block_size, true, list, n);
		assert_known("disk", "/usr/share/many", kinds[i].block_size, true, list, n);
		assert_known("disk", "/etc", kinds[i].block_size, true, list, n);
		assert_known("disk", "/etc/conf", kinds[i].block_size, false, list, n);
		assert_known("disk", "/usr/share/many/1500", kinds[i].block_size, false, list, n);
		for (size_t k = 0; k < n; k++) {
			assert_true(k == 0 || list[k].start > list[k - 1].start + list[k - 1].size + (32 << 10));
			bytes += list[k].size;
		}
		/* Not simply everything. */
		assert_in_range(bytes, kinds[i].block_size, 1 << 20);
	}
}

static void what_is_not_there(void **state)
{
	_cleanup_(free_ptr) struct disk_range *list = NULL;
	const struct disk_inode inodes[] = {
		{.number = 0, .directory = true}, {.number = UINT64_MAX}, {.number = 1 << 30}};
	size_t n = 1;

	make("disk", "-t ext4");
	assert_ok(ranges_of("disk", START, inodes, ARRAY_SIZE(inodes), &list, &n));
	assert_int_equal(n, 0);
	assert_error(ranges_of("disk", 0, inodes, ARRAY_SIZE(inodes), &list, &n), ERROR_UNSUPPORTED);
	assert_error(ranges_of("disk", UINT64_C(1) << 40, inodes, ARRAY_SIZE(inodes), &list, &n), ERROR_UNSUPPORTED);
}

/* Noise where inodes and directories are: an answer or an error, and nothing beyond the image is touched. */
static void damaged(void **state)
{
	const struct disk_inode inodes[] = {
		{.number = 2, .directory = true}, {.number = 12, .directory = true}, {.number = 13}};

	make("disk", "-t ext4");
	for (unsigned seed = 0; seed < 60; seed++) {
		_cleanup_(free_ptr) struct disk_range *list = NULL;
		struct error *error;
		size_t n = 0;

		shell("cp --sparse=always disk bad");
		{
			_cleanup_(close_fd) int fd = open("bad", O_WRONLY | O_CLOEXEC);

			srandom(seed);
			for (unsigned i = 0; i < 400; i++) {
				uint8_t byte = (uint8_t)random();

				/* The superblock alone, or all of what comes first. */
				assert_int_equal(pwrite(fd, &byte, 1,
							(off_t)START + 1024 + random() % (seed % 3 ? 1 << 20 : 1024)),
						 1);
			}
		}
		error = ranges_of("bad", START, inodes, ARRAY_SIZE(inodes), &list, &n);
		error_destroy(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
