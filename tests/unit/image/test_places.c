/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose memory lies where something else says: qcow2's tables, a layout, state.json, LiME's headers. */
#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/image/made.h"

static struct error *open_with(const void *data, size_t size, const char *layout, const char *snapshot,
			       struct image **ret)
{
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	const struct image_options options = {.layout = layout, .snapshot = snapshot};
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return image_open(path, &options, ret);
}

static uint8_t byte_at(struct image *image, uint64_t address)
{
	uint8_t byte = 0;

	assert_ok(image_read(image, (struct gpa){address}, &byte, 1));
	return byte;
}

/* ---- qcow2 snapshots ---- */

#define CLUSTER   512u
#define DISK_SIZE (100u << 10) /* the memory begins at 128 KiB, or 112: an L2 table covers 32, or 16 if extended */
#define FILE_SIZE (64u << 10)

enum kind {
	SCATTERED, /* clusters in reverse order */
	DEFLATE,   /* compressed */
	ZSTD,      /* likewise */
	EXTENDED,  /* L2 entries of 16 bytes, with a bitmap of subclusters */
};

struct disk {
	uint8_t bytes[FILE_SIZE];
	size_t end; /* of what is used */
};

static void set32(struct disk *d, size_t offset, uint32_t value)
{
	value = htobe32(value);
	memcpy(d->bytes + offset, &value, sizeof(value));
}

static void set64(struct disk *d, size_t offset, uint64_t value)
{
	value = htobe64(value);
	memcpy(d->bytes + offset, &value, sizeof(value));
}

/* A whole stream of one page of `fill`, the lower half of which is zeros. */
static void put_stream(struct made *m, uint8_t fill)
{
	put_be32(m, 0x5145564d);
	put_be32(m, 3);
	put_u8(m, 1);
	put_be32(m, 2);
	put_name(m, "ram");
	put_be32(m, 0);
	put_be32(m, 4);
	put_be64(m, 4096 | 0x04);
	put_name(m, "pc.ram");
	put_be64(m, 4096);
	put_be64(m, 0x08);
	put_name(m, "pc.ram");
	put_fill(m, 0, 2048);
	put_fill(m, fill, 2048);
	put_be64(m, 0x10);
	put_u8(m, 3);
	put_be32(m, 2);
	put_be64(m, 0x10);
	put_u8(m, 0);
	put_u8(m, 6);
	put_be32(m, 2);
	put(m, "{}", 2);
}

static size_t compress_cluster(enum kind kind, const uint8_t *cluster, uint8_t *out, size_t room)
{
	z_stream z = {.next_in = (uint8_t *)cluster, .avail_in = CLUSTER, .next_out = out, .avail_out = (unsigned)room};

	if (kind == ZSTD)
		return ZSTD_compress(out, room, cluster, CLUSTER, 3);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -12, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

/* An extended entry: subclusters of zeros are marked so, or are not there at all; their bytes in the file are rubbish.
 */
static void put_extended(struct disk *d, size_t entry, const uint8_t *cluster)
{
	const size_t size = CLUSTER / 32;
	uint64_t bitmap = 0;

	for (unsigned i = 0; i < 32; i++) {
		bool zero = cluster[i * size] == 0 && memcmp(cluster + i * size, cluster + i * size + 1, size - 1) == 0;

		memset(d->bytes + d->end + i * size, 0xee, size);
		if (!zero)
			memcpy(d->bytes + d->end + i * size, cluster + i * size, size);
		if (zero && i % 2)
			bitmap |= UINT64_C(1) << (32 + i);
		else if (!zero)
			bitmap |= UINT64_C(1) << i;
	}
	set64(d, entry, UINT64_C(1) << 63 | d->end);
	set64(d, entry + 8, bitmap);
	d->end += CLUSTER;
}

/* The memory's L2 table is at `table`; its clusters follow at d->end. */
static void put_clusters(struct disk *d, const struct made *stream, enum kind kind, size_t table)
{
	size_t n = (stream->size + CLUSTER - 1) / CLUSTER;

	for (size_t i = 0; i < n; i++) {
		uint8_t cluster[CLUSTER] = {0}, packed[2 * CLUSTER];
		size_t left = stream->size - i * CLUSTER, size, offset;

		memcpy(cluster, stream->data + i * CLUSTER, left < CLUSTER ? left : CLUSTER);
		if (kind == EXTENDED) {
			put_extended(d, table + 16 * i, cluster);
			continue;
		}
		/* A cluster of zeros is not in the file at all, or is marked as zeros. */
		if (cluster[0] == 0 && memcmp(cluster, cluster + 1, CLUSTER - 1) == 0) {
			set64(d, table + 8 * i, i % 2);
			continue;
		}
		if (kind == SCATTERED) {
			offset = d->end + (n - 1 - i) * CLUSTER;
			memcpy(d->bytes + offset, cluster, CLUSTER);
			set64(d, table + 8 * i, UINT64_C(1) << 63 | offset);
			continue;
		}
		size = compress_cluster(kind, cluster, packed, sizeof(packed));
		memcpy(d->bytes + d->end, packed, size);
		/* further sectors above bit 61 - (9 - 8) */
		set64(d, table + 8 * i,
		      UINT64_C(1) << 62 | (uint64_t)((d->end + size - 1) / 512 - d->end / 512) << 61 | d->end);
		d->end += size;
	}
	if (kind == SCATTERED)
		d->end += n * CLUSTER;
	d->end = (d->end + CLUSTER - 1) / CLUSTER * CLUSTER;
}

/* Adds a snapshot to the table at 512; its L1 table is at 1024 + 512 * its number. */
static void put_snapshot(struct disk *d, unsigned number, const char *id, const char *name, const struct made *stream,
			 enum kind kind)
{
	size_t entry = 512 + number * 64, l1 = 1024 + number * CLUSTER, table = d->end;

	assert_true(strlen(id) + strlen(name) <= 8);
	set64(d, entry, l1);
	set32(d, entry + 8, kind == EXTENDED ? 8 : 5);
	d->bytes[entry + 13] = (uint8_t)strlen(id);
	d->bytes[entry + 15] = (uint8_t)strlen(name);
	set32(d, entry + 36, 16);
	set64(d, entry + 40, stream ? stream->size : 0);
	set64(d, entry + 48, DISK_SIZE);
	memcpy(d->bytes + entry + 56, id, strlen(id));
	memcpy(d->bytes + entry + 56 + strlen(id), name, strlen(name));
	set32(d, 60, number + 1);
	if (!stream)
		return;
	d->end += CLUSTER;
	set64(d, l1 + 8 * (kind == EXTENDED ? 7 : 4), UINT64_C(1) << 63 | table);
	put_clusters(d, stream, kind, table);
}

static struct disk *disk_create(enum kind kind)
{
	struct disk *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	set32(d, 0, 0x514649fb);
	set32(d, 4, 3);
	set32(d, 20, 9);
	set64(d, 24, DISK_SIZE);
	set32(d, 36, 4);
	set64(d, 40, 1024);
	set64(d, 64, 512);
	set32(d, 100, kind == ZSTD ? 112 : 104);
	if (kind == EXTENDED)
		set64(d, 72, 16);
	if (kind == ZSTD) {
		set64(d, 72, 8);
		d->bytes[104] = 1;
	}
	d->end = 4096;
	return d;
}

static struct error *open_disk(const struct disk *d, const char *snapshot, struct image **ret)
{
	return open_with(d->bytes, d->end, NULL, snapshot, ret);
}

static void snapshot(void **state)
{
	for (enum kind kind = SCATTERED; kind <= EXTENDED; kind++) {
		_cleanup_(free_ptr) struct disk *d = disk_create(kind);
		_cleanup_(made_deinit) struct made stream = {0};
		_cleanup_(image_close_ptr) struct image *image = NULL;

		put_stream(&stream, 0x42);
		put_snapshot(d, 0, "1", "without", NULL, kind);
		put_snapshot(d, 1, "2", "one", &stream, kind);
		assert_ok(open_disk(d, NULL, &image));
		assert_string_equal(image_format(image), "qcow2-snapshot");
		assert_int_equal(image_ram_size(image), 4096);
		assert_int_equal(byte_at(image, 0), 0);
		assert_int_equal(byte_at(image, 2047), 0);
		assert_int_equal(byte_at(image, 2048), 0x42);
		assert_int_equal(byte_at(image, 4095), 0x42);
	}
}

static void several_snapshots(void **state)
{
	static const struct {
		const char *wanted;
		uint8_t fill;
		enum error_code code;
	} cases[] = {
		{"one", 0x11, 0},
		{"2", 0x11, 0},
		{"two", 0x22, 0},
		{"3", 0x22, 0},
		{NULL, 0, ERROR_USAGE},
		{"x", 0, ERROR_NOT_FOUND},
		{"without", 0, ERROR_NOT_FOUND},
	};
	_cleanup_(free_ptr) struct disk *d = disk_create(SCATTERED);
	_cleanup_(made_deinit) struct made one = {0};
	_cleanup_(made_deinit) struct made two = {0};

	put_stream(&one, 0x11);
	put_stream(&two, 0x22);
	put_snapshot(d, 0, "1", "without", NULL, SCATTERED);
	put_snapshot(d, 1, "2", "one", &one, SCATTERED);
	put_snapshot(d, 2, "3", "two", &two, SCATTERED);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(image_close_ptr) struct image *image = NULL;

		if (cases[i].code) {
			assert_error(open_disk(d, cases[i].wanted, &image), cases[i].code);
			continue;
		}
		assert_ok(open_disk(d, cases[i].wanted, &image));
		assert_int_equal(byte_at(image, 4095), cases[i].fill);
	}
}

static void no_snapshot_with_memory(void **state)
{
	_cleanup_(free_ptr) struct disk *d = disk_create(SCATTERED);
	struct image *image = NULL;

	assert_error(open_disk(d, NULL, &image), ERROR_FORMAT);
	put_snapshot(d, 0, "1", "without", NULL, SCATTERED);
	assert_error(open_disk(d, NULL, &image), ERROR_FORMAT);
}

static void hostile_disks(void **state)
{
	/* offsets as put_snapshot() and put_clusters() lay them out */
	static const struct {
		size_t offset;
		uint64_t value;
		enum error_code code;
	} cases[] = {
		{512, UINT64_MAX - 511, ERROR_FORMAT},              /* L1 table behind the end */
		{512 + 40, UINT64_MAX / 2, ERROR_FORMAT},           /* memory larger than the L1 table covers */
		{512 + 40, UINT64_MAX, ERROR_FORMAT},               /* of impossible size */
		{512 + 48, UINT64_MAX, ERROR_FORMAT},               /* a disk of impossible size */
		{512 + 48, UINT64_C(1) << 50, ERROR_FORMAT},        /* memory behind the L1 table */
		{1024 + 32, UINT64_C(1) << 40, ERROR_FORMAT},       /* an L2 table behind the end */
		{4096, UINT64_C(1) << 40, ERROR_FORMAT},            /* a cluster behind the end */
		{4096, UINT64_C(1) << 62 | 1u << 30, ERROR_FORMAT}, /* a compressed one */
		{4096, UINT64_C(1) << 62 | 4096, ERROR_FORMAT},     /* a compressed one that is none */
		{4096, 0, ERROR_FORMAT},                            /* no stream begins here */
		{64, UINT64_MAX, ERROR_FORMAT},                     /* the table of snapshots */
		{60, UINT64_MAX, ERROR_FORMAT},                     /* the number of snapshots, and where they are */
		{32, UINT64_C(1) << 32, ERROR_UNSUPPORTED},         /* encrypted */
		{72, 4, ERROR_UNSUPPORTED},                         /* an external data file */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(free_ptr) struct disk *d = disk_create(SCATTERED);
		_cleanup_(made_deinit) struct made stream = {0};
		struct image *image = NULL;
		struct error *error;

		put_stream(&stream, 0x42);
		put_snapshot(d, 0, "1", "one", &stream, SCATTERED);
		set64(d, cases[i].offset, cases[i].value);
		error = open_disk(d, NULL, &image);
		if (!error || error->code != cases[i].code)
			fail_msg("case %zu: %s", i, error ? error->message : "opened");
		error_destroy(error);
	}
}

static void truncated_disk(void **state)
{
	_cleanup_(free_ptr) struct disk *d = disk_create(SCATTERED);
	_cleanup_(made_deinit) struct made stream = {0};

	put_stream(&stream, 0x42);
	put_snapshot(d, 0, "1", "one", &stream, SCATTERED);
	for (size_t size = 4; size < d->end - CLUSTER; size++) {
		struct image *image = NULL;

		assert_error(open_with(d->bytes, size, NULL, NULL, &image), ERROR_FORMAT);
	}
}

/* ---- Raw ---- */

/* Three pages: 1, 2, 3. */
static void put_pages(struct made *m)
{
	for (uint8_t i = 1; i <= 3; i++)
		put_fill(m, i, 4096);
}

static void layouts(void **state)
{
	static const struct {
		const char *layout;
		uint64_t address;
		uint8_t byte;
	} cases[] = {
		{"0-0x3000", 0, 1},          {"0-12K", 0x2fff, 3},        {"0+3000", 0, 0}, /* not whole pages */
		{"0+0x3000", 0x1000, 2},     {"0x3000+4096", 0x3fff, 1},  {"4G+0x1000@8K", UINT64_C(0x100000000), 3},
		{"0+4k,1m+8k", 0x101000, 3}, {"1M+8K@4096,0+4K@0", 0, 1}, {"1M+8K@4096,0+4K@0", 0x100000, 2},
		{"firecracker", 0x2fff, 3},
	};
	_cleanup_(made_deinit) struct made m = {0};

	put_pages(&m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(image_close_ptr) struct image *image = NULL;
		struct error *error = open_with(m.data, m.size, cases[i].layout, NULL, &image);

		if (cases[i].byte == 0) {
			assert_error(error, ERROR_USAGE);
			continue;
		}
		assert_ok(error);
		assert_string_equal(image_format(image), "raw");
		assert_int_equal(byte_at(image, cases[i].address), cases[i].byte);
	}
}

static void bad_layouts(void **state)
{
	static const char *const cases[] = {
		"",
		"0",
		"0-",
		"0+",
		"-4096",
		"+4096",
		"0-4096@",
		"0-4096,",
		",0-4096",
		"0-4096;4096-8192",
		"0x-0x1000",
		"0-0x1000 ",
		"4096-0",
		"0-0",
		"0-0xfff",
		"1-4097",
		"0-0x4000",
		"0-0x1000@0x3000",
		"0-0x1000@0xfffffffffffff000",
		"0-99999999999999999999",
		"0+99999999999G",
		"0+4096T",
		"0xfffffffffffff000-0",
		"firecrackers",
	};
	_cleanup_(made_deinit) struct made m = {0};

	put_pages(&m);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *image = NULL;
		struct error *error = open_with(m.data, m.size, cases[i], NULL, &image);

		if (!error || error->code != ERROR_USAGE)
			fail_msg("'%s': %s", cases[i], error ? error->message : "taken");
		assert_non_null(error->remedy);
		error_destroy(error);
	}
}

static void overlapping_pieces(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;

	put_pages(&m);
	assert_error(open_with(m.data, m.size, "0+8K,4K+4K", NULL, &image), ERROR_FORMAT);
}

static void options_that_do_not_fit(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(made_deinit) struct made stream = {0};
	struct image *image = NULL;
	struct error *error;

	put_pages(&m);
	error = open_with(m.data, m.size, NULL, NULL, &image);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FORMAT);
	assert_non_null(strstr(error->remedy, "--layout"));
	error_destroy(error);
	assert_error(open_with(m.data, m.size, "0+4K", "one", &image), ERROR_USAGE);
	put_stream(&stream, 1);
	assert_error(open_with(stream.data, stream.size, "0+4K", NULL, &image), ERROR_USAGE);
	assert_error(open_with(stream.data, stream.size, NULL, "one", &image), ERROR_USAGE);
}

/* Sparse: only its size and its first MiB count. */
static void firecracker_gap(void **state)
{
	const struct image_options options = {.layout = "firecracker"};
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	uint64_t low = UINT64_C(0xd0000000) - 0x100000, high = UINT64_C(0xc0000000);
	uint8_t boot[4096] = {[0x1e8] = 1, [0x202] = 'H', 'd', 'r', 'S'};
	struct image *image = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(ftruncate(fd, INT64_C(4) << 30), 0);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)high), 1);
	assert_ok(image_open(path, &options, &image));
	assert_int_equal(byte_at(image, UINT64_C(4) << 30), 'x');
	assert_error(image_read(image, (struct gpa){high}, boot, 1), ERROR_NOT_FOUND);
	image_close(image);
	/* The kernel was told of memory up to 0xd0000000: an older version. */
	memcpy(boot + 0x2d0, &(uint64_t){0x100000}, 8);
	memcpy(boot + 0x2d8, &low, 8);
	boot[0x2e0] = 1;
	assert_int_equal(pwrite(fd, boot, sizeof(boot), 0x7000), sizeof(boot));
	assert_ok(image_open(path, &options, &image));
	assert_int_equal(byte_at(image, high), 'x');
	assert_error(image_read(image, (struct gpa){UINT64_C(0xd0000000)}, boot, 1), ERROR_NOT_FOUND);
	image_close(image);
}

/* ---- Cloud Hypervisor ---- */

static void write_file(const char *directory, const char *name, const void *data, size_t size)
{
	char path[256];
	_cleanup_(close_fd) int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
}

static void cloud_hypervisor(void **state)
{
	static const struct {
		const char *text;
		enum error_code code; /* 0: it opens */
	} states[] = {
		{"{\"snapshots\":{\"memory-manager\":{\"snapshot_data\":{\"state\":"
		 "\"{\\\"memory_ranges\\\":{\\\"data\\\":[{\\\"gpa\\\":0,\\\"length\\\":4096},"
		 "{\\\"gpa\\\":4294967296,\\\"length\\\":8192}]}}\"}}}}",
		 0},
		{"{\"memory_ranges\":{\"data\":[{\"gpa\":0,\"length\":4096},{\"gpa\":4294967296,\"length\":8192}]}}",
		 0},
		{"{\"memory_ranges\":{\"data\":[]}}", ERROR_FORMAT},
		{"{\"memory_ranges\":{\"data\":[{\"gpa\":0}]}}", ERROR_FORMAT},
		{"{\"memory_ranges\":{\"data\":[{\"gpa\":0,\"length\":16384}]}}", ERROR_USAGE},
		{"{\"snapshots\":{}}", ERROR_FORMAT},
		{"memory_ranges", ERROR_FORMAT},
	};
	_cleanup_(made_deinit) struct made m = {0};
	char directory[] = "/tmp/test-places-XXXXXX", path[256];
	struct image *image = NULL;

	put_pages(&m);
	assert_non_null(mkdtemp(directory));
	write_file(directory, "memory-ranges", m.data, m.size);
	assert_error(image_open(directory, NULL, &image), ERROR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		write_file(directory, "state.json", states[i].text, strlen(states[i].text));
		if (states[i].code) {
			assert_error(image_open(directory, NULL, &image), states[i].code);
			continue;
		}
		assert_ok(image_open(directory, NULL, &image));
		assert_int_equal(byte_at(image, UINT64_C(4) << 30), 2);
		image_close(image);
	}
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "state.json" : "memory-ranges");
		unlink(path);
	}
	rmdir(directory);
}

/* ---- LiME ---- */

static void put_range(struct made *m, uint32_t version, uint64_t first, uint64_t last)
{
	put(m, "EMiL", 4);
	put_le32(m, version);
	put(m, &first, 8);
	put(m, &last, 8);
	put_fill(m, 0, 8);
}

static void lime(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;

	put_range(&m, 1, 0x1000, 0x1fff);
	put_fill(&m, 7, 4096);
	put_range(&m, 1, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 99);
	put_fill(&m, 8, 100);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "lime");
	assert_int_equal(byte_at(image, 0x1fff), 7);
	assert_int_equal(byte_at(image, (UINT64_C(1) << 32) + 99), 8);
	/* A cut between the ranges cannot be seen. */
	assert_cuts_refused(&m, 32 + 4096);
}

static void lime_hostile(void **state)
{
	static const struct {
		uint32_t version;
		uint64_t first, last;
		enum error_code code;
	} cases[] = {
		{2, 0, 4095, ERROR_UNSUPPORTED},
		{1, 4096, 0, ERROR_FORMAT},
		{1, 0, UINT64_MAX, ERROR_FORMAT},
		{1, UINT64_MAX - 5, UINT64_MAX, ERROR_FORMAT},
		{1, 0, 5000, ERROR_FORMAT},
		{1, 0, 100, ERROR_FORMAT}, /* the next range does not begin behind it */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		put_range(&m, cases[i].version, cases[i].first, cases[i].last);
		put_fill(&m, 0, 4096);
		assert_error(open_made(&m, &image), cases[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot),
		cmocka_unit_test(several_snapshots),
		cmocka_unit_test(no_snapshot_with_memory),
		cmocka_unit_test(hostile_disks),
		cmocka_unit_test(truncated_disk),
		cmocka_unit_test(layouts),
		cmocka_unit_test(bad_layouts),
		cmocka_unit_test(overlapping_pieces),
		cmocka_unit_test(options_that_do_not_fit),
		cmocka_unit_test(firecracker_gap),
		cmocka_unit_test(cloud_hypervisor),
		cmocka_unit_test(lime),
		cmocka_unit_test(lime_hostile),
	};

	return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
