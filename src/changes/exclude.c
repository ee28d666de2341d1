/* SPDX-License-Identifier: Apache-2.0 */
#include "changes/exclude.h"

#include <string.h>

/* What belongs to a running system, or is nothing but a lock: meaningless on waking up. */
static const char *const always[] = {
	"/run",
	"/tmp",
	"/proc",
	"/sys",
	"/dev",
	"/var/lib/dpkg/lock",
	"/var/lib/dpkg/lock-frontend",
	"/var/lib/dpkg/triggers/Lock",
	"/var/lib/apt/lists/lock",
	"/var/cache/apt/archives/lock",
	"/var/lib/rpm/.rpm.lock",
	"/usr/lib/sysimage/rpm/.rpm.lock",
	"/var/lib/rpm/__db.001",
	"/var/lib/rpm/__db.002",
	"/var/lib/rpm/__db.003",
	"/var/lib/pacman/db.lck",
	"/lib/apk/db/lock",
	"/usr/lib/apk/db/lock",
	NULL,
};

/* What the package manager can fetch or compute again: four fifths of the bytes of an upgrade. */
static const char *const caches[] = {
	"/var/cache/apt/archives",
	"/var/cache/apt/pkgcache.bin",
	"/var/cache/apt/srcpkgcache.bin",
	"/var/lib/apt/lists",
	"/var/cache/dnf",
	"/var/cache/libdnf5",
	"/var/cache/yum",
	"/var/cache/zypp",
	"/var/cache/pacman/pkg",
	"/var/lib/pacman/sync",
	"/var/cache/apk",
	NULL,
};

static bool below(const char *path, const char *root)
{
	size_t length = strlen(root);

	return strncmp(path, root, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static bool below_any(const char *path, const char *const *roots)
{
	for (; roots && *roots; roots++)
		if (below(path, *roots))
			return true;
	return false;
}

bool path_excluded(const struct change_options *options, const char *path)
{
	return below_any(path, always) || (!options->keep_caches && below_any(path, caches)) ||
	       below_any(path, options->exclude);
}
