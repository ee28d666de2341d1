/* SPDX-License-Identifier: Apache-2.0 */
#include "update/keep_time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct error *refuse(const char *text)
{
	return error_create(ERROR_USAGE,
			    "none, or a time like 90s, 90min, 12h, 7d or 2w (at most ten years) is wanted, not "
			    "\"%s\"",
			    text);
}

/* 0: no such unit. */
static uint64_t seconds_of(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(units[i].name, unit))
			return units[i].seconds;
	return 0;
}

struct error *keep_time_parse(const char *text, uint64_t *ret_s)
{
	unsigned long long number;
	uint64_t unit;
	char *rest;

	if (!strcmp(text, "none")) {
		*ret_s = 0;
		return NULL;
	}
	/* strtoull would take signs and spaces. */
	if (*text < '0' || *text > '9')
		return refuse(text);
	errno = 0;
	number = strtoull(text, &rest, 10);
	unit = seconds_of(rest);
	if (errno || !unit || number == 0 || number > KEEP_TIME_MAX_S / unit)
		return refuse(text);
	*ret_s = number * unit;
	return NULL;
}
