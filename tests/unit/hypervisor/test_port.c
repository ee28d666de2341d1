/* SPDX-License-Identifier: Apache-2.0 */
/* The port of a stream on a real QEMU without a guest: it comes, stays one, and goes without a trace. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qmp.h"
#include "test.h"

#define QEMU             "qemu-system-x86_64"
#define MACHINE(machine) QEMU, "-accel", "tcg", "-M", machine, "-m", "32", "-nodefaults", "-display", "none"
#define QMP              "-qmp", "unix:qmp,server=on,wait=off"

static const char *const with_controller[] = {MACHINE("pc"), QMP, "-device", "virtio-serial-pci", NULL};
static const char *const without[] = {MACHINE("pc"), QMP, NULL};

struct fixture {
	char directory[64];
	char *memory, *qmp, *stream;
	struct vm_settings settings;
	struct vm *vm;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/ouassister-port-XXXXXX");
	if (!mkdtemp(fixture->directory))
		return -1;
	fixture->memory = string_format("%s/memory", fixture->directory);
	fixture->qmp = string_format("%s/qmp", fixture->directory);
	fixture->stream = string_format("%s/st'r e,am", fixture->directory);
	fixture->settings = (struct vm_settings){
		.name = "test",
		.directory = fixture->directory,
		.memory = fixture->memory,
		.qmp = fixture->qmp,
		.channel = CHANNEL_AGENT,
		.agent = "/nonexistent",
	};
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->vm)
		error_destroy(vm_quit(fixture->vm));
	vm_destroy(fixture->vm);
	error_destroy(io_remove_tree(fixture->directory));
	free(fixture->memory);
	free(fixture->qmp);
	free(fixture->stream);
	free(fixture);
	return 0;
}

static void boot(struct fixture *fixture, const char *const *command)
{
	if (system(QEMU " --version >/dev/null 2>&1") != 0) {
		print_message("skipped: no " QEMU " here\n");
		skip();
	}
	fixture->settings.command = command;
	assert_ok(vm_create("qemu", &fixture->settings, &fixture->vm));
	assert_ok(vm_boot_paused(fixture->vm));
}

/* Whether QEMU has a device or a source of ours, as its lists have them. */
static bool has_trace(struct fixture *fixture)
{
	static const char *const questions[] = {"info qtree", "info chardev"};
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	bool found = false;

	assert_ok(qmp_open(fixture->qmp, &qmp));
	for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
		_cleanup_(free_ptr) char *text = NULL;

		assert_ok(qmp_human(qmp, questions[i], &text));
		found = found || strstr(text, "ouassister");
	}
	return found;
}

static struct error *plug(struct fixture *fixture)
{
	assert_ok(vm_stream_write(fixture->stream, "program", 7, NULL));
	return vm_stream_plug(fixture->vm, fixture->stream, 7);
}

static void test_comes_and_goes(void **state)
{
	struct fixture *fixture = *state;

	boot(fixture, with_controller);
	assert_false(has_trace(fixture));
	for (int round = 0; round < 3; round++) {
		assert_ok(plug(fixture));
		assert_true(vm_stream_is_plugged(fixture->vm));
		assert_true(has_trace(fixture));
		/* The file is QEMU's. */
		assert_int_equal(unlink(fixture->stream), 0);
		/* One that somebody may read is not taken away for another. */
		assert_error(plug(fixture), ERROR_UNSUPPORTED);
		assert_false(vm_stream_is_plugged(fixture->vm));
		assert_true(has_trace(fixture));
		assert_ok(vm_payload_detach(fixture->vm));
		assert_false(has_trace(fixture));
	}
	assert_ok(vm_payload_detach(fixture->vm));
}

static void test_no_place(void **state)
{
	struct fixture *fixture = *state;

	boot(fixture, without);
	assert_error(plug(fixture), ERROR_UNSUPPORTED);
	assert_false(has_trace(fixture));
	assert_int_equal(unlink(fixture->stream), 0);
	assert_error(vm_stream_plug(fixture->vm, fixture->stream, 7), ERROR_UNSUPPORTED);
	assert_false(has_trace(fixture));
}

/* What was left plugged would be in the memory image, and the command that loads it has no such device. */
static void test_not_saved(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ns;

	boot(fixture, with_controller);
	assert_ok(vm_continue(fixture->vm, &ns));
	assert_ok(plug(fixture));
	assert_ok(vm_suspend(fixture->vm));
	assert_ok(vm_load(fixture->vm));
	assert_false(has_trace(fixture));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_saved, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
