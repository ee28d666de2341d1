/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of the helper's own in the guest: there exactly as long as they have something to do, wherever the helper dies.
 * systemctl is a script that writes down how it was called. $HELPER is a build with fault points.
 */
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"
#include "systemd.h"

#define UNITS   FIXTURE_ROOT "/etc/systemd/system"
#define UNIT    UNITS "/ouassister-recover.service"
#define DROP_IN UNITS "/sysinit.target.d/ouassister-recover.conf"
#define MARK    FIXTURE_ROOT "/run/.ouassister-open"
#define OWN     FIXTURE_ROOT "/var/lib/ouassister"
#define CALLS   SYSTEMD_CALLS

static const char *const early[] = {"--early", NULL};

struct scene {
	struct builder b;
	char *before, *after;
};

/* Among the paths are the directory with units and what is in it. `deferred`: a command, or NULL. */
static void scene_init(struct scene *s, const char *const *deferred)
{
	builder_init(&s->b, FIXTURE_BASE);
	builder_content(builder_add(&s->b, CHANGE_WRITE, "etc/systemd/system/a.service", S_IFREG | 0644), "new", 3);
	builder_content(builder_add(&s->b, CHANGE_WRITE, "etc/systemd/system/c.service", S_IFREG | 0644), "c", 1);
	builder_add(&s->b, CHANGE_DELETE, "etc/systemd/system/b.service", 0);
	builder_content(builder_add(&s->b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "conf two", 8);
	builder_add(&s->b, CHANGE_ATTRIBUTES, "etc/systemd/system", S_IFDIR | 0755);
	builder_add(&s->b, CHANGE_ATTRIBUTES, "etc", S_IFDIR | 0755);
	if (deferred) {
		struct action words = {.kind = ACTION_COMMAND,
				       .phase = ACTION_AFTER,
				       .verb = (char *)"deferred",
				       .argv = (char **)deferred};
		struct action action;

		assert_ok(action_copy(&words, &action));
		assert_ok(action_list_append(&s->b.actions, action));
	}
	builder_write(&s->b, FIXTURE_PAYLOAD);
	s->before = dump_tree(FIXTURE_BASE);
	s->after = fixture_expected(&s->b);
}

static void scene_deinit(struct scene *s)
{
	builder_deinit(&s->b);
	free(s->before);
	free(s->after);
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The journal's phase, as journal.h numbers it: of two records the one with the higher sequence. */
static unsigned phase(void)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	unsigned found = 0;
	uint64_t latest = 0;
	size_t size = 0;

	if (!exists(OWN "/journal"))
		return 0;
	assert_ok(io_read_file(OWN "/journal", 1 << 20, &bytes, &size));
	for (size_t at = 0; at + 20 <= size && at <= 4096; at += 4096) {
		uint64_t sequence;
		uint32_t number;

		memcpy(&sequence, bytes + at + 8, sizeof(sequence));
		memcpy(&number, bytes + at + 16, sizeof(number));
		if (memcmp(bytes + at, "OUAJRNL", 7) || sequence <= latest)
			continue;
		latest = sequence;
		found = number;
	}
	return found;
}

static bool is_new(void)
{
	_cleanup_(free_ptr) char *text = NULL;

	assert_ok(io_read_file(FIXTURE_ROOT "/etc/conf", 100, &text, NULL));
	return !strcmp(text, "conf two");
}

/* No unit, no mark, and the tree is one of the two, the times of directories included. */
static void assert_nothing_left(const struct scene *s)
{
	bool new = is_new();

	assert_false(exists(UNIT) || exists(DROP_IN) || exists(MARK));
	assert_ok(io_remove_tree(FIXTURE_ROOT "/.ouassister"));
	shell("touch -d @1600000000.5 " FIXTURE_ROOT "/run");
	assert_tree(FIXTURE_ROOT, new ? s->after : s->before);
}

static void reboot(void)
{
	shell("rm -rf " FIXTURE_ROOT "/run && mkdir -m 755 " FIXTURE_ROOT "/run && rm -f " CALLS);
}

static void there_while_open(void **state)
{
	struct scene s;

	need_root();
	scene_init(&s, NULL);
	fixture_copy();
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_result("applied");
	assert_nothing_left(&s);
	fixture_copy();
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_false(is_new());
	assert_nothing_left(&s);
	scene_deinit(&s);
}

/* Wherever it dies: the next boot finds the unit if a path may have changed, and once it has run nothing is left. */
static void recovers_at_boot(void **state)
{
	unsigned n_old = 0, n_new = 0;
	struct scene s;

	need_root();
	scene_init(&s, NULL);
	for (unsigned fault = 1;; fault++) {
		int status;

		fixture_copy();
		helper(fault, NULL, "apply", &s.b);
		if (!was_killed())
			break;
		if (phase() == 2 || phase() == 3 || phase() == 5) {
			assert_true(exists(UNIT) && exists(DROP_IN));
			assert_true(exists(MARK));
		}
		reboot();
		status = helper_with(0, NULL, "recover", NULL, early);
		assert_true(status == 0 || status == 4 || status == 6);
		if (is_new())
			n_new++;
		else
			n_old++;
		assert_int_equal(helper_with(0, NULL, "recover", NULL, early), 6);
		assert_nothing_left(&s);
		assert_false(exists(CALLS));
		/* The host comes back, and knows nothing of it. */
		assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
		assert_nothing_left(&s);
	}
	print_message("%u points were undone at boot, %u finished\n", n_old, n_new);
	assert_true(n_old > 15 && n_new >= 3);
	scene_deinit(&s);
}

/* And the recovery at boot itself may be cut anywhere. */
static void is_cut_while_it_recovers(void **state)
{
	static const unsigned phases[] = {2, 3};
	struct scene s;

	need_root();
	scene_init(&s, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		unsigned point = 1;
		bool killed = true;

		/* The last point of that phase. */
		for (unsigned fault = 1;; fault++) {
			fixture_copy();
			helper(fault, NULL, "apply", &s.b);
			if (!was_killed())
				break;
			if (phase() == phases[i])
				point = fault;
		}
		for (unsigned fault = 1; killed; fault++) {
			fixture_copy();
			helper(point, NULL, "apply", &s.b);
			assert_int_equal(phase(), phases[i]);
			reboot();
			helper_with(fault, NULL, "recover", NULL, early);
			killed = was_killed();
			reboot();
			helper_with(0, NULL, "recover", NULL, early);
			assert_int_equal(is_new(), phases[i] == 3);
			assert_nothing_left(&s);
		}
	}
	scene_deinit(&s);
}

/* What was put off needs services: at boot it is left for later, begun or not, and the files stay. */
static void leaves_what_was_put_off(void **state)
{
	static const char *const argv[] = {"touch", "/run/put-off", NULL};
	unsigned n_committed = 0;
	struct scene s;

	need_root();
	scene_init(&s, argv);
	for (unsigned fault = 1;; fault++) {
		fixture_copy();
		unlink("/run/put-off");
		helper(fault, NULL, "apply", &s.b);
		if (!was_killed())
			break;
		if (phase() != 3)
			continue;
		n_committed++;
		reboot();
		unlink("/run/put-off");
		assert_int_equal(helper_with(0, NULL, "recover", NULL, early), 0);
		assert_true(is_new() && exists(UNIT) && exists(MARK));
		assert_int_equal(phase(), 3);
		assert_false(exists("/run/put-off"));
		assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
		assert_true(exists("/run/put-off"));
		assert_nothing_left(&s);
	}
	assert_true(n_committed >= 3);
	scene_deinit(&s);
}

static void unit_is_complete(void **state)
{
	_cleanup_(free_ptr) char *unit = NULL, *drop_in = NULL;
	struct scene s;

	need_root();
	scene_init(&s, NULL);
	for (unsigned fault = 1; phase() != 2; fault++) {
		fixture_copy();
		helper(fault, NULL, "apply", &s.b);
		assert_true(was_killed());
	}
	assert_ok(io_read_file(UNIT, 4096, &unit, NULL));
	assert_ok(io_read_file(DROP_IN, 4096, &drop_in, NULL));
	assert_non_null(strstr(unit, "\nDefaultDependencies=no\n"));
	assert_non_null(strstr(unit, "\nAfter=local-fs.target "));
	assert_non_null(strstr(unit, "\nBefore=sysinit.target "));
	assert_non_null(strstr(unit, "\nExecStart=/var/lib/ouassister/helper recover --early\n"));
	assert_string_equal(drop_in, "[Unit]\nWants=ouassister-recover.service\n");
	shell("test $(stat -c %%a " UNIT " " DROP_IN " " UNITS
	      "/sysinit.target.d | xargs echo | tr -d ' ') = 644644755");
	/* systemd's own opinion, where it is there to be asked. */
	shell("! command -v systemd-analyze >/dev/null || ! SYSTEMD_LOG_LEVEL=warning systemd-analyze verify " UNIT
	      " 2>&1 | grep -v 'not executable\\|man ' | grep ouassister");
	scene_deinit(&s);
}

/* What the administrator has beside it stays, and an /etc that cannot be written is no reason not to update. */
static void lets_others_be(void **state)
{
	struct scene s;

	need_root();
	shell("cd " FIXTURE_BASE
	      "/etc/systemd/system && mkdir sysinit.target.d && echo mine >sysinit.target.d/mine.conf && "
	      "chmod 711 sysinit.target.d && find . -exec touch -h -d @1600000000.5 {} +");
	scene_init(&s, NULL);
	fixture_copy();
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_nothing_left(&s);
	scene_deinit(&s);
	shell("rm -r " FIXTURE_BASE "/etc/systemd/system/sysinit.target.d");

	builder_init(&s.b, FIXTURE_BASE);
	builder_content(builder_add(&s.b, CHANGE_WRITE, "etc/conf", S_IFREG | 0600), "conf two", 8);
	builder_write(&s.b, FIXTURE_PAYLOAD);
	fixture_copy();
	shell("mount --bind " UNITS " " UNITS " && mount -o remount,bind,ro " UNITS);
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_int_equal(umount2(UNITS, MNT_DETACH), 0);
	assert_non_null(strstr(fixture_output, "nothing will recover this update at boot"));
	assert_true(is_new());
	builder_deinit(&s.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_while_open),         cmocka_unit_test(recovers_at_boot),
		cmocka_unit_test(is_cut_while_it_recovers), cmocka_unit_test(leaves_what_was_put_off),
		cmocka_unit_test(unit_is_complete),         cmocka_unit_test(lets_others_be),
	};

	return cmocka_run_group_tests(tests, systemd_setup, systemd_teardown);
}
