/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that count stand still while files are exchanged, and never longer: real cgroups of this machine, below one
 * of our own. $HELPER is a build with fault points, which looks only there for what to freeze.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"

/* Each has one process that counts. The helper is started in the one that is to be spared. */
enum place {
	BUSY,
	INNER,
	BESIDE,
	CHANNEL,
	STOPPED,
	PLACES
};

static const char *const directories[PLACES] = {"busy", "busy/inner", "above/beside", "above/channel", "stopped"};

#define COUNTERS FIXTURE_SPACE "/counters"
#define LIST     FIXTURE_ROOT "/run/.ouassister-frozen"

/* A limit that no machine reaches, where it is not the limit that is tested. */
#define LONG     "20000"

static const char *const long_limit[] = {"--freeze", LONG, NULL};

static struct {
	char *mount, *top, *home; /* our own cgroup's directory, and where this process came from */
	volatile uint64_t *counters;
	pid_t pids[PLACES];
} world;

static void write_control(const char *directory, const char *name, const char *text)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s/%s", world.top, directory, name);
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_ok(io_write(fd, text, strlen(text), path));
}

static void move_to(const char *directory, pid_t pid)
{
	_cleanup_(free_ptr) char *text = string_format("%d", pid);

	write_control(directory, "cgroup.procs", text);
}

static void count(volatile uint64_t *counter)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		(*counter)++;
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
}

static char *find_mount(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct statfs s;

		if (statfs(mounts[i], &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC)
			return strdup(mounts[i]);
	}
	return NULL;
}

static char *find_home(void)
{
	_cleanup_(free_ptr) char *text = NULL;
	char *path;

	assert_ok(io_read_file("/proc/self/cgroup", 65536, &text, NULL));
	path = strstr(text, "0::");
	assert_non_null(path);
	path[strcspn(path, "\n")] = '\0';
	return strdup(path + 3);
}

static void make_world(void)
{
	int fd = open(COUNTERS, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, 4096), 0);
	world.counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(world.counters, MAP_FAILED);
	close(fd);
	world.home = find_home();
	world.top = string_format("%s/ouassister-test-%d", world.mount, getpid());
	shell("mkdir %s && cd %s && mkdir -p busy/inner above/beside above/channel stopped empty", world.top,
	      world.top);
	for (size_t i = 0; i < PLACES; i++) {
		world.pids[i] = fork();
		if (world.pids[i] == 0)
			count(&world.counters[i]);
		assert_true(world.pids[i] > 0);
		move_to(directories[i], world.pids[i]);
	}
	write_control("stopped", "cgroup.freeze", "1");
	move_to("above/channel", getpid());
	setenv("OUA_CGROUP", world.top, 1);
}

static int setup(void **state)
{
	if (geteuid() != 0)
		return 0;
	fixture_setup(state);
	world.mount = find_mount();
	if (world.mount)
		make_world();
	return 0;
}

static int teardown(void **state)
{
	if (geteuid() != 0)
		return 0;
	for (size_t i = 0; world.mount && i < PLACES; i++) {
		kill(world.pids[i], SIGKILL);
		waitpid(world.pids[i], NULL, 0);
	}
	if (world.mount) {
		_cleanup_(free_ptr) char *back = string_format("../%s", world.home);

		move_to(back, getpid());
		shell("cd %s && rmdir */*/ */ && rmdir %s", world.top, world.top);
	}
	free(world.mount);
	free(world.top);
	free(world.home);
	return fixture_teardown(state);
}

static void need_cgroups(void)
{
	need_root();
	if (!world.mount) {
		print_message("skipped: this machine has no unified cgroup hierarchy\n");
		skip();
	}
}

static void prepare(struct builder *b)
{
	fixture_copy();
	shell("mkdir %s/run", FIXTURE_ROOT);
	builder_init(b, FIXTURE_ROOT);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "new", 3);
	builder_content(builder_add(b, CHANGE_WRITE, "usr/bin/one", S_IFREG | 0755), "new", 3);
	builder_write(b, FIXTURE_PAYLOAD);
}

static bool moves_within(enum place place, unsigned ms)
{
	uint64_t before = world.counters[place];

	for (unsigned i = 0; i < ms; i += 5) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		if (world.counters[place] != before)
			return true;
	}
	return false;
}

static void assert_all_run(void)
{
	for (enum place place = BUSY; place < STOPPED; place++)
		if (!moves_within(place, 2000))
			fail_msg("%s stands still", directories[place]);
	assert_int_equal(access(LIST, F_OK), -1);
}

static long long frozen_us(void)
{
	const char *at = strstr(fixture_output, "\"frozen_us\":");

	assert_non_null(at);
	return strtoll(at + strlen("\"frozen_us\":"), NULL, 10);
}

/*
 * This program, called by the helper at one of its points: the counters, and once more when all have gone on, or, where
 * they are frozen, when the one that never stops has gone on far; however busy the machine is.
 */
static char program[PATH_MAX], *sampler;

struct sample {
	uint64_t first[PLACES], second[PLACES];
	uint64_t has_list, frozen;
};

#define SAMPLE FIXTURE_SPACE "/sample"

/* Whether the helper has frozen them, by the control file. */
static bool is_frozen(void)
{
	_cleanup_(free_ptr) char *path = string_format("%s/busy/cgroup.freeze", getenv("OUA_CGROUP"));
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char state = '?';

	return read(fd, &state, 1) == 1 && state == '1';
}

static bool is_enough(const volatile uint64_t *counters, const struct sample *sample, bool frozen)
{
	bool all_run = true;

	for (enum place place = BUSY; place < STOPPED; place++)
		all_run = all_run && counters[place] != sample->first[place];
	return frozen ? counters[CHANNEL] >= sample->first[CHANNEL] + 50 : all_run;
}

/* `until_all_run`: although they were frozen. */
static int write_sample(bool until_all_run)
{
	int fd = open(COUNTERS, O_RDWR | O_CLOEXEC);
	volatile uint64_t *counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct sample sample = {.has_list = access(LIST, F_OK) == 0, .frozen = is_frozen()};

	if (counters == MAP_FAILED)
		return 1;
	for (enum place place = 0; place < PLACES; place++)
		sample.first[place] = counters[place];
	for (unsigned i = 0; i < 10000 && !is_enough(counters, &sample, sample.frozen && !until_all_run); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	for (enum place place = 0; place < PLACES; place++)
		sample.second[place] = counters[place];
	return io_replace_file(SAMPLE, &sample, sizeof(sample), 0600) ? 1 : 0;
}

static void read_sample(struct sample *ret)
{
	_cleanup_(close_fd) int fd = open(SAMPLE, O_RDONLY | O_CLOEXEC);

	assert_ok(io_pread(fd, ret, sizeof(*ret), 0, NULL));
}

/* False if the point is behind the last one. */
static bool take_sample(unsigned fault, const char *limit, const struct builder *b, struct sample *ret)
{
	unlink(SAMPLE);
	setenv("OUA_FAULT_RUN", sampler, 1);
	assert_int_equal(helper_with(fault, NULL, "apply", b, (const char *[]){"--freeze", limit, NULL}), 0);
	unsetenv("OUA_FAULT_RUN");
	if (access(SAMPLE, F_OK) < 0)
		return false;
	read_sample(ret);
	return true;
}

/* Of the points between freeze and thaw the last one: before the second of two files is exchanged. */
static unsigned frozen_point, frozen_back_point;

static void stand_still_while_files_are_exchanged(void **state)
{
	unsigned n_still = 0, n_before = 0, n_after = 0;
	struct sample sample;

	need_cgroups();
	for (unsigned fault = 1;; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		bool still;

		prepare(&b);
		if (!take_sample(fault, LONG, &b, &sample))
			break;
		assert_result("applied");
		/* The others took no part in it. */
		assert_int_not_equal(sample.first[CHANNEL], sample.second[CHANNEL]);
		assert_int_equal(sample.first[STOPPED], sample.second[STOPPED]);
		still = sample.frozen;
		assert_int_equal(sample.first[BUSY] == sample.second[BUSY], still);
		assert_int_equal(sample.first[INNER] == sample.second[INNER], still);
		assert_int_equal(sample.first[BESIDE] == sample.second[BESIDE], still);
		assert_int_equal(sample.has_list, still);
		assert_true(frozen_us() >= (still ? 10000 : 1));
		assert_all_run();
		if (!still && n_still)
			n_after++;
		else if (!still)
			n_before++;
		/* In one piece. */
		assert_true(!still || !n_after);
		if (still)
			n_still++, frozen_point = fault;
	}
	print_message("%u points before, %u frozen, %u after\n", n_before, n_still, n_after);
	/* At least one for each file. */
	assert_true(n_before >= 2 && n_still >= 2 && n_after >= 2);
}

static void go_on_if_that_is_wanted(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct sample sample;

	need_cgroups();
	assert_int_not_equal(frozen_point, 0);
	prepare(&b);
	assert_true(take_sample(frozen_point, "0", &b, &sample));
	assert_int_not_equal(sample.first[BUSY], sample.second[BUSY]);
	assert_int_equal(frozen_us(), 0);
}

static void refuses_what_is_no_limit(void **state)
{
	static const char *const limits[] = {"", "-1", "2s", "60001", "99999999999999999999"};
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	prepare(&b);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		assert_int_equal(helper_with(0, NULL, "apply", &b, (const char *[]){"--freeze", limits[i], NULL}), 2);
}

static void a_killed_helper_leaves_nobody_frozen(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	prepare(&b);
	assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
	for (unsigned i = 0; i < 200 && access(LIST, F_OK) == 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_all_run();
	assert_int_equal(helper(0, NULL, "recover", NULL), 4);
	assert_result("rolled-back");
}

/* With the watchdog dead, too, they stay frozen until the next helper comes, whatever it is called for. */
static void the_next_helper_thaws(void **state)
{
	static const char *const verbs[] = {"recover", "apply", "forget"};

	need_cgroups();
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		_cleanup_(builder_deinit) struct builder b;

		prepare(&b);
		setenv("OUA_FAULT_RUN", "for p in $(pgrep -P $PPID); do [ $p = $$ ] || kill -9 $p; done; false", 1);
		assert_int_not_equal(helper(frozen_point, NULL, "apply", &b), 0);
		unsetenv("OUA_FAULT_RUN");
		assert_int_equal(access(LIST, F_OK), 0);
		assert_false(moves_within(BUSY, 300));
		helper(0, NULL, verbs[i], strcmp(verbs[i], "apply") ? NULL : &b);
		assert_all_run();
	}
}

/* The helper takes its time; processes do not wait for it, and the update is applied all the same. */
static void never_longer_than_the_limit(void **state)
{
	_cleanup_(free_ptr) char *wait_for_all = NULL;
	_cleanup_(builder_deinit) struct builder b;
	struct sample sample;

	need_cgroups();
	prepare(&b);
	wait_for_all = string_format("%s all", program);
	setenv("OUA_FAULT_RUN", wait_for_all, 1);
	assert_int_equal(helper_with(frozen_point, NULL, "apply", &b, (const char *const[]){"--freeze", "100", NULL}),
			 0);
	unsetenv("OUA_FAULT_RUN");
	read_sample(&sample);
	assert_int_not_equal(sample.first[BUSY], sample.second[BUSY]);
	assert_int_not_equal(sample.first[BESIDE], sample.second[BESIDE]);
	assert_int_equal(frozen_us(), 100000);
	assert_non_null(strstr(fixture_output, "the limit"));
	assert_result("applied");
	assert_all_run();
}

static void wait_until_hung(pid_t pid)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/stat", pid);

	for (unsigned i = 0; i < 1000; i++) {
		_cleanup_(free_ptr) char *text = NULL;

		assert_ok(io_read_file(path, 4096, &text, NULL));
		if (strstr(text, ") D "))
			return;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	fail_msg("the process does not hang");
}

/* A process that hangs in the kernel: it writes to a file system that somebody has frozen. */
static void does_not_wait_for_what_cannot_be_frozen(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(close_fd) int fd = -1;
	bool noted;
	pid_t pid;

	need_cgroups();
	if (system("truncate -s 8M " FIXTURE_SPACE "/disk && mkfs.ext4 -q -F " FIXTURE_SPACE "/disk && "
		   "mkdir -p " FIXTURE_SPACE "/hung && mount -o loop " FIXTURE_SPACE "/disk " FIXTURE_SPACE
		   "/hung 2>/dev/null") != 0) {
		print_message("skipped: no loop device\n");
		skip();
	}
	prepare(&b);
	fd = open(FIXTURE_SPACE "/hung", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ioctl(fd, FIFREEZE, 0), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(open(FIXTURE_SPACE "/hung/file", O_WRONLY | O_CREAT, 0600) < 0);
	}
	move_to("busy", pid);
	wait_until_hung(pid);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(ioctl(fd, FITHAW, 0), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close_fd(&fd);
	shell("umount %s/hung", FIXTURE_SPACE);
	assert_result("applied");
	/* The kernel does not always count such a process as still running; if it does, it is an eighth of the limit.
	 */
	noted = strstr(fixture_output, "cannot be frozen now");
	print_message("the kernel calls it %s\n", noted ? "running" : "frozen");
	assert_true(frozen_us() >= (noted ? 250000 : 1) && frozen_us() < 1500000);
	assert_all_run();
}

/* Going back is as little seen as going forward. */
static void stand_still_while_files_go_back(void **state)
{
	unsigned n_still = 0;

	need_cgroups();
	for (unsigned fault = 1;; fault++) {
		_cleanup_(builder_deinit) struct builder b;
		struct sample sample;

		prepare(&b);
		assert_int_equal(helper(0, NULL, "apply", &b), 0);
		unlink(SAMPLE);
		setenv("OUA_FAULT_RUN", sampler, 1);
		assert_int_equal(helper_with(fault, NULL, "rollback", NULL, long_limit), 4);
		unsetenv("OUA_FAULT_RUN");
		assert_result("rolled-back");
		assert_all_run();
		if (access(SAMPLE, F_OK) < 0)
			break;
		read_sample(&sample);
		if (sample.first[BUSY] == sample.second[BUSY])
			n_still++, frozen_back_point = fault;
	}
	assert_true(n_still >= 2);
}

/* --- programs that are started all the time --- */

#define LOADER  "usr/lib/ld-linux-x86-64.so.2"
#define LIBRARY "usr/lib/libc.so.6"
#define STARTS  FIXTURE_SPACE "/starts"

enum {
	OLD,
	NEW,
	MIXED,
	FAILED,
	STOP,
	OLD_LOADER = 8,
	OLD_LIBRARY
};

/* The same with one byte more, which nobody looks at. */
static void add_longer(struct builder *b, const char *path)
{
	_cleanup_(free_ptr) char *full = string_format("%s/%s", FIXTURE_ROOT, path);
	_cleanup_(free_ptr) char *content = NULL;
	size_t size;

	assert_ok(io_read_file(full, 16 << 20, &content, &size));
	/* io_read_file() has put a NUL behind it. */
	builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | 0755), content, size + 1);
}

static uint64_t inode_of(const char *path)
{
	struct stat s;

	assert_int_equal(stat(path, &s), 0);
	return s.st_ino;
}

static volatile uint64_t *prepare_library(struct builder *b)
{
	volatile uint64_t *starts;
	int fd;

	fixture_copy();
	shell("mkdir %s/run && cd %s && cp -L --remove-destination /lib64/ld-linux-x86-64.so.2 " LOADER
	      " && cp -L --remove-destination \"$(ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ "
	      "]*\\).*/\\1/p')\" " LIBRARY,
	      FIXTURE_ROOT, FIXTURE_ROOT);
	builder_init(b, FIXTURE_ROOT);
	add_longer(b, LOADER);
	add_longer(b, LIBRARY);
	builder_write(b, FIXTURE_PAYLOAD);
	fd = open(STARTS, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	starts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(starts, MAP_FAILED);
	close(fd);
	starts[OLD_LOADER] = inode_of(FIXTURE_ROOT "/" LOADER);
	starts[OLD_LIBRARY] = inode_of(FIXTURE_ROOT "/" LIBRARY);
	return starts;
}

/* Until it is told to stop: killed, it would leave a program behind that counts in the next round. */
_Noreturn static void start_again_and_again(volatile uint64_t *starts)
{
	char *started = getenv("STARTED");

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!starts[STOP]) {
		int status = 0;
		pid_t pid = vfork();

		if (pid == 0) {
			execl(started, started, STARTS, NULL);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			starts[FAILED]++;
	}
	_exit(0);
}

static void wait_for_starts(volatile uint64_t *starts, unsigned which)
{
	uint64_t before = starts[which];

	for (unsigned i = 0; i < 2000 && starts[which] < before + 50; i++)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	if (starts[which] < before + 50)
		fail_msg("starts: %llu old, %llu new, %llu mixed, %llu failed", (unsigned long long)starts[OLD],
			 (unsigned long long)starts[NEW], (unsigned long long)starts[MIXED],
			 (unsigned long long)starts[FAILED]);
}

/* One apply, and one rollback, that rest between loader and library while programs are started. */
static void exchange_library(const char *limit, uint64_t *mixed)
{
	const char *options[] = {"--freeze", limit, NULL};
	_cleanup_(builder_deinit) struct builder b;
	volatile uint64_t *starts = prepare_library(&b);
	pid_t pid = fork();

	if (pid == 0)
		start_again_and_again(starts);
	move_to("busy", pid);
	wait_for_starts(starts, OLD);
	setenv("OUA_FAULT_RUN", "sleep 0.05", 1);
	assert_int_equal(helper_with(frozen_point, NULL, "apply", &b, options), 0);
	wait_for_starts(starts, NEW);
	assert_int_equal(helper_with(frozen_back_point, NULL, "rollback", NULL, options), 4);
	unsetenv("OUA_FAULT_RUN");
	wait_for_starts(starts, OLD);
	starts[STOP] = 1;
	waitpid(pid, NULL, 0);
	if (!strcmp(limit, "0"))
		print_message("without the freezer %llu programs saw one of each\n", (unsigned long long)starts[MIXED]);
	else if (starts[MIXED])
		print_message("%s", fixture_output);
	*mixed += starts[MIXED];
	assert_int_equal(starts[FAILED], 0);
	munmap((void *)starts, 4096);
}

static void no_program_sees_half_a_library(void **state)
{
	uint64_t mixed = 0;

	need_cgroups();
	if (access("/lib64/ld-linux-x86-64.so.2", F_OK) < 0) {
		print_message("skipped: another architecture\n");
		skip();
	}
	for (unsigned i = 0; i < 5; i++)
		exchange_library(LONG, &mixed);
	assert_int_equal(mixed, 0);
	/* It can happen. */
	exchange_library("0", &mixed);
	assert_int_not_equal(mixed, 0);
	assert_all_run();
}

/* Without the list nobody would know what to thaw. */
static void freezes_nothing_without_a_list(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	prepare(&b);
	shell("rmdir %s/run", FIXTURE_ROOT);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(frozen_us(), 0);
	assert_non_null(strstr(fixture_output, "processes go on while files are exchanged"));
	assert_all_run();
}

/* A list that somebody else wrote: only cgroups are written to. */
static void a_forged_list_harms_nothing(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	prepare(&b);
	shell("cd %s && mkdir victim && echo 1 >victim/cgroup.freeze && "
	      "printf '%%s\\n' %s/victim relative /nowhere '' %s/busy >run/.ouassister-frozen",
	      FIXTURE_ROOT, FIXTURE_ROOT, world.top);
	assert_int_equal(helper(0, NULL, "recover", NULL), 6);
	shell("grep -qx 1 %s/victim/cgroup.freeze", FIXTURE_ROOT);
	assert_all_run();
}

/* The last test, as there is no way back: names of cgroups are other ones from here. */
static void freezes_nothing_in_a_cgroup_namespace(void **state)
{
	_cleanup_(builder_deinit) struct builder b;

	need_cgroups();
	prepare(&b);
	assert_int_equal(unshare(CLONE_NEWCGROUP), 0);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_int_equal(frozen_us(), 0);
	assert_non_null(strstr(fixture_output, "which cgroup is whose"));
	assert_all_run();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stand_still_while_files_are_exchanged),
		cmocka_unit_test(go_on_if_that_is_wanted),
		cmocka_unit_test(refuses_what_is_no_limit),
		cmocka_unit_test(a_killed_helper_leaves_nobody_frozen),
		cmocka_unit_test(the_next_helper_thaws),
		cmocka_unit_test(never_longer_than_the_limit),
		cmocka_unit_test(does_not_wait_for_what_cannot_be_frozen),
		cmocka_unit_test(stand_still_while_files_go_back),
		cmocka_unit_test(no_program_sees_half_a_library),
		cmocka_unit_test(freezes_nothing_without_a_list),
		cmocka_unit_test(a_forged_list_harms_nothing),
		cmocka_unit_test(freezes_nothing_in_a_cgroup_namespace),
	};

	if (argc > 1)
		return write_sample(!strcmp(argv[1], "all"));
	/* The helper calls it from elsewhere. */
	assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
	sampler = string_format("%s sample", program);
	return cmocka_run_group_tests(tests, setup, teardown);
}
