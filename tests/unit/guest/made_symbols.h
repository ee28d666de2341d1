/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols for a made guest, in tables as a kernel has them: for tests of walks that begin at a variable's name. */
#ifndef TESTS_UNIT_GUEST_MADE_SYMBOLS_H
#define TESTS_UNIT_GUEST_MADE_SYMBOLS_H

#include "tests/unit/guest/made.h"

/* Where the tables lie, guest-physical; tests put their own data elsewhere. */
#define SYMBOL_NAMES   UINT64_C(0xe0000)
#define SYMBOL_COUNT   UINT64_C(0xe8000)
#define SYMBOL_TOKENS  UINT64_C(0xe9000)
#define SYMBOL_INDEX   UINT64_C(0xea000)
#define SYMBOL_OFFSETS UINT64_C(0xeb000)
#define SYMBOL_BASE    UINT64_C(0xec000)
#define SYMBOL_BANNER  UINT64_C(0xed000)
#define SYMBOL_TEXT    UINT64_C(0xee000)

struct made_symbol_at {
	const char *name;
	uint64_t physical;
};

/* Each token is one letter. */
static inline void put_letter_tokens(struct made_guest *guest)
{
	for (unsigned i = 0; i < 256; i++) {
		const char text[2] = {(char)(i ? i : 'x'), 0};
		const uint16_t offset = (uint16_t)(2 * i);

		write_at(guest, SYMBOL_INDEX + 2 * i, &offset, sizeof(offset));
		write_at(guest, SYMBOL_TOKENS + offset, text, sizeof(text));
	}
}

static inline uint64_t put_symbol(struct made_guest *guest, uint64_t at, size_t i, const char *name, uint64_t physical)
{
	const size_t n = strlen(name) + 1; /* its type is a letter, too */

	assert_true(n < 0x80);
	guest->ram[at++] = (uint8_t)n;
	guest->ram[at++] = 'D';
	write_at(guest, at, name, n - 1);
	write_u32(guest, SYMBOL_OFFSETS + 4 * i, (uint32_t)physical);
	return at + n - 1;
}

/* Writes the tables; the guest's memory must not have been opened yet. */
static inline void made_symbols_write(struct made_guest *guest, const struct made_symbol_at *items, size_t n)
{
	uint64_t at = SYMBOL_NAMES;

	put_letter_tokens(guest);
	at = put_symbol(guest, at, 0, "_stext", SYMBOL_TEXT);
	at = put_symbol(guest, at, 1, "linux_banner", SYMBOL_BANNER);
	for (size_t i = 0; i < n; i++)
		at = put_symbol(guest, at, i + 2, items[i].name, items[i].physical);
	write_u32(guest, SYMBOL_COUNT, (uint32_t)n + 2);
	write_u64(guest, SYMBOL_BASE, KERNEL_BASE);
	write_at(guest, SYMBOL_BANNER, "Linux version 6.1.0-made", 25);
}

/* Decodes them; the caller destroys the result. */
static inline struct symbols *made_symbols_load(struct memory *memory)
{
	const struct kallsyms_tables tables = {
		.names = kernel_address(SYMBOL_NAMES),
		.num_syms = kernel_address(SYMBOL_COUNT),
		.token_table = kernel_address(SYMBOL_TOKENS),
		.token_index = kernel_address(SYMBOL_INDEX),
		.places = {{kernel_address(SYMBOL_OFFSETS), kernel_address(SYMBOL_BASE), false}},
		.n_places = 1,
		.stext = KERNEL_BASE + SYMBOL_TEXT,
	};
	struct symbols *symbols = NULL;

	assert_ok(symbols_load(memory, &tables, &symbols));
	return symbols;
}

#endif
