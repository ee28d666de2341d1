/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a disk beforehand, on a file system that is there: the cache of its block device has it, and no
 * more. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apply/readahead.h"
#include "base/io.h"
#include "fixture.h"

#define PLACE  FIXTURE_SPACE "/place"
#define IMAGE  FIXTURE_SPACE "/image"
#define DEVICE FIXTURE_SPACE "/device"
#define PAGE   4096

static bool is_cached(uint64_t kib)
{
	_cleanup_(close_fd) int fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	unsigned char vector;
	void *map;

	assert_true(fd >= 0);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(kib << 10));
	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, PAGE, &vector), 0);
	munmap(map, PAGE);
	return vector & 1;
}

/* It comes when it comes. */
static void assert_comes(uint64_t kib)
{
	for (unsigned i = 0; i < 1000 && !is_cached(kib); i++)
		usleep(10000);
	assert_true(is_cached(kib));
}

static void ranges_are_read(void **state)
{
	need_root();
	shell("truncate -s 64M " IMAGE " && mke2fs -q -t ext4 " IMAGE " && mkdir -p " PLACE
	      "/below && mount -o loop " IMAGE " " PLACE " && mknod " DEVICE " b $(mountpoint -d " PLACE
	      " | tr : ' ')");
	assert_false(is_cached(40 << 10));
	readahead_begin("/", "20480+4,40960+1024:" PLACE);
	assert_comes(20 << 10);
	/* To its end, which is more than one request. */
	assert_comes(40 << 10);
	assert_comes((41 << 10) - 4);
	assert_false(is_cached(50 << 10));
	/* Below a root, and behind the end of the device. */
	readahead_begin(FIXTURE_SPACE, "51200+64:/place");
	assert_comes(50 << 10);
	readahead_begin("/", "999999+64:" PLACE);
	shell("umount " PLACE);
}

static void no_device_is_no_fault(void **state)
{
	need_root();
	/* A tmpfs, and nothing at all. */
	readahead_begin("/", "0+4:" FIXTURE_SPACE);
	readahead_begin("/", "0+4:/nowhere/at/all");
}

static void words(void **state)
{
	static const char *const wrong[] = {
		"",      "4+4",    "4+4:",           "4:/",      "4+:/",
		"+4:/",  "4+4,:/", "4+4;5+5:/",      "-4+4:/",   "4+-4:/",
		"4+4:x", " 4+4:/", "4+4 , 5+5:/mnt", "4+4,5+:/", "99999999999999999999+4:/"};

	assert_true(readahead_is_valid("4+4:/"));
	assert_true(readahead_is_valid("0+1,8+16,4096+4:/mnt/a:b,c"));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(readahead_is_valid(wrong[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_read),
		cmocka_unit_test(no_device_is_no_fault),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
