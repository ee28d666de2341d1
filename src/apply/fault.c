/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/fault.h"

#ifdef APPLY_FAULT_POINTS
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define FAULT_STATUS 99

void fault_point(void)
{
	static atomic_ulong count;
	const char *wanted = getenv("OUA_FAULT"), *command = getenv("OUA_FAULT_RUN");

	if (!wanted || atomic_fetch_add(&count, 1) + 1 != strtoul(wanted, NULL, 10))
		return;
	if (!command || system(command) != 0)
		_exit(FAULT_STATUS);
}

bool fault_no_exchange(void)
{
	return getenv("OUA_NO_EXCHANGE");
}

bool fault_no_openat2(void)
{
	return getenv("OUA_NO_OPENAT2");
}

const char *fault_cgroup(void)
{
	return getenv("OUA_CGROUP");
}

bool fault_whole_system(void)
{
	return getenv("OUA_WHOLE_SYSTEM");
}

size_t fault_threads(void)
{
	const char *wanted = getenv("OUA_THREADS");

	return wanted ? strtoul(wanted, NULL, 10) : 0;
}

bool fault_tears(void)
{
	return getenv("OUA_TEAR");
}

int fault_silent_ms(int usual)
{
	const char *wanted = getenv("OUA_SILENT_MS");

	return wanted ? atoi(wanted) : usual;
}

int fault_manager_ms(int usual)
{
	const char *wanted = getenv("OUA_MANAGER_MS");

	return wanted ? atoi(wanted) : usual;
}

bool fault_no_journal(void)
{
	return getenv("OUA_NO_JOURNAL");
}
#endif
