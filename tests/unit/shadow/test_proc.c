/* SPDX-License-Identifier: Apache-2.0 */
/* The shadow's /proc: its parts, and a whole one over a real kernel's memory. */
#include "tests/unit/shadow/fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "image/image.h"
#include "shadow/internal.h"
#include "shadow/proc/serve.h"

static void test_numbers(void **state)
{
	static const char *const bad[] = {"", "-1", "01", "+1", " 1", "1 ", "1x", "8388608", "18446744073709551617"};
	uint64_t number = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(parse_number(bad[i], NODE_PID_MAX, &number));
	assert_int_equal(number, 77);
	assert_true(parse_number("0", NODE_PID_MAX, &number));
	assert_int_equal(number, 0);
	assert_true(parse_number("8388607", NODE_PID_MAX, &number));
	assert_int_equal(number, NODE_PID_MAX);
}

static void test_nodes(void **state)
{
	static const uint64_t subs[] = {0, 1, 4711, NODE_SUB_MAX};

	(void)state;
	/* The root of a FUSE file system. */
	assert_int_equal(node_id((struct node){.kind = NODE_TREE, .sub = TREE_ROOT + 1}), 1);
	for (unsigned kind = NODE_TREE; kind <= NODE_OWN_MAP; kind++) {
		for (size_t i = 0; i < 2 * ARRAY_SIZE(subs); i++) {
			struct node node = {.kind = (enum node_kind)kind,
					    .in_task = i & 1,
					    .pid = i & 2 ? NODE_PID_MAX : 1,
					    .sub = subs[i / 2]};
			struct node same = node_of(node_id(node));

			assert_int_equal(same.kind, node.kind);
			assert_int_equal(same.in_task, node.in_task);
			assert_int_equal(same.pid, node.pid);
			assert_int_equal(same.sub, node.sub);
		}
	}
}

static void test_tree(void **state)
{
	static const struct proc_file file = {.path = "a/b/c"}, other = {.path = "a/b"};
	struct tree tree = {0};
	uint32_t a, b;

	(void)state;
	assert_ok(tree_init(&tree));
	assert_ok(tree_add_file(&tree, TREE_ROOT, "a/b/c", &file));
	/* Neither a file in place of a directory nor the same one twice. */
	assert_error(tree_add_file(&tree, TREE_ROOT, "a/b", &other), ERROR_FAILED);
	assert_error(tree_add_file(&tree, TREE_ROOT, "a/b/c", &file), ERROR_FAILED);
	assert_error(tree_add_file(&tree, TREE_ROOT, "a/b/c/d", &file), ERROR_FAILED);
	assert_error(tree_add_file(&tree, TREE_ROOT, "self/x", &file), ERROR_FAILED);
	a = tree_find(&tree, TREE_ROOT, "a");
	b = tree_find(&tree, a, "b");
	assert_true(a && b);
	assert_ptr_equal(tree.nodes[tree_find(&tree, b, "c")].file, &file);
	assert_int_equal(tree_find(&tree, b, ""), 0);
	assert_int_equal(tree_find(&tree, TREE_ROOT, "a/b"), 0);
	assert_true(tree_find(&tree, TREE_NET, "tcp"));
	tree_deinit(&tree);
}

static struct error *write_mib(void *data, FILE *out)
{
	static const char kib[1024];
	const size_t *mib = data;

	if (*mib == 0)
		return error_create(ERROR_NOT_FOUND, "not told");
	for (size_t i = 0; i < *mib * 1024; i++)
		fwrite(kib, 1, sizeof(kib), out);
	return NULL;
}

static void test_texts(void **state)
{
	struct texts texts = {0};
	struct text *text;
	size_t mib = 1;

	(void)state;
	text = texts_write(&texts, write_mib, &mib);
	assert_int_equal(text->size, 1 << 20);
	texts_keep(&texts, text, 5);
	texts_unref(&texts, text);
	assert_ptr_equal(texts_find(&texts, 5), text);
	assert_null(texts_find(&texts, 6));
	/* Endless ones end; together they have a bound, at which the oldest that nobody reads goes. */
	mib = 1000;
	for (unsigned i = 0; i < 4; i++) {
		struct text *long_text = texts_write(&texts, write_mib, &mib);

		/* The first is still open: there is no room for the fourth. */
		if (!long_text) {
			assert_int_equal(i, 3);
			break;
		}
		assert_in_range(long_text->size, PROC_TEXT_MAX - 65536, PROC_TEXT_MAX);
		texts_keep(&texts, long_text, 100 + i);
		if (i == 0)
			texts_unref(&texts, long_text);
	}
	assert_true(texts.bytes <= TEXTS_MAX);
	texts_unref(&texts, text);
	mib = 0;
	text = texts_write(&texts, write_mib, &mib);
	assert_true(text->absent);
	texts_unref(&texts, text);
	texts_deinit(&texts);
}

/* --- a real one --- */

static int setup(void **state)
{
	_cleanup_(free_ptr) char *core = NULL;
	struct fixture *f;

	if (fixture_create("/tmp/test-proc.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	core = string_format("%s/core", f->dir);
	make_root(f->root);
	shell("zstd -dq %s -o %s; mkdir -p %s/lib", KERNEL, core, f->root);
	fixture_open_guest(f, core);
	fixture_create_shadow(f);
	return 0;
}

static void test_guest_processes(void **state)
{
	const struct fixture *f = *state;
	char script[64];

	need_root();
	assert_true(f->shadow->threads.n > 10);
	/* Every number of ours is above the guest's. */
	snprintf(script, sizeof(script), "test $$ -gt %u", f->shadow->highest_pid);
	assert_int_equal(status_of(f->shadow, script), 0);
	assert_says(f->shadow, "cat /proc/1/comm", "init");
	assert_says(f->shadow, "cat /proc/2/comm; readlink /proc/2/exe || echo none", "kthreadd\nnone");
	assert_int_equal(status_of(f->shadow, "test -d /proc/1/task/1 && test ! -e /proc/1/task/2"), 0);
	assert_int_equal(status_of(f->shadow, "cat /proc/999999/stat"), 1);
	assert_int_equal(status_of(f->shadow, "echo x >/proc/1/comm"), 1);
	assert_int_equal(status_of(f->shadow, "echo 1 >/proc/sys/kernel/version"), 1);
	assert_int_equal(status_of(f->shadow, "test -e /proc/sysrq-trigger || test -e /proc/kcore"), 1);
}

/* What Linux's magic links lead to, of the first descriptor whose link matches; and what opening it gives. */
#define FIND(pattern) "for fd in /proc/[0-9]*/fd/*; do case $(readlink $fd) in " pattern ") break ;; esac; done; "
#define SEE(pattern)  FIND(pattern) "stat -L -c '%A %i %u %h %s' $fd; "
#define OPEN          "cat $fd 2>&1 | sed 's/.*: //'; "

static void test_link_targets(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow, SEE("socket:?660?") OPEN "readlink $fd; test -S $fd",
		    "srwxrwxrwx 660 0 1 0\nNo such device or address\nsocket:[660]");
	assert_says(f->shadow, SEE("pipe:?659?") "readlink $fd; test -p $fd", "prw------- 659 0 1 0\npipe:[659]");
	/* The host's own, whose number is another one; still it is no link. */
	assert_says(f->shadow,
		    FIND("anon_inode:?eventpoll?") "stat -L -c %A $fd; " OPEN
						   "readlink $fd; readlink -f $fd | sed 's,/.*/,,'; test -e $fd && "
						   "! test -f $fd",
		    "?rw-------\nPermission denied\nanon_inode:[eventpoll]\nanon_inode:[eventpoll]");
	assert_says(f->shadow, SEE("'/run/replaced (deleted)'") "readlink $fd",
		    "-rw-r--r-- 327 0 0 10\n/run/replaced (deleted)");
	/* One that has such a name and is there; one that is in no memory. */
	assert_says(f->shadow, SEE("'/mnt/data/really (deleted)'"), "-rw------- 38 0 1 0");
	assert_says(f->shadow, SEE("'/mnt/data/deleted while open (deleted)'") OPEN,
		    "-rw-r--r-- 37 0 0 20000\nInput/output error");
	assert_says(f->shadow, "fd=/proc/1/ns/net; stat -L -c '%A %i' $fd; readlink $fd; " OPEN,
		    "-r--r--r-- 4026531833\nnet:[4026531833]\nPermission denied");
	/* The names are listed nowhere. */
	assert_int_equal(status_of(f->shadow, "ls -a /proc/248/fd /proc/1/ns | grep '[[]'"), 1);
}

static void test_own_processes(void **state)
{
	const struct fixture *f = *state;

	need_root();
	assert_says(f->shadow, "test $(readlink /proc/self) -gt 1 && echo above", "above");
	assert_says(f->shadow, "cd /data; for l in cwd root exe; do readlink /proc/$$/$l; done",
		    "/data\n/\n/bin/busybox");
	assert_says(f->shadow, "echo piped | cat /dev/stdin", "piped");
	assert_says(f->shadow, "echo piped | cat /proc/self/fd/0", "piped");
	assert_says(f->shadow, "exec 5>/tmp/x; rm /tmp/x; echo gone >&5; cat /proc/$$/fd/5", "gone");
	assert_says(f->shadow, "exec 5>/tmp/x; rm /tmp/x; readlink /proc/$$/fd/5", "/tmp/x (deleted)");
	assert_says(f->shadow,
		    "cp /bin/busybox /tmp/sleep; /tmp/sleep 9 & sleep 0.2; rm /tmp/sleep; readlink /proc/$!/exe;"
		    "exec -a busybox /proc/$!/exe id -u",
		    "/tmp/sleep (deleted)\n0");
	/* Through a link, not to it. */
	assert_says(f->shadow, "ln -s one /data/alias; readlink /proc/self/root/data/alias", "one");
	assert_says(f->shadow, "readlink /proc/self/ns/pid | sed 's/[0-9]*//g'", "pid:[]");
	assert_says(f->shadow, "printf other >/proc/$$/comm; cat /proc/$$/comm; true", "other");
	/* What the real one would tell of the host. */
	assert_int_equal(status_of(f->shadow, "cat /proc/self/cgroup /proc/self/mountinfo | grep ouassister"), 1);
	assert_int_equal(status_of(f->shadow, "ls /proc/.own/sys || cat /proc/.own/meminfo"), 1);
}

static void test_sysctl(void **state)
{
	const struct fixture *f = *state;
	size_t before, n;

	need_root();
	before = shadow_actions(f->shadow)->n;
	assert_says(f->shadow,
		    "echo 17 >/proc/sys/vm/swappiness; cat /proc/sys/vm/swappiness;"
		    "echo seventeen 2>&- >/proc/sys/vm/swappiness || cat /proc/sys/vm/swappiness",
		    "17\n17");
	n = shadow_actions(f->shadow)->n;
	assert_int_equal(n, before + 1);
	assert_string_equal(shadow_actions(f->shadow)->items[n - 1].path, "/proc/sys/vm/swappiness");
	assert_int_equal(shadow_actions(f->shadow)->items[n - 1].size, 2);
	assert_memory_equal(shadow_actions(f->shadow)->items[n - 1].data, "17", 2);
	/* The shell's environment was not exported when it was started: its child is asked. */
	assert_int_equal(status_of(f->shadow, "export DPKG_MAINTSCRIPT_PACKAGE=procps DPKG_MAINTSCRIPT_NAME=preinst;"
					      "busybox env -i busybox sh -c 'echo 18 >/proc/sys/vm/swappiness'; true"),
			 0);
	assert_null(shadow_actions(f->shadow)->items[n].package);
	assert_int_equal(status_of(f->shadow, "export DPKG_MAINTSCRIPT_PACKAGE=procps DPKG_MAINTSCRIPT_NAME=preinst;"
					      "exec busybox sh -c 'busybox env -i /bin/busybox sh -c "
					      "\"echo 19 >/proc/sys/vm/swappiness\"; true'"),
			 0);
	assert_string_equal(shadow_actions(f->shadow)->items[n + 1].package, "procps");
	assert_string_equal(shadow_actions(f->shadow)->items[n + 1].script, "preinst");
	assert_int_equal(shadow_actions(f->shadow)->items[n + 1].phase, ACTION_BEFORE);
}

/* --- numbers --- */

struct numbers {
	struct guest_task tasks[300];
	struct guest_task_list list;
};

/* The first process of a namespace whose numbers come round after 1000. */
static int come_round(int ready, int go)
{
	int procfs = fsopen("proc", FSOPEN_CLOEXEC), mount, fd;
	bool seen[1000] = {false};
	char byte;

	if (procfs < 0 || fsconfig(procfs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return 10;
	mount = fsmount(procfs, FSMOUNT_CLOEXEC, 0);
	fd = openat(mount, "sys/kernel/pid_max", O_WRONLY);
	if (fd < 0 || write(fd, "1000", 4) != 4)
		return 11;
	if (write(ready, "", 1) != 1 || read(go, &byte, 1) != 1)
		return 12;
	for (unsigned i = 0; i < 2000; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		if (pid < 0 || (pid >= 400 && pid < 700))
			return 13;
		seen[pid] = true;
		waitpid(pid, NULL, 0);
	}
	/* They did come round. */
	return seen[399] && seen[700] ? 0 : 14;
}

static bool pid_max_is_local(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 14));
}

static void test_numbers_come_round(void **state)
{
	struct numbers numbers = {.list = {.n = 300}};
	int ready[2], go[2], held[2], status;
	pid_t first, holder;
	char byte;

	(void)state;
	need_root();
	/* Before Linux 6.14 the limit is the host's. */
	if (!pid_max_is_local())
		skip();
	for (unsigned i = 0; i < 300; i++)
		numbers.tasks[i].pid = numbers.tasks[i].tgid = 400 + i;
	numbers.list.items = numbers.tasks;
	assert_true(pipe(ready) == 0 && pipe(go) == 0 && pipe(held) == 0);
	if (fork() == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(1);
		first = fork();
		if (first == 0)
			_exit(come_round(ready[1], go[0]));
		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			_exit(waitpid(first, &status, 0) > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 2);
		holder = pids_fork_holder(&numbers.list);
		if (holder == 0) {
			bool needed = false;
			struct error *error = pids_hold(&numbers.list, 699, &needed);

			(void)!write(held[1], error || !needed ? "n" : "y", 1);
			pause();
		}
		if (holder < 0 || read(held[0], &byte, 1) != 1 || byte != 'y' || write(go[1], "", 1) != 1)
			_exit(3);
		/* The end of the first waits for that of the holder. */
		while (wait(&status) != first)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
	}
	assert_true(wait(&status) > 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_texts),
		cmocka_unit_test_setup_teardown(test_guest_processes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_link_targets, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_own_processes, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_sysctl, setup, fixture_teardown),
		cmocka_unit_test(test_numbers_come_round),
	};

	if (!fixture_private_mounts())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
