/* SPDX-License-Identifier: Apache-2.0 */
/* A payload that comes packed (bundle/packed.h), whole, cut, altered, and with differences to what the guest has. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/packed.h"
#include "dump.h"
#include "fixture.h"

#define PLAIN_PAYLOAD FIXTURE_SPACE "/plain"
#define OLD_SIZE      3000000

/* Replaces the payload by the packed form of it; returns that. */
static char *pack(const struct builder *b, size_t *ret_size)
{
	_cleanup_(close_fd) int fd = open(FIXTURE_PAYLOAD, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *packed;

	assert_ok(io_replace_file(PLAIN_PAYLOAD, b->bytes, b->size, 0600));
	assert_ok(payload_pack(PLAIN_PAYLOAD, NULL, fd, NULL));
	assert_ok(io_read_file(FIXTURE_PAYLOAD, 1 << 24, &packed, ret_size));
	return packed;
}

static void prepare(struct builder *b)
{
	fixture_copy();
	builder_init(b, FIXTURE_ROOT);
	fixture_every_kind(b);
	builder_write(b, NULL);
}

/* The first half easy to compress, the other not. */
static char *make_content(size_t size)
{
	char *bytes = malloc(size + 1);
	uint64_t random = 88172645463325252ull;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		bytes[i] = i < size / 2 ? "some text "[i % 10] : (char)random;
	}
	return bytes;
}

/* Unpacks all of `packed`; the pieces' number. */
static unsigned unpack(const uint8_t *packed, size_t size, char *to, size_t to_size)
{
	_cleanup_(unpacker_destroy_ptr) struct unpacker *unpacker = unpacker_create();
	size_t at = PACKED_HEADER_SIZE, out = 0;
	unsigned n = 0;

	assert_non_null(unpacker);
	assert_ok(packed_parse_header(packed));
	for (; at < size; n++) {
		struct packed_piece piece;

		assert_true(size - at > PACKED_PIECE_HEADER_SIZE);
		assert_ok(packed_parse_piece(packed + at, &piece));
		at += PACKED_PIECE_HEADER_SIZE;
		assert_true(piece.packed_size <= size - at && piece.size <= to_size - out);
		assert_ok(unpacker_run(unpacker, &piece, packed + at, NULL, (uint8_t *)to + out));
		at += piece.packed_size;
		out += piece.size;
	}
	assert_int_equal(out, to_size);
	return n;
}

static void reads_back(void **state)
{
	static const size_t sizes[] = {0, 1, PACKED_SIZE_MAX - 8192, PACKED_SIZE_MAX, PACKED_SIZE_MAX + 1, 9000000};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *content = make_content(sizes[i]);
		_cleanup_(free_ptr) char *packed = NULL;
		_cleanup_(free_ptr) char *back = NULL;
		size_t size;

		builder_init(&b, FIXTURE_BASE);
		builder_content(builder_add(&b, CHANGE_WRITE, "etc/new", S_IFREG | 0644), content, sizes[i]);
		builder_write(&b, NULL);
		packed = pack(&b, &size);
		back = malloc(b.size);
		unpack((uint8_t *)packed, size, back, b.size);
		assert_memory_equal(b.bytes, back, b.size);
		assert_true(sizes[i] < 4096 || size < sizes[i] * 3 / 4);
	}
}

static void says_that_the_reader_went_away(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	struct error *error;
	int fds[2];

	need_root();
	prepare(&b);
	assert_ok(io_replace_file(PLAIN_PAYLOAD, b.bytes, b.size, 0600));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	signal(SIGPIPE, SIG_IGN);
	error = payload_pack(PLAIN_PAYLOAD, NULL, fds[1], NULL);
	assert_non_null(error);
	assert_int_equal(error->errnum, EPIPE);
	error_destroy(error);
	close(fds[1]);
}

static void assert_applied(const char *after)
{
	assert_int_equal(helper(0, NULL, "forget", NULL), 0);
	shell("touch -d @1600000000.5 %s/var/lib", FIXTURE_ROOT);
	assert_tree(FIXTURE_ROOT, after);
}

static void applies_from_a_file(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *after = NULL;
	_cleanup_(free_ptr) char *packed = NULL;
	size_t size;

	need_root();
	prepare(&b);
	after = fixture_expected(&b);
	packed = pack(&b, &size);
	assert_true(size < b.size / 2);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	assert_applied(after);
}

/* A pipe that gives one byte, and then the rest, and then its end late. */
static void applies_from_a_pipe(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *after = NULL;
	_cleanup_(free_ptr) char *packed = NULL;
	_cleanup_(close_fd) int in = -1;
	size_t size;
	pid_t pid;

	need_root();
	prepare(&b);
	after = fixture_expected(&b);
	packed = pack(&b, &size);
	pid = helper_start(&b, &in);
	assert_ok(io_write(in, packed, 1, NULL));
	usleep(100000);
	assert_ok(io_write(in, packed + 1, size - 1, NULL));
	assert_int_equal(helper_wait(pid), 0);
	assert_applied(after);
}

static void refuses_what_is_cut_or_altered(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *before = NULL;
	_cleanup_(free_ptr) char *packed = NULL;
	size_t size;

	need_root();
	prepare(&b);
	before = dump_tree(FIXTURE_ROOT);
	packed = pack(&b, &size);
	for (size_t cut = 0; cut < size; cut += size / 23) {
		assert_ok(io_replace_file(FIXTURE_PAYLOAD, packed, cut, 0600));
		assert_int_equal(helper(0, NULL, "apply", &b), 1);
		assert_result("failed");
		assert_tree(FIXTURE_ROOT, before);
	}
	for (size_t at = 0; at < size; at += size / 41) {
		packed[at] ^= 1;
		assert_ok(io_replace_file(FIXTURE_PAYLOAD, packed, size, 0600));
		packed[at] ^= 1;
		/* A bit of the padding, or one that zstd does not need. */
		if (helper(0, NULL, "apply", &b) == 0)
			assert_int_equal(helper(0, NULL, "rollback", NULL), 4);
		assert_tree(FIXTURE_ROOT, before);
	}
}

/* --- differences --- */

static void put_piece(FILE *f, const struct packed_piece *piece, const void *bytes)
{
	uint8_t header[PACKED_PIECE_HEADER_SIZE] = {(uint8_t)piece->kind};

	memcpy(header + 4, &piece->size, 4);
	memcpy(header + 8, &piece->packed_size, 4);
	memcpy(header + 12, &piece->entry, 4);
	memcpy(header + 16, &piece->old_offset, 8);
	memcpy(header + 24, &piece->old_size, 4);
	fwrite(header, sizeof(header), 1, f);
	fwrite(bytes, piece->packed_size, 1, f);
}

/* What of `delta` is not 0 stands for what is right. `plain`: the difference is where the index should be. */
static void write_difference(const struct builder *b, const char *old, const struct packed_piece *delta, bool in_index)
{
	_cleanup_(free_ptr) char *frame = malloc(ZSTD_compressBound(OLD_SIZE));
	FILE *f = fopen(FIXTURE_PAYLOAD, "w");
	const uint32_t numbers[2] = {PACKED_VERSION, 0};
	struct packed_piece index = {.kind = PACKED_STORED, .size = (uint32_t)b->content_start};
	struct packed_piece piece = {.kind = PACKED_DELTA,
				     .size = OLD_SIZE,
				     .entry = delta->entry,
				     .old_offset = delta->old_offset,
				     .old_size = OLD_SIZE};
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	index.packed_size = index.size;
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 24);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_enableLongDistanceMatching, 1);
	ZSTD_CCtx_refPrefix(zstd, old, OLD_SIZE);
	piece.packed_size = (uint32_t)ZSTD_compress2(zstd, frame, ZSTD_compressBound(OLD_SIZE),
						     b->bytes + b->content_start, OLD_SIZE);
	ZSTD_freeCCtx(zstd);
	/* Random bytes, and all of them are in the old file. */
	assert_true(piece.packed_size < 10000);
	fwrite(PACKED_MAGIC, 8, 1, f);
	fwrite(numbers, sizeof(numbers), 1, f);
	if (!in_index)
		put_piece(f, &index, b->bytes);
	put_piece(f, &piece, frame);
	/* The padding, and another content. */
	index.size = index.packed_size = (uint32_t)(b->size - b->content_start - OLD_SIZE);
	put_piece(f, &index, b->bytes + b->content_start + OLD_SIZE);
	assert_int_equal(fclose(f), 0);
}

/* Entry 0 is a file of which a few bytes change, entry 1 is new, entry 2 changes another file's mode. */
static char *prepare_difference(struct builder *b)
{
	_cleanup_(free_ptr) char *new = malloc(OLD_SIZE);
	char *old;
	size_t size;

	fixture_copy();
	shell("head -c %d /dev/urandom > %s/usr/lib/large", OLD_SIZE, FIXTURE_ROOT);
	assert_ok(io_read_file(FIXTURE_ROOT "/usr/lib/large", OLD_SIZE, &old, &size));
	memcpy(new, old + 1000, OLD_SIZE - 1000);
	memcpy(new + OLD_SIZE - 1000, "and then something else, ", 25);
	memcpy(new + OLD_SIZE - 975, old, 975);
	builder_init(b, FIXTURE_ROOT);
	builder_content(builder_add(b, CHANGE_WRITE, "usr/lib/large", S_IFREG | 0644), new, OLD_SIZE);
	builder_content(builder_add(b, CHANGE_WRITE, "etc/new", S_IFREG | 0644), "new", 3);
	builder_add(b, CHANGE_ATTRIBUTES, "etc/kept", S_IFREG | 0600);
	builder_write(b, NULL);
	return old;
}

static void applies_a_difference(void **state)
{
	_cleanup_(builder_deinit) struct builder b;
	_cleanup_(free_ptr) char *old = NULL;

	need_root();
	old = prepare_difference(&b);
	write_difference(&b, old, &(struct packed_piece){}, false);
	assert_int_equal(helper(0, NULL, "apply", &b), 0);
	shell("cd " FIXTURE_ROOT "; [ $(stat -c %%s usr/lib/large) = %d ] && [ $(cat etc/new) = new ]", OLD_SIZE);
}

static void refuses_differences_to_something_else(void **state)
{
	static const struct {
		struct packed_piece piece;
		bool in_index;
		const char *before; /* what the guest does to its file */
		const char *result;
	} bad[] = {
		{{.entry = 1}, false, ":", "failed"},
		{{.entry = 2}, false, ":", "failed"},
		{{.entry = 3}, false, ":", "failed"},
		{{.entry = UINT32_MAX}, false, ":", "failed"},
		{{.old_offset = 1}, false, ":", "conflict"},
		{{.old_offset = INT64_MAX}, false, ":", "failed"},
		{{}, true, ":", "failed"},
		{{}, false, "printf x >> usr/lib/large", "conflict"},
	};

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(builder_deinit) struct builder b;
		_cleanup_(free_ptr) char *old = NULL;
		_cleanup_(free_ptr) char *before = NULL;

		old = prepare_difference(&b);
		shell("cd %s; %s", FIXTURE_ROOT, bad[i].before);
		before = dump_tree(FIXTURE_ROOT);
		write_difference(&b, old, &bad[i].piece, bad[i].in_index);
		assert_int_not_equal(helper(0, NULL, "apply", &b), 0);
		assert_result(bad[i].result);
		assert_int_equal(access(FIXTURE_ROOT "/.ouassister", F_OK), -1);
		assert_tree(FIXTURE_ROOT, before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_back),
		cmocka_unit_test(says_that_the_reader_went_away),
		cmocka_unit_test(applies_from_a_file),
		cmocka_unit_test(applies_from_a_pipe),
		cmocka_unit_test(refuses_what_is_cut_or_altered),
		cmocka_unit_test(applies_a_difference),
		cmocka_unit_test(refuses_differences_to_something_else),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
