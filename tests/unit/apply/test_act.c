/* SPDX-License-Identifier: Apache-2.0 */
/* Actions that are data, done to processes and files of this test: only to those that were meant. */
#include "tests/unit/test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apply/act.h"
#include "apply/run.h"
#include "base/io.h"

/* When this process's child began, as the guest's memory would tell it. */
static uint64_t start_of(pid_t pid)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/stat", pid), *text = NULL;
	unsigned long long ticks;
	size_t size;

	assert_ok(io_read_file(path, 4096, &text, &size));
	assert_int_equal(sscanf(strrchr(text, ')'),
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
				&ticks),
			 1);
	return ticks * 10000000 + 4321;
}

static void test_signals(void **state)
{
	struct action action = {.kind = ACTION_SIGNAL, .signal = SIGUSR1};
	struct outcome outcome = {};
	pid_t pid = fork();
	int status;

	if (pid == 0)
		for (;;)
			pause();
	action.pid = (uint32_t)pid;
	action.start_ns = start_of(pid) - 50000000;
	assert_ok(act_data(&action, &outcome));
	assert_string_equal(outcome.skipped, "another process has its number now");
	outcome_deinit(&outcome);
	action.start_ns = start_of(pid);
	assert_ok(act_data(&action, &outcome));
	assert_null(outcome.skipped);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
	assert_ok(act_data(&action, &outcome));
	assert_string_equal(outcome.skipped, "the process has ended");
}

static void test_writes(void **state)
{
	char path[] = "/tmp/test-act.XXXXXX";
	int fd = mkstemp(path);
	struct action action = {.kind = ACTION_WRITE, .path = path, .data = (uint8_t *)"x", .size = 1};
	struct outcome outcome = {};

	assert_ok(act_data(&action, &outcome));
	assert_string_equal(outcome.skipped, "it is no file of the kernel");
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	close(fd);
	unlink(path);
	outcome_deinit(&outcome);
	assert_ok(act_data(&action, &outcome));
	assert_string_equal(outcome.skipped, "the guest has no such file");
	outcome_deinit(&outcome);
	/* One that takes anything from anybody. */
	action.path = (char *)"/proc/self/comm";
	assert_ok(act_data(&action, &outcome));
	assert_null(outcome.skipped);
	assert_int_equal(outcome.status, 0);
}

static void test_swap(void **state)
{
	struct action action = {.kind = ACTION_MOUNT, .verb = (char *)"swapoff", .path = (char *)"/nowhere/at-all"};
	struct outcome outcome = {};

	assert_ok(act_data(&action, &outcome));
	assert_true(outcome.skipped || outcome.status);
	outcome_deinit(&outcome);
}

/* One that does not go to the background by itself is left running. */
static void test_daemons(void **state)
{
	char *const sleeper[] = {(char *)"sleep", (char *)"1", NULL}, *const failure[] = {(char *)"false", NULL};
	struct run_result result = {};

	assert_ok(run_daemon(failure, 3000, &result));
	assert_int_equal(result.status, 1);
	run_result_deinit(&result);
	assert_ok(run_daemon(sleeper, 100, &result));
	assert_int_equal(result.status, 0);
	run_result_deinit(&result);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0);
	assert_true(waitpid(-1, NULL, 0) > 0);
}

static void test_states(void **state)
{
	const struct action restart = {.kind = ACTION_SYSTEMD, .verb = (char *)"restart", .unit = (char *)"a.service"};
	const struct action start = {.kind = ACTION_SYSTEMD, .verb = (char *)"start", .unit = (char *)"a.service"};
	struct unit_state is = {.load = "loaded", .active = "inactive", .type = "simple"};

	assert_string_equal(unit_skip(&restart, &is), "it was not running");
	assert_null(unit_skip(&start, &is));
	assert_null(unit_skip(&restart, NULL));
	strcpy(is.active, "reloading");
	assert_null(unit_skip(&restart, &is));
	/* What does its work and ends does it again; what is new is started. */
	is = (struct unit_state){.load = "loaded", .active = "inactive", .type = "oneshot"};
	assert_null(unit_skip(&restart, &is));
	is = (struct unit_state){.load = "not-found", .active = "inactive"};
	assert_null(unit_skip(&restart, &is));
}

/* What a socket has started between the stop and the switch. */
static void test_running_again(void **state)
{
	struct action items[] = {
		{.kind = ACTION_SYSTEMD, .phase = ACTION_BEFORE, .verb = (char *)"stop", .unit = (char *)"a.service"},
		{.kind = ACTION_SYSTEMD, .phase = ACTION_BEFORE, .verb = (char *)"stop", .unit = (char *)"b.service"},
		{.kind = ACTION_SYSTEMD,
		 .phase = ACTION_BEFORE,
		 .verb = (char *)"stop",
		 .unit = (char *)"gone.service"},
		{.kind = ACTION_SYSTEMD, .phase = ACTION_AFTER, .verb = (char *)"stop", .unit = (char *)"c.service"},
		{.kind = ACTION_SYSTEMD, .phase = ACTION_BEFORE, .verb = (char *)"daemon-reload"},
	};
	/* b was at rest when it was to be stopped: whoever started it since has his reasons. */
	struct unit_state is[] = {{.unit = "a.service", .load = "loaded", .active = "activating"},
				  {.unit = "b.service", .load = "loaded", .active = "active"},
				  {.unit = "c.service", .load = "loaded", .active = "active"},
				  {.unit = "gone.service", .load = "loaded", .active = "inactive"}};
	const struct action_list list = {.items = items, .n = ARRAY_SIZE(items)};
	const struct unit_states now = {is, ARRAY_SIZE(is)};
	struct action again[ARRAY_SIZE(items)];

	assert_int_equal(units_running_again(&list, "gone.service\na.service\nc.service\n", &now, again), 1);
	assert_string_equal(again[0].verb, "stop");
	assert_string_equal(again[0].unit, "a.service");
	assert_int_equal(again[0].phase, ACTION_AFTER);
	assert_int_equal(units_running_again(&list, "", &now, again), 0);
	assert_int_equal(units_running_again(&list, "aa.service\na.servic\n", &now, again), 0);
}

static void test_stopped(void **state)
{
	struct action stop = {
		.kind = ACTION_SYSTEMD, .phase = ACTION_BEFORE, .verb = (char *)"stop", .unit = (char *)"a.service"};
	struct unit_state was = {.unit = "a.service", .load = "loaded", .active = "active"};
	const struct unit_states before = {&was, 1};

	assert_true(unit_is_stopped_by(&stop, &before));
	strcpy(was.active, "inactive");
	assert_false(unit_is_stopped_by(&stop, &before));
	assert_false(unit_is_stopped_by(&stop, &(struct unit_states){}));
	strcpy(was.active, "active");
	stop.phase = ACTION_AFTER;
	assert_false(unit_is_stopped_by(&stop, &before));
}

/* A systemctl that says of two questions that a unit stops, and of all after them that another one starts. */
static void test_await_stops(void **state)
{
	static const char script[] =
		"#!/bin/sh\necho x >>\"${0%/*}/asked\"\n"
		"[ $(wc -l <\"${0%/*}/asked\") -gt 2 ] || echo '  7 stop.service   stop  running'\n"
		"echo '12 late.service start waiting'\n";
	char directory[] = "/tmp/test-act.XXXXXX";
	_cleanup_(free_ptr) char *program = NULL, *asked = NULL, *text = NULL, *with_program = NULL;
	_cleanup_(free_ptr) char *path = strdup(getenv("PATH"));
	bool all = false;
	size_t size;

	assert_non_null(mkdtemp(directory));
	program = string_format("%s/systemctl", directory);
	asked = string_format("%s/asked", directory);
	assert_ok(io_replace_file(program, script, sizeof(script) - 1, 0700));
	with_program = string_format("%s:%s", directory, path);
	setenv("PATH", with_program, 1);
	assert_ok(units_await_stops(&all));
	setenv("PATH", path, 1);
	assert_true(all);
	assert_ok(io_read_file(asked, 64, &text, &size));
	assert_string_equal(text, "x\nx\nx\n");
	unlink(asked);
	unlink(program);
	rmdir(directory);
}

/* A program of the guest's does not get what the helper hurries with; that it comes after others it keeps. */
static void test_priorities(void **state)
{
	static const struct {
		int ours;
		const char *theirs;
	} cases[] = {{-7, "0\n"}, {0, "0\n"}, {11, "11\n"}};
	static const char *const argv[] = {"/bin/sh", "-c", "cut -d' ' -f19 /proc/self/stat", NULL};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct run_result result = {};

		assert_int_equal(setpriority(PRIO_PROCESS, 0, cases[i].ours), 0);
		assert_ok(run((char *const *)argv, 10000, &result));
		assert_string_equal(result.output, cases[i].theirs);
		free(result.output);
	}
	setpriority(PRIO_PROCESS, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals),       cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_writes),        cmocka_unit_test(test_swap),
		cmocka_unit_test(test_daemons),       cmocka_unit_test(test_states),
		cmocka_unit_test(test_running_again), cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_await_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
