/* SPDX-License-Identifier: Apache-2.0 */
#include "update/device_policy.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MEMORY_MAJOR 1 /* Linux, Documentation/admin-guide/devices.txt */

static bool is_harmless(uint32_t mode, uint64_t rdev)
{
	static const unsigned minors[] = {3, 5, 7, 8, 9}; /* null, zero, full, random, urandom */

	if (!S_ISCHR(mode))
		return false;
	if (major(rdev) == 0 && minor(rdev) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(minors); i++)
		if (major(rdev) == MEMORY_MAJOR && minor(rdev) == minors[i])
			return true;
	return false;
}

static bool is_device(uint32_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

/* Of a link it is not known what it leads to. */
static bool is_refused(const struct change *change)
{
	if (change->kind == CHANGE_DELETE || !is_device(change->attributes.mode))
		return false;
	switch (change->kind) {
	case CHANGE_DEVICE:
		return !is_harmless(change->attributes.mode, change->rdev);
	case CHANGE_ATTRIBUTES:
		return !change->before.exists || !is_harmless(change->before.attributes.mode, change->before.rdev);
	default:
		return true;
	}
}

const struct change *device_policy_find(const struct change_list *changes)
{
	for (size_t i = 0; i < changes->n; i++)
		if (is_refused(&changes->items[i]))
			return &changes->items[i];
	return NULL;
}

struct error *device_policy_check(const struct change_list *changes, bool allowed)
{
	const struct change *change = allowed ? NULL : device_policy_find(changes);

	if (!change)
		return NULL;
	return error_remedy(error_create(ERROR_CONFLICT, "the bundle has a device node: /%s", change->path),
			    "if that is meant to be: resume --allow-device-nodes");
}
