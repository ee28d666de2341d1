/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <bzlib.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/progress.h"

/* `xz -9` takes 65 MiB to unpack; what needs more was not made by any preset. */
#define XZ_MEMORY_MAX       (UINT64_C(96) << 20)

/* A window of 128 MiB, the most that `zstd -d` takes without being asked to. */
#define ZSTD_WINDOW_LOG_MAX 27

/*
 * Input without any output. No program writes that: the largest block of all methods, lzop's, takes 64 MiB. But a
 * file of a few KiB with a hole behind them can be hours of empty blocks.
 */
#define BARREN_MAX          (UINT64_C(80) << 20)

struct error *unpack_error(const struct unpack *u, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_remedy(
		error_format(u->file->path, u->position - (u->in_end - u->in_start), "%s data: %s", u->name, text),
		"The memory image is damaged: suspend the VM again, or copy it again");
}

/* *ret: whether the buffer holds something; it does not at the end of the file. */
static struct error *fill(struct unpack *u, bool *ret)
{
	uint64_t left = u->file->size - u->position;
	size_t n = left < UNPACK_BUFFER_SIZE ? left : UNPACK_BUFFER_SIZE;
	struct error *error;

	*ret = true;
	if (u->in_start < u->in_end)
		return NULL;
	*ret = n > 0;
	error = image_file_read(u->file, u->in, n, u->position);
	if (error)
		return error;
	u->position += n;
	progress_update(u->position - u->start, u->file->size - u->start);
	u->in_start = 0;
	u->in_end = n;
	return NULL;
}

static struct error *check_yield(struct unpack *u)
{
	if (u->spool.size != u->yield_size) {
		u->yield_size = u->spool.size;
		u->yield_position = u->position;
	}
	if (u->position - u->yield_position > BARREN_MAX)
		return unpack_error(u, "%llu MiB of it unpack to nothing", (unsigned long long)BARREN_MAX >> 20);
	return NULL;
}

struct error *unpack_fill(struct unpack *u)
{
	bool filled = false;
	struct error *error = check_yield(u);

	if (!error)
		error = fill(u, &filled);
	if (error)
		return error;
	return filled ? NULL
		      : unpack_error(u, "the file ends at byte %llu, inside of it", (unsigned long long)u->file->size);
}

struct error *unpack_read(struct unpack *u, void *buffer, size_t size)
{
	uint8_t *out = buffer;

	while (size > 0) {
		struct error *error = unpack_fill(u);
		size_t n = u->in_end - u->in_start < size ? u->in_end - u->in_start : size;

		if (error)
			return error;
		memcpy(out, u->in + u->in_start, n);
		u->in_start += n;
		out += n;
		size -= n;
	}
	return NULL;
}

static void inflate_end(z_stream *z)
{
	inflateEnd(z);
}

static struct error *unpack_gzip(struct unpack *u)
{
	_cleanup_(inflate_end) z_stream z = {0};
	int status = inflateInit2(&z, 15 + 16); /* the largest window; gzip's header and checksum */

	if (status != Z_OK)
		return error_no_memory();
	while (status != Z_STREAM_END) {
		struct error *error = unpack_fill(u);

		if (error)
			return error;
		z.next_in = u->in + u->in_start;
		z.avail_in = (unsigned)(u->in_end - u->in_start);
		z.next_out = u->out;
		z.avail_out = UNPACK_BUFFER_SIZE;
		status = inflate(&z, Z_NO_FLUSH);
		u->in_start = u->in_end - z.avail_in;
		if (status != Z_OK && status != Z_STREAM_END)
			return unpack_error(u, "%s", z.msg ? z.msg : "it is malformed");
		error = spool_write(&u->spool, u->out, UNPACK_BUFFER_SIZE - z.avail_out);
		if (error)
			return error;
	}
	return NULL;
}

static void bzip2_end(bz_stream *bz)
{
	BZ2_bzDecompressEnd(bz);
}

static struct error *unpack_bzip2(struct unpack *u)
{
	_cleanup_(bzip2_end) bz_stream bz = {0};
	int status = BZ2_bzDecompressInit(&bz, 0, 0);

	if (status != BZ_OK)
		return error_no_memory();
	while (status != BZ_STREAM_END) {
		struct error *error = unpack_fill(u);

		if (error)
			return error;
		bz.next_in = (char *)u->in + u->in_start;
		bz.avail_in = (unsigned)(u->in_end - u->in_start);
		bz.next_out = (char *)u->out;
		bz.avail_out = UNPACK_BUFFER_SIZE;
		status = BZ2_bzDecompress(&bz);
		u->in_start = u->in_end - bz.avail_in;
		if (status == BZ_MEM_ERROR)
			return error_no_memory();
		if (status != BZ_OK && status != BZ_STREAM_END)
			return unpack_error(u, "it is malformed (%d)", status);
		error = spool_write(&u->spool, u->out, UNPACK_BUFFER_SIZE - bz.avail_out);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *xz_failed(const struct unpack *u, lzma_stream *xz, lzma_ret status)
{
	if (status == LZMA_MEM_ERROR)
		return error_no_memory();
	if (status == LZMA_MEMLIMIT_ERROR)
		return error_recode(unpack_error(u, "%llu MiB would be needed to unpack it",
						 (unsigned long long)(lzma_memusage(xz) >> 20)),
				    ERROR_UNSUPPORTED);
	return unpack_error(u, "it is malformed (%d)", (int)status);
}

static struct error *unpack_xz(struct unpack *u)
{
	_cleanup_(lzma_end) lzma_stream xz = LZMA_STREAM_INIT;
	lzma_ret status = lzma_stream_decoder(&xz, XZ_MEMORY_MAX, LZMA_TELL_UNSUPPORTED_CHECK);

	if (status != LZMA_OK)
		return error_no_memory();
	while (status != LZMA_STREAM_END) {
		struct error *error = unpack_fill(u);

		if (error)
			return error;
		xz.next_in = u->in + u->in_start;
		xz.avail_in = u->in_end - u->in_start;
		xz.next_out = u->out;
		xz.avail_out = UNPACK_BUFFER_SIZE;
		status = lzma_code(&xz, LZMA_RUN);
		u->in_start = u->in_end - xz.avail_in;
		if (status != LZMA_OK && status != LZMA_STREAM_END)
			return xz_failed(u, &xz, status);
		error = spool_write(&u->spool, u->out, UNPACK_BUFFER_SIZE - xz.avail_out);
		if (error)
			return error;
	}
	return NULL;
}

static void free_zstd(ZSTD_DCtx **context)
{
	ZSTD_freeDCtx(*context);
}

static struct error *unpack_zstd(struct unpack *u)
{
	_cleanup_(free_zstd) ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t status = 1;

	if (!context || ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX)))
		return error_no_memory();
	while (status != 0) {
		ZSTD_outBuffer out = {.dst = u->out, .size = UNPACK_BUFFER_SIZE};
		struct error *error = unpack_fill(u);
		ZSTD_inBuffer in = {.src = u->in + u->in_start, .size = u->in_end - u->in_start};

		if (error)
			return error;
		status = ZSTD_decompressStream(context, &out, &in);
		u->in_start += in.pos;
		if (ZSTD_isError(status))
			return unpack_error(u, "%s", ZSTD_getErrorName(status));
		error = spool_write(&u->spool, u->out, out.pos);
		if (error)
			return error;
	}
	return NULL;
}

static const struct unpack_method methods[] = {
	{"gzip", {0x1f, 0x8b}, 2, unpack_gzip},
	{"bzip2", {'B', 'Z', 'h'}, 3, unpack_bzip2},
	{"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
	{"lzop", {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'}, 9, unpack_lzop},
	{"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
};

const struct unpack_method *unpack_detect(const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (size >= methods[i].magic_size && memcmp(head, methods[i].magic, methods[i].magic_size) == 0)
			return &methods[i];
	}
	return NULL;
}

const struct unpack_method *unpack_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	}
	return NULL;
}

/* How many of the bytes come before the first that is not zero. */
static size_t count_zeros(const uint8_t *bytes, size_t size)
{
	size_t n = 0;

	/* A file may end in gigabytes of them. */
	if (bytes_are_zero(bytes, size))
		return size;
	while (n < size && bytes[n] == 0)
		n++;
	return n;
}

/* Passes over zeros after a member: programs pad what goes to tape or past the page cache. */
static struct error *skip_padding(struct unpack *u, bool *ended)
{
	for (;;) {
		bool filled = false;
		struct error *error = fill(u, &filled);

		*ended = !filled;
		if (error || !filled)
			return error;
		u->in_start += count_zeros(u->in + u->in_start, u->in_end - u->in_start);
		if (u->in_start < u->in_end)
			return NULL;
	}
}

/* One member after the other: several gzip files in one are one gzip file. */
static struct error *unpack_members(struct unpack *u, const struct unpack_method *method)
{
	bool ended = false;

	while (!ended) {
		struct error *error = unpack_fill(u);

		if (!error && u->in[u->in_start] != method->magic[0])
			error = unpack_error(u, "none begins here (there is a byte of 0x%02x)", u->in[u->in_start]);
		if (!error)
			error = method->member(u);
		if (!error)
			error = skip_padding(u, &ended);
		if (error)
			return error;
	}
	return NULL;
}

static void unpack_deinit(struct unpack *u)
{
	spool_deinit(&u->spool);
	free(u->in);
	free(u->out);
}

struct error *unpack_file(struct image_file *file, uint64_t offset, const struct unpack_method *method,
			  struct error *(*inspect)(const void *data, const uint8_t *head, size_t size),
			  const void *data)
{
	_cleanup_(unpack_deinit) struct unpack u = {
		.file = file,
		.name = method->name,
		.position = offset < file->size ? offset : file->size,
		.in = malloc(UNPACK_BUFFER_SIZE),
		.out = malloc(UNPACK_BUFFER_SIZE),
		.spool.fd = -1,
	};
	struct error *error;

	if (!u.in || !u.out)
		return error_no_memory();
	error = spool_init(&u.spool, file->size - u.position);
	if (error)
		return error;
	u.spool.inspect = inspect;
	u.spool.inspect_data = data;
	u.start = u.yield_position = u.position;
	progress_step("unpack", "unpacking the memory image");
	(void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	error = unpack_members(&u, method);
	return error ? error : spool_finish(&u.spool, file);
}
