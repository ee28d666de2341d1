/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/limits.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_MAX 4194304 /* pids and open files of a whole Linux system end there */

/* A number of bytes with K, M, G or T behind it, which are powers of 1024; absent leaves *ret as it is. */
static struct error *take_size(const struct invocation *invocation, const char *name, uint64_t *ret)
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
	if (errno || *end || *text < '0' || *text > '9' || value == 0 || value > UINT64_MAX >> 1 >> shift)
		return error_create(ERROR_USAGE, "--%s: \"%s\" is not a size like 512M or 2G", name, text);
	*ret = value << shift;
	return NULL;
}

static struct error *take_count(const struct invocation *invocation, const char *name, uint64_t *ret)
{
	struct error *error = invocation_number(invocation, name, COUNT_MAX, ret);

	if (!error && invocation_option(invocation, name) && *ret == 0)
		return error_create(ERROR_USAGE, "--%s: with 0 of them nothing runs", name);
	return error;
}

struct error *invocation_limits(const struct invocation *invocation, struct shadow_limits *ret)
{
	struct shadow_limits limits = {0};
	struct error *error = take_count(invocation, "max-processes", &limits.processes);

	if (!error)
		error = take_size(invocation, "max-memory", &limits.memory_bytes);
	if (!error)
		error = take_size(invocation, "max-disk", &limits.disk_bytes);
	if (!error)
		error = take_count(invocation, "max-open-files", &limits.open_files);
	if (!error)
		*ret = limits;
	return error;
}
