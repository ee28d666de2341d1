/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes, as libext2fs reads them: in the inode, in a block, in an inode of their own; ACLs as the kernel
 * shows them. */
#include <string.h>

#include "disk/ext4/reader.h"

/* The kernel's XATTR_LIST_MAX. */
#define LIST_MAX 65536

/* *ret is NULL where the file system has none: the kernel sets its feature when it writes the first. */
static int open_attributes(struct reader *reader, uint32_t number, struct ext2_xattr_handle **ret)
{
	struct ext2_xattr_handle *handle = NULL;
	struct ext2_inode_large inode;
	errcode_t code;
	int r = reader_inode(reader, number, &inode);

	if (r)
		return r;
	code = ext2fs_xattrs_open(reader->fs, number, &handle);
	if (code == EXT2_ET_MISSING_EA_FEATURE) {
		*ret = NULL;
		return 0;
	}
	if (code == 0)
		code = ext2fs_xattrs_read(handle); /* the other form wants all bytes of an inode, however many */
	if (code && handle)
		ext2fs_xattrs_close(&handle);
	if (code == EXT2_ET_FILESYSTEM_CORRUPTED || code == 0) {
		*ret = handle;
		return code ? EIO : 0;
	}
	return reader_errno(code);
}

/* Where the contents of an inline file go on: no attribute. */
static bool is_own(const char *name)
{
	return strcmp(name, "system.data") == 0;
}

int reader_get_attribute(struct reader *reader, uint32_t number, const char *name, void **ret, size_t *ret_size)
{
	struct ext2_xattr_handle *handle;
	void *value;
	size_t size;
	errcode_t code;
	int r = is_own(name) ? ENODATA : open_attributes(reader, number, &handle);

	if (r || !handle)
		return r ? r : ENODATA;
	code = ext2fs_xattr_get(handle, name, &value, &size);
	ext2fs_xattrs_close(&handle);
	if (code == EXT2_ET_EA_KEY_NOT_FOUND)
		return ENODATA;
	if (code)
		return reader_errno(code);
	*ret = value;
	*ret_size = size;
	return 0;
}

struct names {
	char *bytes;
	size_t n;
	int result;
};

static int add_name(char *name, char *value, size_t value_length, void *data)
{
	struct names *names = data;
	size_t length = strlen(name) + 1;
	char *bigger;

	(void)value, (void)value_length;
	if (is_own(name))
		return 0;
	if (length > LIST_MAX - names->n) {
		names->result = E2BIG;
		return XATTR_ABORT;
	}
	bigger = realloc(names->bytes, names->n + length);
	if (!bigger) {
		names->result = ENOMEM;
		return XATTR_ABORT;
	}
	names->bytes = bigger;
	memcpy(bigger + names->n, name, length);
	names->n += length;
	return 0;
}

int reader_list_attributes(struct reader *reader, uint32_t number, char **ret, size_t *ret_size)
{
	struct names names = {0};
	struct ext2_xattr_handle *handle;
	errcode_t code = 0;
	int r = open_attributes(reader, number, &handle);

	if (r)
		return r;
	if (handle) {
		code = ext2fs_xattrs_iterate(handle, add_name, &names);
		ext2fs_xattrs_close(&handle);
	}
	if (names.result || code) {
		free(names.bytes);
		return names.result ? names.result : reader_errno(code);
	}
	*ret = names.bytes;
	*ret_size = names.n;
	return 0;
}
