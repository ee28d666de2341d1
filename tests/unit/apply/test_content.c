/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written of new files, on file systems that are there: the bytes and, of the large ones on ext4 and XFS, that
 * the page cache has none of them but the part of a block at their end.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply/attributes.h"
#include "apply/content.h"
#include "base/io.h"
#include "fixture.h"

#define PLACE     FIXTURE_SPACE "/place"
#define PAGE      4096
#define LARGE     (128 * 1024) /* from here on past the cache */
#define BYTES_MAX (2 * 1024 * 1024)

static uint8_t *bytes; /* BYTES_MAX + PAGE of them, at a page's start; none is 0 */

/* How the bytes are handed over. */
static const struct manner {
	size_t piece;
	size_t shift;    /* of where they lie from the page's start */
	bool past_cache; /* all whole blocks can go there */
} manners[] = {
	{SOURCE_BUFFER_SIZE, 0, true},    {LARGE, 0, true}, {PAGE, 0, true},
	{SOURCE_BUFFER_SIZE, 512, false}, {5000, 1, false},
};

static const size_t sizes[] = {1,
			       PAGE,
			       LARGE - 1,
			       LARGE,
			       LARGE + 1,
			       LARGE + 511,
			       LARGE + 512,
			       LARGE + 4095,
			       1024 * 1024 - 1,
			       1024 * 1024 + 4095,
			       SOURCE_BUFFER_SIZE + LARGE};

static int make_file(void)
{
	int fd = open(PLACE "/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static struct payload_entry make_entry(const uint8_t *from, size_t size)
{
	return (struct payload_entry){
		.change = {.kind = CHANGE_WRITE,
			   .path = (char *)"file",
			   .size = size,
			   .attributes =
				   {.mode = S_IFREG | 0640, .uid = 7, .gid = 8, .mtime_s = 1600000000, .mtime_ns = 5}},
		.checksum = checksum_of(from, size),
	};
}

static struct error *write_pieces(struct content *content, const uint8_t *from, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		struct error *error = content_write(content, from + at, size - at < piece ? size - at : piece);

		assert_false(fcntl(content->fd, F_GETFL) & O_DIRECT);
		if (error)
			return error;
	}
	return content_end(content);
}

static size_t cached_pages(int fd, size_t size)
{
	size_t n = (size + PAGE - 1) / PAGE, cached = 0;
	unsigned char vector[BYTES_MAX / PAGE];
	void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED && n <= sizeof(vector));
	assert_int_equal(mincore(map, size, vector), 0);
	munmap(map, size);
	for (size_t i = 0; i < n; i++)
		cached += vector[i] & 1;
	return cached;
}

static void assert_bytes(int fd, const uint8_t *expected, size_t size)
{
	_cleanup_(free_ptr) uint8_t *found = malloc(size);
	struct stat s;

	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_size, size);
	assert_ok(io_pread(fd, found, size, 0, "file"));
	assert_memory_equal(found, expected, size);
}

static void assert_attributes(int fd)
{
	struct stat s;

	assert_int_equal(fstat(fd, &s), 0);
	assert_int_equal(s.st_mode, S_IFREG | 0640);
	assert_int_equal(s.st_uid, 7);
	assert_int_equal(s.st_gid, 8);
	assert_int_equal(s.st_mtim.tv_sec, 1600000000);
	assert_int_equal(s.st_mtim.tv_nsec, 5);
}

/* `direct`: large ones go past the cache here. */
static void write_one(struct content *content, size_t size, const struct manner *manner, bool direct)
{
	const uint8_t *from = bytes + manner->shift;
	struct payload_entry entry = make_entry(from, size);
	size_t pages = (size + PAGE - 1) / PAGE, cached;
	int fd = make_file();

	content_begin(content, &entry, fd);
	assert_ok(write_pieces(content, from, size, manner->piece));
	assert_ok(attributes_set_new(fd, 0600, &entry.change.attributes, "file"));
	cached = cached_pages(fd, size);
	/* A last page of which the file system has only some blocks does not count as cached. */
	if (direct && manner->past_cache && size >= LARGE)
		assert_in_range(cached, 0, size % PAGE ? 1 : 0);
	else if (!direct || manner->shift % PAGE || size < LARGE)
		assert_in_range(cached, size % PAGE ? pages - 1 : pages, pages);
	/* From the disk, too. */
	assert_int_equal(fsync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_bytes(fd, from, size);
	assert_attributes(fd);
	close(fd);
}

/* Pages of zeros are holes, and such files go through the cache. */
static void write_sparse_one(struct content *content, bool holes)
{
	size_t size = 1024 * 1024 + 100;
	_cleanup_(free_ptr) uint8_t *from = aligned_alloc(PAGE, BYTES_MAX);
	struct payload_entry entry;
	int fd = make_file();
	struct stat s;

	memcpy(from, bytes, size);
	memset(from + 3 * PAGE, 0, 900 * 1024);
	memset(from + size - 200, 0, 200);
	entry = make_entry(from, size);
	entry.flags = PAYLOAD_ENTRY_SPARSE;
	content_begin(content, &entry, fd);
	assert_ok(write_pieces(content, from, size, LARGE));
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(fstat(fd, &s), 0);
	if (holes)
		assert_true(s.st_blocks * 512 < 300 * 1024);
	assert_bytes(fd, from, size);
	close(fd);
}

/* Other bytes, too few and too many. */
static void refuse_damaged(struct content *content)
{
	struct payload_entry entry = make_entry(bytes, LARGE + 10);
	int fd = make_file();

	entry.checksum ^= 1;
	content_begin(content, &entry, fd);
	assert_error(write_pieces(content, bytes, LARGE + 10, LARGE), ERROR_FORMAT);
	entry = make_entry(bytes, 2 * LARGE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		content_begin(content, &entry, fd);
		assert_error(write_pieces(content, bytes, i ? 2 * LARGE + PAGE : 2 * LARGE - PAGE, PAGE), ERROR_FORMAT);
	}
	close(fd);
}

static void write_all_kinds(bool direct)
{
	struct content content;

	assert_ok(content_init(&content));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(manners); k++)
			write_one(&content, sizes[i], &manners[k], direct);
	write_sparse_one(&content, true);
	refuse_damaged(&content);
	content_deinit(&content);
}

/* `options`: of losetup. */
static void mount_place(const char *size, const char *make, const char *options)
{
	shell("set -e; rm -f " PLACE ".image; mkdir -p " PLACE "; truncate -s %s " PLACE ".image\n"
	      "l=$(losetup -f --show %s " PLACE ".image); trap 'losetup -d $l' EXIT; %s $l >/dev/null; mount $l " PLACE,
	      size, options, make);
}

static void on_disk(const char *size, const char *make, const char *options, bool direct)
{
	need_root();
	mount_place(size, make, options);
	write_all_kinds(direct);
	shell("umount " PLACE);
}

static void ext4(void **state)
{
	on_disk("64M", "mkfs.ext4 -q -b 4096", "", true);
}

static void ext4_of_small_blocks(void **state)
{
	on_disk("64M", "mkfs.ext4 -q -b 1024", "", true);
}

static void ext4_on_large_sectors(void **state)
{
	on_disk("64M", "mkfs.ext4 -q -b 4096", "-b 4096", true);
}

static void xfs(void **state)
{
	on_disk("400M", "mkfs.xfs -q", "", true);
}

static void xfs_on_large_sectors(void **state)
{
	on_disk("400M", "mkfs.xfs -q", "-b 4096", true);
}

static void btrfs(void **state)
{
	on_disk("128M", "mkfs.btrfs -q", "", false);
}

static void in_memory(void **state)
{
	need_root();
	shell("mkdir -p " PLACE);
	assert_int_equal(mount("test-content", PLACE, "tmpfs", 0, "size=16m"), 0);
	write_all_kinds(false);
	shell("umount " PLACE);
}

/* Past the cache the disk's being full is told at once, and the descriptor is as it was. */
static void tells_a_full_disk(void **state)
{
	struct payload_entry entry;
	struct content content;
	struct error *error = NULL;
	int fd;

	need_root();
	mount_place("8M", "mkfs.ext4 -q -b 1024 -m 0", "");
	assert_ok(content_init(&content));
	entry = make_entry(bytes, BYTES_MAX);
	entry.change.size = 16 << 20;
	fd = make_file();
	content_begin(&content, &entry, fd);
	for (unsigned i = 0; i < 8 && !error; i++)
		error = content_write(&content, bytes, BYTES_MAX);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_SYSTEM);
	assert_int_equal(error->errnum, ENOSPC);
	error_destroy(error);
	assert_false(fcntl(fd, F_GETFL) & O_DIRECT);
	close(fd);
	/* It can begin anew. */
	fd = make_file();
	entry = make_entry(bytes, LARGE);
	content_begin(&content, &entry, fd);
	assert_ok(write_pieces(&content, bytes, LARGE, LARGE));
	assert_int_equal(cached_pages(fd, LARGE), 0);
	close(fd);
	content_deinit(&content);
	shell("umount " PLACE);
}

static int setup(void **state)
{
	bytes = aligned_alloc(PAGE, BYTES_MAX + PAGE);
	assert_non_null(bytes);
	srandom(4711);
	for (size_t i = 0; i < BYTES_MAX + PAGE; i++)
		bytes[i] = 1 + random() % 255;
	return fixture_setup(state);
}

static int teardown(void **state)
{
	/* What a test that failed left. */
	umount2(PLACE, MNT_DETACH);
	free(bytes);
	return fixture_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ext4),
		cmocka_unit_test(ext4_of_small_blocks),
		cmocka_unit_test(ext4_on_large_sectors),
		cmocka_unit_test(xfs),
		cmocka_unit_test(xfs_on_large_sectors),
		cmocka_unit_test(btrfs),
		cmocka_unit_test(in_memory),
		cmocka_unit_test(tells_a_full_disk),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
