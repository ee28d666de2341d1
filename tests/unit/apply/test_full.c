/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process fills the disk, a real ext4 of 1 KiB blocks, at every point of an update: before the switch it ends
 * as if it had not begun; from the switch on it is done, and its journal and report say so. The update needs blocks
 * while names move: directories grow. $HELPER is a build with fault points.
 */
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "dump.h"
#include "fixture.h"

#define IMAGE    FIXTURE_SPACE "/image"
#define COPY     FIXTURE_SPACE "/copy"
#define FILLER   FIXTURE_ROOT "/filler"
#define RESERVE  FIXTURE_ROOT "/.ouassister/reserve"
#define N_GROWN  12
#define N_SHRUNK 40

/* What is freed while others are flushed is taken as well. Run by the helper's point, and by the tests. */
#define FILL                                                                                                           \
	"for i in 1 2 3; do cat /dev/zero >>" FILLER " 2>/dev/null; dd if=/dev/zero bs=512 oflag=append conv=notrunc " \
	"of=" FILLER " 2>/dev/null; sync -f " FIXTURE_ROOT "; done; "

struct scene {
	struct builder b;
	char *before, *after;
};

static int full_setup(void **state)
{
	if (geteuid() != 0)
		return 0;
	fixture_setup(state);
	shell("cd " FIXTURE_BASE " && mkdir grown shrunk && for i in $(seq %d); do echo $i >shrunk/$i; done && "
	      "touch grown/first && find grown shrunk -exec touch -d @1600000000.5 {} +",
	      N_SHRUNK);
	shell("truncate -s 12M " IMAGE " && mkfs.ext4 -q -b 1024 -E lazy_itable_init=0 " IMAGE
	      " && mkdir -p " FIXTURE_ROOT " && mount -o loop " IMAGE " " FIXTURE_ROOT " && cp -a " FIXTURE_BASE
	      "/. " FIXTURE_ROOT " && umount " FIXTURE_ROOT);
	return 0;
}

static int full_teardown(void **state)
{
	if (geteuid() != 0)
		return 0;
	umount2(FIXTURE_ROOT, MNT_DETACH);
	return fixture_teardown(state);
}

static void disk_mount(void)
{
	shell("cp --sparse=always " IMAGE " " COPY " && mount -o loop " COPY " " FIXTURE_ROOT);
}

/* A disk that was filled is a sound one, too. */
static void disk_unmount(void)
{
	shell("umount " FIXTURE_ROOT " && e2fsck -fn " COPY " >/dev/null 2>&1");
}

/* Directories that must grow by what comes into them, and a stage that must grow by what is deleted. */
static void add_growth(struct builder *b)
{
	for (unsigned i = 0; i < N_GROWN; i++) {
		char path[256];

		snprintf(path, sizeof(path), "grown/%0200u", i);
		builder_content(builder_add(b, CHANGE_WRITE, path, S_IFREG | 0644), "grown", 5);
	}
	for (unsigned i = 1; i <= N_SHRUNK; i++) {
		char path[32];

		snprintf(path, sizeof(path), "shrunk/%u", i);
		builder_add(b, CHANGE_DELETE, path, 0);
	}
	builder_add(b, CHANGE_ATTRIBUTES, "grown", S_IFDIR | 0755);
	builder_add(b, CHANGE_ATTRIBUTES, "shrunk", S_IFDIR | 0755);
}

static void scene_init(struct scene *s)
{
	builder_init(&s->b, FIXTURE_BASE);
	fixture_every_kind(&s->b);
	add_growth(&s->b);
	builder_write(&s->b, FIXTURE_PAYLOAD);
	s->before = dump_tree(FIXTURE_BASE);
	s->after = fixture_expected(&s->b);
}

static void scene_deinit(struct scene *s)
{
	builder_deinit(&s->b);
	free(s->before);
	free(s->after);
}

/* What is not the update's is taken away first. */
static void assert_is(const char *dump)
{
	assert_ok(io_remove_tree(FIXTURE_ROOT "/.ouassister"));
	shell("rm -rf " FILLER " " FIXTURE_ROOT "/lost+found");
	assert_tree(FIXTURE_ROOT, dump);
}

static bool was_killed(void)
{
	return strstr(fixture_output, "the helper was killed");
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* At every `step`th point: a disk for each takes its time. */
static void fill_everywhere(const char *environment, unsigned step)
{
	unsigned n_old = 0, n_new = 0, n_used = 0;
	struct scene s;

	need_root();
	scene_init(&s);
	assert_int_equal(setenv("OUA_FAULT_RUN", FILL "true", 1), 0);
	for (unsigned fault = 1;; fault += step) {
		bool filled;
		int status;

		disk_mount();
		status = helper(fault, environment, "apply", &s.b);
		filled = is_there(FILLER);
		assert_false(was_killed());
		if (status == 0) {
			assert_result("applied");
			n_used += !is_there(RESERVE);
			n_new += filled;
		} else {
			/* Once it can be done on a full disk, a disk that is full later is no reason to fail. */
			assert_int_equal(n_new, 0);
			assert_int_equal(status, 1);
			assert_result("no-space");
			assert_false(is_there(FIXTURE_ROOT "/.ouassister"));
			assert_false(is_there(FIXTURE_ROOT "/var/lib/ouassister/journal"));
			n_old++;
		}
		/* Also the journal says that all is done. */
		assert_int_equal(helper(0, environment, "recover", NULL), 6);
		assert_is(status == 0 ? s.after : s.before);
		disk_unmount();
		if (!filled)
			break;
	}
	assert_int_equal(unsetenv("OUA_FAULT_RUN"), 0);
	print_message("filled at %u points of the stage, and at %u from the switch on; %u needed the reserve\n", n_old,
		      n_new, n_used);
	assert_true(n_old * step > 50 && n_new * step > 100 && n_used * step > 20);
	scene_deinit(&s);
}

static void filled_at_any_point(void **state)
{
	fill_everywhere(NULL, 5);
}

static void filled_at_any_point_without_exchange(void **state)
{
	fill_everywhere("OUA_NO_EXCHANGE=1", 11);
}

/* Filled, and the helper killed at once: recover has no more room than apply had. False: that point is never reached.
 */
static bool recover_at(const struct scene *s, unsigned fault, unsigned *n_old, unsigned *n_new)
{
	bool killed;
	int status;

	disk_mount();
	assert_int_equal(setenv("OUA_FAULT_RUN", FILL "false", 1), 0);
	helper(fault, NULL, "apply", &s->b);
	killed = was_killed();
	assert_int_equal(unsetenv("OUA_FAULT_RUN"), 0);
	status = helper(0, NULL, "recover", NULL);
	assert_true(status == 0 || status == 4 || status == 6);
	assert_false(was_killed());
	assert_int_equal(helper(0, NULL, "recover", NULL), 6);
	*n_old += killed && status == 4;
	*n_new += killed && status == 0;
	/* Nothing to recover: it had not begun, or all was said. */
	if (status != 6)
		assert_is(status == 0 ? s->after : s->before);
	disk_unmount();
	return killed;
}

static void recovered_on_a_full_disk(void **state)
{
	unsigned n_old = 0, n_new = 0, fault = 1, end;
	struct scene s;

	need_root();
	scene_init(&s);
	while (recover_at(&s, fault, &n_old, &n_new))
		fault += 9;
	/* The last ones all: there is the commit. */
	for (end = fault; --fault > end - 9;)
		recover_at(&s, fault, &n_old, &n_new);
	print_message("%u went back, %u were finished\n", n_old, n_new);
	assert_true(n_old > 10 && n_new > 0);
	scene_deinit(&s);
}

#define STOP  FIXTURE_SPACE "/stop"
#define ENDED FIXTURE_SPACE "/ended"

/* Takes every block that becomes free, from some point of the switch on. */
#define WRITER                                                                                                         \
	"setsid sh -c 'while [ ! -e " STOP " ]; do cat /dev/zero >>" FILLER "; done; touch " ENDED                     \
	"' >/dev/null 2>&1 & sleep 0.1"

/* Somebody who takes also what was put aside may keep the update from being done, and not from being all or nothing. */
static void against_a_writer(void **state)
{
	unsigned n_old = 0, n_new = 0;
	struct scene s;

	need_root();
	scene_init(&s);
	for (unsigned fault = 80; fault < 200; fault += 15) {
		int status;

		disk_mount();
		assert_int_equal(setenv("OUA_FAULT_RUN", FILL WRITER, 1), 0);
		status = helper(fault, NULL, "apply", &s.b);
		assert_int_equal(unsetenv("OUA_FAULT_RUN"), 0);
		assert_result(status == 0 ? "applied" : "no-space");
		assert_int_equal(helper(0, NULL, "recover", NULL), 6);
		shell("touch " STOP "; until [ -e " ENDED " ]; do sleep 0.05; done; rm " STOP " " ENDED);
		assert_is(status == 0 ? s.after : s.before);
		n_old += status != 0;
		n_new += status == 0;
		disk_unmount();
	}
	print_message("%u went back, %u were done\n", n_old, n_new);
	scene_deinit(&s);
}

static void rolled_back_on_a_full_disk(void **state)
{
	struct scene s;

	need_root();
	scene_init(&s);
	disk_mount();
	assert_int_equal(helper(0, NULL, "apply", &s.b), 0);
	assert_true(is_there(RESERVE));
	shell(FILL "true");
	assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
	assert_result("rolled-back");
	assert_is(s.before);
	disk_unmount();
	scene_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filled_at_any_point),        cmocka_unit_test(filled_at_any_point_without_exchange),
		cmocka_unit_test(recovered_on_a_full_disk),   cmocka_unit_test(against_a_writer),
		cmocka_unit_test(rolled_back_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, full_setup, full_teardown);
}
