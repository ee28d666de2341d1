/* SPDX-License-Identifier: Apache-2.0 */
/* Xen's driver where there is no Xen: nothing runs, and nothing is pretended. On a dom0 it is tried by ./check xen. */
#include "hypervisor/hypervisor.h"
#include "hypervisor/xen_lists.h"
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

/* As xl 4.17 prints it in the dom0 of tests/vm/xen.test, but for the numbers. */
static const char domains[] = "UUID                                  ID    name\n"
			      "00000000-0000-0000-0000-000000000000  0    Domain-0                      \n"
			      "32bad100-e79d-11f1-9858-32b127e4ca05  12    guest                         \n";

static void domains_are_found(void **state)
{
	assert_int_equal(xen_find_domain(domains, "32bad100-e79d-11f1-9858-32b127e4ca05"), 12);
	assert_int_equal(xen_find_domain(domains, "32BAD100-E79D-11F1-9858-32B127E4CA05"), 12);
	assert_int_equal(xen_find_domain(domains, "32bad100-e79d-11f1-9858-32b127e4ca0"), -1);
	assert_int_equal(xen_find_domain(domains, "11111111-e79d-11f1-9858-32b127e4ca05"), -1);
	assert_int_equal(xen_find_domain("", "32bad100-e79d-11f1-9858-32b127e4ca05"), -1);
}

#define LIST_HEADING "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"

static void paused_is_told_from_running(void **state)
{
	assert_true(xen_is_paused(LIST_HEADING
				  "guest                                        3   512     1     --p---       0.0\n"));
	assert_false(xen_is_paused(
		LIST_HEADING "guest                                        3   512     1     -b----      41.3\n"));
	assert_false(xen_is_paused(
		LIST_HEADING "guest                                        3   512     1     r-----      41.3\n"));
	assert_false(xen_is_paused(LIST_HEADING));
	assert_false(xen_is_paused(""));
}

static void cards_are_read(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"   ",
		"0 0",
		"0 /x",
		"x 0 00:16:3e:00:00:40 0 4 -1 -1/-1 /local/domain/0/backend/vif/3/0",
		"0 0 00:16:3e:00:00:40     0     4     13   768/769   ",
	};
	struct xen_card card = {.index = 9};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_error(xen_read_card(bad[i], &card), ERROR_FORMAT);
	assert_int_equal(card.index, 9);
	assert_ok(xen_read_card("1   0  00:16:3e:00:00:40     0     4     -1   267/10          "
				"/local/domain/0/backend/vif/1/1\nnext",
				&card));
	assert_int_equal(card.index, 1);
	assert_int_equal(card.backend, 0);
	assert_string_equal(card.place, "/local/domain/0/backend/vif/1/1");
	assert_ok(xen_read_card("0 5 00:16:3e:00:00:40 0 4 -1 -1/-1 /local/domain/5/backend/vif/3/0", &card));
	assert_int_equal(card.backend, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_runs),
		cmocka_unit_test(domains_are_found),
		cmocka_unit_test(paused_is_told_from_running),
		cmocka_unit_test(cards_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
