/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is looked after: scripts that ask and scripts that do not end. */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/attend.h"
#include "shadow/internal.h"

#define SCRIPT(text) "DPKG_MAINTSCRIPT_PACKAGE=demo DPKG_MAINTSCRIPT_NAME=postinst sh -c '" text "'; echo $?"

struct seen {
	unsigned n_questions, n_overdue;
	char who[64];
	const char *answer; /* NULL: none */
};

static void note(struct seen *seen, const char *package, const char *script)
{
	snprintf(seen->who, sizeof(seen->who), "%s %s", package ? package : "nobody", script ? script : "nothing");
}

static void overdue(void *data, const char *package, const char *script)
{
	struct seen *seen = data;

	seen->n_overdue++;
	note(seen, package, script);
}

static struct error *question(void *data, const char *package, const char *script, char **ret)
{
	struct seen *seen = data;

	seen->n_questions++;
	note(seen, package, script);
	if (seen->answer)
		*ret = strdup(seen->answer);
	return NULL;
}

static int setup(void **state)
{
	struct shadow_options options = {0};
	struct shadow_tree tree = {.target = "/"};
	struct fixture *f;

	if (fixture_create("/tmp/test-attend.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	tree.lower = f->root;
	options.layers_dir = f->layers;
	options.run_dir = f->run;
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
	return 0;
}

/* What it prints, on its terminal too. */
static void assert_output(const struct fixture *f, const char *script, uint64_t timeout_s, struct seen *seen,
			  const char *expected)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	const struct shadow_attendant attendant = {
		.data = seen, .script_timeout_s = timeout_s, .overdue = overdue, .question = question};
	_cleanup_(free_ptr) char *path = string_format("%s/output", f->dir), *text = NULL;
	_cleanup_(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct shadow_run_options options = {
		.argv = argv, .env = shadow_env, .output_fd = fd, .attendant = &attendant, .timeout_s = 60};
	size_t size;
	int status;

	assert_ok(shadow_run(f->shadow, &options, &status));
	assert_ok(io_read_file(path, 65536, &text, &size));
	assert_string_equal(text, expected);
}

static void a_script_that_asks_is_ended(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state, SCRIPT("read x"), 0, &seen, "Killed\n137\n");
	assert_int_equal(seen.n_questions, 1);
	assert_string_equal(seen.who, "demo postinst");
	/* One that it started. */
	assert_output(*state, SCRIPT("(cat; echo no); echo no"), 0, &seen, "Killed\n137\n");
	assert_int_equal(seen.n_questions, 2);
}

/* --- looks at given moments: below the test itself, which stands for the warden --- */

/* The clock of those who look is so much ahead of ours. */
static uint64_t ahead_ns;

uint64_t __real_clock_monotonic_ns(void);
uint64_t __wrap_clock_monotonic_ns(void);

uint64_t __wrap_clock_monotonic_ns(void)
{
	return __real_clock_monotonic_ns() + ahead_ns;
}

/* As under the warden: the first process is init, its child dpkg, which runs `lines` in `dir`. */
static pid_t begin(const char *dir, const char *lines, int input, int sign)
{
	_cleanup_(free_ptr) char *text = string_format("cd %s; %s", dir, lines);
	pid_t pid = fork();

	if (pid == 0) {
		if (dup2(input, STDIN_FILENO) >= 0 && dup2(sign, 4) >= 0)
			execl("/bin/sh", "sh", "-c", "sh -c \"$1\"; :", "sh", text, NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	return pid;
}

/* What is in a short file; "": nothing, or there is no such file. */
static void read_short(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	close_fd(&fd);
	text[n > 0 ? n : 0] = '\0';
}

/* Until the process whose number is in this file waits in a read: proc_pid_syscall(5). */
static void await_read(const char *dir, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", dir, name);
	char number[32], call[256] = "";

	for (unsigned i = 0; i < 2000 && strncmp(call, "0 0x0 ", 6) != 0; i++) {
		_cleanup_(free_ptr) char *file = NULL;

		usleep(30000);
		read_short(path, number, sizeof(number));
		number[strcspn(number, "\n")] = '\0';
		file = string_format("/proc/%s/syscall", number);
		read_short(file, call, sizeof(call));
	}
	assert_memory_equal(call, "0 0x0 ", 6);
}

/* When so many seconds have passed; at once it would do nothing. */
static void look_after(struct attend *attend, unsigned seconds)
{
	ahead_ns += seconds * UINT64_C(1000000000);
	assert_ok(attend_look(attend, (uint32_t)getpid()));
}

/* Somebody else reads the input as well, and began earlier: its end must not pass for an answer to the script. */
static void a_script_is_asked_before_others(void **state)
{
	static const char lines[] =
		"exec 3<&0 >output; (read y <&3; echo other $?) & echo $! >other; read go <&4; " SCRIPT(
			"echo $$ >script; read x; echo no") "; wait";
	const struct fixture *f = *state;
	_cleanup_(free_ptr) char *path = string_format("%s/output", f->dir);
	struct seen seen = {0};
	const struct shadow_attendant attendant = {.data = &seen, .overdue = overdue, .question = question};
	struct attend *attend;
	char text[64] = "";
	int input, sign[2];
	pid_t pid;

	need_root();
	assert_ok(attend_create(&attendant, &attend, &input));
	/* Should a check fail, our ends are closed with the program, and all whom it started come to theirs. */
	assert_int_equal(pipe2(sign, O_CLOEXEC), 0);
	pid = begin(f->dir, lines, input, sign[0]);
	await_read(f->dir, "other");
	look_after(attend, 1);
	assert_int_equal(write(sign[1], "go\n", 3), 3);
	await_read(f->dir, "script");
	look_after(attend, 1);
	assert_int_equal(seen.n_questions, 0);
	look_after(attend, 1);
	assert_int_equal(seen.n_questions, 1);
	assert_string_equal(seen.who, "demo postinst");
	for (unsigned i = 0; i < 2000 && !*text; i++) {
		usleep(30000);
		read_short(path, text, sizeof(text));
	}
	assert_string_equal(text, "137\n");
	look_after(attend, 1);
	assert_int_equal(seen.n_questions, 2);
	assert_string_equal(seen.who, "nobody nothing");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	read_short(path, text, sizeof(text));
	assert_string_equal(text, "137\nother 1\n");
	attend_destroy(attend);
	close(input);
	close(sign[0]);
	close(sign[1]);
}

static void a_script_is_asked_once(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state, SCRIPT("exec 3<&0; cat <&3 & read x; echo $?") "; echo end", 0, &seen,
		      "Killed\n137\nend\n");
	assert_int_equal(seen.n_questions, 1);
	assert_string_equal(seen.who, "demo postinst");
}

static void a_script_that_asks_its_terminal_is_ended(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state, SCRIPT("printf Name: >/dev/tty; read x </dev/tty; echo no"), 0, &seen,
		      "Name:Killed\n137\n");
	assert_string_equal(seen.who, "demo postinst");
}

static void the_terminal_fills_no_disk(void **state)
{
	const char *argv[] = {"sh", "-c", "yes >/dev/tty", NULL};
	const struct shadow_attendant attendant = {.overdue = overdue, .question = question};
	const struct fixture *f = *state;
	_cleanup_(close_fd) int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct shadow_run_options options = {.argv = argv,
					     .env = shadow_env,
					     .output_fd = fd,
					     .output_max = 1 << 20,
					     .attendant = &attendant,
					     .timeout_s = 60};
	int status;

	need_root();
	assert_error(shadow_run(f->shadow, &options, &status), ERROR_FAILED);
}

static void a_terminal_of_a_scripts_own_is_its_own_affair(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state, SCRIPT("probe terminal"), 0, &seen, "0\n");
	assert_int_equal(seen.n_questions, 0);
}

static void an_answer_is_typed(void **state)
{
	struct seen seen = {.answer = "yes\n"};

	need_root();
	assert_output(*state, SCRIPT("read x; echo $x; read x; echo $x"), 0, &seen, "yes\nyes\n0\n");
	assert_int_equal(seen.n_questions, 2);
}

static void who_is_no_script_finds_the_end(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state, "read x; echo $?; read x </dev/tty; echo $?; read x; echo $?", 0, &seen, "1\n1\n1\n");
	assert_string_equal(seen.who, "nobody nothing");
}

static void a_script_that_does_not_end_is_ended_whole(void **state)
{
	struct seen seen = {0};

	need_root();
	assert_output(*state,
		      SCRIPT("setsid sleep 76543 & sleep 76544; echo no") "; busybox ps | grep -v sh | grep -c [s]leep",
		      1, &seen, "Killed\n137\n0\n");
	assert_int_equal(seen.n_overdue, 1);
	assert_int_equal(seen.n_questions, 0);
	assert_string_equal(seen.who, "demo postinst");
}

/* One after the other, each has its own time; what is no script has all of it. */
static void time_is_counted_for_each_script(void **state)
{
	static const char lines[] = SCRIPT("echo $$ >first; read go <&4") ";" SCRIPT(
		"echo $$ >second; read go <&4") "; echo $$ >none; read go <&4; " SCRIPT("echo $$ >third; read go <&4; "
											"echo no");
	const struct fixture *f = *state;
	struct seen seen = {0};
	const struct shadow_attendant attendant = {
		.data = &seen, .script_timeout_s = 1000, .overdue = overdue, .question = question};
	static const struct {
		const char *name;
		unsigned seconds, n_overdue;
	} steps[] = {{"first", 900, 0}, {"second", 900, 0}, {"none", 5000, 0}, {"third", 1100, 1}};
	struct attend *attend;
	int input, sign[2];
	pid_t pid;

	need_root();
	assert_ok(attend_create(&attendant, &attend, &input));
	assert_int_equal(pipe2(sign, O_CLOEXEC), 0);
	pid = begin(f->dir, lines, input, sign[0]);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		await_read(f->dir, steps[i].name);
		look_after(attend, 1);
		look_after(attend, steps[i].seconds);
		assert_int_equal(seen.n_overdue, steps[i].n_overdue);
		if (!steps[i].n_overdue)
			assert_int_equal(write(sign[1], "go\n", 3), 3);
	}
	assert_string_equal(seen.who, "demo postinst");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(seen.n_questions, 0);
	attend_destroy(attend);
	close(input);
	close(sign[0]);
	close(sign[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_script_that_asks_is_ended, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_script_is_asked_before_others, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_script_is_asked_once, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_script_that_asks_its_terminal_is_ended, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(the_terminal_fills_no_disk, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_terminal_of_a_scripts_own_is_its_own_affair, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(an_answer_is_typed, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(who_is_no_script_finds_the_end, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(a_script_that_does_not_end_is_ended_whole, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(time_is_counted_for_each_script, setup, fixture_teardown),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
