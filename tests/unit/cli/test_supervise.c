/* SPDX-License-Identifier: Apache-2.0 */
/* What a signal does to a supervised verb, in each of its times. The room update is played by this file. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/supervise.h"
#include "tests/unit/test.h"

static bool tidying_hangs;
static int told; /* the write end of a pipe: one byte for each time that begins */

static void tell(void)
{
	assert_int_equal(write(told, "x", 1), 1);
}

struct error *update_tidy_up(const struct update_settings *settings, const char *vm, pid_t pid)
{
	if (kill(pid, 0) == 0)
		return error_create(ERROR_FAILED, "the worker lives");
	tell();
	/* As an open of a fifo that nobody writes to: a handler with SA_RESTART does not end it. */
	while (tidying_hangs)
		pause();
	return NULL;
}

void output_error(const struct error *error)
{
	fprintf(stderr, "%s\n", error->message);
}

static int hang(const struct verb *verb, const struct invocation *invocation)
{
	tell();
	while (pause() < 0)
		continue;
	return 0;
}

static int end_with_seven(const struct verb *verb, const struct invocation *invocation)
{
	return 7;
}

struct supervisor {
	pid_t pid;
	int told; /* the read end */
};

static void start(int (*work)(const struct verb *, const struct invocation *), bool deaf, struct supervisor *ret)
{
	static const struct verb verb = {.name = "update"};
	static const struct invocation invocation = {.vm = "web1"};
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	ret->pid = fork();
	assert_true(ret->pid >= 0);
	if (ret->pid == 0) {
		told = ends[1];
		if (deaf)
			signal(SIGHUP, SIG_IGN);
		_exit(supervise(&verb, &invocation, work));
	}
	close(ends[1]);
	ret->told = ends[0];
}

static void wait_until_told(const struct supervisor *s)
{
	char byte;

	assert_int_equal(read(s->told, &byte, 1), 1);
}

/* Its exit status, after ten seconds at most: then it is killed and the test fails. */
static int status_of(const struct supervisor *s)
{
	int status;

	close(s->told);
	for (int i = 0; i < 1000; i++) {
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			assert_true(WIFEXITED(status));
			return WEXITSTATUS(status);
		}
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	kill(s->pid, SIGKILL);
	waitpid(s->pid, &status, 0);
	fail_msg("it did not end");
	return -1;
}

static void its_end_is_ours(void **state)
{
	struct supervisor s;

	start(end_with_seven, false, &s);
	assert_int_equal(status_of(&s), 7);
}

static void a_signal_ends_the_work_and_it_is_tidied_up(void **state)
{
	struct supervisor s;

	tidying_hangs = false;
	start(hang, false, &s);
	wait_until_told(&s);
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	wait_until_told(&s);
	assert_int_equal(status_of(&s), 128 + SIGTERM);
}

/* The second comes at once, as a shell repeats a hangup; the third is somebody who does not want to wait any more. */
static void a_later_signal_ends_the_tidying(void **state)
{
	struct supervisor s;

	tidying_hangs = true;
	start(hang, false, &s);
	wait_until_told(&s);
	assert_int_equal(kill(s.pid, SIGHUP), 0);
	wait_until_told(&s);
	assert_int_equal(kill(s.pid, SIGHUP), 0);
	sleep(3);
	assert_int_equal(waitpid(s.pid, &(int){0}, WNOHANG), 0);
	assert_int_equal(kill(s.pid, SIGINT), 0);
	assert_int_equal(status_of(&s), 128 + SIGINT);
}

static void a_hangup_that_is_ignored_stays_so(void **state)
{
	struct supervisor s;

	tidying_hangs = false;
	start(hang, true, &s);
	wait_until_told(&s);
	assert_int_equal(kill(s.pid, SIGHUP), 0);
	sleep(1);
	assert_int_equal(waitpid(s.pid, &(int){0}, WNOHANG), 0);
	assert_int_equal(kill(s.pid, SIGTERM), 0);
	wait_until_told(&s);
	assert_int_equal(status_of(&s), 128 + SIGTERM);
}

static void a_verb_that_is_not_supervised_says_what_stays(void **state)
{
	static const struct verb verb = {.name = "resume", .when_stopped = "the gate stays"};
	char text[128] = "";
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		supervise_last_words(&verb);
		raise(SIGTERM);
		_exit(0);
	}
	close(ends[1]);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_string_equal(text, "\nouassister: resume was stopped by a signal; the gate stays\n");
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_end_is_ours),
		cmocka_unit_test(a_signal_ends_the_work_and_it_is_tidied_up),
		cmocka_unit_test(a_later_signal_ends_the_tidying),
		cmocka_unit_test(a_hangup_that_is_ignored_stays_so),
		cmocka_unit_test(a_verb_that_is_not_supervised_says_what_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
