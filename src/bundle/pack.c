/* SPDX-License-Identifier: Apache-2.0 */
/* A payload file, packed for a slow channel while it is read: nothing of it is held but the piece at hand. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/packed.h"
#include "bundle/trailer.h"

/* Faster than any channel that is worth it (measured: 300 MB/s); the next levels gain a few percent. */
#define LEVEL 3

struct pack {
	int in, out;
	const char *path; /* of `in` */
	ZSTD_CCtx *zstd;
	uint8_t *bytes, *packed; /* PACKED_SIZE_MAX each */
	struct pack_totals totals;
};

static void pack_deinit(struct pack *pack)
{
	close_fd(&pack->in);
	ZSTD_freeCCtx(pack->zstd);
	free(pack->bytes);
	free(pack->packed);
}

static struct error *pack_init(struct pack *pack, const char *path, int out)
{
	*pack = (struct pack){.in = open(path, O_RDONLY | O_CLOEXEC), .out = out, .path = path};
	if (pack->in < 0)
		return error_system(errno, path, "cannot open the payload");
	pack->zstd = ZSTD_createCCtx();
	pack->bytes = malloc(PACKED_SIZE_MAX);
	pack->packed = malloc(PACKED_SIZE_MAX);
	if (!pack->zstd || !pack->bytes || !pack->packed)
		return error_no_memory();
	ZSTD_CCtx_setParameter(pack->zstd, ZSTD_c_compressionLevel, LEVEL);
	return NULL;
}

static struct error *write_out(struct pack *pack, const void *bytes, size_t size)
{
	struct error *error = io_write(pack->out, bytes, size, "the channel");

	if (!error)
		pack->totals.packed_size += size;
	return error;
}

static struct error *write_piece(struct pack *pack, const struct packed_piece *piece, const uint8_t *bytes)
{
	uint8_t header[PACKED_PIECE_HEADER_SIZE] = {};
	struct packer p = {.data = header};
	struct error *error;

	pack_u8(&p, (uint8_t)piece->kind);
	pack_bytes(&p, "\0\0\0", 3);
	pack_le32(&p, piece->size);
	pack_le32(&p, piece->packed_size);
	pack_le32(&p, piece->entry);
	pack_le64(&p, piece->old_offset);
	pack_le32(&p, piece->old_size);
	error = write_out(pack, header, sizeof(header));
	if (!error)
		error = write_out(pack, bytes, piece->packed_size);
	if (!error)
		pack->totals.size += piece->size;
	return error;
}

/* What does not become smaller by at least a byte fails to fit, and goes as it is. */
static struct error *pack_bytes_at(struct pack *pack, uint64_t offset, size_t size)
{
	struct packed_piece piece = {.size = (uint32_t)size};
	struct error *error = io_pread(pack->in, pack->bytes, size, offset, pack->path);
	size_t n;

	if (error)
		return error;
	n = ZSTD_compress2(pack->zstd, pack->packed, size - 1, pack->bytes, size);
	piece.kind = ZSTD_isError(n) ? PACKED_STORED : PACKED_FRAME;
	piece.packed_size = ZSTD_isError(n) ? piece.size : (uint32_t)n;
	return write_piece(pack, &piece, ZSTD_isError(n) ? pack->bytes : pack->packed);
}

static struct error *pack_range(struct pack *pack, uint64_t from, uint64_t to)
{
	struct error *error = NULL;

	while (!error && from < to) {
		size_t n = to - from < PACKED_SIZE_MAX ? (size_t)(to - from) : PACKED_SIZE_MAX;

		error = pack_bytes_at(pack, from, n);
		from += n;
	}
	return error;
}

static struct error *write_header(struct pack *pack)
{
	uint8_t header[PACKED_HEADER_SIZE];
	struct packer p = {.data = header};

	pack_bytes(&p, PACKED_MAGIC, strlen(PACKED_MAGIC));
	pack_le32(&p, PACKED_VERSION);
	pack_le32(&p, 0);
	return write_out(pack, header, sizeof(header));
}

struct error *payload_pack(const char *payload_path, int out, struct pack_totals *ret_totals)
{
	_cleanup_(pack_deinit) struct pack pack = {.in = -1};
	struct error *error = pack_init(&pack, payload_path, out);
	struct stat s;

	if (!error && fstat(pack.in, &s) < 0)
		error = error_system(errno, payload_path, "cannot look at the payload");
	if (!error)
		error = write_header(&pack);
	if (!error)
		error = pack_range(&pack, 0, (uint64_t)s.st_size);
	if (!error && ret_totals)
		*ret_totals = pack.totals;
	return error;
}
