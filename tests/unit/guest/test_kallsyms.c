/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/guest/made.h"

/* Where the made tables lie, guest-physical. */
#define NAMES       UINT64_C(0x20000)
#define NUM_SYMS    UINT64_C(0x30000)
#define TOKEN_TABLE UINT64_C(0x31000)
#define TOKEN_INDEX UINT64_C(0x34000)
#define OFFSETS     UINT64_C(0x40000)
#define BASE        UINT64_C(0x50000)
#define BANNER      UINT64_C(0x60000)
#define TEXT        UINT64_C(0x61000)

enum encoding {
	ABSOLUTE_PERCPU,
	RELATIVE,
	PLACE
};

struct made_symbol {
	const char *name;  /* with its type */
	uint64_t physical; /* becomes an address of the kernel's image */
	uint64_t percpu;   /* if not 0: an absolute address */
};

static const struct made_symbol symbols_made[] = {
	{"Apercpu_thing", 0, 0x1234}, {"T_stext", TEXT, 0},       {"tlocal", TEXT + 0x10, 0},
	{"Rlinux_banner", BANNER, 0}, {"tlocal", TEXT + 0x20, 0}, {"Dinit_task", BANNER + 0x100, 0},
};

/* Tokens: each byte for itself, and "in" as token 1. */
static void put_tokens(struct made_guest *guest)
{
	uint64_t at = TOKEN_TABLE;

	for (unsigned i = 0; i < 256; i++) {
		char text[3] = {(char)(i ? i : 'x'), 0, 0};
		uint16_t offset = (uint16_t)(at - TOKEN_TABLE);

		if (i == 1)
			strcpy(text, "in");
		write_at(guest, TOKEN_INDEX + 2 * i, &offset, sizeof(offset));
		write_at(guest, at, text, strlen(text) + 1);
		at += strlen(text) + 1;
	}
}

static uint64_t put_name(struct made_guest *guest, uint64_t at, const char *name)
{
	uint8_t bytes[1024];
	size_t n = 0;

	for (const char *c = name; *c; n++) {
		bool pair = strncmp(c, "in", 2) == 0;

		bytes[n] = pair ? 1 : (uint8_t)*c;
		c += pair ? 2 : 1;
	}
	if (n >= 0x80) {
		guest->ram[at++] = (uint8_t)(0x80 | (n & 0x7f));
		guest->ram[at++] = (uint8_t)(n >> 7);
	} else {
		guest->ram[at++] = (uint8_t)n;
	}
	write_at(guest, at, bytes, n);
	return at + n;
}

static uint32_t encode(const struct made_symbol *symbol, enum encoding encoding, size_t i)
{
	uint64_t address = KERNEL_BASE + symbol->physical;

	switch (encoding) {
	case ABSOLUTE_PERCPU:
		return symbol->percpu ? (uint32_t)symbol->percpu : (uint32_t)(KERNEL_BASE - 1 - address);
	case RELATIVE:
		return (uint32_t)symbol->physical;
	case PLACE:
	default:
		return (uint32_t)(symbol->physical - (OFFSETS + 4 * i));
	}
}

static struct made_guest *make(enum encoding encoding, struct kallsyms_tables *tables)
{
	struct made_guest *guest = made_guest_create();
	uint64_t at = NAMES;

	for (size_t i = 0; i < ARRAY_SIZE(symbols_made); i++) {
		at = put_name(guest, at, symbols_made[i].name);
		write_u32(guest, OFFSETS + 4 * i, encode(&symbols_made[i], encoding, i));
	}
	put_tokens(guest);
	write_u32(guest, NUM_SYMS, ARRAY_SIZE(symbols_made));
	write_u64(guest, BASE, KERNEL_BASE);
	write_at(guest, BANNER, "Linux version 6.1.0-made", 25);
	*tables = (struct kallsyms_tables){
		.names = kernel_address(NAMES),
		.num_syms = kernel_address(NUM_SYMS),
		.token_table = kernel_address(TOKEN_TABLE),
		.token_index = kernel_address(TOKEN_INDEX),
		.places = {{kernel_address(OFFSETS), {encoding == PLACE ? 0 : KERNEL_BASE + BASE}, false}},
		.n_places = 1,
		.stext = KERNEL_BASE + TEXT,
	};
	return guest;
}

static void each_encoding(void **state)
{
	for (int encoding = ABSOLUTE_PERCPU; encoding <= PLACE; encoding++) {
		struct kallsyms_tables tables;
		_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make((enum encoding)encoding, &tables);
		_cleanup_(symbols_destroy_ptr) struct symbols *symbols = NULL;
		struct gva address;

		made_guest_open(guest);
		assert_ok(symbols_load(&guest->memory, &tables, &symbols));
		assert_int_equal(symbols_count(symbols), ARRAY_SIZE(symbols_made));
		assert_ok(symbols_get(symbols, "init_task", &address));
		assert_int_equal(address.v, KERNEL_BASE + BANNER + 0x100);
		assert_ok(symbols_get(symbols, "local", &address)); /* the first of two */
		assert_int_equal(address.v, KERNEL_BASE + TEXT + 0x10);
		assert_error(symbols_get(symbols, "locals", &address), ERROR_UNSUPPORTED);
		if (encoding == ABSOLUTE_PERCPU) {
			assert_ok(symbols_get(symbols, "percpu_thing", &address));
			assert_int_equal(address.v, 0x1234);
		}
	}
}

static void long_names(void **state)
{
	struct kallsyms_tables tables;
	_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(RELATIVE, &tables);
	_cleanup_(symbols_destroy_ptr) struct symbols *symbols = NULL;
	char name[400];
	uint64_t at = NAMES;
	struct gva address;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	name[0] = 't';
	for (size_t i = 0; i < ARRAY_SIZE(symbols_made); i++)
		at = put_name(guest, at, i == 2 ? name : symbols_made[i].name);
	made_guest_open(guest);
	assert_ok(symbols_load(&guest->memory, &tables, &symbols));
	assert_ok(symbols_get(symbols, name + 1, &address));
	assert_int_equal(address.v, KERNEL_BASE + TEXT + 0x10);
	assert_ok(symbols_get(symbols, "init_task", &address));
}

typedef void (*break_function)(struct made_guest *guest, struct kallsyms_tables *tables);

static void no_symbols(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_u32(guest, NUM_SYMS, 0);
}

static void too_many_symbols(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_u32(guest, NUM_SYMS, UINT32_MAX);
}

static void tokens_descend(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_u32(guest, TOKEN_INDEX + 100, 0);
}

static void no_banner(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_at(guest, BANNER, "Lanux", 5);
}

static void other_text(struct made_guest *guest, struct kallsyms_tables *tables)
{
	tables->stext++;
}

static void name_without_end(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_at(guest, NAMES, "\xff\xff", 2);
}

static void empty_name(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_at(guest, NAMES, "", 1);
}

static void wrong_base(struct made_guest *guest, struct kallsyms_tables *tables)
{
	write_u64(guest, BASE, KERNEL_BASE + 0x1000);
}

static void refused(void **state)
{
	static const break_function breaks[] = {no_symbols, too_many_symbols, tokens_descend, no_banner,
						other_text, name_without_end, empty_name,     wrong_base};

	for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
		struct kallsyms_tables tables;
		_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(RELATIVE, &tables);
		struct symbols *symbols = NULL;
		struct error *error;

		breaks[i](guest, &tables);
		made_guest_open(guest);
		error = symbols_load(&guest->memory, &tables, &symbols);
		if (!error || error->code != ERROR_FORMAT)
			fail_msg("case %zu: %s", i, error ? error->message : "succeeded");
		error_destroy(error);
	}
}

/* Tables in memory that is not there. */
static void unmapped_tables(void **state)
{
	for (unsigned i = 0; i < 6; i++) {
		struct kallsyms_tables tables;
		_cleanup_(made_guest_destroy_ptr) struct made_guest *guest = make(RELATIVE, &tables);
		struct gva *const fields[] = {
			&tables.names,       &tables.num_syms,         &tables.token_table,
			&tables.token_index, &tables.places[0].values, &tables.places[0].relative_base};
		struct symbols *symbols = NULL;

		fields[i]->v = UINT64_C(0xffffffffc0000000);
		made_guest_open(guest);
		assert_error(symbols_load(&guest->memory, &tables, &symbols), ERROR_FORMAT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_encoding),
		cmocka_unit_test(long_names),
		cmocka_unit_test(refused),
		cmocka_unit_test(unmapped_tables),
	};

	return cmocka_run_group_tests_name("kallsyms", tests, NULL, NULL);
}
