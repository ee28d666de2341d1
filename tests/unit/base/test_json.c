/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "tests/unit/test.h"

static void bytes_survive_the_round_trip(void **state)
{
	static const char *const cases[] = {"plain",        "",          "caf\xc3\xa9",      "bad\xff",    "\xc0\x80",
					    "\xed\xa0\x80", "new\nline", "\xf4\x90\x80\x80", "cut\xe2\x82"};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(json_decref_ptr) json_t *object = json_object();
		_cleanup_(free_ptr) char *back = NULL;
		size_t size;

		assert_ok(json_set_bytes(object, "k", cases[i], strlen(cases[i])));
		assert_ok(json_get_bytes(object, "k", &back, &size));
		assert_int_equal(size, strlen(cases[i]));
		assert_memory_equal(back, cases[i], size);
	}
}

static void only_what_is_not_utf8_is_given_again(void **state)
{
	_cleanup_(json_decref_ptr) json_t *object = json_object();
	const char *text;

	assert_ok(json_set_bytes(object, "good", "caf\xc3\xa9", 5));
	assert_null(json_object_get(object, "good_b64"));
	assert_ok(json_set_bytes(object, "bad", "a\xff", 2));
	assert_ok(json_get_string(object, "bad", &text));
	assert_string_equal(text, "a\xef\xbf\xbd");
	assert_non_null(json_object_get(object, "bad_b64"));
}

static void base64_is_canonical_or_refused(void **state)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	size_t size;

	assert_ok(base64_decode("YWI=", &bytes, &size));
	assert_int_equal(size, 2);
	assert_error(base64_decode("YWI", &bytes, &size), ERROR_FORMAT);
	assert_error(base64_decode("YWJ=", &bytes, &size), ERROR_FORMAT);
	assert_error(base64_decode("Y W=", &bytes, &size), ERROR_FORMAT);
	assert_error(base64_decode("====", &bytes, &size), ERROR_FORMAT);
}

static void wrong_documents_are_refused(void **state)
{
	_cleanup_(json_decref_ptr) json_t *value = NULL;
	const char *text;
	uint64_t number;

	assert_error(json_parse("{\"a\":1,\"a\":2}", 13, "f", &value), ERROR_FORMAT);
	assert_error(json_parse("{", 1, "f", &value), ERROR_FORMAT);
	assert_ok(json_parse("{\"a\":-1,\"b\":\"x\"}", 16, "f", &value));
	assert_error(json_get_u64(value, "a", &number), ERROR_FORMAT);
	assert_error(json_get_u64(value, "b", &number), ERROR_FORMAT);
	assert_error(json_get_string(value, "c", &text), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_survive_the_round_trip),
		cmocka_unit_test(only_what_is_not_utf8_is_given_again),
		cmocka_unit_test(base64_is_canonical_or_refused),
		cmocka_unit_test(wrong_documents_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
