/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's save file (src/qemu/qemu_saveimage.h): a header of 92 bytes in the host's byte order,
 * the domain's XML, then QEMU's migration stream, plain or compressed. Only plain ones are read.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "base/io.h"
#include "image/ops.h"

#define SAVE_MAGIC       "LibvirtQemudSave"
#define SAVE_HEADER_SIZE 92u
#define SAVE_VERSION     2u

static bool save_probe(const uint8_t *head, size_t size)
{
	return size >= 16 && memcmp(head, SAVE_MAGIC, 16) == 0;
}

static struct error *check_compression(const struct image_file *file, uint32_t format)
{
	static const char *const names[] = {"raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"};
	struct error *error;

	if (format == 0)
		return NULL;
	if (format >= ARRAY_SIZE(names))
		return error_format(file->path, 28, "unknown compression %u of the libvirt save file", format);
	error = error_create(ERROR_UNSUPPORTED, "%s: the libvirt save file is of the format '%s', which cannot be read",
			     file->path, names[format]);
	return error_remedy(error, "Set save_image_format = \"raw\" in libvirt's qemu.conf and save the VM again");
}

static struct error *save_open(struct image_file *file, struct image_map *map)
{
	uint8_t bytes[SAVE_HEADER_SIZE];
	uint32_t version, data_size, running, format;
	struct cursor c = cursor_init(bytes, sizeof(bytes), file->path);
	struct error *error = io_pread(file->fd, bytes, sizeof(bytes), 0, file->path);

	if (!error)
		error = cursor_skip(&c, 16);
	if (!error)
		error = cursor_le32(&c, &version);
	if (!error)
		error = cursor_le32(&c, &data_size);
	if (!error)
		error = cursor_le32(&c, &running);
	if (!error)
		error = cursor_le32(&c, &format);
	if (error)
		return error;
	if (version != SAVE_VERSION)
		return error_format(file->path, 16, "version %u of the libvirt save file; known is %u", version,
				    SAVE_VERSION);
	error = check_compression(file, format);
	if (error)
		return error;
	return qemu_stream_index(file, (uint64_t)SAVE_HEADER_SIZE + data_size, map);
}

const struct image_ops libvirt_save_ops = {
	.name = "libvirt-save",
	.probe = save_probe,
	.open = save_open,
};
