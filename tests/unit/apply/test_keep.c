/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long old files are kept, what is left behind, and the guest's timers meanwhile. $HELPER is a build with fault
 * points.
 */
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"
#include "systemd.h"

#define UNITS  FIXTURE_ROOT "/etc/systemd/system"
#define OWN    FIXTURE_ROOT "/var/lib/ouassister"
#define STAGE  FIXTURE_ROOT "/.ouassister"
#define STAMPS FIXTURE_ROOT "/var/lib/systemd/timers"

static const char *const week[] = {"--keep", "604800", NULL}, *const none[] = {"--keep", "none", NULL},
			 *const hour[] = {"--keep", "3600", NULL};

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

/* Another update each time: its hash is of its text. */
static void make_update(struct builder *b, const char *text, const struct action *action)
{
	struct action copy;

	builder_init(b, FIXTURE_BASE);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), text, strlen(text));
	builder_add(b, CHANGE_ATTRIBUTES, "etc", S_IFDIR | 0755);
	if (action) {
		assert_ok(action_copy(action, &copy));
		assert_ok(action_list_append(&b->actions, copy));
	}
	builder_write(b, FIXTURE_PAYLOAD);
}

/* The helper before it has ended, also behind its last word: it must take nothing from the next tree. */
static void wait_for_end(void)
{
	shell("[ ! -e " OWN "/behind ] || flock -w 10 " OWN "/behind true");
}

static void reset(void)
{
	wait_for_end();
	fixture_copy();
	shell("rm -f " SYSTEMD_CALLS " " SYSTEMD_RUNS "/*");
}

/* The value of "until_s" in what the helper said; -1: it did not. */
static long long said_until(void)
{
	const char *event = strstr(fixture_output, "{\"event\":\"kept\"");
	const char *until = event ? strstr(event, "\"until_s\":") : NULL;

	return until ? strtoll(until + strlen("\"until_s\":"), NULL, 10) : -1;
}

static long long in_file(void)
{
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(io_read_file(OWN "/kept", 64, &text, NULL));
	return strtoll(text, NULL, 10);
}

static void wait_for_start(const char *unit)
{
	shell("for i in $(seq 500); do [ ! -e " SYSTEMD_RUNS "/%s ] || exit 0; sleep 0.01; done; exit 1", unit);
	wait_for_end();
}

/* Nothing of the helper, and the tree is what it was but for what the update brought. */
static void assert_nothing_left(const struct builder *b)
{
	_cleanup_(free_ptr) char *expected = NULL;

	assert_false(exists(OWN) || exists(STAGE));
	expected = fixture_expected(b);
	shell("touch -d @1600000000.5 " FIXTURE_ROOT "/run " FIXTURE_ROOT "/var/lib " STAMPS);
	assert_tree(FIXTURE_ROOT, expected);
}

static void goes_when_its_time_has_come(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *timer = NULL, *path = NULL, *text = NULL, *stamp = NULL, *before = NULL,
				 *after = NULL;
	long long until;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	assert_int_equal(helper_with(0, NULL, "apply", &b, week), 0);
	until = said_until();
	assert_true(llabs(until - clock_realtime_ns() / 1000000000 - 604800) < 60);
	assert_int_equal(in_file(), until);
	timer = string_format("ouassister-keep-%lld.timer", until);
	path = string_format(UNITS "/%s", timer);
	stamp = string_format(STAMPS "/stamp-%s", timer);
	wait_for_start(timer);
	assert_true(exists(path) && exists(stamp) && exists(UNITS "/timers.target.d/ouassister-keep.conf"));
	assert_ok(io_read_file(path, 4096, &text, NULL));
	shell("grep -q \"^OnCalendar=$(date -u -d @%lld '+%%F %%T') UTC$\" %s", until, path);
	shell("grep -q '^Wants=%s$' " UNITS "/timers.target.d/ouassister-keep.conf", timer);
	shell("SYSTEMD_LOG_LEVEL=warning; export SYSTEMD_LOG_LEVEL; ! command -v systemd-analyze >/dev/null || "
	      "! systemd-analyze verify %s 2>&1 | grep -v 'not executable' | grep ouassister",
	      path);
	/* Without another time systemd would not look for it; and it is put back. */
	shell("[ $(cat " SYSTEMD_TIME ") != 1600000000 ] && [ $(stat -c %%Y " UNITS ") = 1600000000 ]");
	/* Not yet. */
	before = dump_tree(FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "expire", NULL), 0);
	after = dump_tree(FIXTURE_ROOT);
	assert_string_equal(before, after);
	assert_true(exists(OWN "/kept"));
	/* The time has come, but the host has just put another helper there. */
	shell("echo %lld >" OWN "/kept; touch " OWN "/helper", until - 604800 - 1);
	assert_int_equal(helper(0, NULL, "expire", NULL), 0);
	assert_true(exists(OWN "/kept"));
	unlink(OWN "/helper");
	assert_int_equal(helper(0, NULL, "expire", NULL), 0);
	assert_nothing_left(&b);
	shell("[ -z \"$(ls " SYSTEMD_RUNS ")\" ]");
}

static void rolls_back_meanwhile(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	assert_int_equal(helper_with(0, NULL, "apply", &b, hour), 0);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_false(exists(OWN "/kept"));
	/* The report is read, the rest may go at any time. */
	assert_int_equal(helper(0, NULL, "rollback", NULL), 6);
	assert_int_equal(helper(0, NULL, "expire", NULL), 0);
	builder_deinit(&b);
	builder_init(&b, FIXTURE_BASE);
	assert_nothing_left(&b);
}

static void refuses_after_a_change(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	assert_int_equal(helper_with(0, NULL, "apply", &b, hour), 0);
	shell("sleep 0.05; echo mine >" FIXTURE_ROOT "/etc/conf");
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("conflict");
	shell("[ \"$(cat " FIXTURE_ROOT "/etc/conf)\" = mine ]");
	assert_true(exists(OWN "/kept"));
}

/* What they did is not undone, so nothing goes back below it, although no path of the update has changed. */
static void refuses_after_deferred_scripts(void **state)
{
	static const char *const argv[] = {"true", NULL};
	const struct action deferred = {
		.kind = ACTION_COMMAND, .phase = ACTION_AFTER, .verb = (char *)"deferred", .argv = (char **)argv};
	struct builder b;

	need_root();
	reset();
	make_update(&b, "two", &deferred);
	assert_int_equal(helper_with(0, NULL, "apply", &b, hour), 0);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("conflict");
	shell("[ \"$(cat " FIXTURE_ROOT "/etc/conf)\" = two ]");
	builder_deinit(&b);
}

/* Not asked to be kept, or without a limit: no timer, and it is all there until the host has looked. */
static void keeps_nothing_or_forever(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_root();
	make_update(&b, "two", NULL);
	for (int i = 0; i < 2; i++) {
		reset();
		assert_int_equal(helper_with(0, NULL, "apply", &b, i ? none : NULL), 0);
		assert_int_equal(said_until(), i ? 0 : -1);
		assert_false(exists(OWN "/kept") || exists(UNITS "/timers.target.d"));
		assert_true(exists(STAGE));
		assert_int_equal(helper(0, NULL, "expire", NULL), 0);
		assert_true(exists(STAGE));
		assert_int_equal(helper(0, NULL, "forget", NULL), 0);
		assert_nothing_left(&b);
		/* Two calls for one question each time would be one too many: nothing runs that could be stopped. */
		shell("[ \"$(wc -l <" SYSTEMD_CALLS ")\" = 1 ]");
	}
}

static void says_when_there_is_no_room(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	/* The fixture's file system has 256 MiB. */
	shell("fallocate -l $(($(stat -f -c '%%a * %%S' " FIXTURE_SPACE ") - 9000000)) " FIXTURE_SPACE "/full");
	assert_int_equal(helper_with(0, NULL, "apply", &b, week), 0);
	unlink(FIXTURE_SPACE "/full");
	assert_result("applied");
	assert_int_equal(said_until(), 0);
	assert_non_null(strstr(fixture_output, "MiB free, less than 12\""));
	assert_false(exists(OWN "/kept") || exists(UNITS "/timers.target.d"));
}

/* An update after it takes the place of what was kept, and of its timer; one that fails leaves what goes by itself. */
static void the_next_update(void **state)
{
	_cleanup_(builder_deinit) struct builder first, second;

	need_root();
	reset();
	make_update(&first, "two", NULL);
	assert_int_equal(helper_with(0, NULL, "apply", &first, week), 0);
	wait_for_start("ouassister-keep-*");
	builder_init(&second, FIXTURE_ROOT);
	builder_content(builder_add(&second, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "three", 5);
	builder_write(&second, FIXTURE_PAYLOAD);
	assert_int_equal(helper_with(0, NULL, "apply", &second, hour), 0);
	shell("[ \"$(ls -d " UNITS "/ouassister-keep-* | xargs -n 1 basename)\" = ouassister-keep-%lld.timer ]",
	      in_file());
	assert_true(in_file() < clock_realtime_ns() / 1000000000 + 7200);
	/* Of a state that is no more. */
	builder_write(&first, FIXTURE_PAYLOAD);
	assert_int_equal(helper_with(0, NULL, "apply", &first, week), 4);
	assert_result("conflict");
	assert_false(exists(OWN "/kept"));
	assert_int_equal(helper(0, NULL, "expire", NULL), 0);
	assert_false(exists(OWN));
	shell("! ls -d " UNITS "/*keep* " UNITS "/timers.target.d " STAMPS "/* 2>/dev/null");
}

/* Wherever it dies: once the next one has run, the timer is there and what is to be kept has its time. */
static void dies_anywhere(void **state)
{
	struct builder b;

	need_root();
	make_update(&b, "two", NULL);
	for (unsigned fault = 1;; fault++) {
		bool killed;

		reset();
		helper_with(fault, NULL, "apply", &b, week);
		killed = was_killed();
		if (killed)
			assert_int_equal(helper_with(0, NULL, "apply", &b, week), 0);
		shell("[ -e " UNITS "/ouassister-keep-%lld.timer ]", in_file());
		shell("[ $(ls " UNITS " | grep -c keep-) = 1 ]");
		shell("echo 1 >" OWN "/kept");
		assert_int_equal(helper(0, NULL, "expire", NULL), 0);
		assert_nothing_left(&b);
		if (!killed)
			break;
	}
	builder_deinit(&b);
}

/* At boot the words of the update that was cut still count. */
static void early_keeps(void **state)
{
	const char *const words[] = {"--early", "--keep", "604800", NULL};
	unsigned n_kept = 0;
	struct builder b;

	need_root();
	make_update(&b, "two", NULL);
	for (unsigned fault = 1;; fault++) {
		reset();
		helper_with(fault, NULL, "apply", &b, week);
		if (!was_killed())
			break;
		if (exists(UNITS "/ouassister-recover.service"))
			shell("grep -q '^ExecStart=.* recover --early --keep 604800$' " UNITS
			      "/ouassister-recover.service");
		unlink(SYSTEMD_CALLS);
		helper_with(0, NULL, "recover", NULL, words);
		assert_false(exists(SYSTEMD_CALLS));
		if (!strstr(fixture_output, "\"applied\""))
			continue;
		n_kept++;
		shell("[ -e " UNITS "/ouassister-keep-%lld.timer ]", in_file());
	}
	assert_true(n_kept >= 2);
	builder_deinit(&b);
}

/* --- timers of the guest --- */

static const struct action restart = {
	.kind = ACTION_SYSTEMD, .phase = ACTION_AFTER, .verb = (char *)"restart", .unit = (char *)"some.service"};

/* Those that ran run again, those that did not do not; it costs two calls more, and one behind the end. */
static void holds_timers_back(void **state)
{
	_cleanup_(free_ptr) char *calls = NULL;
	struct builder b;

	need_root();
	reset();
	make_update(&b, "two", &restart);
	shell("touch " SYSTEMD_RUNS "/apt-daily.timer " SYSTEMD_RUNS "/logrotate.timer " SYSTEMD_RUNS
	      "/fstrim.timer " SYSTEMD_RUNS "/some.service");
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	wait_for_start("logrotate.timer");
	assert_true(exists(SYSTEMD_RUNS "/apt-daily.timer"));
	assert_false(exists(SYSTEMD_RUNS "/man-db.timer") || exists(OWN "/timers"));
	assert_ok(io_read_file(SYSTEMD_CALLS, 1 << 16, &calls, NULL));
	assert_non_null(strstr(calls, "\n--quiet stop -- apt-daily.timer logrotate.timer\n"));
	assert_non_null(strstr(calls, "\nstart --no-block -- apt-daily.timer logrotate.timer\n"));
	shell("[ $(grep -c . " SYSTEMD_CALLS ") = 6 ] || { cat " SYSTEMD_CALLS " >&2; false; }");
	builder_deinit(&b);
}

static void timers_run_again_wherever_it_dies(void **state)
{
	static const char *const verbs[] = {"apply", "recover", "forget"};
	unsigned n_stopped = 0;
	struct builder b;

	need_root();
	make_update(&b, "two", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		for (unsigned fault = 1;; fault++) {
			reset();
			shell("touch " SYSTEMD_RUNS "/apt-daily.timer");
			helper(fault, NULL, "apply", &b);
			if (!was_killed())
				break;
			n_stopped += !exists(SYSTEMD_RUNS "/apt-daily.timer");
			/* What is cut in the switch is recovered before it can be forgotten. */
			if (i == 2)
				helper(0, NULL, "recover", NULL);
			helper(0, NULL, verbs[i], i ? NULL : &b);
			wait_for_start("apt-daily.timer");
			assert_false(exists(SYSTEMD_RUNS "/logrotate.timer"));
		}
	}
	assert_true(n_stopped > 10);
	builder_deinit(&b);
}

/* Nobody who comes next finds timers in between, nor a helper that is still at it. */
static void the_next_waits_for_them(void **state)
{
	struct builder b;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	shell("touch " SYSTEMD_RUNS "/apt-daily.timer; sed -i '2i [ \"$1\" != start ] || sleep 0.5' "
	      "/usr/local/sbin/systemctl");
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	/* It has said all before they run. */
	assert_false(exists(SYSTEMD_RUNS "/apt-daily.timer"));
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	assert_true(exists(SYSTEMD_RUNS "/apt-daily.timer"));
	assert_nothing_left(&b);
	shell("sed -i 2d /usr/local/sbin/systemctl");
	builder_deinit(&b);
}

/* Of two updates: those that the first has stopped run again when the second has ended, which need not ask for them. */
static void the_second_finds_them_held(void **state)
{
	static const char *const followed[] = {"--followed", NULL}, *const late[] = {"--late", NULL};
	_cleanup_(builder_deinit) struct builder first, second;

	need_root();
	reset();
	make_update(&first, "two", NULL);
	shell("touch " SYSTEMD_RUNS "/apt-daily.timer");
	assert_int_equal(helper_with(0, NULL, "apply", &first, followed), 0);
	shell("sleep 0.3");
	assert_false(exists(SYSTEMD_RUNS "/apt-daily.timer"));
	shell("rm " SYSTEMD_CALLS);
	builder_init(&second, FIXTURE_ROOT);
	builder_content(builder_add(&second, CHANGE_WRITE, "etc/second", S_IFREG | 0644), "x", 1);
	builder_write(&second, FIXTURE_PAYLOAD);
	assert_int_equal(helper_with(0, NULL, "apply", &second, late), 0);
	wait_for_start("apt-daily.timer");
	shell("[ \"$(cat " SYSTEMD_CALLS ")\" = 'start --no-block -- apt-daily.timer' ] || { cat " SYSTEMD_CALLS
	      " >&2; false; }");
	shell("for i in $(seq 500); do [ -e " OWN "/timers ] || exit 0; sleep 0.01; done; exit 1");
	assert_false(exists(OWN "/timers.offered"));
}

/* The first does not stand, or nobody comes: they are not left down. */
static void an_offer_ends(void **state)
{
	static const char *const followed[] = {"--followed", NULL};
	struct builder b;

	need_root();
	reset();
	make_update(&b, "two", NULL);
	shell("touch " SYSTEMD_RUNS "/apt-daily.timer; echo other >" FIXTURE_ROOT "/etc/conf");
	assert_int_equal(helper_with(0, NULL, "apply", &b, followed), 4);
	wait_for_start("apt-daily.timer");
	assert_false(exists(OWN "/timers.offered"));
	builder_deinit(&b);

	/* Killed with an offer: whoever comes next starts them. */
	reset();
	make_update(&b, "two", NULL);
	shell("touch " SYSTEMD_RUNS "/apt-daily.timer");
	assert_int_equal(helper_with(0, NULL, "apply", &b, followed), 0);
	shell("kill -KILL $(awk -v i=:$(stat -c %%i " OWN "/behind)\\$ '$6 ~ i { print $5 }' /proc/locks); sleep 0.2");
	assert_false(exists(SYSTEMD_RUNS "/apt-daily.timer"));
	assert_int_equal(helper(0, NULL, "recover", NULL), 6);
	wait_for_start("apt-daily.timer");
	assert_false(exists(OWN "/timers.offered"));
	builder_deinit(&b);

	/* Whoever begins to work need not wait for a second that does not come. */
	make_update(&b, "two", NULL);
	for (size_t i = 0; i < 2; i++) {
		reset();
		shell("touch " SYSTEMD_RUNS "/apt-daily.timer");
		assert_int_equal(helper_with(0, NULL, "apply", &b, followed), 0);
		assert_int_equal(helper(0, NULL, i ? "forget" : "rollback", NULL), i ? 0 : 4);
		wait_for_start("apt-daily.timer");
	}
	builder_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_when_its_time_has_come),
		cmocka_unit_test(rolls_back_meanwhile),
		cmocka_unit_test(refuses_after_a_change),
		cmocka_unit_test(refuses_after_deferred_scripts),
		cmocka_unit_test(keeps_nothing_or_forever),
		cmocka_unit_test(says_when_there_is_no_room),
		cmocka_unit_test(the_next_update),
		cmocka_unit_test(dies_anywhere),
		cmocka_unit_test(early_keeps),
		cmocka_unit_test(holds_timers_back),
		cmocka_unit_test(timers_run_again_wherever_it_dies),
		cmocka_unit_test(the_next_waits_for_them),
		cmocka_unit_test(the_second_finds_them_held),
		cmocka_unit_test(an_offer_ends),
	};

	return cmocka_run_group_tests(tests, systemd_setup, systemd_teardown);
}
