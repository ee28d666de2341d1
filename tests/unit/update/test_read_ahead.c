/* SPDX-License-Identifier: Apache-2.0 */
#include "update/read_ahead.h"

#include "tests/unit/test.h"

#include "base/io.h"
#include "base/json.h"

static size_t words_of(const char *text, char *words[HELPER_READ_AHEAD_MAX])
{
	_cleanup_(json_decref_ptr) json_t *document = json_loads(text, 0, NULL);

	assert_non_null(document);
	return read_ahead_words(document, words);
}

static void words(void **state)
{
	char *list[HELPER_READ_AHEAD_MAX];

	assert_int_equal(
		words_of("[{\"target\":\"/\",\"kib\":[8,4,1024,32]},{\"target\":\"/boot\",\"kib\":[0,1]}]", list), 2);
	assert_string_equal(list[0], "8+4,1024+32:/");
	assert_string_equal(list[1], "0+1:/boot");
	free(list[0]);
	free(list[1]);
	assert_int_equal(read_ahead_words(NULL, list), 0);
}

/* A bundle may come from anywhere. */
static void nonsense(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[1, null, \"x\", []]",
		"[{}]",
		"[{\"target\":\"/\"}]",
		"[{\"target\":\"/\",\"kib\":[]}]",
		"[{\"target\":\"/\",\"kib\":[1]}]",
		"[{\"target\":\"boot\",\"kib\":[1,2]}]",
		"[{\"kib\":[1,2]}]",
		"[{\"target\":\"/\",\"kib\":[-1,2]}]",
		"[{\"target\":\"/\",\"kib\":[1,0]}]",
		"[{\"target\":\"/\",\"kib\":[1,-2]}]",
		"[{\"target\":\"/\",\"kib\":[1,9999999999]}]",
	};
	char *list[HELPER_READ_AHEAD_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(words_of(texts[i], list), 0);
}

static void too_many(void **state)
{
	_cleanup_(json_decref_ptr) json_t *document = json_array(), *kib = json_array();
	char *list[HELPER_READ_AHEAD_MAX];
	size_t n;

	for (unsigned i = 0; i < 2 * HELPER_READ_AHEAD_MAX; i++)
		json_array_append_new(document, json_pack("{s:s, s:[i, i]}", "target", "/", "kib", 1, 2));
	n = read_ahead_words(document, list);
	assert_int_equal(n, HELPER_READ_AHEAD_MAX);
	while (n > 0)
		free(list[--n]);
	/* More than an argument may have. */
	for (unsigned i = 0; i < 100000; i++)
		json_array_append_new(kib, json_integer(1 << 30));
	json_array_clear(document);
	json_array_append_new(document, json_pack("{s:s, s:O}", "target", "/", "kib", kib));
	assert_int_equal(read_ahead_words(document, list), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
