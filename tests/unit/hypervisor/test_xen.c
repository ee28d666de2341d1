/* SPDX-License-Identifier: Apache-2.0 */
/* Xen's driver where there is no Xen: nothing runs, and nothing is pretended. On a dom0 it is tried by ./check xen. */
#include "hypervisor/hypervisor.h"
#include "tests/unit/test.h"

static const struct vm_settings settings = {
	.name = "guest",
	.directory = "/",
	.memory = "/nonexistent/guest.save",
	.uuid = "3ac0d8ad-24a3-4b17-8ff0-9b2c6d1c7d11",
};

static void nothing_runs(void **state)
{
	_cleanup_(vm_destroy_ptr) struct vm *vm = NULL;
	struct gate_status gate;
	enum vm_state found = VM_RUNNING;
	uint64_t ns;
	char *config;

	if (access("/proc/xen/capabilities", F_OK) == 0)
		skip();
	assert_ok(vm_create("xen", &settings, &vm));
	assert_ok(vm_state(vm, &found));
	assert_int_equal(found, VM_OFF);
	assert_error(vm_suspend(vm), ERROR_NOT_FOUND);
	assert_error(vm_load(vm), ERROR_UNSUPPORTED);
	assert_error(vm_boot_paused(vm), ERROR_UNSUPPORTED);
	assert_error(vm_continue(vm, &ns), ERROR_NOT_FOUND);
	assert_error(vm_gate_close(vm), ERROR_NOT_FOUND);
	assert_error(vm_gate_show(vm, &gate), ERROR_NOT_FOUND);
	assert_ok(vm_quit(vm));
	assert_error(vm_xen_config("guest", &config), ERROR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
