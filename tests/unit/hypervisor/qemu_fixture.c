/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"

const char *const qemu_pc[] = {MACHINE("pc"), QMP, NULL};

int qemu_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/ouassister-qemu-XXXXXX");
	if (!mkdtemp(fixture->directory))
		return -1;
	/* Names that a shell would take apart. */
	fixture->memory = string_format("%s/a 'b\" $c;d.mig", fixture->directory);
	fixture->qmp = string_format("%s/q's 1.qmp", fixture->directory);
	fixture->log = string_format("%s/log", fixture->directory);
	fixture->settings = (struct vm_settings){
		.name = "test",
		.directory = fixture->directory,
		.memory = fixture->memory,
		.qmp = fixture->qmp,
		.log_path = fixture->log,
		.command = qemu_pc,
	};
	if (vm_create("qemu", &fixture->settings, &fixture->vm))
		return -1;
	*state = fixture;
	return 0;
}

int qemu_teardown(void **state)
{
	struct fixture *fixture = *state;

	error_destroy(vm_quit(fixture->vm));
	vm_destroy(fixture->vm);
	error_destroy(io_remove_tree(fixture->directory));
	free(fixture->memory);
	free(fixture->qmp);
	free(fixture->log);
	free(fixture);
	return 0;
}

bool have_qemu(void)
{
	return system(QEMU " --version >/dev/null 2>&1") == 0;
}

void use(struct fixture *fixture, const char *const *command)
{
	vm_destroy(fixture->vm);
	fixture->settings.command = command;
	assert_ok(vm_create("qemu", &fixture->settings, &fixture->vm));
}

enum vm_state state_of(struct fixture *fixture)
{
	enum vm_state state;

	assert_ok(vm_state(fixture->vm, &state));
	return state;
}
