/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/escape.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "tests/unit/test.h"

static void expect(const char *text, size_t size, enum escape_style style, const char *expected)
{
	_cleanup_(free_ptr) char *made = escape_text(text, size, style);
	_cleanup_(free_ptr) char *printed = NULL;
	size_t printed_size;
	FILE *stream = open_memstream(&printed, &printed_size);

	assert_non_null(made);
	assert_string_equal(made, expected);
	escape_print(stream, text, size, style);
	fclose(stream);
	assert_string_equal(printed, expected);
}

#define expect_text(text, style, expected) expect(text, sizeof(text) - 1, style, expected)

static void plain_text_stays(void **state)
{
	expect_text("", ESCAPE_TEXT, "");
	expect_text("/usr/sbin/nginx -g daemon on;", ESCAPE_TEXT, "/usr/sbin/nginx -g daemon on;");
	expect_text("C:\\x", ESCAPE_TEXT, "C:\\x");
	expect_text("grün 日本語 \xf0\x9f\x98\xba", ESCAPE_TEXT, "grün 日本語 \xf0\x9f\x98\xba");
}

static void no_line_is_forged(void **state)
{
	expect_text("a\nroot 1", ESCAPE_TEXT, "a\\nroot 1");
	expect_text("a\r\tb", ESCAPE_TEXT, "a\\x0d\\tb");
	expect_text("a\xe2\x80\xa8"
		    "b",
		    ESCAPE_TEXT, "a\\u2028b");
	expect_text("a\0b", ESCAPE_TEXT, "a\\x00b");
}

static void terminals_are_not_commanded(void **state)
{
	expect_text("\x1b]0;title\x07", ESCAPE_TEXT, "\\x1b]0;title\\x07");
	expect_text("\x7f", ESCAPE_TEXT, "\\x7f");
	expect_text("\xc2\x9b"
		    "31m",
		    ESCAPE_TEXT, "\\u009b31m"); /* CSI in one character */
	expect_text("\x9b"
		    "31m",
		    ESCAPE_TEXT, "\\x9b31m"); /* the same as a bare byte */
}

static void order_is_not_changed(void **state)
{
	expect_text("a\xe2\x80\xae"
		    "b",
		    ESCAPE_TEXT, "a\\u202eb");
	expect_text("\xe2\x81\xa6\xe2\x81\xa9", ESCAPE_TEXT, "\\u2066\\u2069");
	expect_text("\xd8\x9c", ESCAPE_TEXT, "\\u061c");
	expect_text("\xf3\xa0\x81\x81", ESCAPE_TEXT, "\\U000e0041");
}

static void what_is_not_utf8(void **state)
{
	expect_text("a\xff"
		    "b",
		    ESCAPE_TEXT, "a\\xffb");
	expect_text("\xc0\xaf", ESCAPE_TEXT, "\\xc0\\xaf");          /* overlong */
	expect_text("\xed\xa0\x80", ESCAPE_TEXT, "\\xed\\xa0\\x80"); /* a surrogate */
	expect_text("\xe2\x80", ESCAPE_TEXT, "\\xe2\\x80");          /* cut off */
	expect_text("\xf4\x90\x80\x80", ESCAPE_TEXT, "\\xf4\\x90\\x80\\x80");
}

static void styles(void **state)
{
	expect_text("a\n\tb\x1b", ESCAPE_LINES, "a\n\tb\\x1b");
	expect_text("/a b\\c\t\xff\x1b\n", ESCAPE_PROC, "/a b\\c\t\xff\x1b\\012");
	expect_text("/a b\\c\n", ESCAPE_MAPS, "/a b\\c\\012");
	expect_text("\xe2\x80\xae\xff", ESCAPE_MAPS, "\\342\\200\\256\\377");
}

/* Every byte, alone and doubled, becomes something printable that fits. */
static void every_byte(void **state)
{
	for (int style = ESCAPE_TEXT; style <= ESCAPE_MAPS; style++)
		for (unsigned byte = 0; byte < 256; byte++) {
			char text[2] = {(char)byte, (char)byte};
			_cleanup_(free_ptr) char *made = escape_text(text, sizeof(text), style);

			assert_non_null(made);
			for (const char *c = made; *c; c++)
				assert_true((*c >= ' ' && *c < 0x7f) ||
					    (style == ESCAPE_LINES && (*c == '\n' || *c == '\t')));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_stays),
		cmocka_unit_test(no_line_is_forged),
		cmocka_unit_test(terminals_are_not_commanded),
		cmocka_unit_test(order_is_not_changed),
		cmocka_unit_test(what_is_not_utf8),
		cmocka_unit_test(styles),
		cmocka_unit_test(every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
