/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of files out of made page caches: holes, folios, swapped, dropped and half-read pages. */
#include <string.h>

#include "guest/page_cache.h"
#include "tests/unit/guest/made_xarray.h"

#define PAGES     UINT64_C(0x80000) /* the struct pages: 64 bytes each */
#define BUFFERS   UINT64_C(0x90000) /* struct buffer_head: 64 bytes each */
#define UPTODATE  4u
#define DIRTY     8u
#define HEAD      16u
#define PRIVATE   32u
#define WRITEBACK 64u

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct page_cache_layout layout;
	uint8_t buffer[16 * PAGE_SIZE];
};

static struct member member_at(uint32_t offset, uint32_t size)
{
	return (struct member){.present = true, .offset = offset, .size = size};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	make_xarray_types(&f->guest.types);
	f->layout = (struct page_cache_layout){
		.pages = {.vmemmap = KERNEL_BASE + PAGES,
			  .page_size = 64,
			  .flags = member_at(0, 8),
			  .head_bit = HEAD,
			  .order = member_at(8, 1),
			  .order_page = 64},
		.mapping_pages = member_at(0, 16), /* the struct xarray is all there is of the address_space */
		.uptodate = UPTODATE,
		.dirty = DIRTY,
		.writeback = WRITEBACK,
		.private = PRIVATE,
		.page_private = member_at(40, 8),
		.buffer_state = member_at(0, 8),
		.buffer_next = member_at(8, 8),
		.buffer_page = member_at(16, 8),
		.buffer_size = member_at(32, 8),
	};
	make_node(f->made, 0, 0, -1, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	types_destroy(f->guest.types);
	made_guest_destroy(f->made);
	free(f);
	return 0;
}

static uint64_t page(unsigned frame)
{
	return KERNEL_BASE + PAGES + frame * 64;
}

/* Puts the page of memory `frame`, filled with `fill`, at `index` of the file. */
static void add_page(struct fixture *f, unsigned index, unsigned frame, uint64_t flags, char fill)
{
	memset(f->made->ram + frame * PAGE_SIZE, fill, PAGE_SIZE);
	write_u64(f->made, PAGES + frame * 64, flags);
	set_slot(f->made, 0, index, page(frame));
}

static struct error *read_at(struct fixture *f, enum page_cache_kind kind, uint64_t offset, size_t size)
{
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	memset(f->buffer, '?', sizeof(f->buffer));
	return page_cache_read(&f->guest, &f->layout, kernel_address(ARRAY), kind, offset, f->buffer, size);
}

static void assert_filled(const struct fixture *f, size_t from, size_t to, char fill)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(f->buffer[i], (uint8_t)fill);
}

static void pages_and_holes(void **state)
{
	struct fixture *f = *state;

	add_page(f, 0, 200, UPTODATE, 'a');
	add_page(f, 1, 201, UPTODATE, 'b'); /* behind it in memory as well */
	add_page(f, 3, 150, UPTODATE, 'c');
	assert_ok(read_at(f, PAGE_CACHE_MEMORY, 100, 4 * PAGE_SIZE));
	assert_filled(f, 0, PAGE_SIZE - 100, 'a');
	assert_filled(f, PAGE_SIZE - 100, 2 * PAGE_SIZE - 100, 'b');
	assert_filled(f, 2 * PAGE_SIZE - 100, 3 * PAGE_SIZE - 100, 0);
	assert_filled(f, 3 * PAGE_SIZE - 100, 4 * PAGE_SIZE - 100, 'c');
	assert_filled(f, 4 * PAGE_SIZE - 100, 4 * PAGE_SIZE, 0);
	assert_filled(f, 4 * PAGE_SIZE, sizeof(f->buffer), '?');
	assert_ok(read_at(f, PAGE_CACHE_DISK, PAGE_SIZE + 5, 10));
	assert_filled(f, 0, 10, 'b');
	assert_error(read_at(f, PAGE_CACHE_DISK, PAGE_SIZE, PAGE_SIZE + 1), ERROR_NOT_FOUND);
	assert_error(read_at(f, PAGE_CACHE_DISK, 5 * PAGE_SIZE, 1), ERROR_NOT_FOUND);
	assert_ok(read_at(f, PAGE_CACHE_DISK, 5 * PAGE_SIZE, 0));
}

static void an_empty_cache(void **state)
{
	struct fixture *f = *state;

	set_head(f->made, 0);
	assert_ok(read_at(f, PAGE_CACHE_MEMORY, 7, 5000));
	assert_filled(f, 0, 5000, 0);
	assert_error(read_at(f, PAGE_CACHE_DISK, 0, 1), ERROR_NOT_FOUND);
}

/* Both ways to store a folio: one entry with siblings, and its head in every slot. */
static void folios(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 4; i++)
		add_page(f, 4 + i, 100 + i, 0, (char)('a' + i));
	write_u64(f->made, PAGES + 100 * 64, UPTODATE | HEAD);
	f->made->ram[PAGES + 101 * 64 + 8] = 2;
	for (unsigned i = 1; i < 4; i++)
		set_slot(f->made, 0, 4 + i, sibling_of(4));
	assert_ok(read_at(f, PAGE_CACHE_DISK, 5 * PAGE_SIZE, 2 * PAGE_SIZE));
	assert_filled(f, 0, PAGE_SIZE, 'b');
	assert_filled(f, PAGE_SIZE, 2 * PAGE_SIZE, 'c');
	for (unsigned i = 1; i < 4; i++)
		set_slot(f->made, 0, 4 + i, page(100));
	assert_ok(read_at(f, PAGE_CACHE_DISK, 4 * PAGE_SIZE + 1, 4 * PAGE_SIZE - 1));
	assert_filled(f, 0, PAGE_SIZE - 1, 'a');
	assert_filled(f, 3 * PAGE_SIZE - 1, 4 * PAGE_SIZE - 1, 'd');
	/* An entry that stands for more pages than its folio has. */
	f->made->ram[PAGES + 101 * 64 + 8] = 1;
	for (unsigned i = 1; i < 4; i++)
		set_slot(f->made, 0, 4 + i, sibling_of(4));
	assert_error(read_at(f, PAGE_CACHE_DISK, 4 * PAGE_SIZE, 1), ERROR_FORMAT);
}

static void elsewhere(void **state)
{
	struct fixture *f = *state;

	add_page(f, 0, 200, UPTODATE, 'a');
	set_slot(f->made, 0, 1, 0x7001);
	assert_error(read_at(f, PAGE_CACHE_MEMORY, 0, 2 * PAGE_SIZE), ERROR_NOT_FOUND);
	assert_error(read_at(f, PAGE_CACHE_DISK, 0, 2 * PAGE_SIZE), ERROR_NOT_FOUND);
	assert_ok(read_at(f, PAGE_CACHE_DISK, 0, PAGE_SIZE));
	/* In the middle of a struct page. */
	set_slot(f->made, 0, 1, KERNEL_BASE + PAGES + 24);
	assert_error(read_at(f, PAGE_CACHE_DISK, PAGE_SIZE, 1), ERROR_FORMAT);
}

static void make_buffer(struct fixture *f, unsigned i, unsigned next, uint64_t state)
{
	write_u64(f->made, BUFFERS + i * 64, state);
	write_u64(f->made, BUFFERS + i * 64 + 8, KERNEL_BASE + BUFFERS + next * 64);
	write_u64(f->made, BUFFERS + i * 64 + 16, page(200));
	write_u64(f->made, BUFFERS + i * 64 + 32, 1024);
}

/* A page of which only some blocks are up to date. */
static void blocks(void **state)
{
	struct fixture *f = *state;

	add_page(f, 0, 200, PRIVATE, 'a');
	write_u64(f->made, PAGES + 200 * 64 + 40, KERNEL_BASE + BUFFERS);
	for (unsigned i = 0; i < 4; i++)
		make_buffer(f, i, (i + 1) % 4, i == 2 ? 0 : 1);
	assert_ok(read_at(f, PAGE_CACHE_DISK, 0, 2048));
	assert_filled(f, 0, 2048, 'a');
	assert_ok(read_at(f, PAGE_CACHE_DISK, 3072, 1024));
	assert_error(read_at(f, PAGE_CACHE_DISK, 0, 2049), ERROR_NOT_FOUND);
	assert_error(read_at(f, PAGE_CACHE_DISK, 2048, 1), ERROR_NOT_FOUND);
	/* What is there belongs to another page: it is not a ring of buffers. */
	write_u64(f->made, BUFFERS + 16, page(201));
	assert_error(read_at(f, PAGE_CACHE_DISK, 0, 1), ERROR_NOT_FOUND);
	/* Sizes that would never end. */
	make_buffer(f, 0, 0, 1);
	write_u64(f->made, BUFFERS + 32, 0);
	assert_error(read_at(f, PAGE_CACHE_DISK, 0, 2048), ERROR_NOT_FOUND);
	/* Reserved for tmpfs, never written. */
	add_page(f, 0, 200, 0, 'a');
	assert_ok(read_at(f, PAGE_CACHE_MEMORY, 0, PAGE_SIZE));
	assert_filled(f, 0, PAGE_SIZE, 0);
}

static void dirty(void **state)
{
	struct fixture *f = *state;
	uint64_t n;

	add_page(f, 0, 200, UPTODATE, 'a');
	add_page(f, 1, 201, UPTODATE | DIRTY, 'a');
	add_page(f, 2, 202, UPTODATE | WRITEBACK, 'a');
	add_page(f, 4, 204, UPTODATE | DIRTY, 'a');
	set_slot(f->made, 0, 5, sibling_of(4));
	set_slot(f->made, 0, 7, 0x7001);
	set_marks(f->made, 0, 0, 1u << 1 | 1u << 4);
	set_marks(f->made, 0, 1, 1u << 2);
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	assert_ok(page_cache_dirty(&f->guest, &f->layout, kernel_address(ARRAY), &n));
	assert_int_equal(n, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_and_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(folios, setup, teardown),
		cmocka_unit_test_setup_teardown(elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(dirty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
