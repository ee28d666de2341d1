/* SPDX-License-Identifier: Apache-2.0 */
#include "freezer_world.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "fixture.h"

#define SAMPLE FIXTURE_SPACE "/sample"
#define GROUP  "ouassister-frozen"

struct world world;

static char program[PATH_MAX];

static const char *const names[PLACES] = {"busy", "inner", "beside", "channel", "session", "stopped"};

/* In which directory below the top each is. */
static const char *const directories[2][PLACES] = {
	{"busy", "busy/inner", "above/beside", "above/channel", "above/channel", "stopped"},
	{".", "inner", "above/beside", "above/channel", ".", "stopped"},
};

/* Where this process came from: a directory, and what is ours beside or below it. */
static struct {
	char *freezer_home, *manager_home;
	char *session, *others; /* version 1: in the service manager's hierarchy, the channel's and all others' */
} places;

const char *place_name(enum place place)
{
	return names[place];
}

static void write_file(const char *path, const char *text)
{
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_ok(io_write(fd, text, strlen(text), path));
}

void world_control(const char *directory, const char *name, const char *text)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s/%s", world.top, directory, name);

	write_file(path, text);
}

static void put(const char *directory, pid_t pid)
{
	_cleanup_(free_ptr) char *text = string_format("%d", pid);
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.procs", directory);

	write_file(path, text);
}

void world_move(enum place place, pid_t pid)
{
	_cleanup_(free_ptr) char *directory =
		string_format("%s/%s", world.top, directories[world.is_version_one][place]);

	put(directory, pid);
	if (world.is_version_one)
		put(place == CHANNEL || place == SESSION ? places.session : places.others, pid);
}

static bool is_mounted(const char *path, long magic)
{
	struct statfs s;

	return statfs(path, &s) == 0 && s.f_type == magic;
}

static const char *find_unified(void)
{
	return is_mounted("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC)           ? "/sys/fs/cgroup"
	       : is_mounted("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC) ? "/sys/fs/cgroup/unified"
									   : NULL;
}

/* The one of version 1, by us, in the test's own mount namespace, where nobody else has. */
static const char *find_freezer(void)
{
	static const char ours[] = FIXTURE_SPACE "/freezer";

	if (is_mounted("/sys/fs/cgroup/freezer", CGROUP_SUPER_MAGIC))
		return "/sys/fs/cgroup/freezer";
	mkdir(ours, 0700);
	return mount("cgroup", ours, "cgroup", 0, "freezer") == 0 ? ours : NULL;
}

/* The directory in which this process is in a hierarchy that is mounted there; `key` is as /proc/self/cgroup has it. */
static char *find_home(const char *mount, const char *key)
{
	_cleanup_(free_ptr) char *text = NULL;
	char *path;

	assert_ok(io_read_file("/proc/self/cgroup", 65536, &text, NULL));
	path = strstr(text, key);
	assert_non_null(path);
	path[strcspn(path, "\n")] = '\0';
	return string_format("%s%s", mount, path + strlen(key));
}

static void count(volatile uint64_t *counter)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		(*counter)++;
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
}

static void make_counters(void)
{
	int fd = open(FREEZER_COUNTERS, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, 4096), 0);
	world.counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(world.counters, MAP_FAILED);
	close(fd);
}

/* What tells the helper, in version 1, who belongs to the channel: systemd's hierarchy, or the unified one beside. */
static void make_manager(void)
{
	bool named = is_mounted("/sys/fs/cgroup/systemd", CGROUP_SUPER_MAGIC);
	const char *mount = named ? "/sys/fs/cgroup/systemd" : find_unified();

	assert_non_null(mount);
	places.manager_home = find_home(mount, named ? ":name=systemd:" : "0::");
	places.session = string_format("%s/ouassister-test-%d-session", mount, getpid());
	places.others = string_format("%s/ouassister-test-%d-others", mount, getpid());
	shell("mkdir %s %s", places.session, places.others);
}

static void make_world(const char *mount)
{
	make_counters();
	places.freezer_home = find_home(mount, world.is_version_one ? ":freezer:" : "0::");
	world.top = string_format("%s/ouassister-test-%d", mount, getpid());
	if (world.is_version_one)
		make_manager();
	shell("mkdir %s && cd %s && mkdir -p busy/inner inner above/beside above/channel stopped empty", world.top,
	      world.top);
	for (size_t i = 0; i < PLACES; i++) {
		world.pids[i] = fork();
		if (world.pids[i] == 0)
			count(&world.counters[i]);
		assert_true(world.pids[i] > 0);
		world_move(i, world.pids[i]);
	}
	world_control("stopped", world.is_version_one ? "freezer.state" : "cgroup.freeze",
		      world.is_version_one ? "FROZEN" : "1");
	world_move(CHANNEL, getpid());
	setenv("OUA_CGROUP", world.top, 1);
}

int world_setup(void **state)
{
	const char *mount;

	if (geteuid() != 0)
		return 0;
	fixture_setup(state);
	world.is_version_one = !strcmp(getenv("FREEZER"), "one");
	mount = world.is_version_one ? find_freezer() : find_unified();
	if (mount)
		make_world(mount);
	return 0;
}

int world_teardown(void **state)
{
	if (geteuid() != 0)
		return 0;
	/* In version 1 one that stands still cannot be killed. */
	if (world.top && world.is_version_one)
		world_control("stopped", "freezer.state", "THAWED");
	for (size_t i = 0; world.top && i < PLACES; i++) {
		kill(world.pids[i], SIGKILL);
		waitpid(world.pids[i], NULL, 0);
	}
	if (world.top) {
		put(places.freezer_home, getpid());
		shell("cd %s && rmdir */*/ */ && rmdir %s", world.top, world.top);
	}
	if (places.session) {
		put(places.manager_home, getpid());
		shell("rmdir %s %s", places.session, places.others);
	}
	free(world.top);
	free(places.freezer_home);
	free(places.manager_home);
	free(places.session);
	free(places.others);
	return fixture_teardown(state);
}

void need_cgroups(void)
{
	need_root();
	if (!world.top) {
		print_message("skipped: this machine has no such cgroup hierarchy\n");
		skip();
	}
}

void world_prepare(struct builder *b)
{
	fixture_copy();
	shell("mkdir %s/run", FIXTURE_ROOT);
	builder_init(b, FIXTURE_ROOT);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/conf", S_IFREG | 0644), "new", 3);
	builder_content(builder_add(b, CHANGE_WRITE, "usr/bin/one", S_IFREG | 0755), "new", 3);
	builder_write(b, FIXTURE_PAYLOAD);
}

bool moves_within(enum place place, unsigned ms)
{
	uint64_t before = world.counters[place];

	for (unsigned i = 0; i < ms; i += 5) {
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		if (world.counters[place] != before)
			return true;
	}
	return false;
}

void assert_all_run(void)
{
	_cleanup_(free_ptr) char *group = string_format("%s/" GROUP, world.top);

	for (enum place place = BUSY; place < STOPPED; place++)
		if (!moves_within(place, 2000))
			fail_msg("%s stands still", names[place]);
	assert_int_equal(access(FREEZER_LIST_PATH, F_OK), -1);
	assert_int_equal(access(group, F_OK), -1);
}

long long frozen_us(void)
{
	const char *at = strstr(fixture_output, "\"frozen_us\":");

	assert_non_null(at);
	return strtoll(at + strlen("\"frozen_us\":"), NULL, 10);
}

/* --- samples --- */

/* Whether the helper has frozen them, by the control file. */
static bool is_frozen(void)
{
	const char *top = getenv("OUA_CGROUP"),
		   *file = world.is_version_one ? GROUP "/freezer.state" : "busy/cgroup.freeze";
	_cleanup_(free_ptr) char *path = string_format("%s/%s", top, file);
	_cleanup_(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char state = '?';

	return read(fd, &state, 1) == 1 && state == (world.is_version_one ? 'F' : '1');
}

static bool is_enough(const volatile uint64_t *counters, const struct sample *sample, bool frozen)
{
	bool all_run = true;

	for (enum place place = BUSY; place < STOPPED; place++)
		all_run = all_run && counters[place] != sample->first[place];
	return frozen ? counters[CHANNEL] >= sample->first[CHANNEL] + 50 &&
				counters[SESSION] >= sample->first[SESSION] + 50
		      : all_run;
}

static int write_sample(bool until_all_run)
{
	int fd = open(FREEZER_COUNTERS, O_RDWR | O_CLOEXEC);
	volatile uint64_t *counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct sample sample = {.has_list = access(FREEZER_LIST_PATH, F_OK) == 0};

	world.is_version_one = !strcmp(getenv("FREEZER"), "one");
	sample.frozen = is_frozen();
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

bool world_is_sampler(int argc, char **argv, int *ret_status)
{
	if (argc > 1)
		*ret_status = write_sample(!strcmp(argv[1], "all"));
	return argc > 1;
}

const char *sampler(bool until_all_run)
{
	static char command[PATH_MAX + 8];

	/* The helper calls it from elsewhere. */
	assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
	snprintf(command, sizeof(command), "%s %s", program, until_all_run ? "all" : "sample");
	return command;
}

bool read_sample(struct sample *ret)
{
	_cleanup_(close_fd) int fd = open(SAMPLE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	assert_ok(io_pread(fd, ret, sizeof(*ret), 0, NULL));
	unlink(SAMPLE);
	return true;
}

bool take_sample(unsigned fault, const char *limit, const struct builder *b, struct sample *ret)
{
	setenv("OUA_FAULT_RUN", sampler(false), 1);
	assert_int_equal(helper_with(fault, NULL, "apply", b, (const char *[]){"--freeze", limit, NULL}), 0);
	unsetenv("OUA_FAULT_RUN");
	assert_result("applied");
	return read_sample(ret);
}

bool take_sample_back(unsigned fault, struct sample *ret)
{
	setenv("OUA_FAULT_RUN", sampler(false), 1);
	assert_int_equal(helper_with(fault, NULL, "rollback", NULL, (const char *[]){"--freeze", LONG_LIMIT, NULL}), 4);
	unsetenv("OUA_FAULT_RUN");
	assert_result("rolled-back");
	return read_sample(ret);
}
