/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/unit/test.h"
#include "update/kernel.h"

#define VERSION "6.1.0-40-cloud-amd64 (who@where) #1 SMP PREEMPT_DYNAMIC Debian 6.1.200-1 (2026-01-01)"
#define BUILD   "#1 SMP PREEMPT_DYNAMIC Debian 6.1.200-1 (2026-01-01)"

/* The head of an image whose version is at 0x200 + `at`. */
static void make_head(uint8_t head[2048], size_t at, const char *version)
{
	memset(head, 0, 2048);
	memcpy(head + 0x202, "HdrS", 4);
	head[0x20e] = (uint8_t)at;
	head[0x20f] = (uint8_t)(at >> 8);
	if (version)
		memcpy(head + 0x200 + at, version, strlen(version));
}

static void expect_names(const uint8_t *head, size_t size, const char *release, const char *build)
{
	_cleanup_(kernel_names_deinit) struct kernel_names names = {0};

	assert_ok(kernel_image_names(head, size, &names));
	if (!release) {
		assert_null(names.release);
		assert_null(names.build);
		return;
	}
	assert_string_equal(names.release, release);
	assert_string_equal(names.build, build);
}

static void an_image_says_its_names(void **state)
{
	uint8_t head[2048];

	make_head(head, 0x300, VERSION);
	expect_names(head, sizeof(head), "6.1.0-40-cloud-amd64", BUILD);
}

static void what_is_no_image_says_nothing(void **state)
{
	uint8_t head[2048];

	make_head(head, 0x300, VERSION);
	for (size_t size = 0; size < 0x500; size++)
		expect_names(head, size, NULL, NULL);
	head[0x202] = 'h';
	expect_names(head, sizeof(head), NULL, NULL);
	make_head(head, 0, NULL);
	expect_names(head, sizeof(head), NULL, NULL);
	make_head(head, 0x300, "6.1.0 (who@where)");
	expect_names(head, sizeof(head), NULL, NULL);
	make_head(head, 0x300, " (who@where) #1 SMP");
	expect_names(head, sizeof(head), NULL, NULL);
	make_head(head, 0x300, "6.1.0\x1b[2J (who@where) #1 SMP");
	expect_names(head, sizeof(head), NULL, NULL);
	make_head(head, 0x300, NULL);
	head[0x20e] = head[0x20f] = 0xff;
	expect_names(head, sizeof(head), NULL, NULL);
}

/* A layer of its own, and the list of what was written there. */
struct fixture {
	char directory[64];
	struct change_layer layer;
	struct change_list changes;
};

static void add(struct fixture *f, enum change_kind kind, const char *path, const char *version)
{
	struct change change = {.kind = kind, .path = strdup(path), .attributes.mode = S_IFREG | 0644};
	uint8_t head[2048];
	int fd;

	assert_non_null(change.path);
	if (kind == CHANGE_WRITE) {
		fd = openat(f->layer.upper_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		assert_true(fd >= 0);
		make_head(head, 0x300, version);
		if (!version)
			memset(head, 'x', sizeof(head));
		assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
		close(fd);
	}
	assert_ok(change_list_append(&f->changes, change));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->directory, "/tmp/test-kernel.XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->layer = (struct change_layer){.target = "/", .xattr_prefix = "user.overlay."};
	f->layer.upper_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->layer.lower_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_return_code(mkdirat(f->layer.upper_fd, "boot", 0755), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->layer.upper_fd);
	close(f->layer.lower_fd);
	change_list_deinit(&f->changes);
	error_destroy(io_remove_tree(f->directory));
	free(f);
	return 0;
}

static void expect_pending(struct fixture *f, const char *running, const char *running_build, const char *release,
			   const char *build)
{
	_cleanup_(kernel_names_deinit) struct kernel_names names = {0};
	struct guest_uts uts = {0};

	snprintf(uts.release, sizeof(uts.release), "%s", running ? running : "");
	snprintf(uts.version, sizeof(uts.version), "%s", running_build ? running_build : "");
	assert_ok(kernel_pending(&f->layer, 1, &f->changes, running ? &uts : NULL, &names));
	if (!release) {
		assert_null(names.release);
		return;
	}
	assert_non_null(names.release);
	assert_string_equal(names.release, release);
	if (build)
		assert_string_equal(names.build, build);
	else
		assert_null(names.build);
}

static void the_highest_of_them_is_pending(void **state)
{
	struct fixture *f = *state;

	add(f, CHANGE_WRITE, "boot/vmlinuz-6.1.0-40-cloud-amd64", VERSION);
	add(f, CHANGE_WRITE, "boot/vmlinuz-6.1.0-9-cloud-amd64", "6.1.0-9-cloud-amd64 (a@b) #1 SMP");
	add(f, CHANGE_WRITE, "boot/vmlinuz-0-rescue-0123", "9.9.9 (a@b) #1 SMP");
	add(f, CHANGE_WRITE, "boot/initrd.img-7.0.0", NULL);
	expect_pending(f, "6.1.0-37-cloud-amd64", "#1 SMP", "6.1.0-40-cloud-amd64", BUILD);
	expect_pending(f, NULL, NULL, "6.1.0-40-cloud-amd64", BUILD);
}

/* Distributions that give no new name to a compatible kernel. */
static void another_build_of_the_running_one_is_pending(void **state)
{
	struct fixture *f = *state;

	add(f, CHANGE_WRITE, "boot/vmlinuz-6.1.0-40-cloud-amd64", VERSION);
	expect_pending(f, "6.1.0-40-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.190-1 (2025-12-01)",
		       "6.1.0-40-cloud-amd64", BUILD);
	expect_pending(f, "6.1.0-40-cloud-amd64", BUILD, NULL, NULL);
}

static void an_image_may_have_a_name_of_its_own(void **state)
{
	struct fixture *f = *state;

	add(f, CHANGE_WRITE, "boot/vmlinuz-linux", VERSION);
	expect_pending(f, "6.1.0-37-cloud-amd64", "#1", "6.1.0-40-cloud-amd64", BUILD);
}

static void an_image_that_does_not_tell_has_its_name(void **state)
{
	struct fixture *f = *state;

	add(f, CHANGE_WRITE, "boot/vmlinuz-6.12.1-arm64", NULL);
	add(f, CHANGE_WRITE, "boot/vmlinuz-lts", NULL);
	add(f, CHANGE_WRITE, "boot/vmlinuz-9\xff", NULL);
	expect_pending(f, "6.12.0-arm64", "#1", "6.12.1-arm64", NULL);
	expect_pending(f, "6.12.1-arm64", "#1", NULL, NULL);
}

static void a_lower_one_is_pending_if_the_running_goes(void **state)
{
	struct fixture *f = *state;

	add(f, CHANGE_WRITE, "boot/vmlinuz-6.1.0-40-cloud-amd64", VERSION);
	expect_pending(f, "6.12.0-1-amd64", "#1", NULL, NULL);
	add(f, CHANGE_DELETE, "boot/vmlinuz-6.12.0-1-amd64", NULL);
	expect_pending(f, "6.12.0-1-amd64", "#1", "6.1.0-40-cloud-amd64", BUILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_says_its_names),
		cmocka_unit_test(what_is_no_image_says_nothing),
		cmocka_unit_test_setup_teardown(the_highest_of_them_is_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(another_build_of_the_running_one_is_pending, setup, teardown),
		cmocka_unit_test_setup_teardown(an_image_may_have_a_name_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(an_image_that_does_not_tell_has_its_name, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lower_one_is_pending_if_the_running_goes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
