/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are refused, where it is noted who made them: they get the same errno as where nobody is told, and none of
 * them is let through. With a guest's memory and without.
 */
#include "tests/unit/shadow/fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/record.h"

/* How often it was looked up in /proc who calls. */
static size_t n_walks;

void __wrap_record_origin(uint32_t host_pid, struct action *action);
void __real_record_origin(uint32_t host_pid, struct action *action);

void __wrap_record_origin(uint32_t host_pid, struct action *action)
{
	n_walks++;
	__real_record_origin(host_pid, action);
}

static int setup(void **state)
{
	struct fixture *f;

	/* The guest's mounts must not be seen outside. */
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
		return -1;
	if (fixture_create("/var/tmp/test-refusals.XXXXXX", state) < 0)
		return -1;
	f = *state;
	if (!f->root)
		return 0;
	make_root(f->root);
	shell("mkdir -p %s/mnt %s/var/lib/dpkg/info", f->root, f->root);
	fixture_open_guest(f, KERNEL);
	assert_ok(guest_uts(f->guest, &f->uts));
	assert_ok(guest_clock(f->guest, &f->clock));
	return 0;
}

static void make_shadow(struct fixture *f, bool guest, bool notes)
{
	const struct shadow_tree tree = {.target = "/", .lower = f->root};
	const struct shadow_options options = {.layers_dir = f->layers,
					       .run_dir = f->run,
					       .uts = guest ? &f->uts : NULL,
					       .clock = guest ? &f->clock : NULL,
					       .guest = guest ? f->guest : NULL,
					       .note_refusals = notes};

	shadow_destroy(f->shadow);
	f->shadow = NULL;
	shell("rm -rf %s %s; mkdir -m 700 %s %s", f->layers, f->run, f->layers, f->run);
	assert_ok(shadow_create_from(&tree, 1, NULL, &options, &f->shadow));
}

static char *errnos(struct fixture *f, const char *command)
{
	int status;
	char *text = strdup(output_of(f->shadow, (const char *const[]){"sh", "-c", command, NULL}, false, &status));

	if (status)
		print_message("%s: %d: %s\n", command, status, text + (strlen(text) > 200 ? strlen(text) - 200 : 0));
	assert_int_equal(status, 0);
	return text;
}

static void compare(struct fixture *f, bool guest, const char *command)
{
	_cleanup_(free_ptr) char *plain = NULL, *noted = NULL;
	size_t n_plain, n;

	make_shadow(f, guest, false);
	plain = errnos(f, command);
	/* Mounts are always noted. */
	(void)shadow_needs(f->shadow, &n_plain);
	assert_in_range(n_plain, 0, 3);
	make_shadow(f, guest, true);
	noted = errnos(f, command);
	assert_true(strlen(plain) > 5000);
	assert_string_equal(plain, noted);
	(void)shadow_needs(f->shadow, &n);
	assert_true(n > n_plain + 20);
}

static void test_same_errno(void **state)
{
	struct fixture *f = *state;

	need_root();
	compare(f, true, "probe errnos");
	compare(f, true, "probe as-user errnos");
	compare(f, false, "probe errnos");
}

/* fsopen does not exist, so that libmount takes mount(2); the older calls of its kind are not permitted. */
static void test_new_mount_calls(void **state)
{
	struct fixture *f = *state;
	char line[64];

	need_root();
	for (unsigned noted = 0; noted < 2; noted++) {
		_cleanup_(free_ptr) char *text = NULL;

		make_shadow(f, true, noted);
		text = errnos(f, "probe errnos");
		for (long call = SYS_open_tree; call <= SYS_fspick; call++) {
			snprintf(line, sizeof(line), "%ld(0, 0, 0): %d\n", call, ENOSYS);
			assert_non_null(strstr(text, line));
		}
		snprintf(line, sizeof(line), "%d(0, 0, 0): %d\n", SYS_pivot_root, EPERM);
		assert_non_null(strstr(text, line));
	}
}

static bool is_noted(const struct fixture *f, const char *package, const char *script, const char *why)
{
	size_t n;
	const struct shadow_need *needs = shadow_needs(f->shadow, &n);

	for (size_t i = 0; i < n; i++)
		if (needs[i].kind == SHADOW_NEED_REFUSED && needs[i].package && !strcmp(needs[i].package, package) &&
		    !strcmp(needs[i].script, script) && !strcmp(needs[i].why, why))
			return true;
	return false;
}

static size_t n_needs(const struct fixture *f)
{
	size_t n;

	(void)shadow_needs(f->shadow, &n);
	return n;
}

/* As dpkg runs a script: with the package in its environment, and the script's own path. */
static void run_script(const struct fixture *f, const char *package, const char *script, const char *lines)
{
	_cleanup_(free_ptr) char *command = string_format(
		"export DPKG_MAINTSCRIPT_PACKAGE=%s DPKG_MAINTSCRIPT_NAME=%s; %s", package, script, lines);

	assert_int_equal(status_of(f->shadow, command), 0);
}

static void test_who(void **state)
{
	struct fixture *f = *state;

	need_root();
	make_shadow(f, true, true);
	run_script(f, "a", "postinst", "probe ptrace 1; probe keyctl; probe unshare; probe clone; probe settime; :");
	assert_true(is_noted(f, "a", "postinst", "looks into another process"));
	assert_true(is_noted(f, "a", "postinst", "uses the kernel's keyrings"));
	assert_true(is_noted(f, "a", "postinst", "makes a namespace"));
	assert_true(is_noted(f, "a", "postinst", "sets the clock"));
	assert_int_equal(n_needs(f), 4);
	run_script(f, "b", "prerm", "probe netlink 12; probe socket 2; probe socket 17; busybox date -s 2001-01-01; :");
	assert_true(is_noted(f, "b", "prerm", "asks the kernel by netlink, protocol 12"));
	assert_true(is_noted(f, "b", "prerm", "opens a raw socket"));
	assert_true(is_noted(f, "b", "prerm", "opens a socket of the family 17"));
	assert_true(is_noted(f, "b", "prerm", "sets the clock"));
	assert_int_equal(n_needs(f), 8);
	run_script(f, "c", "postinst", "busybox adjtimex >/dev/null && ! busybox adjtimex -o 5");
	assert_true(is_noted(f, "c", "postinst", "sets the clock"));
	assert_int_equal(n_needs(f), 9);
	/* What is tried everywhere and tells nothing, and what is allowed. */
	run_script(f, "d", "postinst", "probe netlink 9; probe netlink 0; probe diag 0; probe clone3; sh -c :; :");
	assert_int_equal(n_needs(f), 9);
}

/*
 * 20,000 calls of one process are one walk, and 2000 processes after a reason each no more than there is room for; some
 * of them are after the same.
 */
static void test_flood(void **state)
{
	struct fixture *f = *state;

	need_root();
	make_shadow(f, true, true);
	n_walks = 0;
	assert_int_equal(status_of(f->shadow, "probe flood 20000"), 0);
	print_message("flood: %zu walks, %zu needs\n", n_walks, n_needs(f));
	assert_int_equal(n_needs(f), SHADOW_REFUSALS_MAX);
	assert_in_range(n_walks, SHADOW_REFUSALS_MAX, SHADOW_REFUSALS_MAX + 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_same_errno, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_new_mount_calls, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_who, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
