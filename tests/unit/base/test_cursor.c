/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"
#include "tests/unit/test.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static void reads_both_orders(void **state)
{
	struct cursor c = cursor_init(bytes, sizeof(bytes), "f");
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	assert_ok(cursor_le64(&c, &v64));
	assert_true(v64 == 0x0807060504030201);
	assert_ok(cursor_u8(&c, &v8));
	assert_int_equal(v8, 9);
	assert_ok(cursor_seek(&c, 0));
	assert_ok(cursor_be16(&c, &v16));
	assert_int_equal(v16, 0x0102);
	assert_ok(cursor_be32(&c, &v32));
	assert_int_equal(v32, 0x03040506);
}

static void a_failed_read_leaves_the_position(void **state)
{
	struct cursor c = cursor_init(bytes, sizeof(bytes), "f");
	uint64_t value = 7;
	struct error *error;

	c.base = 0x100;
	assert_ok(cursor_skip(&c, 2));
	error = cursor_be64(&c, &value);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FORMAT);
	assert_true(error->address == 0x102);
	error_destroy(error);
	assert_true(value == 7);
	assert_true(c.position == 2);
}

static void sizes_that_overflow_are_refused(void **state)
{
	struct cursor c = cursor_init(bytes, sizeof(bytes), NULL);
	const uint8_t *p;

	assert_ok(cursor_skip(&c, 1));
	assert_error(cursor_bytes(&c, UINT64_MAX, &p), ERROR_FORMAT);
	assert_error(cursor_seek(&c, sizeof(bytes) + 1), ERROR_FORMAT);
	assert_ok(cursor_seek(&c, sizeof(bytes)));
	assert_ok(cursor_bytes(&c, 0, &p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_both_orders),
		cmocka_unit_test(a_failed_read_leaves_the_position),
		cmocka_unit_test(sizes_that_overflow_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
