/* SPDX-License-Identifier: Apache-2.0 */
/* How the ssh program is called: another of its name stands in for it, and notes its arguments. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/hypervisor.h"
#include "test.h"

static char directory[] = "/tmp/ouassister-ssh-XXXXXX";

static int setup(void **state)
{
	static const char script[] = "#!/bin/sh\nprintf '%s\\n' \"$@\" >>arguments\necho ==== >>arguments\n"
				     "[ -z \"$GUEST_AES\" ] || echo aes\n"
				     /* The connection that others go through: -S SOCKET -M -N. */
				     "while [ $# -gt 3 ] && [ \"$1\" != -S ]; do shift; done\n"
				     "[ \"$1 $3\" != '-S -M' ] || { echo $$ >master; >\"$2\"; exec sleep 100; }\n";

	if (!mkdtemp(directory) || chdir(directory) < 0 || mkdir("bin", 0755) < 0)
		return -1;
	assert_ok(io_replace_file("bin/ssh", script, strlen(script), 0755));
	return setenv("PATH", "bin:/usr/bin:/bin", 1);
}

static int teardown(void **state)
{
	if (chdir("/") < 0)
		return -1;
	error_destroy(io_remove_tree(directory));
	return 0;
}

static void run_true(struct vm *vm)
{
	static const char *const argv[] = {"/bin/true", NULL};
	struct channel_result result = {};

	assert_ok(vm_channel_run(vm, argv, -1, 5000, &result));
	channel_result_deinit(&result);
}

/* The arguments of the call that came after the guest had said what its processor can. */
static char *arguments_of_run(void)
{
	_cleanup_(vm_destroy_ptr) struct vm *vm = NULL;
	struct vm_settings settings = {
		.name = "test", .qmp = "/nowhere", .channel = CHANNEL_SSH, .ssh_target = "root@127.0.0.1"};
	char *text, *second;

	unlink("arguments");
	assert_ok(vm_create("qemu", &settings, &vm));
	assert_ok(vm_channel_wait(vm, 5000));
	run_true(vm);
	assert_ok(io_read_file("arguments", 1 << 20, &text, NULL));
	second = strstr(text, "====\n");
	assert_non_null(second);
	*second = '\0';
	assert_null(strstr(text, "Ciphers"));
	second = strdup(second + 5);
	free(text);
	return second;
}

static void test_cipher(void **state)
{
	bool host_has_aes = system("grep -qw aes /proc/cpuinfo") == 0;
	_cleanup_(free_ptr) char *without = arguments_of_run(), *with = NULL;

	assert_null(strstr(without, "Ciphers"));
	setenv("GUEST_AES", "1", 1);
	with = arguments_of_run();
	if (!host_has_aes)
		print_message("this host's processor has no AES: only that was tried\n");
	assert_int_equal(strstr(with, "\nCiphers=aes128-gcm@openssh.com,") != NULL, host_has_aes);
}

/* ssh itself knows what it is asked for: an unknown name would be a way into the guest less. */
static void test_cipher_is_known(void **state)
{
	static const char check[] = "PATH=/usr/bin:/bin; command -v ssh >/dev/null || exit 77; "
				    "ssh -G -o \"$(grep -h ^Ciphers= arguments | tail -n 1)\" host >/dev/null";
	int status;

	if (system("grep -q ^Ciphers= arguments") != 0)
		skip();
	status = system(check);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

static long master_of(const char *path)
{
	char *text;
	long pid;

	assert_ok(io_read_file(path, 64, &text, NULL));
	pid = strtol(text, NULL, 10);
	free(text);
	return pid;
}

/* The first to ask makes its own; all that follow go through one, which is made anew when it has ended. */
static void test_one_connection(void **state)
{
	struct vm_settings settings = {.name = "test",
				       .qmp = "/nowhere",
				       .channel = CHANNEL_SSH,
				       .ssh_target = "root@127.0.0.1",
				       .log_path = "state/log"};
	struct vm *vm;
	char *text;
	long first;

	unlink("arguments");
	assert_int_equal(mkdir("state", 0700), 0);
	assert_ok(vm_create("qemu", &settings, &vm));
	assert_ok(vm_channel_wait(vm, 5000));
	for (int i = 0; i < 3; i++)
		run_true(vm);
	assert_int_equal(access("state/test.ssh", F_OK), 0);
	first = master_of("master");
	assert_ok(io_read_file("arguments", 1 << 20, &text, NULL));
	assert_int_equal(count(text, "====\n"), 5);
	assert_int_equal(count(text, "-M\n"), 1);
	assert_int_equal(count(text, "-S\nstate/test.ssh\n"), 4);
	free(text);
	assert_int_equal(kill((pid_t)first, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)first, &(siginfo_t){}, WEXITED | WNOWAIT), 0);
	assert_ok(vm_channel_wait(vm, 5000));
	assert_int_not_equal(access("state/test.ssh", F_OK), 0);
	run_true(vm);
	assert_int_not_equal(master_of("master"), first);
	vm_destroy(vm);
	assert_int_not_equal(access("state/test.ssh", F_OK), 0);
	assert_int_equal(kill((pid_t)master_of("master"), 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cipher),
		cmocka_unit_test(test_cipher_is_known),
		cmocka_unit_test(test_one_connection),
	};

	return cmocka_run_group_tests_name("ssh", tests, setup, teardown);
}
