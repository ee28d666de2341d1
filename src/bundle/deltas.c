/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Differences of large files to what the guest has, made while the guest sleeps and its disk is at hand: when it is
 * awake there is neither the time nor the old content. They are a help and nothing else: without them, or with those of
 * another bundle, the payload is the same and travels as it is.
 *
 *   deltas = "OUADELT\1" u32 version(1) u32 n_files file{n_files} u8[32] sha256(all before)
 *   file   = u8[32] sha256(new) u8[32] sha256(old) u64 size u64 bytes piece*     (bytes: of all its pieces)
 *
 * Pieces as in bundle/packed.h, of the new content from its start to its end, with 0 for the entry.
 */
#include "bundle/deltas.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/trailer.h"

#define DELTAS_MAGIC     "OUADELT\1"
#define DELTAS_VERSION   1
#define HEADER_SIZE      16
#define FILE_HEADER_SIZE 80
#define FILES_MAX        1000000u
/* A smaller file is not worth the seek. */
#define SIZE_MIN         (64u << 10)
#define HASH_CHUNK       (1u << 20)

struct maker {
	ZSTD_CCtx *zstd;
	int fd;
	const char *path;                     /* of `fd` */
	uint8_t *bytes, *old;                 /* PACKED_SIZE_MAX, PACKED_OLD_MAX */
	uint8_t *plain_packed, *delta_packed; /* PACKED_SIZE_MAX */
	uint32_t n_files;
	uint64_t end;          /* of what is kept so far */
	uint64_t plain, delta; /* bytes of the file at hand, packed without and with what is old */
};

static bool is_worth_it(const struct change *change)
{
	return change->kind == CHANGE_WRITE && change->size >= SIZE_MIN && change->before.exists &&
	       S_ISREG(change->before.attributes.mode) && change->before.size >= SIZE_MIN &&
	       memcmp(change->sha256, change->before.sha256, SHA256_SIZE) != 0;
}

/* The old bytes around the place that corresponds to the piece: what moves within a file seldom moves far. */
static void choose_old(uint64_t offset, uint64_t size, uint64_t old_size, struct packed_piece *piece)
{
	uint64_t middle = offset + piece->size / 2, start;

	piece->old_size = old_size < PACKED_OLD_MAX ? (uint32_t)old_size : PACKED_OLD_MAX;
	start = (uint64_t)((double)middle / (double)size * (double)old_size);
	start = start > piece->old_size / 2 ? start - piece->old_size / 2 : 0;
	piece->old_offset = start < old_size - piece->old_size ? start : old_size - piece->old_size;
}

static struct error *make_piece(struct maker *m, int new_fd, int old_fd, const struct change *change, uint64_t offset)
{
	uint64_t left = change->size - offset;
	struct packed_piece plain = {.size = left < PACKED_SIZE_MAX ? (uint32_t)left : PACKED_SIZE_MAX}, delta = plain;
	const uint8_t *plain_bytes, *delta_bytes;
	struct error *error;

	choose_old(offset, change->size, change->before.size, &delta);
	error = io_pread(new_fd, m->bytes, plain.size, offset, change->path);
	if (!error)
		error = io_pread(old_fd, m->old, delta.old_size, delta.old_offset, change->path);
	if (error)
		return error;
	plain_bytes = packing_run(m->zstd, m->bytes, NULL, &plain, m->plain_packed);
	delta_bytes = packing_run(m->zstd, m->bytes, m->old, &delta, m->delta_packed);
	m->plain += plain.packed_size;
	m->delta += plain.packed_size < delta.packed_size ? plain.packed_size : delta.packed_size;
	if (plain.packed_size <= delta.packed_size)
		return packing_write(&plain, plain_bytes, m->fd, m->path);
	return packing_write(&delta, delta_bytes, m->fd, m->path);
}

/* Its header, once it is known how long it is. */
static struct error *write_file_header(struct maker *m, const struct change *change, uint64_t bytes)
{
	uint8_t header[FILE_HEADER_SIZE];
	struct packer p = {.data = header};

	pack_bytes(&p, change->sha256, SHA256_SIZE);
	pack_bytes(&p, change->before.sha256, SHA256_SIZE);
	pack_le64(&p, change->size);
	pack_le64(&p, bytes);
	return io_pwrite(m->fd, header, sizeof(header), m->end, m->path);
}

/* Keeps the file if it gains at least a fifth; what is not kept is written over. */
static struct error *end_file(struct maker *m, const struct change *change)
{
	off_t end = lseek(m->fd, 0, SEEK_CUR);
	struct error *error;

	if (end < 0)
		return error_system(errno, m->path, "cannot write");
	if (m->delta >= m->plain / 5 * 4)
		return NULL;
	error = write_file_header(m, change, (uint64_t)end - m->end - FILE_HEADER_SIZE);
	m->end = (uint64_t)end;
	m->n_files++;
	return error;
}

/* A difference to anything else than what the payload names would only be found wrong in the guest. */
static struct error *has_hash(int fd, const char *path, const uint8_t expected[SHA256_SIZE], bool *ret)
{
	uint8_t digest[SHA256_SIZE];
	struct error *error = sha256_fd(fd, path, digest);

	if (!error)
		*ret = memcmp(digest, expected, SHA256_SIZE) == 0;
	return error;
}

static struct error *make_file(struct maker *m, const struct change_layer *layers, size_t n_layers,
			       const struct change *change)
{
	_cleanup_(close_fd) int new_fd = -1;
	_cleanup_(close_fd) int old_fd = -1;
	bool old_is = false, new_is = false;
	struct error *error;

	error = changes_open_before(layers, n_layers, change, &old_fd);
	if (error && error->code == ERROR_NOT_FOUND) {
		/* The second of two updates: what it changes came with the first. */
		error_destroy(error);
		return NULL;
	}
	if (!error)
		error = changes_open_content(layers, n_layers, change, &new_fd);
	if (!error)
		error = has_hash(old_fd, change->path, change->before.sha256, &old_is);
	if (!error && old_is)
		error = has_hash(new_fd, change->path, change->sha256, &new_is);
	if (error || !old_is || !new_is)
		return error;
	m->plain = m->delta = 0;
	if (lseek(m->fd, (off_t)(m->end + FILE_HEADER_SIZE), SEEK_SET) < 0)
		return error_system(errno, m->path, "cannot write");
	for (uint64_t offset = 0; !error && offset < change->size; offset += PACKED_SIZE_MAX)
		error = make_piece(m, new_fd, old_fd, change, offset);
	return error ? error : end_file(m, change);
}

static struct error *make_all(struct maker *m, const struct change_list *changes, const struct change_layer *layers,
			      size_t n_layers)
{
	uint8_t header[HEADER_SIZE];
	struct packer p = {.data = header};
	struct error *error = NULL;

	m->end = HEADER_SIZE;
	for (size_t i = 0; !error && i < changes->n; i++)
		if (is_worth_it(&changes->items[i]))
			error = make_file(m, layers, n_layers, &changes->items[i]);
	if (error)
		return error;
	pack_bytes(&p, DELTAS_MAGIC, strlen(DELTAS_MAGIC));
	pack_le32(&p, DELTAS_VERSION);
	pack_le32(&p, m->n_files);
	/* The last file may not have been kept. */
	if (ftruncate(m->fd, (off_t)m->end) < 0)
		return error_system(errno, m->path, "cannot write");
	return io_pwrite(m->fd, header, sizeof(header), 0, m->path);
}

/* The hash of all behind all. */
static struct error *seal(int fd, const char *path)
{
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_system(errno, path, "cannot read");
	error = sha256_fd(fd, path, digest);
	return error ? error : io_write(fd, digest, sizeof(digest), path);
}

static void maker_deinit(struct maker *m)
{
	packing_destroy(&m->zstd);
	free(m->bytes);
	free(m->old);
	free(m->plain_packed);
	free(m->delta_packed);
	close_fd(&m->fd);
}

static struct error *maker_init(struct maker *m, const char *path)
{
	m->path = path;
	m->zstd = packing_create();
	m->bytes = malloc(PACKED_SIZE_MAX);
	m->old = malloc(PACKED_OLD_MAX);
	m->plain_packed = malloc(PACKED_SIZE_MAX);
	m->delta_packed = malloc(PACKED_SIZE_MAX);
	if (!m->zstd || !m->bytes || !m->old || !m->plain_packed || !m->delta_packed)
		return error_no_memory();
	m->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return m->fd < 0 ? error_system(errno, path, "cannot create") : NULL;
}

struct error *deltas_write(const char *path, const struct change_list *changes, const struct change_layer *layers,
			   size_t n_layers)
{
	_cleanup_(maker_deinit) struct maker m = {.fd = -1};
	struct error *error = maker_init(&m, path);

	if (!error)
		error = make_all(&m, changes, layers, n_layers);
	if (!error)
		error = seal(m.fd, path);
	if (error || m.n_files == 0)
		unlink(path);
	return error;
}

/* --- the reader --- */

static int compare_deltas(const void *a, const void *b)
{
	const struct delta *x = a, *y = b;
	int order = memcmp(x->sha256, y->sha256, SHA256_SIZE);

	return order ? order : memcmp(x->old_sha256, y->old_sha256, SHA256_SIZE);
}

static struct error *check_seal(int fd, uint64_t size, const char *path)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	_cleanup_(free_ptr) uint8_t *buffer = malloc(HASH_CHUNK);
	uint8_t digest[SHA256_SIZE], expected[SHA256_SIZE];
	struct error *error = NULL;

	if (!hash || !buffer)
		return error_no_memory();
	for (uint64_t at = 0, n; !error && at < size; at += n) {
		n = size - at < HASH_CHUNK ? size - at : HASH_CHUNK;
		error = io_pread(fd, buffer, n, at, path);
		if (!error)
			sha256_update(hash, buffer, n);
	}
	if (!error)
		error = io_pread(fd, expected, sizeof(expected), size, path);
	if (error)
		return error;
	sha256_final(hash, digest);
	return memcmp(digest, expected, SHA256_SIZE) == 0 ? NULL : error_format(path, size, "it is damaged");
}

static struct error *read_list(struct deltas *deltas, uint64_t size, uint32_t n)
{
	uint64_t at = HEADER_SIZE;

	deltas->items = calloc(n + 1, sizeof(*deltas->items));
	if (!deltas->items)
		return error_no_memory();
	for (; deltas->n < n; deltas->n++) {
		struct delta *delta = &deltas->items[deltas->n];
		uint8_t header[FILE_HEADER_SIZE];
		struct error *error = io_pread(deltas->fd, header, sizeof(header), at, deltas->path);

		if (error)
			return error;
		memcpy(delta->sha256, header, SHA256_SIZE);
		memcpy(delta->old_sha256, header + SHA256_SIZE, SHA256_SIZE);
		delta->size = le64_at(header + 64);
		delta->bytes = le64_at(header + 72);
		delta->offset = at + FILE_HEADER_SIZE;
		if (delta->offset > size || delta->bytes > size - delta->offset)
			return error_format(deltas->path, at, "a file beyond the end");
		at = delta->offset + delta->bytes;
	}
	qsort(deltas->items, deltas->n, sizeof(*deltas->items), compare_deltas);
	return NULL;
}

struct error *deltas_open(const char *path, struct deltas *ret)
{
	_cleanup_(deltas_close) struct deltas deltas = {.fd = open(path, O_RDONLY | O_CLOEXEC), .path = path};
	uint8_t header[HEADER_SIZE];
	struct error *error;
	struct stat s;

	if (deltas.fd < 0 && errno == ENOENT)
		return error_create(ERROR_NOT_FOUND, "%s: there is none", path);
	if (deltas.fd < 0 || fstat(deltas.fd, &s) < 0)
		return error_system(errno, path, "cannot open");
	error = io_pread(deltas.fd, header, sizeof(header), 0, path);
	if (error)
		return error;
	if (memcmp(header, DELTAS_MAGIC, 8) != 0 || le32_at(header + 8) != DELTAS_VERSION ||
	    le32_at(header + 12) > FILES_MAX || s.st_size < HEADER_SIZE + SHA256_SIZE)
		return error_format(path, 0, "not a file of differences");
	error = check_seal(deltas.fd, (uint64_t)s.st_size - SHA256_SIZE, path);
	if (!error)
		error = read_list(&deltas, (uint64_t)s.st_size - SHA256_SIZE, le32_at(header + 12));
	if (error)
		return error;
	*ret = deltas;
	deltas = (struct deltas){.fd = -1};
	return NULL;
}

const struct delta *deltas_find(const struct deltas *deltas, const struct change *change)
{
	struct delta key = {};
	const struct delta *found;

	if (deltas->n == 0 || !is_worth_it(change))
		return NULL;
	memcpy(key.sha256, change->sha256, SHA256_SIZE);
	memcpy(key.old_sha256, change->before.sha256, SHA256_SIZE);
	found = bsearch(&key, deltas->items, deltas->n, sizeof(key), compare_deltas);
	return found && found->size == change->size ? found : NULL;
}

void deltas_close(struct deltas *deltas)
{
	close_fd(&deltas->fd);
	free(deltas->items);
	*deltas = (struct deltas){.fd = -1};
}
