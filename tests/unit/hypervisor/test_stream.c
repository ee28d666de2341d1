/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream's script under the shells that guests have, on a /sys and a /dev of our own, with a FIFO as the port: as
 * a port does, it gives what was written once and in short pieces, and an end while nobody is there to write.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sha256.h"
#include "hypervisor/ops.h"
#include "test.h"

#define PORT    "/dev/vport3p2"
#define NAME    "/sys/class/virtio-ports/vport3p2/name"
#define TARGET  "/var/tmp/oua-stream-test/sub/helper"
#define PART    TARGET ".part"
#define STREAM  "/var/tmp/oua-stream-test/stream"
#define BLOCK   65536
#define PROGRAM "#!/bin/sh\necho \"args: $*\"\nsha256sum\nexit 3\n"

static const struct shell {
	const char *const words[3];
	const char *path; /* where it finds its programs */
} shells[] = {
	{{"dash"}, "/usr/bin:/bin"},
	{{"busybox", "sh"}, "/var/tmp/oua-stream-test/busybox"},
};

static const struct shell *shell; /* what is "/bin/sh" in the guest */
static const char *path;          /* in its environment */
static pid_t feeder;
static unsigned detached;
static off_t feed_max; /* bytes of the file that the port gives */
static bool early_end; /* the first who reads finds nobody there */

static void feed(const char *from)
{
	char buffer[4096];
	int in = open(from, O_RDONLY), out;
	ssize_t n;

	if (early_end) {
		out = open(PORT, O_WRONLY);
		/* Long enough for a dd that starts late. */
		close(out);
		usleep(300000);
	}
	out = open(PORT, O_WRONLY);
	while (feed_max > 0 && (n = read(in, buffer, feed_max < 4096 ? (size_t)feed_max : 4096)) > 0) {
		if (write(out, buffer, (size_t)n) != n)
			break;
		feed_max -= n;
	}
	_exit(0);
}

static struct error *fake_attach(struct vm *vm, const char *from)
{
	feeder = fork();
	if (feeder == 0)
		feed(from);
	return NULL;
}

static struct error *fake_detach(struct vm *vm)
{
	detached++;
	return NULL;
}

static char *read_memory(int fd)
{
	char *text;

	lseek(fd, 0, SEEK_SET);
	assert_ok(io_read_all(fd, 1 << 20, "output", &text, NULL));
	return text;
}

static _Noreturn void exec_shell(const char *const *argv, int out, int err)
{
	const char *words[64];
	size_t n = 0;

	for (size_t i = 0; shell->words[i]; i++)
		words[n++] = shell->words[i];
	for (size_t i = 1; argv[i] && n < ARRAY_SIZE(words) - 1; i++)
		words[n++] = argv[i];
	words[n] = NULL;
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(err, 2);
	execvpe(words[0], (char *const *)words, (char *const[]){(char *)path, NULL});
	_exit(99);
}

/* The guest: its shell is one of ours. */
static struct error *fake_run(struct vm *vm, const char *const *argv, int stdin_fd, uint64_t timeout_ms,
			      struct channel_result *ret)
{
	int out = memfd_create("out", 0), err = memfd_create("err", 0), status;
	pid_t pid;

	assert_string_equal(argv[0], "/bin/sh");
	pid = fork();
	if (pid == 0)
		exec_shell(argv, out, err);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	ret->output = read_memory(out);
	ret->errors = read_memory(err);
	close(out);
	close(err);
	return NULL;
}

static const struct hypervisor_ops fake_hypervisor = {.port_attach = fake_attach, .port_detach = fake_detach};
static const struct channel_ops fake_channel = {.run = fake_run};

static struct vm make_vm(void)
{
	return (struct vm){.hypervisor = &fake_hypervisor,
			   .channel = &fake_channel,
			   .settings = {.name = "test", .channel = CHANNEL_AGENT}};
}

static void put_text(const char *to, const char *text)
{
	assert_ok(io_replace_file(to, text, strlen(text), 0600));
}

static int setup(void **state)
{
	feed_max = 1 << 30;
	early_end = false;
	detached = 0;
	if (io_remove_tree("/var/tmp/oua-stream-test/sub") || mkfifo(PORT, 0600) < 0)
		return -1;
	put_text(NAME, "ouassister\n");
	return 0;
}

static int teardown(void **state)
{
	unlink(PORT);
	if (feeder > 0) {
		kill(feeder, SIGKILL);
		waitpid(feeder, NULL, 0);
	}
	feeder = 0;
	unlink(STREAM);
	return 0;
}

static void use_shell(const struct shell *which)
{
	static char variable[256];

	shell = which;
	snprintf(variable, sizeof(variable), "PATH=%s", which->path);
	path = variable;
}

/* Program and input as a file, plugged. */
static void plug(struct vm *vm, const char *program, const void *input, size_t size)
{
	const char *input_path = input ? "/var/tmp/oua-stream-test/input" : NULL;

	if (input)
		assert_ok(io_replace_file(input_path, input, size, 0600));
	assert_ok(vm_stream_write(STREAM, program, strlen(program), input_path));
	assert_false(vm_stream_is_plugged(vm));
	assert_ok(vm_stream_plug(vm, STREAM, strlen(program)));
	assert_true(vm_stream_is_plugged(vm));
}

static void assert_absent(const char *name)
{
	struct stat s;

	assert_int_equal(lstat(name, &s), -1);
}

static void assert_program(const char *name)
{
	_cleanup_(free_ptr) char *bytes = NULL;
	size_t size;
	struct stat s;

	assert_int_equal(lstat(name, &s), 0);
	assert_true(S_ISREG(s.st_mode));
	assert_int_equal(s.st_mode & 07777, 0700);
	assert_ok(io_read_file(name, 1 << 20, &bytes, &size));
	assert_int_equal(size, BLOCK);
	assert_string_equal(bytes, PROGRAM);
}

static void run_one(void)
{
	static const char *const argv[] = {TARGET, "a b", "$c", "'", NULL};
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	_cleanup_(free_ptr) uint8_t *input = malloc(300001);
	_cleanup_(free_ptr) char *expected = NULL;
	char hex[SHA256_HEX_SIZE];
	uint8_t digest[SHA256_SIZE];
	struct sha256 *sha256 = sha256_create();
	struct vm vm = make_vm();

	for (size_t i = 0; i < 300001; i++)
		input[i] = (uint8_t)(i * 2654435761u >> 13);
	sha256_update(sha256, input, 300001);
	sha256_final(sha256, digest);
	sha256_destroy(sha256);
	sha256_to_hex(digest, hex);
	plug(&vm, PROGRAM, input, 300001);
	assert_ok(vm_stream_run(&vm, argv, 1000, &result));
	expected = string_format("args: a b $c '\n%s  -\n", hex);
	assert_string_equal(result.output, expected);
	assert_int_equal(result.status, 3);
	assert_program(TARGET);
	assert_absent(PART);
	assert_false(vm_stream_is_plugged(&vm));
	assert_int_equal(detached, 0);
}

static void each_shell(void (*test)(void))
{
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (i > 0) {
			assert_int_equal(teardown(NULL), 0);
			assert_int_equal(setup(NULL), 0);
		}
		use_shell(&shells[i]);
		test();
	}
}

static void test_run(void **state)
{
	each_shell(run_one);
}

/* The port is there before the host that writes into it. */
static void early_one(void)
{
	early_end = true;
	run_one();
}

static void test_early_end(void **state)
{
	each_shell(early_one);
}

/* What is there goes in one step, also where it is a link, and nothing runs. */
static void replace_one(void)
{
	static const char *const argv[] = {TARGET, NULL};
	_cleanup_(channel_result_deinit) struct channel_result result = {};
	_cleanup_(free_ptr) char *bytes = NULL;
	struct vm vm = make_vm();

	assert_ok(io_mkdirs("/var/tmp/oua-stream-test/sub", 0700));
	put_text("/var/tmp/oua-stream-test/other", "other");
	assert_int_equal(symlink("/var/tmp/oua-stream-test/other", TARGET), 0);
	assert_int_equal(symlink("/var/tmp/oua-stream-test/other", PART), 0);
	plug(&vm, PROGRAM, NULL, 0);
	assert_ok(vm_stream_run(&vm, argv, 1000, &result));
	assert_int_equal(result.status, 0);
	assert_string_equal(result.output, "");
	assert_program(TARGET);
	assert_absent(PART);
	assert_ok(io_read_file("/var/tmp/oua-stream-test/other", 100, &bytes, NULL));
	assert_string_equal(bytes, "other");
}

static void test_replace(void **state)
{
	each_shell(replace_one);
}

static void fails_with(const char *program, const char *old)
{
	static const char *const argv[] = {TARGET, "a", NULL};
	struct channel_result result = {};
	struct vm vm = make_vm();

	if (old) {
		assert_ok(io_mkdirs("/var/tmp/oua-stream-test/sub", 0700));
		put_text(TARGET, old);
	}
	plug(&vm, program, "input", 5);
	assert_error(vm_stream_run(&vm, argv, 1000, &result), ERROR_UNSUPPORTED);
	assert_int_equal(detached, 1);
	assert_false(vm_stream_is_plugged(&vm));
	assert_absent(PART);
	if (old) {
		_cleanup_(free_ptr) char *bytes = NULL;

		assert_ok(io_read_file(TARGET, 1 << 20, &bytes, NULL));
		assert_string_equal(bytes, old);
	} else {
		assert_absent(TARGET);
	}
}

/* The stream ends within the program. */
static void short_one(void)
{
	feed_max = BLOCK - 1;
	fails_with(PROGRAM, NULL);
}

static void short_over_old(void)
{
	feed_max = BLOCK / 2;
	fails_with(PROGRAM, "old");
}

static void test_short(void **state)
{
	each_shell(short_one);
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(setup(NULL), 0);
	each_shell(short_over_old);
}

/* A shell would run what is no program as a script. */
static void no_program_one(void)
{
	fails_with("touch /var/tmp/oua-stream-test/ran\n", NULL);
	assert_absent("/var/tmp/oua-stream-test/ran");
}

static void test_no_program(void **state)
{
	each_shell(no_program_one);
}

static void test_no_dd(void **state)
{
	use_shell(&shells[0]);
	path = "PATH=/var/tmp/oua-stream-test/poor";
	fails_with(PROGRAM, NULL);
}

/* A guest that has no driver for ports is not waited for. */
static void test_no_driver(void **state)
{
	uint64_t begun_ns = clock_monotonic_ns();

	use_shell(&shells[0]);
	assert_int_equal(rename("/sys/class", "/sys/away"), 0);
	fails_with(PROGRAM, NULL);
	assert_int_equal(rename("/sys/away", "/sys/class"), 0);
	assert_true(clock_monotonic_ns() - begun_ns < 2000000000ull);
}

/* No port of that name, or one that has no device. */
static void test_unseen(void **state)
{
	use_shell(&shells[0]);
	put_text(NAME, "ouassister2\n");
	fails_with(PROGRAM, NULL);
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(setup(NULL), 0);
	unlink(PORT);
	fails_with(PROGRAM, NULL);
	assert_int_equal(mkfifo(PORT, 0600), 0);
}

static void test_not_plugged(void **state)
{
	static const char *const argv[] = {TARGET, NULL};
	struct channel_result result;
	struct vm vm = make_vm();

	assert_error(vm_stream_run(&vm, argv, 1000, &result), ERROR_UNSUPPORTED);
	vm.settings.channel = CHANNEL_NONE;
	assert_error(vm_stream_plug(&vm, STREAM, 5), ERROR_UNSUPPORTED);
}

/* Never the file that may still be read; a failure leaves none. */
static void test_write(void **state)
{
	_cleanup_(close_fd) int fd = -1;
	struct stat before, after;

	assert_ok(vm_stream_write(STREAM, "one", 3, NULL));
	fd = open(STREAM, O_RDONLY);
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(before.st_size, BLOCK);
	assert_int_equal(before.st_mode & 07777, 0600);
	assert_ok(vm_stream_write(STREAM, "two", 3, NULL));
	assert_int_equal(stat(STREAM, &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_error(vm_stream_write(STREAM, "two", 3, "/var/tmp/oua-stream-test/none"), ERROR_SYSTEM);
	assert_absent(STREAM);
	assert_error(vm_stream_write(STREAM, "two", 0, NULL), ERROR_USAGE);
	assert_error(vm_stream_write(STREAM, "two", 5 << 20, NULL), ERROR_USAGE);
	assert_absent(STREAM);
}

static int make_tree(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	if (mount("tmpfs", "/sys", "tmpfs", 0, NULL) < 0 || mount("tmpfs", "/dev", "tmpfs", 0, NULL) < 0 ||
	    mount("tmpfs", "/var/tmp", "tmpfs", 0, NULL) < 0)
		return -1;
	if (mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)) < 0)
		return -1;
	return system("mkdir -p /sys/class/virtio-ports/vport3p1 /sys/class/virtio-ports/vport3p2 "
		      "/var/tmp/oua-stream-test/poor && "
		      "echo org.qemu.guest_agent.0 >/sys/class/virtio-ports/vport3p1/name && "
		      "ln -s /usr/bin/mkdir /usr/bin/rm /var/tmp/oua-stream-test/poor && "
		      "b=/var/tmp/oua-stream-test/busybox && mkdir $b && "
		      "for p in busybox $(busybox --list); do ln -s \"$(command -v busybox)\" $b/$p; done 2>/dev/null; "
		      "[ -e $b/dd ]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_program, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_dd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unseen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_plugged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
	};

	if (geteuid() != 0 || make_tree() < 0) {
		print_message("skipped: needs root, mount namespaces, dash and busybox\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
