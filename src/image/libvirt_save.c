/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's save file (src/qemu/qemu_saveimage.h): a header of 92 bytes in the byte order of the
 * host that wrote it, the domain's XML, then QEMU's migration stream, plain, compressed by a
 * program, or in QEMU's mapped-ram layout ("sparse").
 */
#include <byteswap.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/cursor.h"
#include "image/ops.h"
#include "image/unpack.h"

#define SAVE_MAGIC       "LibvirtQemudSave"
#define PART_MAGIC       "LibvirtQemudPart" /* becomes SAVE_MAGIC when all is written */
#define SAVE_HEADER_SIZE 92u
#define SAVE_VERSION     2u

struct save_header {
	uint32_t version;
	uint32_t data_size; /* of the XML and what follows it, up to the stream */
	uint32_t was_running;
	uint32_t format;
	uint32_t cookie; /* offset in the file of a second XML, 0 if there is none */
};

/* Indexed by save_header.format. */
static const char *const format_names[] = {"raw", "gzip", "bzip2", "xz", "lzop", "zstd", "sparse"};

enum format {
	FORMAT_RAW = 0,
	FORMAT_SPARSE = 6,
};

static bool save_probe(const uint8_t *head, size_t size)
{
	return size >= 16 && (memcmp(head, SAVE_MAGIC, 16) == 0 || memcmp(head, PART_MAGIC, 16) == 0);
}

/* Every field in the other byte order: the file comes from a host of that kind, or the header is damaged. */
static void swap_header(struct save_header *header)
{
	header->version = bswap_32(header->version);
	header->data_size = bswap_32(header->data_size);
	header->was_running = bswap_32(header->was_running);
	header->format = bswap_32(header->format);
	header->cookie = bswap_32(header->cookie);
}

static struct error *parse_header(struct cursor *c, struct save_header *header)
{
	struct error *error = cursor_skip(c, 16);

	if (!error)
		error = cursor_le32(c, &header->version);
	if (!error)
		error = cursor_le32(c, &header->data_size);
	if (!error)
		error = cursor_le32(c, &header->was_running);
	if (!error)
		error = cursor_le32(c, &header->format);
	if (!error)
		error = cursor_le32(c, &header->cookie);
	if (!error && header->version != SAVE_VERSION && bswap_32(header->version) == SAVE_VERSION)
		swap_header(header);
	return error;
}

static struct error *check_header(const struct image_file *file, const struct save_header *header)
{
	uint64_t stream = (uint64_t)SAVE_HEADER_SIZE + header->data_size;

	if (header->version != SAVE_VERSION)
		return error_recode(error_format(file->path, 16, "version %u of the libvirt save file; known is %u",
						 header->version, SAVE_VERSION),
				    ERROR_UNSUPPORTED);
	if (header->format >= ARRAY_SIZE(format_names))
		return error_recode(
			error_format(file->path, 28, "unknown compression %u of the libvirt save file", header->format),
			ERROR_UNSUPPORTED);
	if (stream >= file->size)
		return error_remedy(error_format(file->path, 20,
						 "the file ends at byte %llu, before its memory, which begins at %llu",
						 (unsigned long long)file->size, (unsigned long long)stream),
				    "The memory image is incomplete: save the VM again, or take a whole copy");
	if (header->cookie >= stream)
		return error_format(file->path, 32, "its second XML begins at byte %u, behind the first one's end",
				    header->cookie);
	return NULL;
}

static struct error *read_header(const struct image_file *file, struct save_header *ret)
{
	uint8_t bytes[SAVE_HEADER_SIZE];
	struct save_header header = {0};
	struct cursor c = cursor_init(bytes, sizeof(bytes), file->path);
	struct error *error;

	if (file->size < sizeof(bytes))
		return error_remedy(error_format(file->path, file->size, "the file ends inside libvirt's header"),
				    "The memory image is incomplete: save the VM again, or take a whole copy");
	error = image_file_read(file, bytes, sizeof(bytes), 0);
	if (!error && memcmp(bytes, PART_MAGIC, 16) == 0)
		return error_remedy(error_format(file->path, 0, "a libvirt save file that was not finished"),
				    "Saving failed or still goes on: wait for it, or save the VM again");
	if (!error)
		error = parse_header(&c, &header);
	if (!error)
		error = check_header(file, &header);
	if (error)
		return error;
	*ret = header;
	return NULL;
}

/* What is unpacked must be a stream: otherwise it is seen now and not after gigabytes. */
static struct error *inspect_stream(const void *data, const uint8_t *head, size_t size)
{
	const struct image_file *file = data;

	if (qemu_stream_ops.probe(head, size))
		return NULL;
	return error_format(file->path, ERROR_NO_ADDRESS, "what is compressed in it is no QEMU migration stream");
}

static struct error *save_open(struct image_file *file, struct image_map *map)
{
	struct save_header header = {0};
	struct error *error = read_header(file, &header);
	uint64_t offset = (uint64_t)SAVE_HEADER_SIZE + header.data_size;

	if (error)
		return error;
	if (header.format == FORMAT_RAW || header.format == FORMAT_SPARSE)
		return qemu_stream_index(file, offset, map);
	error = unpack_file(file, offset, unpack_by_name(format_names[header.format]), inspect_stream, file);
	return error ? error : qemu_stream_index(file, 0, map);
}

const struct image_ops libvirt_save_ops = {
	.name = "libvirt-save",
	.probe = save_probe,
	.open = save_open,
};
