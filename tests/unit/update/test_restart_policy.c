/* SPDX-License-Identifier: Apache-2.0 */
/* What is restarted, what is only reported, and what becomes of it beside the recorded actions. */
#include <stdlib.h>

#include "base/json.h"
#include "tests/unit/test.h"
#include "update/restart.h"

static struct guest_task daemon_task = {.pid = 20, .comm = "d", .exe = (char *)"/usr/sbin/d", .start_ns = 5000000000};

/* Whether the unit would be restarted; *ret_verb: what would be done. */
static bool judged(const char *name, enum restart_kind kind, enum restart_reason_kind reason, struct restart_unit unit,
		   enum needrestart_says says, const struct guest_task *task, const char **ret_verb)
{
	struct restart_entry entry = {.kind = kind, .name = (char *)name, .tasks = {task}, .n_tasks = 1};
	bool restart;

	assert_ok(restart_reasons_add(&entry.reasons, reason, "/usr/lib/x"));
	assert_ok(restart_judge(&unit, says, true, &entry));
	restart = entry.restart;
	assert_int_equal(restart, entry.why == NULL);
	*ret_verb = entry.verb;
	free(entry.why);
	restart_reasons_deinit(&entry.reasons);
	return restart;
}

static bool is_restarted(const char *name)
{
	const char *verb;

	return judged(name, RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0}, NEEDRESTART_NOTHING,
		      &daemon_task, &verb);
}

static void services_are_restarted_and_what_holds_things_together_is_not(void **state)
{
	static const char *const reported[] = {"dbus.service",           "dbus-broker.service",
					       "systemd-logind.service", "gdm3.service",
					       "lightdm.service",        "user@1000.service",
					       "networking.service",     "NetworkManager.service",
					       "ifup@ens3.service",      "docker.service",
					       "libvirtd.service",       "apt-daily.service",
					       "run-user-0.mount",       "app.scope"};
	static const char *const restarted[] = {"nginx.service", "ssh.service", "systemd-journald.service",
						"postgresql@15-main.service", "cron.service"};

	for (size_t i = 0; i < ARRAY_SIZE(reported); i++)
		if (is_restarted(reported[i]))
			fail_msg("%s is restarted", reported[i]);
	for (size_t i = 0; i < ARRAY_SIZE(restarted); i++)
		if (!is_restarted(restarted[i]))
			fail_msg("%s is not restarted", restarted[i]);
}

static bool says(const char *name, enum needrestart_says answer)
{
	const char *verb;

	return judged(name, RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0}, answer, &daemon_task, &verb);
}

static void the_owners_word_wins(void **state)
{
	assert_false(says("nginx.service", NEEDRESTART_REPORT));
	assert_false(says("nginx.service", NEEDRESTART_BLACKLISTED));
	assert_true(says("dbus.service", NEEDRESTART_RESTART));
	assert_false(says("session.scope", NEEDRESTART_RESTART));
}

static void kinds_have_their_verbs(void **state)
{
	const char *verb;

	assert_true(judged("init.scope", RESTART_OF_INIT, RESTART_REPLACED, (struct restart_unit){0},
			   NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_string_equal(verb, "daemon-reexec");
	assert_false(judged("session-1.scope", RESTART_OF_SESSION, RESTART_REPLACED, (struct restart_unit){0},
			    NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_null(verb);
	assert_false(judged("dbus.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0},
			    NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_string_equal(verb, "try-restart");
	assert_false(judged("auditd.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){.refuses = true},
			    NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_null(verb);
}

static void what_would_end_somebodys_work_is_reported(void **state)
{
	struct guest_task getty = {.pid = 30, .comm = "agetty", .exe = (char *)"/usr/sbin/agetty"};
	struct guest_task shell = {.pid = 31, .comm = "bash", .exe = (char *)"/usr/bin/bash"};
	struct guest_task dhclient = {.pid = 32, .comm = "dhclient", .exe = (char *)"/usr/sbin/dhclient"};
	const char *verb;

	assert_true(judged("getty@tty1.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0},
			   NEEDRESTART_NOTHING, &getty, &verb));
	assert_false(judged("serial-getty@ttyS0.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0},
			    NEEDRESTART_NOTHING, &shell, &verb));
	assert_false(judged("net.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){0},
			    NEEDRESTART_NOTHING, &dhclient, &verb));
	assert_false(judged("job.service", RESTART_OF_UNIT, RESTART_REPLACED, (struct restart_unit){.oneshot = true},
			    NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_false(judged("ssh@1.service", RESTART_OF_UNIT, RESTART_REPLACED,
			    (struct restart_unit){.one_connection = true}, NEEDRESTART_NOTHING, &daemon_task, &verb));
	assert_false(judged("app.service", RESTART_OF_UNIT, RESTART_POSSIBLY, (struct restart_unit){0},
			    NEEDRESTART_NOTHING, &daemon_task, &verb));
}

static void answers_of_needrestart_are_read(void **state)
{
	int answers[3];

	assert_ok(restart_read_answers("noise\n\nOUA 0 -\n\nOUA 1 b\nmore\nOUA 2 0\n", 3, answers));
	assert_true(answers[0] == '-' && answers[1] == 'b' && answers[2] == '0');
	assert_ok(restart_read_answers("", 0, answers));
	assert_error(restart_read_answers("OUA 0 -\n", 2, answers), ERROR_FORMAT);
	assert_error(restart_read_answers("OUA 0 -\nOUA 0 -\n", 2, answers), ERROR_FORMAT);
	assert_error(restart_read_answers("OUA 0 -\nOUA 1 -\nOUA 2 1\n", 2, answers), ERROR_FORMAT);
	assert_error(restart_read_answers("OUA 0 x\n", 1, answers), ERROR_FORMAT);
}

/* --- merging --- */

static void record(struct action_list *list, const char *verb, const char *unit)
{
	struct action action = {.kind = ACTION_SYSTEMD, .verb = strdup(verb), .unit = unit ? strdup(unit) : NULL};

	assert_ok(action_list_append(list, action));
}

static json_t *made_plan(void)
{
	json_t *plan = json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s}]", "name", "nginx.service",
				 "policy", "restart", "verb", "try-restart", "name", "dbus.service", "policy", "report",
				 "verb", "try-restart", "name", "init.scope", "policy", "restart", "verb",
				 "daemon-reexec", "name", "session-1.scope", "policy", "report");

	assert_non_null(plan);
	return plan;
}

/* "verb unit;verb unit;" */
static void expect_merged(const struct action_list *recorded, enum restart_mode mode, const char *expected)
{
	_cleanup_(json_decref_ptr) json_t *plan = made_plan();
	_cleanup_(action_list_deinit) struct action_list merged = {0};
	char text[1024] = "";

	assert_ok(restart_merge(recorded, plan, mode, &merged));
	for (size_t i = 0; i < merged.n; i++) {
		strcat(text, merged.items[i].verb);
		strcat(text, merged.items[i].unit ? " " : "");
		strcat(text, merged.items[i].unit ? merged.items[i].unit : "");
		strcat(text, ";");
	}
	assert_string_equal(text, expected);
}

static void the_plan_joins_what_was_recorded(void **state)
{
	_cleanup_(action_list_deinit) struct action_list none = {0}, some = {0}, stopped = {0}, reloaded = {0};

	expect_merged(&none, RESTART_SERVICES, "daemon-reexec;try-restart nginx.service;");
	expect_merged(&none, RESTART_ALL, "daemon-reexec;try-restart nginx.service;try-restart dbus.service;");
	expect_merged(&none, RESTART_NONE, "");
	record(&some, "daemon-reload", NULL);
	record(&some, "restart", "nginx.service");
	record(&some, "restart", "nginx.service");
	record(&some, "restart", "cron.service");
	expect_merged(&some, RESTART_SERVICES, "daemon-reexec;restart nginx.service;restart cron.service;");
	expect_merged(&some, RESTART_NONE, "daemon-reload;restart nginx.service;restart cron.service;");
	record(&stopped, "stop", "nginx.service");
	expect_merged(&stopped, RESTART_SERVICES, "daemon-reexec;stop nginx.service;");
	record(&reloaded, "reload", "nginx.service");
	expect_merged(&reloaded, RESTART_SERVICES, "daemon-reexec;try-restart nginx.service;");
}

static void a_hostile_plan_is_refused(void **state)
{
	static const char *const plans[] = {
		"[{\"name\":\"x.service\",\"policy\":\"restart\",\"verb\":\"mask\"}]",
		"[{\"name\":\"--force\",\"policy\":\"restart\",\"verb\":\"restart\"}]",
		"[{\"name\":\"a b\",\"policy\":\"restart\",\"verb\":\"restart\"}]",
		"[{\"name\":\"../x\",\"policy\":\"restart\",\"verb\":\"restart\"}]",
		"[{\"name\":\"\",\"policy\":\"restart\",\"verb\":\"restart\"}]",
		"[{\"name\":7,\"policy\":\"restart\",\"verb\":\"restart\"}]",
		"[{}]",
		"[7]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		_cleanup_(json_decref_ptr) json_t *plan = json_loads(plans[i], 0, NULL);
		struct action_list merged = {0};

		assert_error(restart_merge(&(struct action_list){0}, plan, RESTART_SERVICES, &merged), ERROR_FORMAT);
	}
}

static void an_absent_plan_changes_nothing(void **state)
{
	_cleanup_(action_list_deinit) struct action_list merged = {0};

	assert_ok(restart_merge(&(struct action_list){0}, NULL, RESTART_SERVICES, &merged));
	assert_int_equal(merged.n, 0);
}

static void those_left_over_are_explained(void **state)
{
	_cleanup_(json_decref_ptr) json_t *plan = NULL, *stale = NULL;
	json_t *none = json_array();

	plan = json_pack("[{s:s, s:s, s:s, s:[{s:i, s:I}]}]", "name", "session-1.scope", "policy", "report", "why",
			 "a login", "processes", "pid", 20, "start_ns", (json_int_t)5000000000);
	stale = json_pack("[{s:i, s:i}, {s:i, s:i}, {s:i, s:i, s:s}]", "pid", 20, "start_ticks", 500, "pid", 20,
			  "start_ticks", 501, "pid", 21, "start_ticks", 1, "unit", "session-1.scope");
	assert_ok(restart_explain(stale, plan));
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 0), "why")), "a login");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 1), "policy")), "not-planned");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 2), "policy")), "report");
	assert_ok(restart_explain(none, NULL));
	json_decref(none);
}

/* The plan of a guest that was shut down has unit files. */
static void instances_are_explained_by_their_template(void **state)
{
	_cleanup_(json_decref_ptr) json_t *plan =
		json_pack("[{s:s, s:s, s:s}, {s:s, s:s, s:s}]", "name", "getty@.service", "policy", "report", "why",
			  "a login", "name", "x.service", "policy", "restart", "why", "ours");
	_cleanup_(json_decref_ptr) json_t *stale =
		json_pack("[{s:i, s:s}, {s:i, s:s}, {s:i, s:s}, {s:i}]", "pid", 20, "unit", "getty@tty1.service", "pid",
			  21, "unit", "x.service", "pid", 22, "unit", "gettys@tty1.service", "pid", 23);

	assert_ok(restart_explain(stale, plan));
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 0), "why")), "a login");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 0), "policy")), "report");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 1), "policy")), "restart");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 2), "policy")), "not-planned");
	assert_string_equal(json_string_value(json_object_get(json_array_get(stale, 3), "policy")), "not-planned");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(services_are_restarted_and_what_holds_things_together_is_not),
		cmocka_unit_test(the_owners_word_wins),
		cmocka_unit_test(kinds_have_their_verbs),
		cmocka_unit_test(what_would_end_somebodys_work_is_reported),
		cmocka_unit_test(answers_of_needrestart_are_read),
		cmocka_unit_test(the_plan_joins_what_was_recorded),
		cmocka_unit_test(a_hostile_plan_is_refused),
		cmocka_unit_test(an_absent_plan_changes_nothing),
		cmocka_unit_test(those_left_over_are_explained),
		cmocka_unit_test(instances_are_explained_by_their_template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
