/* SPDX-License-Identifier: Apache-2.0 */
#include "base/deleted_file.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

static bool begins_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

bool is_deleted_file(const char *path)
{
	size_t length = strlen(path), n = strlen(DELETED_FILE_SUFFIX);

	return length > n && !strcmp(path + length - n, DELETED_FILE_SUFFIX);
}

bool is_made_to_be_deleted(const char *path)
{
	static const char *const places[] = {"/tmp/",   "/var/tmp/", "/run/", "/var/run/", "/dev/",
					     "/memfd:", "/SYSV",     "/drm",  "/[aio]"};
	const char *name = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (begins_with(path, places[i]))
			return true;
	if (!name)
		return true;
	/* "/#1234" is O_TMPFILE's. */
	return name[1] == '#' || begins_with(name, "/orcexec.") ||
	       (begins_with(name, "/jna") && name[4] >= '0' && name[4] <= '9');
}
