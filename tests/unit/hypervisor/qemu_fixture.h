/* SPDX-License-Identifier: Apache-2.0 */
/* A real QEMU without a guest, in a directory of the test's own; what the tests of the driver share. */
#ifndef TESTS_HYPERVISOR_QEMU_FIXTURE_H
#define TESTS_HYPERVISOR_QEMU_FIXTURE_H

#include <stdbool.h>

#include "hypervisor/hypervisor.h"
#include "test.h"

#define QEMU             "qemu-system-x86_64"
#define MACHINE(machine) QEMU, "-accel", "tcg", "-M", machine, "-m", "32", "-nodefaults", "-display", "none"
#define QMP              "-qmp", "unix:q's 1.qmp,server=on,wait=off"

/* The machine that a fixture begins with. */
extern const char *const qemu_pc[];

struct fixture {
	char directory[64];
	char *memory, *qmp, *log;
	struct vm_settings settings;
	struct vm *vm;
};

/* For cmocka: *state is the fixture; no process runs at first, and none is left. */
int qemu_setup(void **state);
int qemu_teardown(void **state);

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, qemu_setup, qemu_teardown)

bool have_qemu(void);

#define need_qemu()                                                                                                    \
	do {                                                                                                           \
		if (!have_qemu()) {                                                                                    \
			print_message("skipped: no " QEMU " here\n");                                                  \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

/* The VM is of that command, and of the settings as they are now. */
void use(struct fixture *fixture, const char *const *command);

enum vm_state state_of(struct fixture *fixture);

#endif
