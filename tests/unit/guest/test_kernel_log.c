/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's log in made memory: whole, wrapped, unfinished and damaged. */
#include <bpf/btf.h>

#include "tests/unit/guest/made_symbols.h"

/* Where things lie, guest-physical. */
#define PRB        UINT64_C(0x20000)
#define CLEAR_SEQ  UINT64_C(0x20008)
#define RING       UINT64_C(0x20100)
#define DESCS      UINT64_C(0x21000)
#define INFOS      UINT64_C(0x22000)
#define TEXT       UINT64_C(0x30000)

#define COUNT_BITS 3u /* 8 records */
#define SIZE_BITS  8u /* 256 bytes */
#define COUNT      (1u << COUNT_BITS)
#define SIZE       (1u << SIZE_BITS)
#define ID_MASK    (UINT64_MAX >> 2)

enum {
	COMMITTED = 1,
	FINALIZED = 2,
	REUSABLE = 3
};

/* As printk_ringbuffer has them. */
struct ring {
	uint32_t count_bits, pad;
	uint64_t descs, infos, head_id, tail_id;
	uint32_t size_bits, pad2;
	uint64_t data;
};

struct desc {
	uint64_t state_var, begin, next;
};

struct info {
	uint64_t seq, ts_nsec;
	uint16_t text_len;
	uint8_t facility;
	uint8_t flags_level; /* flags : 5, level : 3 */
	uint32_t caller_id;
};

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct ring ring;
	struct guest_log log;
};

static void add(struct btf *btf, const char *name, int type, uint32_t bits, uint32_t width)
{
	assert_int_equal(btf__add_field(btf, name, type, bits, width), 0);
}

static void make_types(struct types **ret)
{
	struct btf *btf = btf__new_empty();
	int u64, u32, u16, u8, descs, texts, position;
	const void *data;
	uint32_t size;

	assert_non_null(btf);
	u64 = btf__add_int(btf, "u64", 8, 0);
	u32 = btf__add_int(btf, "u32", 4, 0);
	u16 = btf__add_int(btf, "u16", 2, 0);
	u8 = btf__add_int(btf, "u8", 1, 0);
	descs = btf__add_struct(btf, "prb_desc_ring", 40);
	add(btf, "count_bits", u32, 0, 0);
	add(btf, "descs", u64, 64, 0);
	add(btf, "infos", u64, 128, 0);
	add(btf, "head_id", u64, 192, 0);
	add(btf, "tail_id", u64, 256, 0);
	texts = btf__add_struct(btf, "prb_data_ring", 16);
	add(btf, "size_bits", u32, 0, 0);
	add(btf, "data", u64, 64, 0);
	btf__add_struct(btf, "printk_ringbuffer", 56);
	add(btf, "desc_ring", descs, 0, 0);
	add(btf, "text_data_ring", texts, 320, 0);
	position = btf__add_struct(btf, "prb_data_blk_lpos", 16);
	add(btf, "begin", u64, 0, 0);
	add(btf, "next", u64, 64, 0);
	btf__add_struct(btf, "prb_desc", sizeof(struct desc));
	add(btf, "state_var", u64, 0, 0);
	add(btf, "text_blk_lpos", position, 64, 0);
	btf__add_struct(btf, "printk_info", sizeof(struct info));
	add(btf, "seq", u64, 0, 0);
	add(btf, "ts_nsec", u64, 64, 0);
	add(btf, "text_len", u16, 128, 0);
	add(btf, "facility", u8, 144, 0);
	add(btf, "flags", u8, 152, 5);
	add(btf, "level", u8, 157, 3);
	add(btf, "caller_id", u32, 160, 0);
	data = btf__raw_data(btf, &size);
	assert_non_null(data);
	assert_ok(types_create(data, size, NULL, ret));
	btf__free(btf);
}

/* A record, or a part of one, as the ring has it; its block lies at `begin`, up to `next`. */
static void put(struct fixture *f, uint64_t id, unsigned state, uint64_t begin, uint64_t next, const char *text)
{
	const uint64_t slot = id % COUNT;
	const struct desc desc = {(uint64_t)state << 62 | (id & ID_MASK), begin, next};
	const struct info info = {.seq = id + 100,
				  .ts_nsec = id * 1000,
				  .text_len = (uint16_t)strlen(text),
				  .facility = 3,
				  .flags_level = 4 << 5 | 0x11,
				  .caller_id = 7};
	/* A block that would go over the ring's end lies at its start. */
	const uint64_t place = begin / SIZE == (next - 1) / SIZE ? begin % SIZE : 0;

	write_at(f->made, DESCS + slot * sizeof(desc), &desc, sizeof(desc));
	write_at(f->made, INFOS + slot * sizeof(info), &info, sizeof(info));
	if (begin & next & 1)
		return;
	write_u64(f->made, TEXT + place, id & ID_MASK);
	write_at(f->made, TEXT + place + 8, text, strlen(text));
}

static struct error *load(struct fixture *f)
{
	guest_log_deinit(&f->log);
	symbols_destroy(f->guest.symbols);
	write_at(f->made, RING, &f->ring, sizeof(f->ring));
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->guest.symbols = made_symbols_load(&f->guest.memory);
	return guest_kernel_log(&f->guest, &f->log);
}

static int setup(void **state)
{
	static const struct made_symbol_at symbols[] = {{"prb", PRB}, {"clear_seq", CLEAR_SEQ}};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	make_types(&f->guest.types);
	made_symbols_write(f->made, symbols, ARRAY_SIZE(symbols));
	write_u64(f->made, PRB, KERNEL_BASE + RING);
	write_u64(f->made, CLEAR_SEQ, 102);
	f->ring = (struct ring){.count_bits = COUNT_BITS,
				.descs = KERNEL_BASE + DESCS,
				.infos = KERNEL_BASE + INFOS,
				.size_bits = SIZE_BITS,
				.data = KERNEL_BASE + TEXT};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_log_deinit(&f->log);
	types_destroy(f->guest.types);
	symbols_destroy(f->guest.symbols);
	made_guest_destroy(f->made);
	free(f);
	return 0;
}

static void assert_text(const struct fixture *f, size_t i, const char *text)
{
	assert_true(i < f->log.n);
	assert_int_equal(f->log.items[i].text.size, strlen(text));
	assert_string_equal(f->log.items[i].text.data, text);
}

static void records(void **state)
{
	struct fixture *f = *state;

	f->ring.tail_id = 1;
	f->ring.head_id = 5;
	put(f, 1, FINALIZED, 0, 16, "one");
	put(f, 2, REUSABLE, 16, 32, "dropped");
	put(f, 3, FINALIZED, 3, 3, "");          /* without text */
	put(f, 4, FINALIZED, 1, 1, "lost text"); /* its text was dropped */
	put(f, 5, COMMITTED, 32, 48, "unfinished");
	assert_ok(load(f));
	assert_null(f->log.incomplete);
	assert_int_equal(f->log.n, 2);
	assert_text(f, 0, "one");
	assert_text(f, 1, "");
	assert_int_equal(f->log.items[0].sequence, 101);
	assert_int_equal(f->log.items[0].time_ns, 1000);
	assert_int_equal(f->log.items[0].level, 4);
	assert_int_equal(f->log.items[0].facility, 3);
	assert_int_equal(f->log.items[0].caller, 7);
	assert_int_equal(f->log.cleared, 102);
}

/* Ids and positions far beyond the first round, ids over the end of their 62 bits. */
static void wrapped(void **state)
{
	struct fixture *f = *state;
	const uint64_t round = UINT64_C(1000) * SIZE;

	f->ring.tail_id = ID_MASK - 1;
	f->ring.head_id = 1;
	put(f, ID_MASK - 1, FINALIZED, round + 200, round + 232, "before the end");
	put(f, ID_MASK, FINALIZED, round + 232, round + SIZE, "up to the end"); /* 6.18 and later */
	put(f, 0, FINALIZED, round + SIZE + 64, round + SIZE + 128, "in the next round");
	put(f, 1, FINALIZED, round + SIZE + 240, round + 2 * SIZE + 40, "over the end");
	assert_ok(load(f));
	assert_null(f->log.incomplete);
	assert_int_equal(f->log.n, 4);
	assert_text(f, 0, "before the end");
	assert_text(f, 1, "up to the end");
	assert_text(f, 2, "in the next round");
	assert_text(f, 3, "over the end");
}

static void hostile_rings(void **state)
{
	struct fixture *f = *state;
	const struct ring good = f->ring;

	put(f, 0, FINALIZED, 0, 16, "fine");
	assert_ok(load(f));
	assert_int_equal(f->log.n, 1);
	f->ring.head_id = COUNT; /* one more than fit */
	assert_error(load(f), ERROR_FORMAT);
	f->ring = good;
	f->ring.tail_id = 1; /* behind the head */
	assert_error(load(f), ERROR_FORMAT);
	f->ring = good;
	f->ring.count_bits = 64;
	assert_error(load(f), ERROR_FORMAT);
	f->ring = good;
	f->ring.size_bits = 200;
	assert_error(load(f), ERROR_FORMAT);
	f->ring = good;
	f->ring.descs = 0x1000;
	assert_ok(load(f));
	assert_non_null(f->log.incomplete);
	assert_int_equal(f->log.n, 0);
}

/* Each is left out and marks the log incomplete; the records beside it are there. */
static void hostile_records(void **state)
{
	static const struct {
		uint64_t begin, next;
	} positions[] = {{16, 16}, {32, 16}, {16, 24}, {16, 16 + 3 * SIZE}, {UINT64_MAX - 7, 8}, {0, UINT64_MAX - 1}};

	for (size_t i = 0; i < ARRAY_SIZE(positions); i++) {
		struct fixture *f = *state;

		f->ring.tail_id = 0;
		f->ring.head_id = 2;
		put(f, 0, FINALIZED, 128, 144, "good");
		put(f, 1, REUSABLE, positions[i].begin, positions[i].next, "");
		/* Only now is it one that is read: its text went nowhere. */
		write_u64(f->made, DESCS + sizeof(struct desc), (uint64_t)FINALIZED << 62 | 1);
		put(f, 2, FINALIZED, 144, 160, "also");
		write_u64(f->made, TEXT + 16, 12345);
		assert_ok(load(f));
		assert_non_null(f->log.incomplete);
		assert_int_equal(f->log.n, 2);
		assert_text(f, 0, "good");
		assert_text(f, 1, "also");
	}
}

/* A length beyond the block is cut to it; all texts together cannot be longer than their ring. */
static void lengths(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = 0;

	f->ring.head_id = COUNT - 1;
	for (uint64_t id = 0; id < COUNT; id++, begin += 240) {
		const uint16_t length = UINT16_MAX;

		put(f, id, FINALIZED, 0, 240, "long");
		write_at(f->made, INFOS + id * sizeof(struct info) + 16, &length, sizeof(length));
	}
	/* All blocks are the same place, which can have one id only. */
	assert_ok(load(f));
	assert_non_null(f->log.incomplete);
	assert_int_equal(f->log.n, 1);
	assert_int_equal(f->log.items[0].text.size, 232);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records, setup, teardown),
		cmocka_unit_test_setup_teardown(wrapped, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_records, setup, teardown),
		cmocka_unit_test_setup_teardown(lengths, setup, teardown),
	};

	return cmocka_run_group_tests_name("kernel log", tests, NULL, NULL);
}
