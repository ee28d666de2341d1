/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/limits.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 4194304 /* pids and open files of a whole Linux system end there */

/* A number of bytes with K, M, G or T behind it, which are powers of 1024; absent leaves *ret as it is. */
static struct error *take_size(const struct invocation *invocation, const char *name, uint64_t min, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *text = invocation_option(invocation, name), *unit;
	unsigned long long value;
	unsigned shift = 0;
	char *end;

	if (!text)
		return NULL;
	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (*end || *text < '0' || *text > '9')
		return error_create(ERROR_USAGE, "--%s: \"%s\" is not a size like 512M or 2G", name, text);
	if (errno || value > UINT64_MAX >> 1 >> shift)
		return error_create(ERROR_USAGE, "--%s: %s is more than any computer has", name, text);
	if (value << shift < min)
		return error_create(ERROR_USAGE, "--%s: with %s nothing runs, %lluM is the least", name, text,
				    (unsigned long long)(min >> 20));
	*ret = value << shift;
	return NULL;
}

struct error *invocation_limits(const struct invocation *invocation, struct shadow_limits *ret)
{
	struct shadow_limits limits = {0};
	struct error *error =
		invocation_number(invocation, "max-processes", SHADOW_PROCESSES_MIN, COUNT_MAX, &limits.processes);

	if (!error)
		error = take_size(invocation, "max-memory", SHADOW_MEMORY_MIN_BYTES, &limits.memory_bytes);
	if (!error)
		error = take_size(invocation, "max-disk", SHADOW_DISK_MIN_BYTES, &limits.disk_bytes);
	if (!error)
		error = invocation_number(invocation, "max-open-files", SHADOW_OPEN_FILES_MIN, COUNT_MAX,
					  &limits.open_files);
	if (!error)
		*ret = limits;
	return error;
}
