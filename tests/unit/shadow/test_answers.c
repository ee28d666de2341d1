/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that the memory of a real kernel answers: programs of busybox in the shadow of a guest of the tests. */
#include "tests/unit/shadow/fixture.h"

#include <arpa/inet.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"

static int setup(void **state)
{
	struct fixture *f;

	/* The guest's mounts must not be seen outside. */
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return -1;
	if (fixture_create("/var/tmp/test-answers.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	shell("mkdir %s/mnt", f->root);
	fixture_open_guest(f, KERNEL);
	fixture_create_shadow(f);
	return 0;
}

/* The last action is spelt so. */
static void assert_recorded(const struct fixture *f, const char *const *words)
{
	const struct action_list *actions = shadow_actions(f->shadow);
	char **found = NULL;
	size_t i = 0;

	assert_true(actions->n > 0);
	assert_int_equal(actions->items[actions->n - 1].order, actions->n);
	assert_ok(action_words(&actions->items[actions->n - 1], &found));
	for (; words[i]; i++) {
		assert_non_null(found[i]);
		assert_string_equal(found[i], words[i]);
	}
	assert_null(found[i]);
	action_words_free(found);
}

#define assert_recorded(f, ...) assert_recorded(f, (const char *const[]){__VA_ARGS__, NULL})

static void test_signals(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_int_equal(status_of(f->shadow, "kill -0 1"), 0);
	assert_int_equal(shadow_actions(f->shadow)->n, 0);
	assert_int_equal(status_of(f->shadow, "export DPKG_MAINTSCRIPT_PACKAGE=cron; exec busybox kill -HUP 1"), 0);
	assert_recorded(f, "kill", "-HUP", "1");
	assert_string_equal(shadow_actions(f->shadow)->items[0].package, "cron");
	assert_int_equal(shadow_actions(f->shadow)->items[0].kind, ACTION_SIGNAL);
	assert_int_equal(shadow_actions(f->shadow)->items[0].phase, ACTION_AFTER);
	assert_int_equal(shadow_actions(f->shadow)->items[0].start_ns,
			 guest_task_list_find(&f->shadow->threads, 1)->start_ns);
	assert_int_equal(status_of(f->shadow, "busybox kill -35 1"), 0);
	assert_recorded(f, "kill", "-35", "1");
	/* Kernel threads take no notice; a number that nobody has; the shadow's own; another user. */
	assert_int_equal(status_of(f->shadow, "kill -TERM 2"), 0);
	assert_int_equal(shadow_actions(f->shadow)->n, 2);
	assert_int_equal(status_of(f->shadow, "kill -0 4194304"), 1);
	assert_int_equal(status_of(f->shadow, "kill -0 $$"), 0);
	assert_int_equal(status_of(f->shadow, "kill -TERM $$"), 128 + 15);
	assert_int_equal(status_of(f->shadow, "probe as-user kill 1"), 1);
	assert_int_equal(shadow_actions(f->shadow)->n, 2);
}

/* Questions about sockets go nowhere; no other kind of netlink opens, but for routes. */
static void test_sockets(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_int_equal(status_of(f->shadow, "probe diag 0 && probe as-user diag 0"), 0);
	assert_says(f->shadow,
		    "for i in $(busybox seq 0 40); do probe netlink $i >/dev/null && echo $i; done; :", "0\n4");
}

static void test_pidfds(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow, "probe pidfd 1", "0");
	assert_recorded(f, "kill", "-USR1", "1");
	assert_says(f->shadow, "probe pidfd 4194304", "3");
	/* A directory of /proc does, too; of the shadow's own it is the program that has to take another way: ENOSYS.
	 */
	assert_says(f->shadow, "probe directory 1", "0");
	assert_recorded(f, "kill", "-USR1", "1");
	assert_int_equal(shadow_actions(f->shadow)->n, 2);
	assert_says(f->shadow, "probe directory $$", "38");
}

static void test_scheduling(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_int_equal(status_of(f->shadow, "busybox renice -n 5 -p 1"), 0);
	assert_recorded(f, "renice", "-n", "5", "-p", "1");
	assert_says(f->shadow, "busybox nproc", "1");
	assert_int_equal(status_of(f->shadow, "busybox taskset 1 sh -c 'busybox taskset -p $$'"), 0);
	assert_int_equal(status_of(f->shadow, "busybox taskset 2 true"), 1);
}

static void test_system(void **state)
{
	const struct fixture *f = *state;
	struct guest_memory_counters memory;
	char text[64];

	need_root();
	assert_says(f->shadow, "busybox uname -r", f->uts.release);
	assert_ok(guest_memory_counters(f->guest, &memory));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)memory.total);
	assert_says(f->shadow, "probe ram", text);
	assert_says(f->shadow, "busybox hostname \"$(busybox hostname)\"", "");
	assert_int_equal(shadow_actions(f->shadow)->n, 0);
	assert_says(f->shadow, "busybox hostname other; busybox hostname", "other");
	assert_recorded(f, "write", "/proc/sys/kernel/hostname", "other");
	/* The file and the call are of one mind; a run begins with the guest's name. */
	assert_says(f->shadow, "busybox hostname x; cat /proc/sys/kernel/hostname", "x");
	assert_says(f->shadow, "busybox hostname x; echo y >/proc/sys/kernel/hostname; busybox hostname", "y");
	assert_says(f->shadow, "cat /proc/sys/kernel/hostname", f->uts.nodename);
}

static void test_modules(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_int_equal(status_of(f->shadow, "echo x >/data/it-87.ko; probe load /data/it-87.ko"), 0);
	assert_recorded(f, "modprobe", "it_87");
	/* One that the guest has. */
	assert_says(f->shadow, "echo x >/data/ext4.ko; probe load /data/ext4.ko; true", "errno 17");
	assert_int_equal(status_of(f->shadow, "probe as-user load /data/it-87.ko"), 1);
	assert_int_equal(shadow_actions(f->shadow)->n, 1);
}

static void test_mounts(void **state)
{
	const struct fixture *f = *state;
	const struct action_list *actions = shadow_actions(f->shadow);

	need_root();
	assert_int_equal(status_of(f->shadow, "busybox mount -t configfs none /data"), 0);
	assert_int_equal(actions->n, 1);
	assert_int_equal(actions->items[0].kind, ACTION_MOUNT);
	assert_string_equal(actions->items[0].path, "/data");
	assert_string_equal(actions->items[0].argv[1], "configfs");
	/* What a script would look for there next would not be there. */
	assert_int_equal(status_of(f->shadow, "busybox mount -t tmpfs none /data 2>/dev/null") == 0, 0);
	assert_int_equal(status_of(f->shadow, "busybox mount -o bind / /data 2>/dev/null") == 0, 0);
	assert_int_equal(status_of(f->shadow, "busybox umount /data 2>/dev/null") == 0, 0);
	assert_int_equal(actions->n, 1);
}

/* A daemon that a program leaves behind is written down when it is killed. */
static void test_daemons(void **state)
{
	const struct fixture *f = *state;
	const struct action_list *actions = shadow_actions(f->shadow);

	need_root();
	assert_int_equal(status_of(f->shadow, "export DPKG_MAINTSCRIPT_PACKAGE=food DPKG_MAINTSCRIPT_NAME=postinst;"
					      "busybox setsid busybox sleep 1000 & busybox sleep 0.3"),
			 0);
	assert_int_equal(actions->n, 1);
	assert_recorded(f, "busybox", "sleep", "1000");
	assert_string_equal(actions->items[0].package, "food");
	assert_string_equal(actions->items[0].script, "postinst");
	/* What ends within the grace is none. */
	assert_int_equal(status_of(f->shadow, "busybox sleep 0.5 &"), 0);
	assert_int_equal(actions->n, 1);
}

/* With its broadcast address, and a lifetime if the guest's has an end. */
static void assert_has_address(struct shadow *shadow, const struct guest_interface *interface,
			       const struct guest_address *address)
{
	char script[512], text[INET6_ADDRSTRLEN], broadcast[INET_ADDRSTRLEN];

	assert_non_null(inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, text, sizeof(text)));
	snprintf(script, sizeof(script), "busybox ip addr show dev %s | busybox grep -q ' %s%s[^ ]*.*/%u '",
		 interface->name, text, address->has_peer ? " peer" : "", address->prefix);
	assert_int_equal(status_of(shadow, script), 0);
	snprintf(script, sizeof(script),
		 "busybox ip addr show dev %s | busybox grep ' %s[ /]' | busybox grep -q dynamic", interface->name,
		 text);
	assert_int_equal(status_of(shadow, script), address->valid == UINT32_MAX);
	if (address->family != 4 || address->broadcast[0] == 0)
		return;
	assert_non_null(inet_ntop(AF_INET, address->broadcast, broadcast, sizeof(broadcast)));
	snprintf(script, sizeof(script), "busybox ip addr show dev %s | busybox grep -q ' %s[ /].* brd %s '",
		 interface->name, text, broadcast);
	assert_int_equal(status_of(shadow, script), 0);
}

/* The interfaces of the guest, of which one has the address that QEMU gives. */
static void test_interfaces(void **state)
{
	const struct fixture *f = *state;
	struct guest_interface_list list = {0};
	char script[256], expected[64];

	need_root();
	assert_ok(guest_interfaces(f->guest, 0, &list));
	assert_true(list.n > 0);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_interface *interface = &list.items[i];

		if (interface->type != 1 /* ARPHRD_ETHER */)
			continue;
		snprintf(script, sizeof(script),
			 "busybox ip link show dev %s | busybox head -1 | busybox cut -d' ' -f1,2", interface->name);
		snprintf(expected, sizeof(expected), "%u: %s:", interface->index, interface->name);
		assert_says(f->shadow, script, expected);
		for (size_t k = 0; k < interface->n_addresses; k++)
			assert_has_address(f->shadow, interface, &interface->addresses[k]);
	}
	guest_interface_list_deinit(&list);
	assert_int_not_equal(status_of(f->shadow, "busybox ip link set lo down"), 0);
	assert_int_not_equal(status_of(f->shadow, "busybox ip addr add 192.0.2.1/24 dev lo"), 0);
}

/* /sys counts what /proc counts, and knows the sizes of modules. */
static void test_sys(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow,
		    "busybox sed -n 's/^ *\\([^: ]*\\): *\\([0-9]*\\) *\\([0-9]*\\) .*/\\1 \\2 \\3/p' /proc/net/dev "
		    ">/tmp/dev\n"
		    "n=0; while read name bytes packets; do\n"
		    "	cd /sys/class/net/$name/statistics || exit\n"
		    "	[ $(cat rx_bytes) = $bytes ] && [ $(cat rx_packets) = $packets ] && n=$((n + 1))\n"
		    "done </tmp/dev; [ $n -gt 2 ] && [ $n = $(busybox wc -l </tmp/dev) ] && echo same",
		    "same");
	assert_says(f->shadow,
		    "n=0; while read name size rest; do\n"
		    "	[ $(cat /sys/module/$name/coresize) = $size ] && n=$((n + 1))\n"
		    "done </proc/modules; [ $n -gt 2 ] && [ $n = $(busybox wc -l </proc/modules) ] && echo same",
		    "same");
}

/* A write below /sys is recorded, however the file was opened. */
static void test_sys_is_written(void **state)
{
	static const char find[] = "set -- $(busybox find /sys -type f -perm -200); ";
	const struct fixture *f = *state;
	const struct action_list *actions = shadow_actions(f->shadow);
	char script[128];

	need_root();
	snprintf(script, sizeof(script), "%sprobe write-exclusive $1", find);
	assert_int_equal(status_of(f->shadow, script), 0);
	assert_int_equal(actions->n, 1);
	assert_memory_equal(actions->items[0].data, "1", 1);
	snprintf(script, sizeof(script), "%sprobe write-creat $1", find);
	assert_int_equal(status_of(f->shadow, script), 0);
	assert_int_equal(actions->n, 2);
	assert_memory_equal(actions->items[1].data, "2", 1);
	assert_string_equal(actions->items[0].path, actions->items[1].path);
}

/* What statfs tells of a tmpfs is what the guest counts, less what is written now. */
static void test_statfs(void **state)
{
	const struct fixture *f = *state;
	struct guest_statfs fs;
	char text[64];

	need_root();
	for (size_t i = 0; i < f->shadow->mounts.n; i++) {
		const struct guest_mount *mount = &f->shadow->mounts.items[i];

		if (strcmp(mount->target, "/run") != 0)
			continue;
		assert_ok(guest_statfs(f->guest, mount->major, mount->minor, &fs));
		snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)fs.blocks, (unsigned long long)fs.free);
		assert_says(f->shadow, "busybox stat -f -c '%b %f' /run", text);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)fs.free - 16);
		assert_says(
			f->shadow,
			"busybox dd if=/dev/zero of=/run/x bs=65536 count=1 2>/dev/null; busybox stat -f -c %f /run",
			text);
	}
	assert_says(f->shadow, "busybox stat -f -c %T /proc", "proc");
}

/* A program that asks without end, and one that is ended while it asks. */
static void test_floods(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow, "probe ask 20000 & probe ask 20000 & wait; echo done", "done");
	assert_int_equal(status_of(f->shadow, "probe ask 100000000 & sleep 1; kill -9 $!; wait $!"), 128 + 9);
	assert_says(f->shadow, "probe listener; true", "errno 22");
}

/* A program closes and shuts down whatever it was given: its calls are answered, and it ends as it would. */
static void test_closed(void **state)
{
	const struct fixture *f = *state;
	_cleanup_(free_ptr) char *expected = NULL;
	int status;

	need_root();
	expected = strdup(output_of(f->shadow, (const char *const[]){"probe", "uname", NULL}, false, &status));
	assert_non_null(expected);
	assert_int_equal(status, 0);
	assert_says(f->shadow, "probe closed", expected);
	assert_says(f->shadow, "exec 0<&- 2>&- 3<&-; probe closed & probe ask 2000; wait", expected);
}

/* The parent of a process; 0: unknown. */
static pid_t parent_of(pid_t pid)
{
	_cleanup_(free_ptr) char *text = NULL;
	char path[32];
	size_t size;
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	error_destroy(io_read_file(path, 4096, &text, &size));
	at = text ? strrchr(text, ')') : NULL;
	return at ? (pid_t)strtol(at + 4, NULL, 10) : 0;
}

/* The program "probe" below the process `top`; 0: it does not run yet. */
static pid_t find_probe(pid_t top)
{
	pid_t found = 0;
	glob_t paths = {0};

	if (glob("/proc/[0-9]*/comm", 0, NULL, &paths) != 0)
		return 0;
	for (size_t i = 0; i < paths.gl_pathc && !found; i++) {
		_cleanup_(free_ptr) char *name = NULL;
		pid_t pid = (pid_t)strtol(paths.gl_pathv[i] + strlen("/proc/"), NULL, 10), up = pid;
		size_t size;

		error_destroy(io_read_file(paths.gl_pathv[i], 64, &name, &size));
		while (name && strcmp(name, "probe\n") == 0 && up > 1 && up != top)
			up = parent_of(up);
		found = up == top && up != pid ? pid : 0;
	}
	globfree(&paths);
	return found;
}

/* Beside us: kills the ancestor of the program `levels` above it when that has asked for a while. */
static pid_t begin_to_kill(unsigned levels)
{
	pid_t top = getpid(), pid = fork(), victim = 0;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	for (int i = 0; i < 500 && !victim; i++, usleep(20000))
		victim = find_probe(top);
	usleep(200000);
	for (; levels > 0 && victim > 1; levels--)
		victim = parent_of(victim);
	_exit(victim > 1 && victim != top && kill(victim, SIGKILL) == 0 ? 0 : 1);
}

/*
 * Whoever holds the other end of the notifications is killed amid a flood of them: the run ends, nothing of it goes on,
 * and the next one is answered.
 */
static void test_ends_with_listener(void **state)
{
	const struct fixture *f = *state;
	const char *const flood[] = {"probe", "ask", "2000000000", NULL};

	need_root();
	for (unsigned levels = 0; levels <= 2; levels++) {
		pid_t killer = begin_to_kill(levels);
		uint64_t begin_ns = clock_monotonic_ns();
		int status, killed;

		output_of(f->shadow, flood, false, &status);
		assert_int_equal(waitpid(killer, &killed, 0), killer);
		assert_int_equal(killed, 0);
		assert_int_equal(status, 128 + SIGKILL);
		assert_true(clock_monotonic_ns() - begin_ns < UINT64_C(30000000000));
		assert_int_equal(find_probe(getpid()), 0);
	}
	assert_says(f->shadow, "probe ask 100; echo done", "done");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_signals, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_pidfds, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_scheduling, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_system, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_mounts, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_daemons, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_modules, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_interfaces, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_sockets, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_sys, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_sys_is_written, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_statfs, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_floods, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_closed, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_ends_with_listener, setup, fixture_teardown),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
