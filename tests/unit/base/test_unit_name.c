/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit_name.h"

#include <string.h>

#include "base/cleanup.h"
#include "tests/unit/test.h"

static void names(void **state)
{
	static const struct {
		const char *path, *unit; /* NULL: none */
	} cases[] = {
		{"/system.slice/nginx.service", "nginx.service"},
		{"/init.scope", "init.scope"},
		{"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"},
		{"/system.slice/dbus.socket", "dbus.socket"},
		{"/user.slice/user-1000.slice/session-3.scope", "session-3.scope"},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/a.service", "user@1000.service"},
		{"/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service"},
		{"/system.slice/docker-0123abc.scope/system.slice/nginx.service", "docker-0123abc.scope"},
		{"/system.slice/containerd.service/delegated/deep", "containerd.service"},
		{"/system.slice/dev-disk\\x2dby.mount", "dev-disk\\x2dby.mount"},
		{"/system.slice/_cpu.service", "cpu.service"},
		{"//system.slice//cron.service/", "cron.service"},
		{"/a.slice/a-b.slice/a-b-c.slice/x.service", "x.service"},
		/* Not systemd's. */
		{"/", NULL},
		{"", NULL},
		{"_", NULL},
		{"/system.slice", NULL},
		{"/docker/0123", NULL},
		{"/lxc.payload.web/system.slice/nginx.service", NULL},
		{"/openrc.sshd", NULL},
		{"/.service", NULL},
		{"/system.slice/.scope", NULL},
		{"/system.slice/@1.service", NULL},
		{"/system.slice/a b.service", NULL},
		{"/system.slice/a\nb.service", NULL},
		{"/system.slice/\xff.service", NULL},
		{"/sys tem.slice/a.service", NULL},
	};
	char unit[UNIT_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool found = unit_of_cgroup(cases[i].path, unit);

		assert_int_equal(found, cases[i].unit != NULL);
		if (found)
			assert_string_equal(unit, cases[i].unit);
	}
}

/* systemd's limit, and nothing behind the buffer's end. */
static void long_names(void **state)
{
	char path[UNIT_NAME_MAX + 32], unit[UNIT_NAME_MAX];

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	strcpy(path + UNIT_NAME_MAX - strlen(".service"), ".service");
	assert_true(unit_of_cgroup(path, unit));
	assert_int_equal(strlen(unit), UNIT_NAME_MAX - 1);
	path[UNIT_NAME_MAX - strlen(".service")] = 'a';
	strcpy(path + UNIT_NAME_MAX - strlen(".service") + 1, ".service");
	assert_false(unit_of_cgroup(path, unit));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
