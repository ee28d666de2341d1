/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox over a small root of busybox and probe.c. */
#include "tests/unit/shadow/fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "shadow/internal.h"

static const struct guest_uts uts = {"Linux", "web1", "6.1.0-18-test", "#1 SMP PREEMPT a guest", "x86_64", "example"};
static const struct guest_clock guest_time = {.monotonic_ns = 5000000000000, .boottime_ns = 9000500000000};

static void create(struct fixture *f, unsigned processes_max)
{
	_cleanup_(free_ptr) char *boot = string_format("%s/boot", f->dir);
	struct shadow_tree trees[] = {{.target = "/", .lower = f->root}, {.target = "/boot", .lower = boot}};
	struct shadow_options options = {.layers_dir = f->layers, .run_dir = f->run, .uts = &uts, .clock = &guest_time};

	options.limits.processes = processes_max;
	assert_ok(shadow_create_from(trees, 2, NULL, &options, &f->shadow));
}

static int setup(void **state)
{
	struct fixture *f;

	if (fixture_create("/tmp/test-shadow.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	shell("mkdir -p %s/boot; echo kernel >%s/boot/vmlinuz", f->dir, f->dir);
	create(f, 0);
	return 0;
}

/* Another shadow in place of the one that is there. */
static void create_again(struct fixture *f, unsigned processes_max)
{
	shadow_destroy(f->shadow);
	f->shadow = NULL;
	create(f, processes_max);
}

static void test_statuses(void **state)
{
	const struct fixture *f = *state;
	int status;

	need_root();
	assert_int_equal(status_of(f->shadow, "exit 0"), 0);
	assert_int_equal(status_of(f->shadow, "exit 7"), 7);
	assert_int_equal(status_of(f->shadow, "kill -9 $$"), 137);
	output_of(f->shadow, (const char *const[]){"/no/such/program", NULL}, false, &status);
	assert_int_equal(status, 127);
	/* Orphans end with the run, and do not hold it up for long. */
	assert_int_equal(status_of(f->shadow, "setsid sleep 1000 & exit 3"), 3);
}

static void test_answers(void **state)
{
	const struct fixture *f = *state;
	int status;
	long seconds;

	need_root();
	assert_says(f->shadow, "probe uname", "Linux|web1|6.1.0-18-test|#1 SMP PREEMPT a guest|x86_64");
	assert_says(f->shadow, "hostname", "web1");
	assert_says(f->shadow, "cat /proc/sys/kernel/osrelease", "6.1.0-18-test");
	assert_says(f->shadow, "cat /proc/version", "Linux version 6.1.0-18-test #1 SMP PREEMPT a guest");
	assert_says(f->shadow, "id -u; cat /proc/self/uid_map | { read a b c; echo $a $c; }", "0\n0 1073741824");
	seconds = atol(output_of(f->shadow, (const char *const[]){"probe", "monotonic", NULL}, false, &status));
	assert_in_range(seconds, 5000, 5060);
	seconds = atol(output_of(f->shadow, (const char *const[]){"probe", "boottime", NULL}, false, &status));
	assert_in_range(seconds, 9000, 9060);
}

static void assert_cannot(const struct fixture *f, const char *probe, const char *argument)
{
	const char *argv[] = {"probe", probe, argument, NULL};
	int status;
	const char *output = output_of(f->shadow, argv, false, &status);

	if (status != 1)
		fail_msg("%s %s: status %d, %s", probe, argument ? argument : "", status, output);
}

static void test_refusals(void **state)
{
	static const char *const probes[] = {
		"init_module",
		"finit_module",
		"bpf",
		"keyctl",
		"add_key",
		"userfaultfd",
		"perf_event_open",
		"io_uring_setup",
		"swapon",
		"reboot",
		"syslog",
		"kexec_load",
		"clone3",
		"setns",
		"pivot_root",
		"open_by_handle_at",
		"fsopen",
		"process_vm_readv",
		"mount",
		"remount",
		"umount",
		"unshare",
		"clone",
		"sethostname",
		"settime",
		"tiocsti",
		"loop-clear",
	};
	/* AF_PACKET, AF_ALG, AF_VSOCK, AF_KEY, AF_XDP */
	static const char *const families[] = {"17", "38", "40", "15", "44"};
	const struct fixture *f = *state;

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		assert_cannot(f, probes[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		assert_cannot(f, "socket", families[i]);
	assert_cannot(f, "ptrace", "1");
	assert_cannot(f, "connect", "198.51.100.1" /* for documentation, RFC 5737 */);
	assert_cannot(f, "connect", "127.0.0.1");
	assert_cannot(f, "write", "/proc/sys/kernel/printk");
	assert_cannot(f, "write", "/proc/sysrq-trigger");
	/* Not every refusal is a failure of the probe itself. */
	assert_int_equal(status_of(f->shadow, "probe fifo && probe open /data/file"), 0);
}

/* A device can be made, as an entry; what is behind it stays out of reach. */
static void test_devices(void **state)
{
	const struct fixture *f = *state;
	struct stat st;

	need_root();
	assert_int_equal(status_of(f->shadow, "umask 027; busybox mknod /data/null c 1 3; probe device"), 0);
	assert_cannot(f, "open", "/data/null");
	assert_cannot(f, "open", "/disk");
	/* Overlayfs takes this one for a deleted file; a mount with devices takes none. */
	assert_int_equal(status_of(f->shadow, "busybox mknod /data/hole c 0 0"), 1);
	assert_int_equal(status_of(f->shadow, "busybox mknod /dev/other c 1 3"), 1);
	assert_int_equal(status_of(f->shadow, "busybox mknod /data/null c 1 3"), 1);
	assert_int_equal(fstatat(f->shadow->layers[0].upper_fd, "data/null", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(1, 3));
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 0);
}

static void test_host_is_hidden(void **state)
{
	const struct fixture *f = *state;
	char secret[64], script[256], pid[16];

	need_root();
	snprintf(secret, sizeof(secret), "%s/secret", f->dir);
	assert_ok(io_replace_file(secret, "host", 4, 0644));
	assert_cannot(f, "open", secret);
	snprintf(script, sizeof(script), "/proc/1/root%s", secret);
	assert_cannot(f, "open", script);
	snprintf(script, sizeof(script), "/proc/1/cwd/../../..%s", secret);
	assert_cannot(f, "open", script);
	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_cannot(f, "kill", pid);
	/* init and the shell and ps: nothing else is to be seen. */
	assert_says(f->shadow, "set -- /proc/[0-9]*; echo $#", "2");
	assert_says(f->shadow, "ls /proc/self/fd | head -4", "0\n1\n2\n3");
	assert_int_equal(status_of(f->shadow, "cat /proc/self/mountinfo | busybox grep -q /tmp/test-shadow"), 1);
}

static int upper_stat(const struct fixture *f, size_t layer, const char *path, struct stat *st)
{
	size_t n;
	const struct change_layer *layers = shadow_layers(f->shadow, &n);

	assert_int_equal(n, 2);
	return fstatat(layers[layer].upper_fd, path, st, AT_SYMLINK_NOFOLLOW);
}

/* The guest's own ids, capabilities and ACLs show in the layers, and the lower tree is untouched. */
static void test_layers(void **state)
{
	const struct fixture *f = *state;
	const struct change_layer *layers;
	char value[64];
	struct stat st;
	uint32_t id;
	size_t n;
	int fd;

	need_root();
	shell("cd %s; { find . -printf '%%p %%m %%U %%G %%T@ %%n %%s\\n' | sort; find . -type f | sort | xargs "
	      "sha256sum; } |"
	      " sha256sum >../before",
	      f->root);
	assert_int_equal(status_of(f->shadow,
				   "echo new >/data/new && chown 3000000:65535 /data/new && echo more >>/data/file && "
				   "rm /data/gone && mv /data/dir /data/renamed && touch /data/ids /data/capable && "
				   "echo new >/boot/initrd && echo x >/tmp/x && echo x >/run/x"),
			 0);
	assert_int_equal(upper_stat(f, 0, "data/new", &st), 0);
	assert_int_equal(st.st_uid, 3000000);
	assert_int_equal(st.st_gid, 65535);
	assert_int_equal(upper_stat(f, 0, "data/gone", &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
	assert_int_equal(upper_stat(f, 0, "data/ids", &st), 0);
	assert_int_equal(st.st_gid, 100000);
	assert_int_equal(upper_stat(f, 1, "initrd", &st), 0);
	assert_int_equal(upper_stat(f, 0, "tmp/x", &st), -1);
	assert_int_equal(upper_stat(f, 0, "run", &st), -1);
	assert_int_equal(upper_stat(f, 0, "dev", &st), -1);

	layers = shadow_layers(f->shadow, &n);
	fd = openat(layers[0].upper_fd, "data/capable", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fgetxattr(fd, "security.capability", value, sizeof(value)), 20);
	assert_int_equal(value[3], 2);
	close(fd);
	fd = openat(layers[0].upper_fd, "data/renamed", O_RDONLY | O_CLOEXEC);
	assert_true(fgetxattr(fd, "trusted.overlay.redirect", value, sizeof(value)) > 0);
	close(fd);
	fd = openat(layers[0].upper_fd, "data/ids", O_RDONLY | O_CLOEXEC);
	/*
	 * The view's own ids: entry 1 of the ACL (version, then tag, permissions, id each) is user:1000:r, but where
	 * the kernel leaves it as it is stored.
	 */
	assert_int_equal(fgetxattr(fd, "system.posix_acl_access", value, sizeof(value)), 44);
	memcpy(&id, value + 4 + 8 + 4, sizeof(id));
	assert_int_equal(id >= layers[0].acl_id_base ? id - layers[0].acl_id_base : id, 1000);
	close(fd);

	shell("cd %s; { find . -printf '%%p %%m %%U %%G %%T@ %%n %%s\\n' | sort; find . -type f | sort | xargs "
	      "sha256sum; } |"
	      " sha256sum >../after",
	      f->root);
	shell("cmp %s/before %s/after", f->dir, f->dir);
	/* A second run sees what the first wrote. */
	assert_says(f->shadow, "cat /data/new /data/renamed/below /data/link", "new\nbelow\none\nmore");
}

static void test_timeout(void **state)
{
	const struct fixture *f = *state;
	const char *const argv[] = {"sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL};
	struct shadow_run_options options = {.argv = argv, .env = shadow_env, .timeout_s = 1};
	uint64_t begin_ns;
	int status;

	need_root();
	begin_ns = clock_monotonic_ns();
	assert_error(shadow_run(f->shadow, &options, &status), ERROR_TIMEOUT);
	assert_in_range(clock_monotonic_ns() - begin_ns, 900000000, 10000000000);
}

static void test_input_and_bounds(void **state)
{
	const struct fixture *f = *state;
	const char *const cat[] = {"cat", NULL}, *const yes[] = {"yes", NULL};
	struct shadow_run_options options = {.argv = cat, .env = shadow_env, .timeout_s = 60};
	char *output = NULL;
	int fds[2], status;

	need_root();
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], "hello", 5), 5);
	close(fds[1]);
	options.stdin_fd = fds[0];
	assert_ok(shadow_capture(f->shadow, &options, &status, &output));
	assert_string_equal(output, "hello");
	free(output);
	close(fds[0]);
	options = (struct shadow_run_options){.argv = yes, .env = shadow_env, .timeout_s = 3};
	assert_error(shadow_capture(f->shadow, &options, &status, &output), ERROR_TIMEOUT);
	options.argv = (const char *const[]){"sh", "-c", "yes | head -c 20000000", NULL};
	options.timeout_s = 60;
	assert_error(shadow_capture(f->shadow, &options, &status, &output), ERROR_FORMAT);
}

/* A child that makes its own shadow and is killed in the middle of a run. */
static void test_killed_parent(void **state)
{
	const struct fixture *f = *state;
	char mark[32];
	pid_t pid;

	need_root();
	snprintf(mark, sizeof(mark), "98765%d", getpid());
	pid = fork();
	if (pid == 0) {
		const char *const argv[] = {"sleep", mark, NULL};
		struct shadow_run_options options = {.argv = argv, .env = shadow_env};
		int status;

		error_destroy(shadow_run(f->shadow, &options, &status));
		_exit(0);
	}
	for (int i = 0; i < 100 && count_processes(mark) == 0; i++)
		usleep(50000);
	assert_true(count_processes(mark) > 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 100 && count_processes(mark) > 0; i++)
		usleep(50000);
	assert_int_equal(count_processes(mark), 0);
}

/* The host starts processes all the while, and nothing is left of those of the guest. */
static void test_fork_bomb(void **state)
{
	/* Processes are counted on the whole host, where another run of this test may be going on. */
	_cleanup_(free_ptr) char *mark = string_format("<bomb %d>", (int)getpid());
	const char *const argv[] = {"probe", "bomb", mark, NULL};
	struct fixture *f = *state;
	struct shadow_run_options options = {.argv = argv, .env = shadow_env, .timeout_s = 3};
	unsigned seen = 0;
	int status, own;
	pid_t pid;

	need_root();
	create_again(f, 200);
	pid = fork();
	if (pid == 0) {
		struct error *error = shadow_run(f->shadow, &options, &status);

		_exit(error && error->code == ERROR_TIMEOUT ? 0 : 1);
	}
	while ((own = waitpid(pid, &status, WNOHANG)) == 0) {
		unsigned n = count_processes(mark);

		seen = n > seen ? n : seen;
		usleep(50000);
	}
	assert_int_equal(own, pid);
	assert_int_equal(status, 0);
	assert_in_range(seen, 100, 200);
	assert_int_equal(count_processes(mark), 0);
	assert_int_equal(status_of(f->shadow, "exit 4"), 4);
}

/* Not even as many users: RLIMIT_NPROC would count each for itself. */
static void test_process_limit(void **state)
{
	static const char *const argv[] = {"probe", "spawn", "1000", NULL};
	struct fixture *f = *state;
	char *stale, *living, *foreign;
	int status, parent;
	struct stat s;

	need_root();
	create_again(f, 200);
	if (!f->shadow->cgroup.pids) {
		print_message("skipped: no control group can be made here\n");
		skip();
	}
	assert_in_range(atol(output_of(f->shadow, argv, false, &status)), 150, 200);
	parent = (int)(strrchr(f->shadow->cgroup.pids, '/') - f->shadow->cgroup.pids);
	assert_int_equal(stat("/proc/self/ns/pid", &s), 0);
	stale = string_format("%.*s/ouassister-4194304-%lu-0", parent, f->shadow->cgroup.pids, s.st_ino);
	living = string_format("%.*s/ouassister-1-%lu-0", parent, f->shadow->cgroup.pids, s.st_ino);
	foreign = string_format("%.*s/ouassister-4194304-1-0", parent, f->shadow->cgroup.pids);
	assert_int_equal(mkdir(stale, 0755), 0);
	assert_int_equal(mkdir(living, 0755), 0);
	assert_int_equal(mkdir(foreign, 0755), 0);
	create_again(f, 0);
	/* A group that nobody removed goes with the next shadow, and only that. */
	assert_int_equal(access(stale, F_OK), -1);
	assert_int_equal(rmdir(living), 0);
	/* Who made this one, in another namespace of processes, may be about to enter it. */
	assert_int_equal(rmdir(foreign), 0);
	free(stale);
	free(living);
	free(foreign);
}

static void test_other_limits(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow, "ulimit -f", "134217728");
	assert_int_equal(status_of(f->shadow, "busybox truncate -s 60G /data/sparse"), 0);
	assert_int_equal(status_of(f->shadow, "busybox truncate -s 65G /data/sparse"), 128 + SIGXFSZ);
	/* The host, in need of memory, ends the guest's programs first; they cannot change that if we had the right to.
	 */
	assert_says(f->shadow, "cat /proc/self/oom_score_adj", "1000");
	if (prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1)
		assert_cannot(f, "write", "/proc/self/oom_score_adj");
}

/* Neither sees what the other does, not even while both run. */
static void test_two_at_once(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;
	struct stat st;
	int status;
	pid_t pid;

	need_root();
	other.layers = string_format("%s/layers2", f->dir);
	other.run = string_format("%s/run2", f->dir);
	assert_int_equal(mkdir(other.layers, 0700), 0);
	assert_int_equal(mkdir(other.run, 0700), 0);
	create(&other, 0);
	pid = fork();
	if (pid == 0)
		_exit(status_of(other.shadow, "echo two >/data/second; rm /data/file; sleep 3; exit 5"));
	sleep(1);
	assert_int_equal(status_of(f->shadow, "echo one >/data/first && [ -e /data/file ] && [ ! -e /data/second ]"),
			 0);
	/* The other still runs. */
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 5);
	assert_int_equal(upper_stat(&other, 0, "data/first", &st), -1);
	assert_int_equal(upper_stat(&other, 0, "data/second", &st), 0);
	assert_int_equal(upper_stat(f, 0, "data/second", &st), -1);
	shadow_destroy(other.shadow);
	assert_int_equal(status_of(f->shadow, "[ -e /data/first ]"), 0);
	free(other.layers);
	free(other.run);
}

static void assert_resolver(const struct fixture *f)
{
	struct stat st;
	int status;

	assert_string_equal(output_of(f->shadow, (const char *const[]){"cat", "/etc/resolv.conf", NULL}, true, &status),
			    "nameserver 10.0.2.3");
	assert_int_equal(status, 0);
	assert_int_equal(upper_stat(f, 0, "etc", &st), -1);
}

/* With a network: its resolver is there whatever the guest has, and private addresses are refused. */
static void test_network(void **state)
{
	static const char *const refused[] = {"169.254.169.254", "10.1.2.3",   "10.0.2.2",
					      "192.168.0.1",     "172.16.0.1", "100.64.0.1"};
	const struct fixture *f = *state;
	int status;

	need_root();
	assert_resolver(f);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const char *const argv[] = {"probe", "connect", refused[i], NULL};
		const char *const device[] = {"probe", "connect-device", refused[i], NULL};

		/* ECONNREFUSED: by the filter, at once; not by silence. */
		assert_string_equal(output_of(f->shadow, argv, true, &status), "errno 111");
		assert_string_equal(output_of(f->shadow, device, true, &status), "errno 111");
	}
}

static const struct action *find_action(const struct action_list *list, const char *path)
{
	const struct action *found = NULL;

	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].path, path) == 0) {
			assert_null(found);
			found = &list->items[i];
		}
	return found;
}

/* All runs have one /run, and what they leave in it are actions; what is a daemon's own, or ours, is not. */
static void test_run_directory(void **state)
{
	_cleanup_(action_list_deinit) struct action_list list = {0};
	const struct fixture *f = *state;
	const struct action *action;

	need_root();
	assert_int_equal(status_of(f->shadow, "echo one >/run/pkgs; mkdir -p /run/d/e; chown 7:8 /run/d"), 0);
	assert_int_equal(status_of(f->shadow,
				   "echo two >>/run/pkgs; chmod 1711 /run/d/e; ln -s d/e /run/l; "
				   "echo 4194000 >/run/d/a.pid; echo 4194000 >/run/d/number; mkdir /run/gone; "
				   "rm -r /run/gone; mkdir /run/systemd/x; touch /run/lock/y; mkfifo /run/f; : "
				   ">/run/ouassister-sources.list; "
				   "touch /run/systemd/system/u.service; ln /run/pkgs /run/again; "
				   "head -c 70000 /dev/zero >/run/large; rm -r /run/lock"),
			 0);
	assert_ok(shadow_runtime_actions(f->shadow, &list));
	for (size_t i = 0; i < list.n; i++)
		print_message("%s %s\n", list.items[i].verb, list.items[i].path);
	action = find_action(&list, "/run/pkgs");
	assert_string_equal(action->verb, "write");
	assert_int_equal(action->size, 8);
	assert_memory_equal(action->data, "one\ntwo\n", 8);
	assert_string_equal(find_action(&list, "/run/d")->argv[1], "directory 0755 7 8");
	assert_string_equal(find_action(&list, "/run/d/e")->argv[1], "directory 1711 0 0");
	assert_string_equal(find_action(&list, "/run/l")->argv[1], "symlink 0 0 d/e");
	assert_non_null(find_action(&list, "/run/d/number"));
	assert_non_null(find_action(&list, "/run/systemd/system/u.service"));
	assert_non_null(find_action(&list, "/run/again"));
	/* A directory comes before what it holds. */
	assert_true(find_action(&list, "/run/d") < find_action(&list, "/run/d/e"));
	assert_int_equal(list.n, 7);
}

static void test_resolver_file(void **state)
{
	const struct fixture *f = *state;

	need_root();
	shell("echo nameserver 1.2.3.4 >%s/etc/resolv.conf", f->root);
	assert_resolver(f);
}

static void test_resolver_link(void **state)
{
	const struct fixture *f = *state;

	need_root();
	shell("ln -s ../run/systemd/resolve/stub-resolv.conf %s/etc/resolv.conf", f->root);
	assert_resolver(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_statuses, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_devices, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_host_is_hidden, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_layers, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_input_and_bounds, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_killed_parent, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_fork_bomb, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_process_limit, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_other_limits, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_two_at_once, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_network, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_run_directory, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_resolver_file, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_resolver_link, setup, fixture_teardown),
	};

	/* Mounts of these tests must not reach the rest of the machine, nor outlive the program. */
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
		return 1;
	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
