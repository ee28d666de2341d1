/* SPDX-License-Identifier: Apache-2.0 */
/* A payload file, packed for a slow channel while it is read: nothing of its contents is held but the piece at hand. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "bundle/bundle.h"
#include "bundle/deltas.h"
#include "bundle/payload.h"
#include "bundle/trailer.h"

/* Faster than any channel that is worth it; the next levels gain a few percent. */
#define LEVEL       3
/* There is time while the guest sleeps, and the old bytes must be found wherever they are. */
#define DELTA_LEVEL 6

struct pack {
	int in, out;
	const char *path; /* of `in` */
	ZSTD_CCtx *zstd;
	uint8_t *bytes, *packed; /* PACKED_SIZE_MAX each */
	struct payload payload;
	uint8_t *index; /* the payload's */
	struct deltas deltas;
	struct pack_totals totals;
};

ZSTD_CCtx *packing_create(void)
{
	return ZSTD_createCCtx();
}

const uint8_t *packing_run(ZSTD_CCtx *zstd, const uint8_t *bytes, const uint8_t *old, struct packed_piece *piece,
			   uint8_t *to)
{
	size_t n;

	ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, old ? DELTA_LEVEL : LEVEL);
	if (old) {
		/* Reaches over both; the reader holds both as a whole. */
		ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, PACKED_WINDOW_LOG);
		ZSTD_CCtx_setParameter(zstd, ZSTD_c_enableLongDistanceMatching, 1);
		ZSTD_CCtx_refPrefix(zstd, old, piece->old_size);
	}
	/* What does not become smaller by at least a byte fails to fit. */
	n = ZSTD_compress2(zstd, to, piece->size - 1, bytes, piece->size);
	if (ZSTD_isError(n)) {
		*piece = (struct packed_piece){PACKED_STORED, .size = piece->size, .packed_size = piece->size};
		return bytes;
	}
	piece->kind = old ? PACKED_DELTA : PACKED_FRAME;
	piece->packed_size = (uint32_t)n;
	return to;
}

struct error *packing_write(const struct packed_piece *piece, const uint8_t *bytes, int fd, const char *path)
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
	error = io_write(fd, header, sizeof(header), path);
	return error ? error : io_write(fd, bytes, piece->packed_size, path);
}

static void pack_deinit(struct pack *pack)
{
	close_fd(&pack->in);
	packing_destroy(&pack->zstd);
	free(pack->bytes);
	free(pack->packed);
	payload_deinit(&pack->payload);
	free(pack->index);
	deltas_close(&pack->deltas);
}

static struct error *pack_init(struct pack *pack, const char *path, int out)
{
	*pack = (struct pack){.in = open(path, O_RDONLY | O_CLOEXEC), .out = out, .path = path, .deltas = {.fd = -1}};
	if (pack->in < 0)
		return error_system(errno, path, "cannot open the payload");
	pack->zstd = packing_create();
	pack->bytes = malloc(PACKED_SIZE_MAX);
	pack->packed = malloc(PACKED_SIZE_MAX);
	return pack->zstd && pack->bytes && pack->packed ? NULL : error_no_memory();
}

static struct error *write_piece(struct pack *pack, const struct packed_piece *piece, const uint8_t *bytes)
{
	struct error *error = packing_write(piece, bytes, pack->out, "the channel");

	pack->totals.size += piece->size;
	pack->totals.packed_size += PACKED_PIECE_HEADER_SIZE + piece->packed_size;
	pack->totals.delta_size += piece->kind == PACKED_DELTA ? piece->size : 0;
	return error;
}

static struct error *pack_range(struct pack *pack, uint64_t from, uint64_t to)
{
	while (from < to) {
		struct packed_piece piece = {.size = to - from < PACKED_SIZE_MAX ? (uint32_t)(to - from)
										 : PACKED_SIZE_MAX};
		struct error *error = io_pread(pack->in, pack->bytes, piece.size, from, pack->path);

		if (!error) {
			const uint8_t *packed = packing_run(pack->zstd, pack->bytes, NULL, &piece, pack->packed);

			error = write_piece(pack, &piece, packed);
		}
		if (error)
			return error;
		from += piece.size;
	}
	return NULL;
}

/* The pieces of one content as they were made, with the number that its entry has here. */
static struct error *copy_delta(struct pack *pack, const struct delta *delta, uint32_t entry)
{
	uint64_t end = delta->offset + delta->bytes, done = 0;

	for (uint64_t at = delta->offset; at < end;) {
		uint8_t header[PACKED_PIECE_HEADER_SIZE];
		struct packed_piece piece;
		struct error *error = io_pread(pack->deltas.fd, header, sizeof(header), at, pack->deltas.path);

		if (!error)
			error = packed_parse_piece(header, &piece);
		if (!error)
			error = io_pread(pack->deltas.fd, pack->packed, piece.packed_size, at + sizeof(header),
					 pack->deltas.path);
		if (error)
			return error;
		piece.entry = piece.kind == PACKED_DELTA ? entry : 0;
		error = write_piece(pack, &piece, pack->packed);
		if (error)
			return error;
		at += sizeof(header) + piece.packed_size;
		done += piece.size;
	}
	if (done != delta->size)
		return error_format(pack->deltas.path, delta->offset, "a difference is not whole");
	return NULL;
}

static struct error *write_header(struct pack *pack)
{
	uint8_t header[PACKED_HEADER_SIZE];
	struct packer p = {.data = header};

	pack_bytes(&p, PACKED_MAGIC, strlen(PACKED_MAGIC));
	pack_le32(&p, PACKED_VERSION);
	pack_le32(&p, 0);
	pack->totals.packed_size += sizeof(header);
	return io_write(pack->out, header, sizeof(header), "the channel");
}

/* The differences that there are; a file that cannot be used is none. */
static void find_deltas(struct pack *pack, const char *path)
{
	struct error *error = deltas_open(path, &pack->deltas);

	if (error && error->code != ERROR_NOT_FOUND)
		log_debug("without differences: %s", error->message);
	error_destroy(error);
}

static struct error *read_index(struct pack *pack)
{
	uint8_t bytes[PAYLOAD_HEADER_SIZE];
	struct payload_header header;
	struct error *error;

	error = io_pread(pack->in, bytes, sizeof(bytes), 0, pack->path);
	if (!error)
		error = payload_parse_header(bytes, &header);
	if (error)
		return error;
	pack->index = malloc(header.index_size + 1);
	if (!pack->index)
		return error_no_memory();
	error = io_pread(pack->in, pack->index, header.index_size, PAYLOAD_HEADER_SIZE, pack->path);
	return error ? error : payload_parse_index(&header, pack->index, NULL, &pack->payload);
}

static struct error *pack_all(struct pack *pack)
{
	uint64_t start = payload_content_start(&pack->payload.header), position = 0;
	struct error *error = write_header(pack);

	for (uint32_t i = 0; !error && i < pack->payload.header.n_entries; i++) {
		const struct payload_entry *entry = &pack->payload.entries[i];
		const struct delta *delta =
			entry->flags & PAYLOAD_ENTRY_SHARED ? NULL : deltas_find(&pack->deltas, &entry->change);

		if (!delta)
			continue;
		error = pack_range(pack, position, start + entry->content_offset);
		if (!error)
			error = copy_delta(pack, delta, i);
		position = start + entry->content_offset + entry->change.size;
	}
	return error ? error : pack_range(pack, position, start + pack->payload.header.content_size);
}

struct error *payload_pack(const char *payload_path, const char *deltas_path, int out, struct pack_totals *ret_totals)
{
	_cleanup_(pack_deinit) struct pack pack = {.in = -1, .deltas = {.fd = -1}};
	struct error *error = pack_init(&pack, payload_path, out);

	if (!error)
		error = read_index(&pack);
	if (!error && deltas_path)
		find_deltas(&pack, deltas_path);
	if (!error)
		error = pack_all(&pack);
	if (!error && ret_totals)
		*ret_totals = pack.totals;
	return error;
}
