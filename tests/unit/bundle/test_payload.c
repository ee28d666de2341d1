/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "bundle/payload.h"
#include "bundle/trailer.h"

/* An index made by hand; every test changes one thing in it. */
struct sample {
	uint8_t kind, flags;
	uint16_t reserved;
	const char *path, *target;
	uint32_t mode, mtime_ns;
	const char *xattrs[3]; /* names */
	uint64_t size, offset, content_size, checksum;
	uint8_t hash; /* the first byte of it */
	uint8_t string_end;
	const struct sample *first; /* an entry that comes before */
	uint8_t exists;
	uint32_t before_mode;
	uint8_t action_kind, phase, queued;
	const char *verb, *unit, *setting;
	uint32_t pid, signal, data_size, argc;
	uint32_t extra, cut; /* bytes after, bytes missing at the end */
	uint32_t n_entries;
};

static const struct sample good = {
	.kind = CHANGE_WRITE,
	.path = "usr/bin/x",
	.target = "",
	.mode = S_IFREG | 04755,
	.mtime_ns = 999999999,
	.xattrs = {"security.capability", "user.x"},
	.size = 5000,
	.content_size = 8192,
	.checksum = 0x123456789abcdef0,
	.hash = 1,
	.exists = 1,
	.before_mode = S_IFREG | 0644,
	.action_kind = ACTION_SYSTEMD,
	.verb = "restart",
	.unit = "nginx.service",
	.setting = "",
	.n_entries = 1,
};

static void pack_string(struct packer *p, const char *text)
{
	pack_le32(p, (uint32_t)strlen(text));
	pack_bytes(p, text, strlen(text) + 1);
}

static void pack_attributes(struct packer *p, uint32_t mode, uint32_t ns, const char *const *xattrs)
{
	uint32_t n = 0;

	while (xattrs[n])
		n++;
	pack_le32(p, mode);
	pack_le32(p, 70000);
	pack_le32(p, 0xfffffffe);
	pack_le64(p, (uint64_t)-5);
	pack_le32(p, ns);
	pack_le32(p, n);
	for (uint32_t i = 0; i < n; i++) {
		pack_string(p, xattrs[i]);
		pack_le32(p, 3);
		pack_bytes(p, "a\0b", 3);
	}
}

static void pack_action(struct packer *p, const struct sample *s)
{
	pack_u8(p, s->action_kind);
	pack_u8(p, s->phase);
	pack_u8(p, s->queued);
	pack_u8(p, 0);
	pack_le32(p, 3);
	pack_le32(p, s->pid);
	pack_le64(p, 0);
	pack_le32(p, s->signal);
	pack_le32(p, 0);
	pack_le64(p, 0);
	pack_string(p, "nginx");
	pack_string(p, "postinst");
	pack_string(p, s->verb);
	pack_string(p, s->unit);
	pack_string(p, s->setting);
	pack_le32(p, s->data_size);
	pack_bytes(p, "0123456789", s->data_size);
	pack_le32(p, s->argc);
	for (uint32_t i = 0; i < s->argc && i < 8; i++)
		pack_string(p, "word");
}

static void pack_entry(struct packer *p, const struct sample *s)
{
	static const char *const none[] = {NULL};
	const uint8_t hash[SHA256_SIZE] = {s->hash, 2, 3};

	pack_u8(p, s->kind);
	pack_u8(p, s->flags);
	pack_le16(p, s->reserved);
	pack_string(p, s->path);
	p->data[p->size - 1] = s->string_end;
	pack_string(p, s->target);
	pack_attributes(p, s->mode, s->mtime_ns, s->xattrs);
	pack_le64(p, s->size);
	pack_le64(p, 0);
	pack_bytes(p, hash, sizeof(hash));
	pack_le64(p, s->offset);
	pack_le64(p, s->checksum);
	pack_u8(p, s->exists);
	if (s->exists) {
		pack_attributes(p, s->before_mode, 0, none);
		pack_le64(p, 77);
		pack_le64(p, 10);
		pack_le32(p, 1);
		pack_le64(p, 88);
		pack_le32(p, 9);
		pack_le64(p, 0);
		pack_bytes(p, hash, sizeof(hash));
		pack_string(p, "");
	}
}

static void pack_sample(struct packer *p, const struct sample *s)
{
	if (s->first)
		pack_entry(p, s->first);
	pack_entry(p, s);
	pack_action(p, s);
}

static uint8_t *last_index;

static struct error *parse(const struct sample *s, struct payload *ret)
{
	uint8_t buffer[16384] = {};
	struct packer p = {.data = buffer};
	struct payload_header header = {.n_entries = s->n_entries, .n_actions = 1, .content_size = s->content_size};
	struct error *error;
	uint8_t *exact;

	pack_sample(&p, s);
	header.index_size = p.size + s->extra - s->cut;
	/* Of the exact size, so that a read beyond it is caught. */
	exact = malloc(header.index_size + 1);
	memcpy(exact, buffer, header.index_size);
	error = payload_parse_index(&header, exact, NULL, ret);
	/* The payload's strings lie in it: it stays until the next one. */
	free(last_index);
	last_index = exact;
	return error;
}

static void test_good(void **state)
{
	struct payload payload;
	const struct change *change;

	assert_ok(parse(&good, &payload));
	change = &payload.entries[0].change;
	assert_string_equal(change->path, "usr/bin/x");
	assert_int_equal(change->attributes.uid, 70000);
	assert_int_equal(change->attributes.gid, 0xfffffffe);
	assert_int_equal(change->attributes.mtime_s, -5);
	assert_int_equal(change->attributes.n_xattrs, 2);
	assert_memory_equal(change->attributes.xattrs[1].value, "a\0b", 3);
	assert_int_equal(change->before.inode, 77);
	assert_int_equal(change->before.ctime_s, 88);
	assert_string_equal(payload.actions.items[0].verb, "restart");
	assert_string_equal(payload.actions.items[0].unit, "nginx.service");
	assert_string_equal(payload.actions.items[0].package, "nginx");
	assert_string_equal(payload.actions.items[0].script, "postinst");
	assert_int_equal(payload.actions.items[0].order, 3);
	payload_deinit(&payload);
}

static void bad(struct sample sample, const char *what)
{
	struct payload payload;
	struct error *error = parse(&sample, &payload);

	if (!error)
		fail_msg("accepted: %s", what);
	assert_int_equal(error->code, ERROR_FORMAT);
	error_destroy(error);
}

/* The good sample with one assignment made. */
#define BAD(assignment)                                                                                                \
	do {                                                                                                           \
		struct sample s = good;                                                                                \
		s.assignment;                                                                                          \
		bad(s, #assignment);                                                                                   \
	} while (0)

static void test_paths(void **state)
{
	static const char *const paths[] = {"", "/etc", "a//b", "a/", ".", "..", "a/../b", "a/.", "./a", "../a", "/"};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		BAD(path = paths[i]);
	assert_true(payload_path_valid("..."));
	assert_true(payload_path_valid("a/..b/.c"));
	assert_true(payload_path_valid("\xff\n"));
}

static void test_long_names(void **state)
{
	char path[5000];

	memset(path, 'a', sizeof(path));
	path[256] = '\0';
	BAD(path = path);
	memset(path, 'a', sizeof(path));
	for (size_t i = 100; i < sizeof(path); i += 100)
		path[i] = '/';
	path[4096] = '\0';
	BAD(path = path);
	path[4999] = '\0';
	BAD(path = path);
}

static void test_kinds_and_modes(void **state)
{
	BAD(kind = 0);
	BAD(kind = CHANGE_DELETE + 1);
	BAD(kind = 255);
	BAD(mode = S_IFDIR | 0755);
	BAD(mode = 0644);
	BAD(mode = S_IFREG | 0644 | 1 << 20);
	BAD(kind = CHANGE_DIRECTORY);
	BAD(kind = CHANGE_SYMLINK);
	BAD(kind = CHANGE_LINK);
	BAD(target = "x");
	BAD(mtime_ns = 1000000000);
	BAD(reserved = 1);
	BAD(flags = PAYLOAD_ENTRY_REWRITTEN);
	BAD(flags = PAYLOAD_ENTRY_SHARED);
	BAD(flags = 8);
	BAD(string_end = 'x');
	BAD(exists = 2);
}

static void test_contents(void **state)
{
	BAD(offset = 4096);
	BAD(offset = 1);
	BAD(size = 8193);
	BAD(size = UINT64_MAX);
	BAD(size = UINT64_MAX - 4095);
	BAD(size = 1);
	BAD(content_size = 4096);
	BAD(content_size = 12288);
	BAD(content_size = 0);
}

/* A second entry with the content of the first. */
static void test_shared(void **state)
{
	struct sample first = good, s = good;
	struct payload payload;

	s.first = &first;
	s.n_entries = 2;
	s.path = "usr/bin/y";
	s.flags = PAYLOAD_ENTRY_SHARED;
	s.content_size = 8192;
	assert_ok(parse(&s, &payload));
	assert_int_equal(payload.entries[1].flags, PAYLOAD_ENTRY_SHARED);
	assert_int_equal(payload.entries[1].carrier, 0);
	assert_int_equal(payload.entries[1].content_offset, 0);
	payload_deinit(&payload);
	s.flags = PAYLOAD_ENTRY_SHARED | PAYLOAD_ENTRY_SPARSE;
	assert_ok(parse(&s, &payload));
	payload_deinit(&payload);
	for (uint64_t i = 1; i; i = i == 3 ? UINT32_MAX : i == UINT32_MAX ? 1ull << 32 : i == 1ull << 32 ? 0 : i + 1) {
		s.offset = i;
		bad(s, "the content of itself or of what is no entry");
	}
	s.offset = 0;
	s.hash = 9;
	bad(s, "another hash");
	s.hash = 1;
	s.size = 5001;
	bad(s, "another size");
	s.size = 5000;
	s.checksum++;
	bad(s, "another checksum");
	s.checksum--;
	s.size = first.size = s.content_size = 0;
	bad(s, "no bytes to share");
	s.size = first.size = 5000;
	s.content_size = 8192;
	s.path = "var/log/x";
	bad(s, "shared by a log");
	s.path = "usr/bin/y";
	first.path = "var/log/x";
	bad(s, "a log's content");
	first = good;
	s.kind = CHANGE_ATTRIBUTES;
	s.checksum = 0;
	bad(s, "shared by what has no content");
	s.checksum = good.checksum;
	s.kind = CHANGE_WRITE;
	first.kind = CHANGE_ATTRIBUTES;
	s.content_size = 0;
	bad(s, "the content of what has none");
	first.kind = CHANGE_WRITE;
	first.flags = PAYLOAD_ENTRY_SHARED;
	bad(s, "the content of one that shares itself");
}

static void test_xattrs(void **state)
{
	BAD(xattrs[0] = "");
	BAD(xattrs[0] = "user.x");
	BAD(xattrs[0] = "user.y");
}

static void test_actions(void **state)
{
	struct sample signal = good, write = good, command = good;
	struct payload payload;

	BAD(action_kind = 0);
	BAD(action_kind = 7);
	BAD(action_kind = 8);
	BAD(phase = 2);
	BAD(queued = 2);
	BAD(queued = 1);
	BAD(verb = "");
	BAD(verb = "--force");
	BAD(setting = "/sys/power/state");
	BAD(data_size = 1);
	BAD(pid = 5);
	BAD(signal = 5);
	/* "word" is no option. */
	BAD(argc = 1);
	BAD(argc = 65535);
	/* What is right of one kind is wrong of another. */
	signal.action_kind = ACTION_SIGNAL;
	signal.verb = signal.unit = "";
	bad(signal, "a signal without a process");
	signal.pid = 300;
	bad(signal, "a signal without a number");
	signal.signal = 65;
	bad(signal, "a signal out of range");
	signal.signal = 1;
	assert_ok(parse(&signal, &payload));
	assert_int_equal(payload.actions.items[0].pid, 300);
	payload_deinit(&payload);
	write.action_kind = ACTION_WRITE;
	write.verb = write.unit = "";
	write.setting = "/sys/../etc/passwd";
	write.data_size = 3;
	bad(write, "a write that leaves /sys");
	write.setting = "/etc/passwd";
	bad(write, "a write elsewhere");
	write.setting = "/sys/module/a/parameters/b";
	assert_ok(parse(&write, &payload));
	assert_int_equal(payload.actions.items[0].size, 3);
	assert_memory_equal(payload.actions.items[0].data, "012", 3);
	payload_deinit(&payload);
	write.action_kind = ACTION_RUNTIME;
	write.setting = "/run/a";
	bad(write, "a file below /run without what it was");
	command.action_kind = ACTION_COMMAND;
	command.verb = command.unit = "";
	bad(command, "a command without a word");
}

static void test_ends(void **state)
{
	BAD(extra = 1);
	BAD(n_entries = 0);
	BAD(n_entries = 2);
	for (uint32_t cut = 1; cut < 200; cut++)
		BAD(cut = cut);
}

static void test_headers(void **state)
{
	uint8_t bytes[PAYLOAD_HEADER_SIZE];
	struct packer p = {.data = bytes};
	struct payload_header header;

	pack_bytes(&p, PAYLOAD_MAGIC, 8);
	pack_le32(&p, PAYLOAD_VERSION);
	pack_le32(&p, 0);
	pack_le64(&p, 4096 - PAYLOAD_HEADER_SIZE + 1);
	pack_le64(&p, 8192);
	pack_le32(&p, 1);
	pack_le32(&p, 1);
	memset(bytes + p.size, 0, sizeof(bytes) - p.size);
	assert_ok(payload_parse_header(bytes, &header));
	assert_int_equal(payload_content_start(&header), 8192);
	/* magic, version, flags, index, content, entries, actions: one byte of each that makes it impossible */
	for (size_t i = 0; i < 48; i++) {
		static const uint8_t fields[] = {0, 7, 8, 11, 12, 20, 23, 24, 31, 33, 38};

		if (!memchr(fields, (int)i, sizeof(fields)))
			continue;
		bytes[i] ^= 0x80;
		assert_error(payload_parse_header(bytes, &header), ERROR_FORMAT);
		bytes[i] ^= 0x80;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_paths),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_kinds_and_modes),
		cmocka_unit_test(test_contents),   cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_shared),     cmocka_unit_test(test_actions),
		cmocka_unit_test(test_ends),       cmocka_unit_test(test_headers),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(last_index);
	return failed;
}
