/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles put together by hand, whose frames and hashes are all right: what they say is not. */
#include "tests/unit/test.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/io.h"
#include "bundle/bundle.h"
#include "bundle/format.h"
#include "bundle/payload.h"
#include "bundle/trailer.h"

static char directory[] = "/tmp/test-hostile.XXXXXX";

static int setup(void **state)
{
	return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	if (chdir("/") < 0)
		return -1;
	error_destroy(io_remove_tree(directory));
	return 0;
}

#define ARCHIVE_MAX (64 << 10)

/* What a bundle is made of; 0 in the sizes stands for what is right. */
struct raw {
	const char *json;
	size_t json_bytes;
	const void *tar;
	size_t tar_bytes;
	uint64_t says_json, says_tar;
	int window_log;
};

static void digest(const void *data, size_t size, uint8_t ret[SHA256_SIZE])
{
	struct sha256 *sha256 = sha256_create();

	sha256_update(sha256, data, size);
	sha256_final(sha256, ret);
	sha256_destroy(sha256);
}

/* As a stream of unknown length, so that the window is what is asked for. */
static size_t compress(const void *data, size_t size, int window_log, void **ret)
{
	size_t bound = ZSTD_compressBound(size) + 64;
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = {data, size, 0};
	ZSTD_outBuffer out = {malloc(bound), bound, 0};

	if (window_log)
		ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log);
	while (in.pos < in.size)
		assert_false(ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_continue)));
	assert_int_equal(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
	ZSTD_freeCCtx(zstd);
	*ret = out.dst;
	return out.pos;
}

static void write_raw(const struct raw *raw)
{
	uint8_t header[BUNDLE_HEADER_FRAME_SIZE], end[BUNDLE_TRAILER_FRAME_SIZE], head[BUNDLE_FRAME_HEAD_SIZE];
	int fd = open("bundle", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct packer p = {.data = head};
	struct bundle_trailer trailer = {.layer_offset = sizeof(header)};
	void *layer, *manifest;

	trailer.layer_size = compress(raw->tar, raw->tar_bytes, raw->window_log, &layer);
	trailer.manifest_size = compress(raw->json, raw->json_bytes, 0, &manifest);
	trailer.manifest_offset = trailer.layer_offset + trailer.layer_size + sizeof(head);
	trailer.json_size = raw->says_json ? raw->says_json : raw->json_bytes;
	trailer.tar_size = raw->says_tar ? raw->says_tar : raw->tar_bytes;
	digest(raw->json, raw->json_bytes, trailer.json_sha256);
	digest(raw->tar, raw->tar_bytes, trailer.tar_sha256);
	header_frame(0, header);
	trailer_frame(&trailer, end);
	pack_le32(&p, BUNDLE_FRAME_MANIFEST);
	pack_le32(&p, (uint32_t)trailer.manifest_size);
	assert_ok(io_write(fd, header, sizeof(header), NULL));
	assert_ok(io_write(fd, layer, trailer.layer_size, NULL));
	assert_ok(io_write(fd, head, sizeof(head), NULL));
	assert_ok(io_write(fd, manifest, trailer.manifest_size, NULL));
	assert_ok(io_write(fd, end, sizeof(end), NULL));
	close(fd);
	free(layer);
	free(manifest);
}

static struct error *verify(void)
{
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct error *error = bundle_open("bundle", &bundle);

	return error ? error : bundle_verify(bundle);
}

static void assert_refused(const struct raw *raw, const char *what)
{
	struct error *error;

	write_raw(raw);
	error = verify();
	if (!error)
		fail_msg("accepted: %.200s", what);
	if (error->code != ERROR_FORMAT)
		fail_msg("%.200s: %s", what, error->message);
	error_destroy(error);
}

#define JSON_HEAD "{\"format\":\"ouassister-bundle\",\"version\":2,\"info\":{},\"changes\":["
#define JSON_TAIL "],\"actions\":[]}"

static const char no_tar[1024];

static struct raw raw_of(const char *json)
{
	return (struct raw){.json = json, .json_bytes = strlen(json), .tar = no_tar, .tar_bytes = sizeof(no_tar)};
}

/* proc(5): a member of /proc/self/status that is in kB; as bytes. */
static uint64_t status_of(const char *member)
{
	_cleanup_(free_ptr) char *text = NULL;
	char *found;

	assert_ok(io_read_file("/proc/self/status", 1 << 16, &text, NULL));
	found = strstr(text, member);
	assert_non_null(found);
	return strtoull(found + strlen(member), NULL, 10) << 10;
}

/* Verifies it with memory for no more than `max` bytes beside what there is. */
static void assert_refused_within(uint64_t max, const char *what)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	struct error *error;
	uint64_t before;

#ifdef __SANITIZE_ADDRESS__
	/* What was freed is kept for a while, and there is a shadow of everything. */
	max *= 4;
#endif
	/* proc(5): the peak begins anew. */
	assert_int_equal(write(fd, "5", 1), 1);
	close(fd);
	before = status_of("VmRSS:");
	error = verify();
	if (!error)
		fail_msg("accepted: %s", what);
	assert_int_equal(error->code, ERROR_FORMAT);
	error_destroy(error);
	if (status_of("VmHWM:") - before > max)
		fail_msg("%s: took %llu bytes", what, (unsigned long long)(status_of("VmHWM:") - before));
}

static void test_what_is_right(void **state)
{
	struct raw raw = raw_of(JSON_HEAD JSON_TAIL);

	write_raw(&raw);
	assert_ok(verify());
}

static void test_sizes(void **state)
{
	struct raw raw = raw_of(JSON_HEAD JSON_TAIL);
	static const uint64_t sizes[] = {1, BUNDLE_JSON_MAX, BUNDLE_JSON_MAX + 1ull, UINT32_MAX, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		raw.says_json = sizes[i];
		assert_refused(&raw, "a manifest of another length");
		raw.says_json = 0;
		raw.says_tar = sizes[i];
		assert_refused(&raw, "an archive of another length");
		raw.says_tar = 0;
	}
}

/* Kilobytes that unpack to much: not for longer, nor with more memory, than what was declared. */
static void test_bombs(void **state)
{
	size_t size = 200u << 20;
	char *zeros = calloc(1, size);
	struct raw raw = raw_of(JSON_HEAD JSON_TAIL);

	raw.tar = zeros;
	raw.tar_bytes = size;
	raw.says_tar = sizeof(no_tar);
	write_raw(&raw);
	assert_refused_within(16 << 20, "an archive that is longer than it says");
	raw = raw_of(JSON_HEAD JSON_TAIL);
	memset(zeros, ' ', size);
	raw.json = zeros;
	raw.json_bytes = size;
	raw.says_json = 100;
	write_raw(&raw);
	free(zeros);
	assert_refused_within(16 << 20, "a manifest that is longer than it says");
	raw = raw_of(JSON_HEAD JSON_TAIL);
	raw.window_log = BUNDLE_WINDOW_LOG_MAX + 1;
	assert_refused(&raw, "a window that takes much memory");
	raw.window_log = BUNDLE_WINDOW_LOG_MAX;
	write_raw(&raw);
	assert_ok(verify());
}

/* JSON whose values are short: it is refused by their number, not when memory has run out. */
static void test_many_values(void **state)
{
	size_t n = BUNDLE_VALUES_MAX / 2 + 1;
	char *text = malloc(n * 3 + 300), *end = stpcpy(text, JSON_HEAD);
	struct raw raw;

	for (size_t i = 0; i < n; i++)
		end = stpcpy(end, "[],");
	strcpy(end, "[]" JSON_TAIL);
	raw = raw_of(text);
	write_raw(&raw);
	/* The text itself, and what it is read from. */
	assert_refused_within(40 << 20, "very many values");
	end = text;
	for (size_t i = 0; i < 1000000; i++)
		*end++ = '[';
	*end = '\0';
	raw = raw_of(text);
	assert_refused(&raw, "very deep values");
	free(text);
}

/* Of one change, every member of which is all right but what the argument says in their place. */
static char *change_json(const char *kind, const char *path, const char *more, uint32_t mode)
{
	return string_format(JSON_HEAD "{\"kind\":\"%s\",\"path\":\"%s\",\"layer\":0,\"mode\":%u,\"uid\":0,\"gid\":0,"
				       "\"mtime\":[0,0],\"xattrs\":[]%s}" JSON_TAIL,
			     kind, path, mode, more);
}

#define A64  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A256 A64 A64 A64 A64
#define D1040                                                                                                          \
	"/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64 "/" A64        \
	"/" A64 "/" A64 "/" A64
#define EMPTY_SUM ",\"size\":0,\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""

static void test_changes(void **state)
{
	static const struct {
		const char *kind, *path, *more;
		uint32_t mode;
	} bad[] = {
		{"write", "../x", EMPTY_SUM, S_IFREG},
		{"write", "/x", EMPTY_SUM, S_IFREG},
		{"write", "a/../x", EMPTY_SUM, S_IFREG},
		{"write", "a//x", EMPTY_SUM, S_IFREG},
		{"write", ".", EMPTY_SUM, S_IFREG},
		{"write", "", EMPTY_SUM, S_IFREG},
		{"write", "a\\u0000b", EMPTY_SUM, S_IFREG},
		{"write", A256, EMPTY_SUM, S_IFREG},
		{"write", "a" D1040 D1040 D1040 D1040, EMPTY_SUM, S_IFREG},
		{"write", "x", EMPTY_SUM, S_IFBLK},
		{"write", "x", EMPTY_SUM, S_IFREG | 1 << 20},
		{"write", "x", "", S_IFREG},
		{"link", "x", ",\"target\":\"/etc/shadow\"", S_IFREG},
		{"link", "x", ",\"target\":\"../y\"", S_IFREG},
		{"link", "x", ",\"target\":\"\"", S_IFREG},
		{"link", "x", ",\"target\":\"y\"", S_IFDIR},
		{"symlink", "x", ",\"target\":\"\"", S_IFLNK},
		{"symlink", "x", ",\"target\":\"" D1040 D1040 D1040 D1040 "\"", S_IFLNK},
		{"device", "x", "", S_IFREG},
		{"unknown", "x", "", S_IFREG},
		{"delete", "", "", S_IFDIR},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(free_ptr) char *json = change_json(bad[i].kind, bad[i].path, bad[i].more, bad[i].mode);
		struct raw raw = raw_of(json);

		assert_refused(&raw, json);
	}
}

/* Files of names and targets that the manifest does not have. */
static size_t make_tar(char *tar, const char *name, const char *link)
{
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	size_t used = 0;

	memset(tar, 0, ARCHIVE_MAX);
	assert_int_equal(archive_write_set_format_pax(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_open_memory(archive, tar, ARCHIVE_MAX, &used), ARCHIVE_OK);
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	if (link)
		archive_entry_set_hardlink(entry, link);
	archive_entry_set_mtime(entry, 0, 0);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	archive_entry_free(entry);
	assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
	return used;
}

static void test_archives(void **state)
{
	static const struct {
		const char *name, *link;
	} bad[] = {{"../x", NULL}, {"/x", NULL}, {"y", NULL}, {"x/../y", NULL}, {"x", "/etc/shadow"}, {"x", "../y"}};
	_cleanup_(free_ptr) char *json = change_json("write", "x", EMPTY_SUM, S_IFREG);
	_cleanup_(free_ptr) char *tar = malloc(ARCHIVE_MAX);
	struct raw raw = raw_of(json);

	raw.tar = tar;
	raw.tar_bytes = make_tar(tar, "x", NULL);
	write_raw(&raw);
	assert_ok(verify());
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		raw.tar_bytes = make_tar(tar, bad[i].name, bad[i].link);
		assert_refused(&raw, bad[i].name);
	}
	/* And one the manifest has nothing of. */
	raw = raw_of(JSON_HEAD JSON_TAIL);
	raw.tar = tar;
	raw.tar_bytes = make_tar(tar, "x", NULL);
	assert_refused(&raw, "an entry too many");
}

/* A file of a petabyte, as holes: refused before the first byte of the payload is written. */
static void test_payload_without_room(void **state)
{
	_cleanup_(free_ptr) char *json =
		change_json("write", "x",
			    ",\"size\":1125899906842624,\"sha256\":"
			    "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
			    S_IFREG);
	_cleanup_(bundle_close_ptr) struct bundle *bundle = NULL;
	struct raw raw = raw_of(json);
	uint8_t sha256[SHA256_SIZE];
	struct error *error;
	uint64_t size;

	write_raw(&raw);
	assert_ok(bundle_open("bundle", &bundle));
	error = bundle_write_payload(bundle, &bundle_manifest(bundle)->actions, "payload", sha256, &size);
	assert_non_null(error);
	assert_int_equal(error->errnum, ENOSPC);
	error_destroy(error);
	assert_int_equal(access("payload", F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_right),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_archives),
		cmocka_unit_test(test_payload_without_room),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
