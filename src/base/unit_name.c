/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unit_name.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

static bool has_suffix(const char *name, size_t length, const char *suffix)
{
	size_t n = strlen(suffix);

	return length > n && memcmp(name + length - n, suffix, n) == 0;
}

/* systemd.unit(5): letters, digits, ":-_.\" and one or more "@"; the name before "@" is not empty. */
static bool is_unit_name(const char *name, size_t length)
{
	static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";

	if (length == 0 || length >= UNIT_NAME_MAX || name[0] == '@')
		return false;
	for (size_t i = 0; i < length; i++)
		if (name[i] == 0 || !strchr(valid, name[i]))
			return false;
	return true;
}

/* Units that have control groups of their own, and processes in them. */
static bool holds_processes(const char *name, size_t length)
{
	static const char *const suffixes[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (has_suffix(name, length, suffixes[i]))
			return is_unit_name(name, length);
	return false;
}

bool unit_of_cgroup(const char *path, char ret[UNIT_NAME_MAX])
{
	for (;;) {
		size_t length;

		path += strspn(path, "/");
		length = strcspn(path, "/");
		/* A name that a kernel file could have carries a '_' before it. */
		if (*path == '_') {
			path++;
			length--;
		}
		if (holds_processes(path, length)) {
			memcpy(ret, path, length);
			ret[length] = 0;
			return true;
		}
		if (!has_suffix(path, length, ".slice") || !is_unit_name(path, length))
			return false;
		path += length;
	}
}
