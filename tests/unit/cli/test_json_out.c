/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/json_out.h"

#include <stdlib.h>

#include "base/json.h"
#include "tests/unit/test.h"

/* A document being written into memory. */
struct fixture {
	char *text;
	size_t size;
	FILE *stream;
	struct json_out out;
};

static void start(struct fixture *f)
{
	f->stream = open_memstream(&f->text, &f->size);
	assert_non_null(f->stream);
	f->out = json_out_begin(f->stream);
}

static void finish(struct fixture *f, const char *incomplete)
{
	json_out_end(&f->out, incomplete);
	fclose(f->stream);
}

static void a_list_is_a_line_an_entry(void **state)
{
	struct fixture f = {0};

	start(&f);
	json_out_list_begin(&f.out, "things");
	for (int i = 0; i < 2; i++) {
		json_out_entry_begin(&f.out);
		json_out_u64(&f.out, "n", (uint64_t)i);
		json_out_array_begin(&f.out, "a");
		json_out_string(&f.out, NULL, "x", 1);
		json_out_string(&f.out, NULL, "y", 1);
		json_out_array_end(&f.out);
		json_out_object_end(&f.out);
	}
	json_out_list_end(&f.out);
	finish(&f, NULL);
	assert_string_equal(f.text, "{\"version\": 1, \"things\": [\n"
				    "  {\"n\": 0, \"a\": [\"x\", \"y\"]},\n"
				    "  {\"n\": 1, \"a\": [\"x\", \"y\"]}\n"
				    "]}\n");
	free(f.text);
}

static void an_empty_list_that_is_incomplete(void **state)
{
	struct fixture f = {0};

	start(&f);
	json_out_list_begin(&f.out, "things");
	json_out_list_end(&f.out);
	finish(&f, "a \"bad\" pointer\n");
	assert_string_equal(f.text, "{\"version\": 1, \"things\": [], \"incomplete\": \"a \\\"bad\\\" pointer\\n\"}\n");
	free(f.text);
}

static void numbers_are_exact(void **state)
{
	struct fixture f = {0};

	start(&f);
	json_out_u64(&f.out, "a", UINT64_MAX);
	json_out_i64(&f.out, "b", INT64_MIN);
	json_out_seconds(&f.out, "c", 0);
	json_out_seconds(&f.out, "d", 1500000000);
	json_out_seconds(&f.out, "e", 12345678900000001);
	json_out_address(&f.out, "f", UINT64_C(0xffffffffc0000000));
	json_out_bool(&f.out, "g", true);
	json_out_null(&f.out, "h");
	finish(&f, NULL);
	assert_string_equal(f.text, "{\"version\": 1, \"a\": 18446744073709551615, \"b\": -9223372036854775808, "
				    "\"c\": 0.0, \"d\": 1.5, \"e\": 12345678.900000001, "
				    "\"f\": \"0xffffffffc0000000\", \"g\": true, \"h\": null}\n");
	free(f.text);
}

/* Whatever the bytes are, a parser accepts the document and gets them back. */
static void any_bytes_come_back(void **state)
{
	char bytes[256];

	for (size_t n = 0; n <= sizeof(bytes); n++) {
		struct fixture f = {0};
		_cleanup_(json_decref_ptr) json_t *parsed = NULL;
		_cleanup_(free_ptr) char *back = NULL;
		size_t size;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)(i * 7 + n);
		start(&f);
		f.out.ascii = n % 2;
		json_out_bytes(&f.out, "name", bytes, n);
		finish(&f, NULL);
		assert_ok(json_parse(f.text, f.size, NULL, &parsed));
		assert_ok(json_get_bytes(parsed, "name", &back, &size));
		assert_int_equal(size, n);
		assert_memory_equal(back, bytes, n);
		free(f.text);
	}
}

static void what_is_not_utf8_is_given_twice(void **state)
{
	struct fixture f = {0};

	start(&f);
	json_out_text(&f.out, "a", "x\xff");
	json_out_text(&f.out, "b", "grün");
	json_out_text(&f.out, "c", NULL);
	finish(&f, NULL);
	assert_string_equal(f.text, "{\"version\": 1, \"a\": \"x\xef\xbf\xbd\", \"a_b64\": \"eP8=\", "
				    "\"b\": \"grün\", \"c\": null}\n");
	free(f.text);
}

static void a_terminal_gets_ascii(void **state)
{
	struct fixture f = {0};

	start(&f);
	f.out.ascii = true;
	json_out_text(&f.out, "a", "\xe2\x80\xae\xf0\x9f\x98\xba\x1b\x7f");
	finish(&f, NULL);
	assert_string_equal(f.text, "{\"version\": 1, \"a\": \"\\u202e\\ud83d\\ude3a\\u001b\\u007f\"}\n");
	free(f.text);
}

static void base64_in_parts(void **state)
{
	struct fixture f = {0};

	start(&f);
	json_out_base64_begin(&f.out, "a");
	json_out_base64_part(&f.out, "abcdef", 6);
	json_out_base64_part(&f.out, "g", 1);
	json_out_base64_end(&f.out);
	json_out_base64(&f.out, "b", "", 0);
	finish(&f, NULL);
	assert_string_equal(f.text, "{\"version\": 1, \"a\": \"YWJjZGVmZw==\", \"b\": \"\"}\n");
	free(f.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_a_line_an_entry),
		cmocka_unit_test(an_empty_list_that_is_incomplete),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(any_bytes_come_back),
		cmocka_unit_test(what_is_not_utf8_is_given_twice),
		cmocka_unit_test(a_terminal_gets_ascii),
		cmocka_unit_test(base64_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
