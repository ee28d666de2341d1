/* SPDX-License-Identifier: Apache-2.0 */
/* Symbol tables of every kind that kernels have, found by their content. */
#include "tests/unit/guest/made.h"

#define START   UINT64_C(0x20000) /* of the tables, guest-physical */
#define BANNER  UINT64_C(0xc0000)
#define TEXT    UINT64_C(0xc1000)
#define MOVED   UINT64_C(0xc2000) /* the variable phys_base: 0 in made guests */
#define SYMBOLS 1500u

/* How a kernel writes its tables. */
struct kind {
	const char *name;
	bool behind;    /* addresses follow the token index (6.4) */
	bool seqs;      /* three bytes a symbol stand before the token table (6.1, 6.2) */
	unsigned align; /* of each table */
	enum {
		PERCPU,
		RELATIVE,
		PLACE,
		ADDRESS
	} encoding;
	uint64_t base; /* that they are relative to */
};

static const struct kind kinds[] = {
	{"5.10", false, false, 8, PERCPU, KERNEL_BASE},
	{"5.10 without SMP", false, false, 8, RELATIVE, KERNEL_BASE},
	{"5.10 with addresses", false, false, 8, ADDRESS, 0},
	{"6.1", false, true, 8, PERCPU, KERNEL_BASE + 0x1000},
	{"6.4", true, false, 8, PERCPU, KERNEL_BASE},
	{"6.4 with addresses", true, false, 8, ADDRESS, 0},
	{"6.15", true, false, 8, RELATIVE, KERNEL_BASE},
	{"7.0", true, false, 4, PLACE, 0},
};

/* Fills memory from START on. */
struct writer {
	struct made_guest *guest;
	const struct kind *kind;
	uint64_t at;
	uint64_t token_table, names;
};

static void align(struct writer *w)
{
	w->at = (w->at + w->kind->align - 1) / w->kind->align * w->kind->align;
}

static uint64_t symbol_name(unsigned i, char name[400])
{
	static const struct {
		unsigned i;
		const char *name;
		uint64_t physical;
	} known[] = {
		{0, "T_stext", TEXT},
		{700, "Rlinux_banner", BANNER},
		{701, "Dphys_base", MOVED},
		{1499, "Binit_top_pgt", TOP_TABLE},
	};

	for (size_t k = 0; k < ARRAY_SIZE(known); k++) {
		if (known[k].i == i) {
			strcpy(name, known[k].name);
			return known[k].physical;
		}
	}
	snprintf(name, 400, "tfunction_%u", i);
	if (i == 600)
		memset(name + 1, 'l', 300), name[301] = '\0';
	return TEXT + i;
}

static void put_addresses(struct writer *w)
{
	uint64_t start;
	char name[400];

	align(w);
	start = w->at;
	for (unsigned i = 0; i < SYMBOLS; i++) {
		uint64_t physical = symbol_name(i, name), address = KERNEL_BASE + physical;

		if (w->kind->encoding == ADDRESS) {
			write_u64(w->guest, w->at, address);
			w->at += 8;
			continue;
		}
		write_u32(w->guest, w->at,
			  w->kind->encoding == PERCPU     ? (uint32_t)(w->kind->base - 1 - address)
			  : w->kind->encoding == RELATIVE ? (uint32_t)(address - w->kind->base)
							  : (uint32_t)(physical - (start + 4 * i)));
		w->at += 4;
	}
	if (w->kind->base == 0)
		return;
	align(w);
	write_u64(w->guest, w->at, w->kind->base);
	w->at += 8;
}

static void put_names(struct writer *w, uint32_t markers[SYMBOLS])
{
	align(w);
	write_u32(w->guest, w->at, SYMBOLS);
	w->at += 4;
	align(w);
	w->names = w->at;
	for (unsigned i = 0; i < SYMBOLS; i++) {
		char name[400];
		size_t n;

		symbol_name(i, name);
		n = strlen(name);
		markers[i] = (uint32_t)(w->at - w->names);
		if (n >= 0x80) {
			w->guest->ram[w->at++] = (uint8_t)(0x80 | (n & 0x7f));
			w->guest->ram[w->at++] = (uint8_t)(n >> 7);
		} else {
			w->guest->ram[w->at++] = (uint8_t)n;
		}
		write_at(w->guest, w->at, name, n);
		w->at += n;
	}
}

static void put_markers(struct writer *w, const uint32_t markers[SYMBOLS])
{
	align(w);
	for (unsigned i = 0; i < SYMBOLS; i += 256, w->at += 4)
		write_u32(w->guest, w->at, markers[i]);
}

static void put_seqs(struct writer *w)
{
	align(w);
	for (unsigned i = 0; i < SYMBOLS; i++, w->at += 3) {
		const uint8_t seq[3] = {0, (uint8_t)(i * 7 % SYMBOLS >> 8), (uint8_t)(i * 7 % SYMBOLS)};

		write_at(w->guest, w->at, seq, sizeof(seq));
	}
}

static void put_tokens(struct writer *w)
{
	uint16_t index[256];

	align(w);
	w->token_table = w->at;
	for (unsigned i = 0; i < 256; i++) {
		char text[4] = {(char)(i >= 0x20 && i < 0x7f ? i : 'x'), '\0', '\0', '\0'};

		if (i >= 0x80)
			strcpy(text, "in");
		index[i] = (uint16_t)(w->at - w->token_table);
		write_at(w->guest, w->at, text, strlen(text) + 1);
		w->at += strlen(text) + 1;
	}
	align(w);
	write_at(w->guest, w->at, index, sizeof(index));
	w->at += sizeof(index);
}

static struct made_guest *make(const struct kind *kind, struct writer *w)
{
	uint32_t markers[SYMBOLS];

	*w = (struct writer){.guest = made_guest_create(), .kind = kind, .at = START};
	if (!kind->behind)
		put_addresses(w);
	put_names(w, markers);
	put_markers(w, markers);
	if (kind->seqs)
		put_seqs(w);
	put_tokens(w);
	if (kind->behind)
		put_addresses(w);
	write_at(w->guest, BANNER, "Linux version 6.1.0-made", 25);
	made_guest_open(w->guest);
	return w->guest;
}

static struct kallsyms_search search_all(struct memory *memory, uint64_t start)
{
	return (struct kallsyms_search){.memory = memory, .from = {start}, .end = {start + RAM_SIZE}};
}

static void each_kind(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;
		_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(&kinds[i], &w);
		_cleanup_(symbols_destroy_ptr) struct symbols *symbols = NULL;
		struct kallsyms_search search = search_all(&guest->memory, KERNEL_BASE);
		struct kallsyms_tables tables;
		struct symbol symbol;
		struct gva address = {0};

		print_message("%s\n", kinds[i].name);
		assert_true(kallsyms_next(&search, &tables));
		assert_int_equal(tables.token_table.v, KERNEL_BASE + w.token_table);
		assert_int_equal(tables.names.v, KERNEL_BASE + w.names);
		assert_ok(symbols_load(&guest->memory, &tables, &symbols));
		assert_int_equal(symbols_count(symbols), SYMBOLS);
		assert_true(symbols_find(symbols, "init_top_pgt", &address));
		assert_int_equal(address.v, KERNEL_BASE + TOP_TABLE);
		assert_true(symbols_find(symbols, "function_1234", &address));
		assert_int_equal(address.v, KERNEL_BASE + TEXT + 1234);
		symbols_at(symbols, 600, &symbol);
		assert_int_equal(strlen(symbol.name), 300);
		assert_int_equal(symbol.type, 't');
		assert_int_equal(symbol.address, KERNEL_BASE + TEXT + 600);
		assert_true(symbols_find(symbols, symbol.name, &address));
		assert_false(kallsyms_next(&search, &tables));
	}
}

/* Anywhere in memory, without page tables to begin with. */
static void in_physical_memory(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct writer w;
		_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(&kinds[i], &w);
		struct kernel_search *search = malloc(sizeof(*search));
		struct kernel_image image;

		assert_non_null(search);
		kernel_search_init(search, guest->image);
		assert_true(kernel_search_next(search, &image));
		assert_int_equal(image.top.v, TOP_TABLE);
		assert_false(image.five_levels);
		assert_int_equal(image.start.v, KERNEL_BASE);
		assert_false(kernel_search_next(search, &image));
		free(search);
	}
}

/* A kernel that says it was moved elsewhere than it lies. */
static void wrong_phys_base(void **state)
{
	struct writer w;
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(&kinds[0], &w);
	struct kernel_search *search = malloc(sizeof(*search));
	struct kernel_image image;

	assert_non_null(search);
	write_u64(guest, MOVED, 0x200000);
	made_guest_open(guest);
	kernel_search_init(search, guest->image);
	assert_false(kernel_search_next(search, &image));
	free(search);
}

/* Tables with a byte changed, or cut off by missing memory, are found or not, but nothing else happens. */
static void damaged(void **state)
{
	struct writer w;
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(&kinds[3], &w);

	for (uint64_t at = START; at < w.at; at += 997) {
		struct kallsyms_search search = search_all(&guest->memory, KERNEL_BASE);
		struct kallsyms_tables tables;
		uint8_t old = guest->ram[at];

		guest->ram[at] = (uint8_t)(old ^ 0x41);
		made_guest_open(guest);
		while (kallsyms_next(&search, &tables)) {
			struct symbols *symbols = NULL;
			struct error *error = symbols_load(&guest->memory, &tables, &symbols);

			error_destroy(error);
			symbols_destroy(symbols);
		}
		guest->ram[at] = old;
	}
}

/* Memory full of what the search looks for must not keep it busy. */
static void look_alikes(void **state)
{
	static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = made_guest_create();
	struct kallsyms_search search = search_all(&guest->memory, KERNEL_BASE);
	struct kallsyms_tables tables;

	for (uint64_t at = 0x10000; at + sizeof(digits) < 0x80000; at += sizeof(digits))
		write_at(guest, at, digits, sizeof(digits));
	for (uint64_t at = 0x80000; at < RAM_SIZE; at += 4)
		write_u32(guest, at, (uint32_t)(at % 64 * 512));
	made_guest_open(guest);
	assert_false(kallsyms_next(&search, &tables));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind), cmocka_unit_test(in_physical_memory), cmocka_unit_test(wrong_phys_base),
		cmocka_unit_test(damaged),   cmocka_unit_test(look_alikes),
	};

	return cmocka_run_group_tests_name("kallsyms_find", tests, NULL, NULL);
}
