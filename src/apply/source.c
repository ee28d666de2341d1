/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/source.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "apply/fault.h"
#include "apply/room.h"
#include "bundle/packed.h"

/* What was read is of no more use to a guest of 256 MiB: the cache is told so in steps of this. */
#define DROP_STEP (8 * 1024 * 1024)
#define SILENT_MS (120 * 1000)

/* Of a payload that comes packed. */
struct unpacking {
	struct unpacker *unpacker;
	uint8_t *packed, *bytes; /* PACKED_SIZE_MAX each: a piece, and what comes out of it */
	uint8_t *old;            /* PACKED_OLD_MAX; NULL: not needed so far */
	size_t filled, used;     /* of `bytes` */
};

static void unpacking_destroy(struct unpacking *u)
{
	if (!u)
		return;
	unpacker_destroy(u->unpacker);
	free(u->packed);
	free(u->bytes);
	free(u->old);
	free(u);
}

static struct unpacking *unpacking_create(void)
{
	struct unpacking *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->unpacker = unpacker_create();
	u->packed = malloc(PACKED_SIZE_MAX);
	u->bytes = malloc(PACKED_SIZE_MAX);
	if (u->unpacker && u->packed && u->bytes)
		return u;
	unpacking_destroy(u);
	return NULL;
}

/*
 * A disk is read past the page cache, in which every byte would be put once, to be copied and forgotten: in the guest
 * that costs as much as writing it. Anything that cannot be read so goes through the cache.
 */
static void go_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat s;

	if (flags >= 0 && fstat(fd, &s) == 0 && S_ISBLK(s.st_mode))
		(void)fcntl(fd, F_SETFL, flags | O_DIRECT);
}

/* Some device has larger blocks than ours, or memory it cannot reach: false, if that was not the reason. */
static bool goes_by_cache(int fd, int errnum)
{
	int flags = errnum == EINVAL ? fcntl(fd, F_GETFL) : 0;

	return flags > 0 && (flags & O_DIRECT) && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

/* A sender that is gone may leave a pipe open that nobody writes into; a disk or a file is always ready. */
static bool await_bytes(const struct source *source)
{
	struct pollfd poll_fd = {.fd = source->fd, .events = POLLIN};
	int ready;

	do
		ready = poll(&poll_fd, 1, fault_silent_ms(SILENT_MS));
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		errno = ETIMEDOUT;
	return ready > 0;
}

static ssize_t read_some(const struct source *source, size_t used)
{
	ssize_t n;

	if (!await_bytes(source))
		return -1;
	do
		n = read(source->fd, source->buffer + used, SOURCE_BUFFER_SIZE - used);
	while (n < 0 && (errno == EINTR || goes_by_cache(source->fd, errno)));
	return n;
}

struct error *source_open(const char *path, struct source *ret)
{
	struct source source = {.fd = -1};
	_cleanup_(close_fd) int fd = -1;
	_cleanup_(free_ptr) uint8_t *buffer = NULL;

	fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_system(errno, path, "cannot open the payload");
	/* Not for pipes; no matter. */
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	go_direct(fd);
	buffer = aligned_alloc(PAYLOAD_ALIGNMENT, SOURCE_BUFFER_SIZE);
	source.path = strdup(path);
	if (!buffer || !source.path) {
		free(source.path);
		return error_no_memory();
	}
	source.buffer = take_ptr(buffer);
	source.fd = take_fd(fd);
	*ret = source;
	return NULL;
}

void source_close(struct source *source)
{
	close_fd(&source->fd);
	unpacking_destroy(source->unpacking);
	free(source->buffer);
	free(source->path);
	*source = (struct source){.fd = -1};
}

static struct error *fill(struct source *source)
{
	ssize_t n;

	if (source->read - source->dropped >= DROP_STEP) {
		posix_fadvise(source->fd, source->dropped, source->read - source->dropped, POSIX_FADV_DONTNEED);
		source->dropped = source->read;
	}
	n = read_some(source, 0);
	if (n < 0)
		return error_system(errno, source->path, "cannot read the payload");
	if (n == 0)
		return error_format(source->path, source->position, "the payload ends too early");
	source->filled = n;
	source->used = 0;
	source->read += n;
	return NULL;
}

/* Of what is left of a filled buffer, up to `max` bytes: how many. */
static size_t hand_out(const uint8_t *buffer, size_t filled, size_t *used, uint64_t max, const uint8_t **ret)
{
	size_t n = filled - *used < max ? filled - *used : max;

	*ret = buffer + *used;
	*used += n;
	return n;
}

/* The bytes as they come. */
static struct error *next_raw(struct source *source, uint64_t max, const uint8_t **ret, size_t *ret_size)
{
	struct error *error = source->used == source->filled ? fill(source) : NULL;

	if (!error)
		*ret_size = hand_out(source->buffer, source->filled, &source->used, max, ret);
	return error;
}

static struct error *read_raw(struct source *source, uint8_t *to, size_t size)
{
	while (size) {
		const uint8_t *bytes;
		size_t n;
		struct error *error = next_raw(source, size, &bytes, &n);

		if (error)
			return error;
		memcpy(to, bytes, n);
		to += n;
		size -= n;
	}
	return NULL;
}

static struct error *read_old(struct source *source, const struct packed_piece *piece)
{
	struct unpacking *u = source->unpacking;

	if (!source->old.read)
		return error_format(source->path, source->position, "a difference where no file is known yet");
	if (!u->old)
		u->old = malloc(PACKED_OLD_MAX);
	if (!u->old)
		return error_no_memory();
	return source->old.read(source->old.data, piece->entry, piece->old_offset, u->old, piece->old_size);
}

static struct error *unpack(struct source *source)
{
	struct unpacking *u = source->unpacking;
	uint8_t header[PACKED_PIECE_HEADER_SIZE];
	struct packed_piece piece;
	struct error *error;

	error = read_raw(source, header, sizeof(header));
	if (!error)
		error = packed_parse_piece(header, &piece);
	if (!error)
		error = read_raw(source, u->packed, piece.packed_size);
	if (!error && piece.kind == PACKED_DELTA)
		error = read_old(source, &piece);
	if (!error)
		error = unpacker_run(u->unpacker, &piece, u->packed, u->old, u->bytes);
	if (error)
		return error;
	u->filled = piece.size;
	u->used = 0;
	return NULL;
}

static struct error *next_unpacked(struct source *source, uint64_t max, const uint8_t **ret, size_t *ret_size)
{
	struct unpacking *u = source->unpacking;
	struct error *error = u->used == u->filled ? unpack(source) : NULL;

	if (!error)
		*ret_size = hand_out(u->bytes, u->filled, &u->used, max, ret);
	return error;
}

/* Whether it comes packed is to be seen from its first bytes, which a pipe may give one by one. */
static struct error *detect(struct source *source)
{
	struct error *error;

	while (source->filled < PACKED_HEADER_SIZE) {
		ssize_t n = read_some(source, source->filled);

		if (n < 0)
			return error_system(errno, source->path, "cannot read the payload");
		if (n == 0)
			return error_format(source->path, source->filled, "the payload ends too early");
		source->filled += n;
	}
	source->read = source->filled;
	if (!packed_is(source->buffer))
		return NULL;
	error = packed_parse_header(source->buffer);
	if (error)
		return error;
	source->used = PACKED_HEADER_SIZE;
	source->unpacking = unpacking_create();
	return source->unpacking ? NULL : error_no_memory();
}

struct error *source_next(struct source *source, uint64_t max, const uint8_t **ret, size_t *ret_size)
{
	struct error *error = source->read ? NULL : detect(source);

	if (!error)
		error = source->unpacking ? next_unpacked(source, max, ret, ret_size)
					  : next_raw(source, max, ret, ret_size);
	if (!error)
		source->position += *ret_size;
	return error;
}

struct error *source_skip_to(struct source *source, uint64_t position)
{
	if (position < source->position)
		return error_format(source->path, position, "the payload's content is out of order");
	while (source->position < position) {
		const uint8_t *bytes;
		size_t n;
		struct error *error = source_next(source, position - source->position, &bytes, &n);

		if (error)
			return error;
	}
	return NULL;
}

static struct error *read_exactly(struct source *source, uint8_t *to, size_t size)
{
	while (size) {
		const uint8_t *bytes;
		size_t n;
		struct error *error = source_next(source, size, &bytes, &n);

		if (error)
			return error;
		memcpy(to, bytes, n);
		to += n;
		size -= n;
	}
	return NULL;
}

static struct error *check_hash(const void *bytes, size_t size, const uint8_t sha256[SHA256_SIZE], const char *what)
{
	_cleanup_(sha256_destroy_ptr) struct sha256 *hash = sha256_create();
	uint8_t digest[SHA256_SIZE];

	if (!hash)
		return error_no_memory();
	sha256_update(hash, bytes, size);
	sha256_final(hash, digest);
	if (memcmp(digest, sha256, SHA256_SIZE))
		return error_format("payload", ERROR_NO_ADDRESS, "%s is not the one that was announced", what);
	return NULL;
}

static struct error *check_header(const uint8_t *bytes, const uint8_t sha256[SHA256_SIZE], struct payload_header *ret)
{
	struct error *error = check_hash(bytes, PAYLOAD_HEADER_SIZE, sha256, "the payload's header");

	return error ? error : payload_parse_header(bytes, ret);
}

/* Room for what is parsed, a list of it. */
struct index_more {
	struct index_more *next;
	size_t size, used; /* bytes behind this */
	_Alignas(16) uint8_t bytes[];
};

#define MORE_FIRST (64u << 10)
#define MORE_MOST  (4u << 20)

void index_room_deinit(struct index_room *room)
{
	for (struct index_more *more = room->more, *next; more; more = next) {
		next = more->next;
		room_destroy(more);
	}
	room_destroy(room->bytes);
	*room = (struct index_room){};
}

/* Each twice as large as the one before, so that few are needed for many entries and little for few. */
static struct index_more *make_more(struct index_room *room, size_t at_least)
{
	size_t size = MORE_FIRST;
	struct index_more *more;

	for (more = room->more; more && size < MORE_MOST; more = more->next)
		size *= 2;
	size = size > at_least ? size : at_least;
	more = room_create(room->directory, sizeof(*more) + size);
	if (!more)
		return NULL;
	more->size = size;
	more->next = room->more;
	room->more = more;
	return more;
}

static void *get_memory(void *data, size_t size)
{
	struct index_room *room = data;
	struct index_more *more = room->more;

	size = (size + 15) / 16 * 16;
	if (!more || size > more->size - more->used)
		more = make_more(room, size);
	if (!more)
		return NULL;
	more->used += size;
	return more->bytes + more->used - size;
}

static struct error *make_room(const char *directory, const struct payload_header *header, struct index_room *ret)
{
	size_t size = PAYLOAD_HEADER_SIZE + header->index_size;

	*ret = (struct index_room){.bytes = room_create(directory, size), .index_size = size, .directory = directory};
	return ret->bytes ? NULL : error_no_memory();
}

static struct error *fill_room(struct source *source, const uint8_t first[PAYLOAD_HEADER_SIZE],
			       const struct payload_header *header, struct index_room *room, struct payload *ret)
{
	const struct payload_memory memory = {get_memory, room};
	uint8_t *index = room->bytes + PAYLOAD_HEADER_SIZE;
	struct error *error;

	memcpy(room->bytes, first, PAYLOAD_HEADER_SIZE);
	error = read_exactly(source, index, header->index_size);
	if (!error)
		error = check_hash(index, header->index_size, header->index_sha256, "the payload's index");
	if (error)
		return error;
	error = payload_parse_index(header, index, &memory, ret);
	if (error)
		return error;
	room_seal(room->bytes);
	for (struct index_more *more = room->more; more; more = more->next)
		room_seal(more);
	return NULL;
}

struct error *source_read_index(struct source *source, const uint8_t sha256[SHA256_SIZE], const char *directory,
				struct index_room *ret_room, struct payload *ret)
{
	_cleanup_(index_room_deinit) struct index_room room = {};
	uint8_t first[PAYLOAD_HEADER_SIZE];
	struct payload_header header;
	struct error *error;

	error = read_exactly(source, first, sizeof(first));
	if (!error)
		error = check_header(first, sha256, &header);
	if (!error)
		error = make_room(directory, &header, &room);
	if (!error)
		error = fill_room(source, first, &header, &room, ret);
	if (error)
		return error;
	*ret_room = room;
	room = (struct index_room){};
	return NULL;
}
