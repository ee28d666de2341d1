/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/ext4/shift.h"

#include <endian.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <stdlib.h>
#include <string.h>

/* The host's "nobody", which no id of the guest is. */
#define ID_NOBODY 65534

uint32_t shift_id(struct shift shift, uint32_t id)
{
	if (shift.count == 0)
		return id;
	return id < shift.count ? shift.base + id : ID_NOBODY;
}

static int shift_acl(struct shift shift, void *value, size_t size)
{
	struct posix_acl_xattr_header *header = value;
	struct posix_acl_xattr_entry *entries = (void *)(header + 1);
	size_t n = size < sizeof(*header) ? 0 : (size - sizeof(*header)) / sizeof(*entries);

	if (size < sizeof(*header) || (size - sizeof(*header)) % sizeof(*entries) ||
	    le32toh(header->a_version) != POSIX_ACL_XATTR_VERSION)
		return EIO;
	for (size_t i = 0; i < n; i++)
		if (le16toh(entries[i].e_tag) == ACL_USER || le16toh(entries[i].e_tag) == ACL_GROUP)
			entries[i].e_id = htole32(shift_id(shift, le32toh(entries[i].e_id)));
	return 0;
}

/* Of revision 2 they are those of the root of the file system; revision 3 says whose. */
static int shift_capability(struct shift shift, void **value, size_t *size)
{
	struct vfs_ns_cap_data *data;
	uint32_t magic, root = 0;

	if (*size < sizeof(magic))
		return EIO;
	memcpy(&magic, *value, sizeof(magic));
	magic = le32toh(magic);
	if ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_2 && *size == XATTR_CAPS_SZ_2) {
		data = realloc(*value, XATTR_CAPS_SZ_3);
		if (!data)
			return ENOMEM;
		*value = data;
		*size = XATTR_CAPS_SZ_3;
		data->magic_etc = htole32((magic & ~VFS_CAP_REVISION_MASK) | VFS_CAP_REVISION_3);
	} else if ((magic & VFS_CAP_REVISION_MASK) == VFS_CAP_REVISION_3 && *size == XATTR_CAPS_SZ_3) {
		data = *value;
		root = le32toh(data->rootid);
	} else {
		return 0; /* Older than any guest, or none that the kernel takes: no id is in it. */
	}
	data->rootid = htole32(shift_id(shift, root));
	return 0;
}

int shift_attribute(struct shift shift, const char *name, void **value, size_t *size)
{
	int r = 0;

	if (shift.count == 0)
		return 0;
	if (strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 || strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0)
		r = shift_acl(shift, *value, *size);
	else if (strcmp(name, XATTR_NAME_CAPS) == 0)
		r = shift_capability(shift, value, size);
	if (r) {
		free(*value);
		*value = NULL;
	}
	return r;
}
