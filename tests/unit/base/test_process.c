/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "base/io.h"
#include "base/process.h"
#include "tests/unit/test.h"

static void captures_both_outputs_and_the_status(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; exit 7", NULL};
	struct process_options options = {.argv = argv};
	struct process_result result;

	assert_ok(process_run(&options, 0, &result));
	assert_int_equal(result.status, 7);
	assert_string_equal(result.output, "out\n");
	assert_string_equal(result.errors, "err\n");
	process_result_deinit(&result);
}

static void output_over_the_limit_is_cut_not_awaited(void **state)
{
	const char *const argv[] = {"head", "-c", "3000000", "/dev/zero", NULL};
	struct process_options options = {.argv = argv};
	struct process_result result;

	assert_ok(process_run(&options, 0, &result));
	assert_int_equal(result.status, 0);
	process_result_deinit(&result);
}

static void a_missing_program_is_an_error(void **state)
{
	const char *const argv[] = {"/nonexistent/program", NULL};
	struct process_options options = {.argv = argv};
	struct process_result result;

	assert_error(process_run(&options, 0, &result), ERROR_SYSTEM);
}

static void the_time_limit_ends_it(void **state)
{
	const char *const argv[] = {"sleep", "30", NULL};
	struct process_options options = {.argv = argv};
	struct process_result result;
	uint64_t start = clock_monotonic_ns();

	assert_error(process_run(&options, 100, &result), ERROR_TIMEOUT);
	assert_true(clock_monotonic_ns() - start < 5000000000);
}

static void a_grandchild_that_keeps_the_pipe_is_not_awaited(void **state)
{
	const char *const argv[] = {"sh", "-c", "sleep 30 & echo $!", NULL};
	struct process_options options = {.argv = argv};
	struct process_result result;
	uint64_t start = clock_monotonic_ns();

	assert_ok(process_run(&options, 0, &result));
	assert_true(clock_monotonic_ns() - start < 5000000000);
	assert_int_equal(kill(atoi(result.output), SIGKILL), 0);
	process_result_deinit(&result);
}

static void stop_escalates(void **state)
{
	const char *const argv[] = {"sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL};
	struct process_options options = {.argv = argv};
	pid_t pid;

	assert_ok(process_start(&options, &pid));
	usleep(100000);
	process_stop(&pid, 50);
	assert_int_equal(pid, -1);
}

static void check_quotes_the_last_line(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo first >&2; echo why >&2; exit 3", NULL};
	struct error *error = process_check(argv);

	assert_non_null(error);
	assert_non_null(strstr(error->message, "exit status 3: why"));
	error_destroy(error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captures_both_outputs_and_the_status),
		cmocka_unit_test(output_over_the_limit_is_cut_not_awaited),
		cmocka_unit_test(a_missing_program_is_an_error),
		cmocka_unit_test(the_time_limit_ends_it),
		cmocka_unit_test(a_grandchild_that_keeps_the_pipe_is_not_awaited),
		cmocka_unit_test(stop_escalates),
		cmocka_unit_test(check_quotes_the_last_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
