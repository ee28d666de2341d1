/* SPDX-License-Identifier: Apache-2.0 */
/* Which defences are left out: test code alone, linked to a second build of the shadow room. */
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "shadow/weaken.h"
#include "tests/unit/shadow/escape/weaken.h"

const char *weaken_names[WEAKEN_MAX];
size_t weaken_n;

bool weaken_stands(const char *name)
{
	for (size_t i = 0; i < weaken_n; i++)
		if (strcmp(weaken_names[i], name) == 0)
			return false;
	return true;
}

bool weaken_call_stands(int call)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
	bool stands = !name || weaken_stands(name);

	free(name);
	return stands;
}
