/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checksum.h"

#define EMPTY   0xef46db3751d8e999ull /* of no bytes, as the specification of xxHash has it */
#define SIZE    700001
#define DAMAGED 345678

/* Values that programs of others say: xxhsum -H1. */
static void known_values(void **state)
{
	assert_int_equal(checksum_of("", 0), EMPTY);
	assert_int_equal(checksum_of("abc", 3), 0x44bc2cf5ad770999ull);
}

static void pieces_of_any_size(void **state)
{
	_cleanup_(checksum_destroy_ptr) struct checksum *checksum = checksum_create();
	_cleanup_(free_ptr) uint8_t *bytes = malloc(SIZE);
	uint64_t whole;

	assert_non_null(checksum);
	assert_non_null(bytes);
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 253);
	whole = checksum_of(bytes, SIZE);
	for (size_t step = 1; step < SIZE; step = step * 3 + 1) {
		checksum_reset(checksum);
		assert_int_equal(checksum_value(checksum), EMPTY);
		for (size_t i = 0; i < SIZE; i += step)
			checksum_update(checksum, bytes + i, i + step < SIZE ? step : SIZE - i);
		assert_int_equal(checksum_value(checksum), whole);
	}
	bytes[DAMAGED] ^= 1;
	assert_int_not_equal(checksum_of(bytes, SIZE), whole);
}

static void a_file_from_where_it_stands(void **state)
{
	_cleanup_(close_fd) int fd = memfd_create("checksum", MFD_CLOEXEC);
	uint64_t value;

	assert_int_equal(write(fd, "xyzabc", 6), 6);
	assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
	assert_ok(checksum_fd(fd, "memory", &value));
	assert_int_equal(value, checksum_of("abc", 3));
	assert_error(checksum_fd(-1, "nothing", &value), ERROR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_of_any_size),
		cmocka_unit_test(a_file_from_where_it_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
