/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <sys/stat.h>

#include "tests/unit/image/made.h"

/* ---- ELF ---- */

static void put_elf(struct made *m, const Elf64_Phdr *segments, uint16_t n)
{
	Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(header),
		.e_phentsize = sizeof(*segments),
		.e_phnum = n,
	};

	put(m, &header, sizeof(header));
	put(m, segments, n * sizeof(*segments));
}

static void put_core(struct made *m)
{
	const Elf64_Phdr segments[] = {
		{.p_type = PT_NOTE, .p_offset = 0, .p_filesz = 16},
		{.p_type = PT_LOAD, .p_paddr = UINT64_C(1) << 32, .p_offset = 512, .p_filesz = 256},
		{.p_type = PT_LOAD, .p_paddr = 0x100, .p_offset = 256, .p_filesz = 256},
	};

	put_elf(m, segments, 3);
	put_fill(m, 0, 256 - m->size);
	put_fill(m, 0xaa, 256);
	put_fill(m, 0xbb, 256);
}

static void elf_core(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	uint8_t bytes[256];
	struct image_range range;

	put_core(&m);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "elf-core");
	assert_int_equal(image_ram_size(image), 512);
	assert_ok(image_read(image, (struct gpa){0x100}, bytes, 256));
	assert_int_equal(bytes[255], 0xaa);
	assert_error(image_read(image, (struct gpa){0x101}, bytes, 256), ERROR_NOT_FOUND);
	assert_error(image_read(image, (struct gpa){0xff}, bytes, 1), ERROR_NOT_FOUND);
	assert_ok(image_read(image, (struct gpa){UINT64_C(1) << 32}, bytes, 1));
	assert_int_equal(bytes[0], 0xbb);
	range = image_next_range(image, (struct gpa){0x200});
	assert_int_equal(range.start.v, UINT64_C(1) << 32);
}

static void elf_cut_at_every_byte(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};

	put_core(&m);
	for (size_t size = 0; size < m.size; size++) {
		struct image *image = NULL;

		assert_error(open_bytes(m.data, size, &image), ERROR_FORMAT);
	}
}

static void elf_hostile(void **state)
{
	static const Elf64_Phdr segments[] = {
		{.p_type = PT_LOAD, .p_paddr = UINT64_MAX - 3, .p_offset = 100, .p_filesz = 16},
		{.p_type = PT_LOAD, .p_paddr = 0, .p_offset = UINT64_MAX, .p_filesz = 16},
		{.p_type = PT_LOAD, .p_paddr = 0, .p_offset = 100, .p_filesz = UINT64_MAX},
		{.p_type = PT_LOAD, .p_paddr = 0, .p_offset = 0, .p_filesz = 16},
		{.p_type = PT_NOTE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(segments); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		put_elf(&m, &segments[i], 1);
		put_fill(&m, 0, 256);
		assert_error(open_made(&m, &image), ERROR_FORMAT);
	}
}

/* Dumped by virtual address: some pages are there several times, and some runs of them overlap. */
static void elf_paging(void **state)
{
	static const Elf64_Phdr segments[] = {
		{.p_type = PT_NOTE},
		{.p_type = PT_LOAD, .p_vaddr = 1, .p_paddr = 0x3000, .p_offset = 0x1000, .p_filesz = 0x2000},
		{.p_type = PT_NOTE},
		{.p_type = PT_LOAD, .p_vaddr = 2, .p_paddr = 0x1000, .p_offset = 0x3000, .p_filesz = 0x3000},
		{.p_type = PT_LOAD, .p_vaddr = 3, .p_paddr = 0x2000, .p_offset = 0x6000, .p_filesz = 0x1000},
		{.p_type = PT_LOAD, .p_vaddr = 4, .p_paddr = 0x5000, .p_offset = 0x7000, .p_filesz = 0x1000},
	};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	uint8_t bytes[0x5000];

	put_elf(&m, segments, ARRAY_SIZE(segments));
	put_fill(&m, 0, 0x1000 - m.size);
	put_fill(&m, 0x33, 0x1000);
	put_fill(&m, 0x44, 0x1000);
	put_fill(&m, 0x11, 0x1000);
	put_fill(&m, 0x22, 0x1000);
	put_fill(&m, 0x33, 0x1000);
	put_fill(&m, 0x22, 0x1000);
	put_fill(&m, 0x55, 0x1000);
	assert_ok(open_made(&m, &image));
	assert_int_equal(image_ram_size(image), 0x5000);
	assert_ok(image_read(image, (struct gpa){0x1000}, bytes, sizeof(bytes)));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(bytes[0x1000 * i], 0x11 * (i + 1));
}

/* A small file that claims much memory: the same bytes again and again, also with a hole that makes it seem large. */
static void elf_shared_bytes(void **state)
{
	static const Elf64_Phdr segments[] = {
		{.p_type = PT_LOAD, .p_paddr = 0, .p_offset = 0x1000, .p_filesz = 0x2000},
		{.p_type = PT_LOAD, .p_paddr = 0x10000, .p_offset = 0x1000, .p_filesz = 0x2000},
		{.p_type = PT_LOAD, .p_paddr = 0x20000, .p_offset = 0x2000, .p_filesz = 0x1000},
	};
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;

	put_elf(&m, segments, ARRAY_SIZE(segments));
	put_fill(&m, 0, 0x3000 - m.size);
	assert_error(open_made(&m, &image), ERROR_FORMAT);
	put_fill(&m, 0, 0x100000);
	assert_error(open_made(&m, &image), ERROR_FORMAT);
}

/* A core of a TiB that has two pages. */
static void elf_sparse(void **state)
{
	static const uint64_t size = UINT64_C(1) << 40, at[] = {0x5000, UINT64_C(1) << 39};
	const Elf64_Phdr segment = {.p_type = PT_LOAD, .p_paddr = 0, .p_offset = 0x1000, .p_filesz = size};
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	_cleanup_(close_fd) int fd = memfd_create("image", MFD_CLOEXEC);
	struct image_range range = {0};
	uint64_t total = 0;
	char path[64];

	put_elf(&m, &segment, 1);
	assert_int_equal(ftruncate(fd, (off_t)(0x1000 + size)), 0);
	assert_int_equal(write(fd, m.data, m.size), (ssize_t)m.size);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		assert_int_equal(pwrite(fd, "x", 1, (off_t)(0x1000 + at[i])), 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_ok(image_open(path, NULL, &image));
	assert_int_equal(image_ram_size(image), size);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		range = image_next_data(image, (struct gpa){range.start.v + range.size});
		assert_true(range.start.v <= at[i] && at[i] < range.start.v + range.size);
		total += range.size;
	}
	assert_true(total <= UINT64_C(8) << 20); /* huge pages of memfd at most */
	assert_int_equal(image_next_data(image, (struct gpa){range.start.v + range.size}).size, 0);
}

/* More program headers than the header can count: their number is in the first section header. */
static void elf_many_segments(void **state)
{
	const uint32_t n = 70000;
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	struct image *none = NULL;
	Elf64_Shdr section = {.sh_info = n};
	uint64_t first = sizeof(Elf64_Ehdr) + sizeof(section) + n * sizeof(Elf64_Phdr);
	_cleanup_(free_ptr) Elf64_Phdr *segments = calloc(n, sizeof(*segments));
	_cleanup_(free_ptr) uint8_t *content = calloc(n, 1);
	uint8_t byte;
	Elf64_Ehdr *header;

	assert_true(segments && content);
	put_elf(&m, segments, 0);
	put(&m, &section, sizeof(section));
	for (uint32_t i = 0; i < n; i++) {
		/* every second page of the guest, so that no two are one piece */
		segments[i] = (Elf64_Phdr){
			.p_type = PT_LOAD, .p_paddr = i * 2ull * 4096, .p_offset = first + i, .p_filesz = 1};
		content[i] = (uint8_t)i;
	}
	put(&m, segments, n * sizeof(*segments));
	put(&m, content, n);
	header = (Elf64_Ehdr *)m.data;
	header->e_phnum = PN_XNUM;
	header->e_shoff = sizeof(*header);
	header->e_phoff = sizeof(*header) + sizeof(section);
	assert_error(open_made(&m, &none), ERROR_FORMAT); /* no size of section headers */
	header->e_shentsize = sizeof(section);
	assert_ok(open_made(&m, &image));
	assert_int_equal(image_ram_size(image), n);
	assert_ok(image_read(image, (struct gpa){69999 * 2ull * 4096}, &byte, 1));
	assert_int_equal(byte, 69999 & 0xff);
	section.sh_info = UINT32_MAX;
	memcpy(m.data + sizeof(*header), &section, sizeof(section));
	assert_error(open_made(&m, &none), ERROR_FORMAT);
}

static void elf_program(void **state)
{
	static const Elf64_Phdr segments[] = {
		{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_offset = 300, .p_filesz = 16},
		{.p_type = PT_LOAD, .p_vaddr = 0x9000, .p_offset = 320, .p_filesz = 16},
	};
	_cleanup_(made_deinit) struct made m = {0};
	struct image *image = NULL;

	put_elf(&m, segments, 2);
	put_fill(&m, 0, 300);
	assert_error(open_made(&m, &image), ERROR_FORMAT);

	assert_error(image_open("/proc/self/exe", NULL, &image), ERROR_FORMAT);
}

static void compressed_dumps(void **state)
{
	struct image *image = NULL;

	assert_error(open_bytes("KDUMP   \6\0\0\0", 12, &image), ERROR_UNSUPPORTED);
	assert_error(open_bytes("makedumpfile\0\0\0\0\0\0\0\1", 20, &image), ERROR_UNSUPPORTED);
}

/* ---- libvirt ---- */

static void put_save(struct made *m, uint32_t version, uint32_t data_size, uint32_t format)
{
	put(m, "LibvirtQemudSave", 16);
	put_le32(m, version);
	put_le32(m, data_size);
	put_le32(m, 1);
	put_le32(m, format);
	put_fill(m, 0, 60);
	put(m, "<domain/>", 9);
}

static void libvirt_save(void **state)
{
	_cleanup_(made_deinit) struct made m = {0};
	_cleanup_(image_close_ptr) struct image *image = NULL;
	uint8_t byte;

	put_save(&m, 2, 9, 0);
	put_be32(&m, 0x5145564d);
	put_be32(&m, 3);
	put_u8(&m, 1);
	put_be32(&m, 2);
	put_name(&m, "ram");
	put_be32(&m, 0);
	put_be32(&m, 4);
	put_be64(&m, 4096 | 0x04);
	put_name(&m, "pc.ram");
	put_be64(&m, 4096);
	put_be64(&m, 0x08);
	put_name(&m, "pc.ram");
	put_fill(&m, 0x42, 4096);
	put_be64(&m, 0x10);
	put_u8(&m, 3);
	put_be32(&m, 2);
	put_be64(&m, 0x10);
	put_u8(&m, 0);
	put_u8(&m, 6);
	put_be32(&m, 2);
	put(&m, "{}", 2);
	assert_ok(open_made(&m, &image));
	assert_string_equal(image_format(image), "libvirt-save");
	assert_ok(image_read(image, (struct gpa){4095}, &byte, 1));
	assert_int_equal(byte, 0x42);
}

static void libvirt_refused(void **state)
{
	static const struct {
		uint32_t version, data_size, format;
		enum error_code code;
	} cases[] = {
		{2, 9, 7, ERROR_UNSUPPORTED},     {3, 9, 0, ERROR_UNSUPPORTED}, {2, 9, 0, ERROR_FORMAT},
		{2, UINT32_MAX, 0, ERROR_FORMAT}, {2, 3, 0, ERROR_FORMAT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(made_deinit) struct made m = {0};
		struct image *image = NULL;

		put_save(&m, cases[i].version, cases[i].data_size, cases[i].format);
		assert_error(open_made(&m, &image), cases[i].code);
	}
}

/* ---- Others ---- */

static void foreign_files(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *said;
	} cases[] = {
		{"", 0, "empty"},
		{"LibvirtQemudPart", 16, "inside libvirt's header"},
		{"LibxlFmt\0\0\0\2", 12, "libxl"},
		{"Xen saved domain, xl format", 27, "xl's header"},
		{"hello", 5, "68 65 6c 6c 6f"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct image *image = NULL;
		struct error *error = open_bytes(cases[i].bytes, cases[i].size, &image);

		assert_non_null(error);
		assert_int_equal(error->code, ERROR_FORMAT);
		assert_non_null(strstr(error->message, cases[i].said));
		assert_non_null(error->remedy);
		error_destroy(error);
	}
}

static void no_file(void **state)
{
	struct image *image = NULL;
	char directory[] = "/tmp/test-formats-XXXXXX", fifo[64];

	assert_error(image_open("/nonexistent/image", NULL, &image), ERROR_NOT_FOUND);
	assert_error(image_open("/", NULL, &image), ERROR_FORMAT);
	assert_error(image_open("/dev/null", NULL, &image), ERROR_FORMAT);
	assert_non_null(mkdtemp(directory));
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_error(image_open(fifo, NULL, &image), ERROR_FORMAT);
	unlink(fifo);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf_core),         cmocka_unit_test(elf_cut_at_every_byte),
		cmocka_unit_test(elf_hostile),      cmocka_unit_test(elf_program),
		cmocka_unit_test(elf_paging),       cmocka_unit_test(elf_shared_bytes),
		cmocka_unit_test(elf_sparse),       cmocka_unit_test(elf_many_segments),
		cmocka_unit_test(compressed_dumps), cmocka_unit_test(libvirt_save),
		cmocka_unit_test(libvirt_refused),  cmocka_unit_test(foreign_files),
		cmocka_unit_test(no_file),
	};

	return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
