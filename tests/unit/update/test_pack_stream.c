/* SPDX-License-Identifier: Apache-2.0 */
/* What a channel reads is the payload, packed; a reader that goes away, and a payload that is none. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sha256.h"
#include "bundle/bundle.h"
#include "bundle/payload.h"
#include "update/pack_stream.h"

/* Numbers of a header, little-endian. */
static void put(uint8_t *at, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* A payload of one file of `size` random bytes; the path of it, in a directory of its own. */
static char *make_payload(uint32_t size)
{
	static const char name[] = "file";
	char directory[] = "/tmp/pack-stream-XXXXXX";
	size_t content = ((size_t)size + 4095) / 4096 * 4096, total = 4096 + content;
	uint8_t *bytes = calloc(1, total), *index = bytes + PAYLOAD_HEADER_SIZE, *p = index;
	char *path;

	assert_non_null(bytes);
	assert_non_null(mkdtemp(directory));
	path = string_format("%s/payload", directory);
	/* kind, flags, path, target, mode and the rest of the attributes, size, rdev, hash, content, checksum, nothing
	 * before */
	p[0] = CHANGE_WRITE;
	put(p + 4, strlen(name), 4);
	memcpy(p + 8, name, sizeof(name));
	p += 8 + sizeof(name) + 5;
	put(p, 0100644, 4);
	p += 28;
	put(p, size, 8);
	p += 8 + 8 + SHA256_SIZE + 8 + 8 + 1;
	memcpy(bytes, PAYLOAD_MAGIC, 8);
	put(bytes + 8, PAYLOAD_VERSION, 4);
	put(bytes + 16, (uint64_t)(p - index), 8);
	put(bytes + 24, content, 8);
	put(bytes + 32, 1, 4);
	for (uint32_t i = 0, x = 1; i < size; i++)
		bytes[4096 + i] = (uint8_t)((x = x * 1103515245 + 12345) >> 16);
	assert_ok(io_replace_file(path, bytes, total, 0600));
	free(bytes);
	return path;
}

static void remove_payload(char *path)
{
	*strrchr(path, '/') = '\0';
	assert_ok(io_remove_tree(path));
	free(path);
}

static void gives_the_packed_payload(void **state)
{
	char *path = make_payload(3000000);
	_cleanup_(free_ptr) char *packed_path = string_format("%s.packed", path);
	_cleanup_(free_ptr) char *expected = NULL;
	_cleanup_(free_ptr) char *found = NULL;
	_cleanup_(close_fd) int out = open(packed_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t expected_size, size;
	struct pack_stream stream;
	int fd;

	assert_ok(payload_pack(path, NULL, out, NULL));
	assert_ok(io_read_file(packed_path, 1 << 24, &expected, &expected_size));
	assert_ok(pack_stream_open(&stream, path, &fd));
	assert_ok(io_read_all(fd, 1 << 24, "pipe", &found, &size));
	close(fd);
	assert_ok(pack_stream_close(&stream));
	assert_int_equal(size, expected_size);
	assert_memory_equal(found, expected, size);
	assert_int_equal(stream.totals.packed_size, size);
	remove_payload(path);
}

/* Of two chained updates each has its own. */
static void takes_the_differences_of_its_payload(void **state)
{
	static const char *const names[][2] = {{PAYLOAD_NAME, DELTAS_NAME}, {PAYLOAD_LATE_NAME, DELTAS_LATE_NAME}};
	char *path = make_payload(1000);
	_cleanup_(free_ptr) char *directory = strndup(path, (size_t)(strrchr(path, '/') - path));

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(free_ptr) char *payload = string_format("%s/%s", directory, names[i][0]);
		_cleanup_(free_ptr) char *expected = string_format("%s/%s", directory, names[i][1]);
		struct pack_stream stream;
		int fd;

		assert_int_equal(rename(path, payload), 0);
		assert_ok(pack_stream_open(&stream, payload, &fd));
		assert_string_equal(stream.deltas_path, expected);
		close(fd);
		assert_ok(pack_stream_close(&stream));
		assert_int_equal(rename(payload, path), 0);
	}
	remove_payload(path);
}

static void ends_when_its_reader_does(void **state)
{
	char *path = make_payload(9000000);
	struct pack_stream stream;
	char byte;
	int fd;

	/* After a byte, and at once. */
	for (unsigned n = 0; n < 2; n++) {
		assert_ok(pack_stream_open(&stream, path, &fd));
		assert_int_equal(read(fd, &byte, n), n);
		close(fd);
		assert_ok(pack_stream_close(&stream));
	}
	remove_payload(path);
}

static void says_what_is_wrong_with_the_payload(void **state)
{
	char *path = make_payload(1000);
	struct pack_stream stream = {};
	char byte;
	int fd;

	/* Never opened: nothing to close. */
	assert_ok(pack_stream_close(&stream));
	assert_int_equal(truncate(path, 4096), 0);
	assert_ok(pack_stream_open(&stream, path, &fd));
	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
	assert_error(pack_stream_close(&stream), ERROR_FORMAT);
	unlink(path);
	assert_ok(pack_stream_open(&stream, path, &fd));
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	assert_error(pack_stream_close(&stream), ERROR_SYSTEM);
	remove_payload(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_packed_payload),
		cmocka_unit_test(takes_the_differences_of_its_payload),
		cmocka_unit_test(ends_when_its_reader_does),
		cmocka_unit_test(says_what_is_wrong_with_the_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
