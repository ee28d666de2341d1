/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lzop's file format (lzop.c of lzop 1.04), all big-endian:
 *
 *   file  = magic header [extra] block* be32(0)
 *   block = be32(unpacked size) be32(packed size) checksums bytes
 *
 * A block that did not shrink is stored as it is. There is no library for it that this program's
 * licence allows to link, and the format is small.
 */
#include <endian.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "image/lzo.h"
#include "image/unpack.h"

#define VERSION_MIN       0x0940u /* 1997; older headers lack fields */
#define HEADER_NAME_MAX   255u
#define FIXED_HEADER_SIZE 25u

/* lzop writes blocks of 256 KiB; a build of it may be told otherwise. */
#define BLOCK_MAX         (16u << 20)

enum flag {
	FLAG_ADLER32 = 0x1,        /* of the unpacked bytes */
	FLAG_ADLER32_PACKED = 0x2, /* of the packed ones */
	FLAG_EXTRA = 0x40,
	FLAG_CRC32 = 0x100,
	FLAG_CRC32_PACKED = 0x200,
	FLAG_FILTER = 0x800,
	FLAG_HEADER_CRC32 = 0x1000,
};

static uint32_t checksum(bool crc, const void *data, size_t size)
{
	return (uint32_t)(crc ? crc32_z(0, data, size) : adler32_z(1, data, size));
}

static struct error *read_be32(struct unpack *u, uint32_t *ret)
{
	uint32_t raw;
	struct error *error = unpack_read(u, &raw, sizeof(raw));

	if (!error)
		*ret = be32toh(raw);
	return error;
}

/* Reads the checksum and compares it. */
static struct error *check_sum(struct unpack *u, bool crc, const void *data, size_t size, const char *what)
{
	uint32_t expected;
	struct error *error = read_be32(u, &expected);

	if (!error && checksum(crc, data, size) != expected)
		return unpack_error(u, "the checksum of %s is wrong", what);
	return error;
}

/* The optional field, which nothing of today writes. */
static struct error *skip_extra(struct unpack *u)
{
	uint8_t sum[4];
	uint32_t size;
	struct error *error = read_be32(u, &size);

	while (!error && size-- > 0)
		error = unpack_read(u, sum, 1);
	return error ? error : unpack_read(u, sum, sizeof(sum));
}

/*
 * The header after the magic: version, library's version, needed version (be16 each), method,
 * level, flags (be32), mode (be32), time (be32 twice), the name with its length; its checksum.
 */
static struct error *read_header(struct unpack *u, uint32_t *ret_flags)
{
	uint8_t header[FIXED_HEADER_SIZE + HEADER_NAME_MAX];
	uint32_t flags;
	struct error *error = unpack_read(u, header, FIXED_HEADER_SIZE);

	if (error)
		return error;
	if ((unsigned)(header[0] << 8 | header[1]) < VERSION_MIN)
		return unpack_error(u, "version %02x%02x of lzop is too old", header[0], header[1]);
	if (header[6] < 1 || header[6] > 3)
		return error_recode(unpack_error(u, "method %u is not LZO1X", header[6]), ERROR_UNSUPPORTED);
	flags = (uint32_t)header[8] << 24 | (uint32_t)header[9] << 16 | (uint32_t)header[10] << 8 | header[11];
	if (flags & FLAG_FILTER)
		return error_recode(unpack_error(u, "it uses a filter"), ERROR_UNSUPPORTED);
	error = unpack_read(u, header + FIXED_HEADER_SIZE, header[FIXED_HEADER_SIZE - 1]);
	if (!error)
		error = check_sum(u, flags & FLAG_HEADER_CRC32, header,
				  FIXED_HEADER_SIZE + header[FIXED_HEADER_SIZE - 1], "the header");
	if (!error && (flags & FLAG_EXTRA))
		error = skip_extra(u);
	if (error)
		return error;
	*ret_flags = flags;
	return NULL;
}

struct block {
	uint32_t size, packed_size;
	uint32_t adler32, crc32;               /* of the unpacked bytes */
	uint32_t packed_adler32, packed_crc32; /* of the packed ones */
};

/* Block headers after the unpacked size. */
static struct error *read_block_header(struct unpack *u, uint32_t flags, struct block *b)
{
	struct error *error = read_be32(u, &b->packed_size);

	if (error)
		return error;
	if (b->size > BLOCK_MAX || b->packed_size == 0 || b->packed_size > b->size)
		return unpack_error(u, "a block of %u bytes in %u", b->size, b->packed_size);
	if (flags & FLAG_ADLER32)
		error = read_be32(u, &b->adler32);
	if (!error && (flags & FLAG_CRC32))
		error = read_be32(u, &b->crc32);
	if (b->packed_size == b->size)
		return error;
	if (!error && (flags & FLAG_ADLER32_PACKED))
		error = read_be32(u, &b->packed_adler32);
	if (!error && (flags & FLAG_CRC32_PACKED))
		error = read_be32(u, &b->packed_crc32);
	return error;
}

/* Buffers for a block, which grow to the largest that really came. */
struct buffers {
	uint8_t *packed, *plain;
	size_t packed_room, plain_room;
};

static void buffers_deinit(struct buffers *buffers)
{
	free(buffers->packed);
	free(buffers->plain);
}

static struct error *grow(uint8_t **buffer, size_t *room, size_t size)
{
	uint8_t *grown;

	if (size <= *room)
		return NULL;
	grown = realloc(*buffer, size);
	if (!grown)
		return error_no_memory();
	*buffer = grown;
	*room = size;
	return NULL;
}

static struct error *unpack_block(struct unpack *u, uint32_t flags, const struct block *b, struct buffers *buffers)
{
	const uint8_t *plain = buffers->packed;

	if (b->packed_size < b->size) {
		size_t size = 0;

		if ((flags & FLAG_ADLER32_PACKED) &&
		    checksum(false, buffers->packed, b->packed_size) != b->packed_adler32)
			return unpack_error(u, "the checksum of a packed block is wrong");
		if ((flags & FLAG_CRC32_PACKED) && checksum(true, buffers->packed, b->packed_size) != b->packed_crc32)
			return unpack_error(u, "the checksum of a packed block is wrong");
		if (!lzo1x_unpack(buffers->packed, b->packed_size, buffers->plain, b->size, &size) || size != b->size)
			return unpack_error(u, "a block before this place is malformed");
		plain = buffers->plain;
	}
	if ((flags & FLAG_ADLER32) && checksum(false, plain, b->size) != b->adler32)
		return unpack_error(u, "the checksum of a block is wrong");
	if ((flags & FLAG_CRC32) && checksum(true, plain, b->size) != b->crc32)
		return unpack_error(u, "the checksum of a block is wrong");
	return spool_write(&u->spool, plain, b->size);
}

struct error *unpack_lzop(struct unpack *u)
{
	_cleanup_(buffers_deinit) struct buffers buffers = {0};
	uint8_t magic[9];
	uint32_t flags = 0;
	struct error *error = unpack_read(u, magic, sizeof(magic));

	if (!error && !unpack_detect(magic, sizeof(magic)))
		return unpack_error(u, "none begins here");
	if (!error)
		error = read_header(u, &flags);
	while (!error) {
		struct block b = {0};

		error = read_be32(u, &b.size);
		if (!error && b.size == 0)
			return NULL;
		if (!error)
			error = read_block_header(u, flags, &b);
		if (!error)
			error = grow(&buffers.packed, &buffers.packed_room, b.packed_size);
		if (!error)
			error = grow(&buffers.plain, &buffers.plain_room, b.size);
		if (!error)
			error = unpack_read(u, buffers.packed, b.packed_size);
		if (!error)
			error = unpack_block(u, flags, &b, &buffers);
	}
	return error;
}
