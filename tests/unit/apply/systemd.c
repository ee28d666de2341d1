/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd.h"

#include <stdlib.h>
#include <sys/mount.h>

#include "base/io.h"
#include "fixture.h"

/* Every unit is known. Its options are passed over; a word with a star stands for the units whose names match. */
static const char systemctl[] =
	"#!/bin/sh\n"
	"echo \"$*\" >>" SYSTEMD_CALLS "\n"
	"while [ \"${1#-}\" != \"$1\" ]; do shift; done\n"
	"verb=$1; shift\n"
	"while [ $# -gt 0 ] && [ \"${1#-}\" != \"$1\" ]; do shift; done\n"
	"[ ! -e " SYSTEMD_FAILS " ] || { cat " SYSTEMD_FAILS " >&2; exit 1; }\n"
	"[ $verb != list-jobs ] || exec cat " SYSTEMD_JOBS "\n"
	"cd " SYSTEMD_RUNS " || exit 1\n"
	"for unit; do\n"
	"	case $verb in\n"
	"	show) state=inactive; [ ! -e \"$unit\" ] || state=active\n"
	"		printf 'Type=simple\\nResult=success\\nLoadState=loaded\\nActiveState=%s\\n\\n' $state ;;\n"
	"	list-units) [ ! -e \"$unit\" ] || echo \"$unit loaded active waiting It goes by the calendar\" ;;\n"
	"	start) : >\"$unit\"; stat -c %Y " FIXTURE_ROOT "/etc/systemd/system >" SYSTEMD_TIME " ;;\n"
	"	stop) rm -f $unit ;;\n"
	"	restart) : >\"$unit\" ;;\n"
	"	*) exit 1 ;;\n"
	"	esac\n"
	"done\n";

int systemd_setup(void **state)
{
	fixture_setup(state);
	if (geteuid() != 0)
		return 0;
	assert_int_equal(mount("test-systemd", "/run", "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(mount("test-systemd", "/usr/local/sbin", "tmpfs", 0, "mode=755"), 0);
	assert_ok(io_replace_file("/usr/local/sbin/systemctl", systemctl, sizeof(systemctl) - 1, 0755));
	shell("set -e; chmod 755 /usr/local/sbin/systemctl; mkdir -p /run/systemd/system " SYSTEMD_RUNS "; "
	      "cd " FIXTURE_BASE "; umask 022; mkdir -p run etc/systemd/system/multi-user.target.wants "
	      "var/lib/systemd/timers; "
	      "echo old >etc/systemd/system/a.service; echo x >etc/systemd/system/b.service; "
	      "find etc run var/lib/systemd -exec touch -h -d @1600000000.5 {} +; touch -d @1600000000.5 . var/lib");
	assert_int_equal(setenv("OUA_WHOLE_SYSTEM", "1", 1), 0);
	return 0;
}

int systemd_teardown(void **state)
{
	if (geteuid() == 0) {
		umount2("/usr/local/sbin", MNT_DETACH);
		umount2("/run", MNT_DETACH);
	}
	return fixture_teardown(state);
}
