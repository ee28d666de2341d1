/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "apply/report.h"
#include "update/deferral.h"
#include "update/helper.h"

#define PACKAGE (char *)"nginx"

/* `states`: of a round that failed. */
static bool take(struct deferrals *d, enum shadow_need_kind kind, const char *script, const char *states)
{
	const struct shadow_need need = {
		.kind = kind, .package = PACKAGE, .script = (char *)script, .why = (char *)"does something"};
	bool again = false;

	assert_null(
		deferrals_take(d, &need, 1, states ? states : "installed nginx 2 install\n", states != NULL, &again));
	return again;
}

static void test_kinds(void **state)
{
	static const enum shadow_need_kind always[] = {SHADOW_NEED_LIVE, SHADOW_NEED_DEVICE, SHADOW_NEED_EFI,
						       SHADOW_NEED_MODULE};

	for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
		struct deferrals d = {0};

		assert_true(take(&d, always[i], "postinst", NULL));
		assert_int_equal(d.n, 1);
		assert_int_equal(d.items[0].way, always[i] == SHADOW_NEED_EFI ? DEFERRAL_INSTALL : DEFERRAL_CONFIGURE);
		/* Known: nothing would be different. */
		assert_false(take(&d, always[i], "postinst", NULL));
		deferrals_deinit(&d);
	}
}

/* What was refused matters only to a script that failed. */
static void test_refused(void **state)
{
	static const char others[] = "installed nginx 2\nhalf-configured nginx-extras 2\n";
	struct deferrals d = {0};

	assert_false(take(&d, SHADOW_NEED_REFUSED, "postinst", NULL));
	assert_false(take(&d, SHADOW_NEED_REFUSED, "postinst", others));
	assert_false(take(&d, SHADOW_NEED_LOG, "postinst", "half-configured nginx 2\n"));
	assert_true(take(&d, SHADOW_NEED_REFUSED, "postinst", "installed a 1\nhalf-configured nginx 2\n"));
	assert_int_equal(d.items[0].way, DEFERRAL_CONFIGURE);
	assert_string_equal(d.refused[0], "nginx.postinst");
	assert_null(d.refused[1]);
	deferrals_deinit(&d);
}

/* A script may try many things on its way: it failed at the last. */
static void test_last_refusal(void **state)
{
	const struct shadow_need needs[] = {
		{SHADOW_NEED_REFUSED, (char *)"nginx", (char *)"postinst", NULL, (char *)"uses the kernel's keyrings"},
		{SHADOW_NEED_REFUSED, (char *)"nginx", (char *)"postinst", NULL, (char *)"makes a namespace"},
		{SHADOW_NEED_REFUSED, (char *)"other", (char *)"postinst", NULL, (char *)"sets the clock"},
	};
	struct deferrals d = {0};
	bool again = false;

	assert_null(deferrals_take(&d, needs, ARRAY_SIZE(needs), "half-configured nginx 2\n", true, &again));
	assert_true(again);
	assert_int_equal(d.n, 1);
	assert_string_equal(d.items[0].package, "nginx");
	assert_string_equal(d.items[0].why, "makes a namespace");
	assert_int_equal(d.items[0].way, DEFERRAL_CONFIGURE);
	deferrals_deinit(&d);
}

static void test_whole(void **state)
{
	struct deferrals d = {0};

	assert_false(take(&d, SHADOW_NEED_REFUSED, "preinst", NULL));
	assert_true(take(&d, SHADOW_NEED_LIVE, "postinst", NULL));
	/* A script alone is not enough any more. */
	assert_true(take(&d, SHADOW_NEED_REFUSED, "prerm", "installed nginx 1\n"));
	assert_int_equal(d.n, 1);
	assert_int_equal(d.items[0].way, DEFERRAL_INSTALL);
	assert_null(d.refused[0]);
	assert_false(take(&d, SHADOW_NEED_LIVE, "postinst", NULL));
	assert_true(deferrals_has(&d, DEFERRAL_INSTALL));
	assert_false(deferrals_has_script(&d));
	deferrals_deinit(&d);
}

/* A postrm alone can wait if its package goes; that of an upgrade belongs to the new package's installation. */
static void test_removal(void **state)
{
	static const struct {
		const char *script, *states;
		enum deferral_way way;
	} cases[] = {
		{"postrm", "installed other 1 install\n", DEFERRAL_PURGE},
		{"postrm", "config-files nginx 1 purge\n", DEFERRAL_PURGE},
		{"postrm", "installed a 1 install\nhalf-installed nginx:amd64 1 deinstall\n", DEFERRAL_REMOVE},
		{"postrm", "config-files nginx 1 deinstall\n", DEFERRAL_REMOVE},
		{"postrm", "installed nginx 2 install\n", DEFERRAL_INSTALL},
		{"postrm", "installed nginx 2 hold\n", DEFERRAL_INSTALL},
		{"prerm", "config-files nginx 1 deinstall\n", DEFERRAL_INSTALL},
		{"postinst", "installed nginx 2 install\n", DEFERRAL_CONFIGURE},
		{NULL, "", DEFERRAL_INSTALL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(deferrals_way("nginx", cases[i].script, cases[i].states), cases[i].way);
}

static void test_removal_actions(void **state)
{
	static const char *const none[] = {NULL};
	struct action_list list = {0};
	struct deferrals d = {0};
	char **words;
	bool again;

	assert_null(deferrals_add(&d, "configured", "postinst", "x", DEFERRAL_CONFIGURE, &again));
	assert_null(deferrals_add(&d, "purged", "postrm", "x", DEFERRAL_PURGE, &again));
	assert_string_equal(d.refused[0], "configured.postinst");
	assert_string_equal(d.refused[1], "purged.postrm");
	assert_null(d.refused[2]);
	assert_true(deferrals_has_script(&d));
	assert_null(deferrals_actions(&d, none, none, &list));
	assert_int_equal(list.n, 2);
	assert_null(action_problem(&list.items[0]));
	assert_null(action_words(&list.items[0], &words));
	assert_string_equal(words[0], "dpkg");
	assert_string_equal(words[1], "--purge");
	assert_string_equal(words[2], "purged");
	assert_null(words[3]);
	action_words_free(words);
	action_list_deinit(&list);
	deferrals_deinit(&d);
}

static void test_no_package(void **state)
{
	const struct shadow_need need = {.kind = SHADOW_NEED_LIVE, .why = (char *)"does something"};
	struct deferrals d = {0};
	bool again = false;

	assert_null(deferrals_take(&d, &need, 1, "", true, &again));
	assert_false(again);
	assert_int_equal(d.n, 0);
	deferrals_deinit(&d);
}

static void test_excuse(void **state)
{
	struct deferrals d = {0};

	assert_true(take(&d, SHADOW_NEED_LIVE, "postinst", NULL));
	d.items[0].dragged = calloc(2, sizeof(char *));
	d.items[0].dragged[0] = strdup("waits:amd64");
	assert_true(deferrals_excuse(&d, "nginx", 5));
	assert_true(deferrals_excuse(&d, "nginx:amd64", 11));
	assert_true(deferrals_excuse(&d, "waits", 5));
	assert_false(deferrals_excuse(&d, "nginx-common", 12));
	assert_false(deferrals_excuse(&d, "ngin", 4));
	assert_false(deferrals_excuse(&d, "wait", 4));
	deferrals_deinit(&d);
}

static void test_pins(void **state)
{
	struct deferrals d = {0};
	bool again;
	char *pins;

	assert_null(deferrals_add(&d, "old", "preinst", "x", DEFERRAL_INSTALL, &again));
	assert_null(deferrals_add(&d, "new", "preinst", "x", DEFERRAL_INSTALL, &again));
	assert_null(deferrals_add(&d, "script", "postinst", "x", DEFERRAL_CONFIGURE, &again));
	pins = deferrals_pins(&d, "older 9\nold:amd64 1:2-3\nscript 1\n");
	assert_string_equal(pins, "Package: old\nPin: version 1:2-3\nPin-Priority: 1001\n\n"
				  "Package: new\nPin: release *\nPin-Priority: -1\n\n");
	free(pins);
	deferrals_deinit(&d);
}

/* A version or a file that the command names is stronger than a pin. */
static void test_unkept(void **state)
{
	struct deferrals d = {0};
	bool again;

	assert_null(deferrals_add(&d, "script", "postinst", "x", DEFERRAL_CONFIGURE, &again));
	assert_null(deferrals_find_unkept(&d, "script\n", "script\n"));
	assert_null(deferrals_add(&d, "whole", "preinst", "x", DEFERRAL_INSTALL, &again));
	assert_null(deferrals_find_unkept(&d, "script\nwhole\n", "script\n"));
	assert_null(deferrals_find_unkept(&d, "script\nwhole\n", "script\nwhole-not\nnot-whole\n"));
	assert_ptr_equal(deferrals_find_unkept(&d, "whole\n", "script\nwhole\n"), &d.items[1]);
	/* It runs though nothing of it is installed: nothing can be held back. */
	assert_ptr_equal(deferrals_find_unkept(&d, "script\n", "script\n"), &d.items[1]);
	assert_ptr_equal(deferrals_find_unkept(&d, "", ""), &d.items[1]);
	deferrals_deinit(&d);
}

static void test_actions(void **state)
{
	static const char *const environment[] = {"LANG=C", NULL}, *const options[] = {"--force-confold", NULL};
	struct action_list list = {0}, once = {0};
	struct deferrals d = {0};
	char **words;
	bool again;

	assert_null(deferrals_add(&d, "whole", "preinst", "x", DEFERRAL_INSTALL, &again));
	assert_null(deferrals_add(&d, "script", "postinst", "x", DEFERRAL_CONFIGURE, &again));
	/* Of one that is there for two architectures dpkg wants to know which. */
	assert_null(deferrals_add(&d, "libc6", "postinst", "x", DEFERRAL_CONFIGURE, &again));
	d.items[2].instances = g_strsplit("libc6:amd64 libc6:i386", " ", -1);
	d.items[2].dragged = g_strsplit("waits", " ", -1);
	assert_null(deferrals_actions(&d, environment, options, &list));
	assert_int_equal(list.n, 2);
	for (size_t i = 0; i < list.n; i++) {
		assert_true(action_is_deferred(&list.items[i]));
		assert_null(action_problem(&list.items[i]));
	}
	assert_null(list.items[0].package);
	assert_string_equal(list.items[1].package, "whole");
	assert_null(action_words(&list.items[0], &words));
	assert_string_equal(words[0], "dpkg");
	assert_string_equal(words[1], "--force-confold");
	assert_string_equal(words[2], "--configure");
	assert_string_equal(words[3], "script");
	assert_string_equal(words[4], "libc6:amd64");
	assert_string_equal(words[5], "libc6:i386");
	assert_string_equal(words[6], "waits");
	assert_null(words[7]);
	action_words_free(words);
	assert_null(action_words(&list.items[1], &words));
	assert_string_equal(words[0], "apt-get install");
	assert_string_equal(words[1], "whole");
	assert_null(words[2]);
	action_words_free(words);
	/* The host waits for as long as the guest may take for each. */
	assert_true(helper_apply_timeout_ms(&list) >=
		    helper_apply_timeout_ms(&(struct action_list){0}) + 2 * HELPER_DEFERRED_TIMEOUT_MS);
	/* They stay as they are, and last. */
	assert_null(action_list_coalesce(&list, &once));
	assert_int_equal(once.n, 2);
	action_list_deinit(&once);
	action_list_deinit(&list);
	deferrals_deinit(&d);
}

static void test_count(void **state)
{
	struct shadow_script first[] = {{PACKAGE, (char *)"preinst", false}, {PACKAGE, (char *)"postinst", false}};
	struct shadow_script second[] = {{PACKAGE, (char *)"preinst", false}, {PACKAGE, (char *)"postinst", true}};
	struct deferrals d = {0};
	json_t *document, *scripts;

	assert_null(deferrals_count(&d, first, 2));
	assert_null(deferrals_count(&d, second, 2));
	assert_null(deferrals_document(&d, &document));
	scripts = json_object_get(document, "scripts");
	assert_int_equal(json_integer_value(json_object_get(scripts, "all")), 2);
	assert_int_equal(json_integer_value(json_object_get(scripts, "offline")), 1);
	json_decref(document);
	deferrals_deinit(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),      cmocka_unit_test(test_last_refusal),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_whole),
		cmocka_unit_test(test_removal),    cmocka_unit_test(test_removal_actions),
		cmocka_unit_test(test_no_package), cmocka_unit_test(test_excuse),
		cmocka_unit_test(test_pins),       cmocka_unit_test(test_actions),
		cmocka_unit_test(test_count),      cmocka_unit_test(test_unkept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
