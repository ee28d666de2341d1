/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the symbol tables by what is in them, for kernels that do not say where they are.
 *
 * They lie together, each aligned to 8 bytes (4 since 7.0):
 *
 *   until 6.3   offsets, relative_base, num_syms, names, markers, [seqs, 6.2 and 6.1 stable],
 *               token_table, token_index
 *   from 6.4    num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs
 *   from 7.0    the same without relative_base
 *   without CONFIG_KALLSYMS_BASE_RELATIVE  8-byte addresses for offsets and no relative_base
 *
 * The token table is recognized: every kernel's names have all ten digits, and so each is a
 * token of its own, in order. Going back from it come the markers, one for each 256 names, which
 * ascend from 0; they tell how long the names are and thus, nearly, where these begin, and the
 * number of symbols stands before them.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

#define TOKENS      256u
#define FIRST_DIGIT 0x30u
#define MARKED      256u /* names to a marker */
#define GROUP_MAX   (MARKED * 1026u)
#define MARKERS_MIN 4u /* the smallest kernels have some hundred */
#define WINDOW      (2u * 1024 * 1024)
/* How far before the token table the markers may end: seqs of 3 bytes a symbol. */
#define BACK_MIN    (4u * 1024)
#define BACK_MAX    (8u * 1024 * 1024)
/* What is looked at closer, so that memory that is full of look-alikes is not searched for ever. */
#define DIGITS_MAX  4096u /* places of the digits */
#define TOKENS_MAX  32u   /* token tables among them */
#define RUNS_MAX    16u   /* ascending numbers before one of these */

static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009"; /* and its own NUL */

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

static bool read_quietly(struct memory *memory, uint64_t address, void *buffer, size_t size)
{
	struct error *error = memory_read(memory, (struct gva){address}, buffer, size);

	error_destroy(error);
	return !error;
}

/* ---- Tokens ---- */

/* The end of the last token, given the text from the digit 0's token on; 0: they do not end. */
static size_t end_of_tokens(const char *text, size_t size)
{
	size_t position = 0;

	for (unsigned i = FIRST_DIGIT; i < TOKENS; i++) {
		const char *end = memchr(text + position, '\0', size - position);

		if (!end)
			return 0;
		position = (size_t)(end - text) + 1;
	}
	return position;
}

/* Whether this is the index of a token table whose digit 0 is at `digit` and which ends at `end`. */
static bool check_index(const uint16_t index[TOKENS], uint64_t digit, uint64_t end)
{
	for (unsigned i = 1; i < TOKENS; i++) {
		if (index[i] <= index[i - 1])
			return false;
	}
	return index[0] == 0 && index[FIRST_DIGIT + 1] == index[FIRST_DIGIT] + 2 &&
	       digit - index[FIRST_DIGIT] + index[TOKENS - 1] < end;
}

/* `digit` is where the digits were found. */
static bool find_tokens(struct memory *memory, uint64_t digit, struct kallsyms_tables *tables)
{
	char text[16 * 1024];
	uint16_t index[TOKENS];
	size_t size = memory_read_some(memory, (struct gva){digit}, text, sizeof(text));
	size_t n = end_of_tokens(text, size);

	if (n == 0)
		return false;
	for (unsigned to = 4; to <= 8; to += 4) {
		uint64_t at = align_up(digit + n, to);

		if (!read_quietly(memory, at, index, sizeof(index)) || !check_index(index, digit, digit + n))
			continue;
		tables->token_table.v = digit - index[FIRST_DIGIT];
		tables->token_index.v = at;
		return true;
	}
	return false;
}

/* ---- Markers ---- */

static bool is_step(uint32_t lower, uint32_t upper)
{
	return upper > lower && upper - lower >= MARKED * 2 && upper - lower <= GROUP_MAX;
}

/* Numbers that ascend from 0. */
struct run {
	size_t first, n; /* in words */
};

/* The run that ends nearest before words[*end]; moves *end to where it begins. False: there is none. */
static bool previous_run(const uint32_t *words, size_t *end, struct run *ret)
{
	while (*end > 0) {
		size_t last = --*end;

		while (*end > 0 && is_step(words[*end - 1], words[*end]))
			--*end;
		if (words[*end] != 0 || last - *end + 1 < MARKERS_MIN)
			continue;
		*ret = (struct run){*end, last - *end + 1};
		return true;
	}
	return false;
}

/* ---- Names ---- */

/* Whether 256 names that begin at `names` end where the second marker says. */
static bool check_names(struct memory *memory, uint64_t names, uint32_t group)
{
	uint8_t *bytes = malloc(group);
	uint32_t position = 0;
	bool fits = bytes && read_quietly(memory, names, bytes, group);

	for (unsigned i = 0; fits && i < MARKED; i++) {
		uint32_t length = position + 1 < group ? bytes[position++] : UINT32_MAX;

		if (length != UINT32_MAX && length & 0x80)
			length = (length & 0x7f) | (uint32_t)bytes[position++] << 7;
		fits = length > 0 && length <= group - position;
		position += length;
	}
	free(bytes);
	return fits && position == group;
}

/*
 * Where the names begin: before the markers by what these say and one more group of unknown size.
 * `markers` is where they are, `last` the last of them, `group` the second.
 */
static bool find_names(struct memory *memory, uint64_t markers, size_t n_markers, uint32_t group, uint32_t last,
		       struct kallsyms_tables *tables)
{
	uint64_t end = (markers - last) & ~UINT64_C(7), size = GROUP_MAX;
	uint32_t *words = malloc(size);
	bool found = false;

	while (words && size > 0 && !read_quietly(memory, end - size, words, size))
		size = size / 2 & ~UINT64_C(7);
	for (size_t i = size / 4; words && !found && i-- > 0;) {
		uint64_t number = end - size + i * 4;

		if (words[i] > SYMBOLS_MAX || (words[i] + MARKED - 1) / MARKED != n_markers)
			continue;
		for (unsigned to = 4; !found && to <= 8; to += 4) {
			found = check_names(memory, align_up(number + 4, to), group);
			tables->names.v = align_up(number + 4, to);
		}
		tables->num_syms.v = number;
	}
	free(words);
	return found;
}

/* Finds what lies before the token table in `size` bytes. */
static bool find_before(struct memory *memory, uint32_t *words, size_t size, struct kallsyms_tables *tables)
{
	uint64_t start = tables->token_table.v - size;
	size_t end = size / 4;
	struct run run;

	if (!read_quietly(memory, start, words, size))
		return false;
	for (unsigned i = 0; i < RUNS_MAX && previous_run(words, &end, &run); i++) {
		/* What follows the markers may happen to ascend further. */
		for (size_t n = run.n; n >= MARKERS_MIN && run.n - n < 3; n--) {
			if (find_names(memory, start + run.first * 4, n, words[run.first + 1], words[run.first + n - 1],
				       tables))
				return true;
		}
	}
	return false;
}

/* With seqs in between the markers are far: look at ever more. */
static bool find_numbers(struct memory *memory, struct kallsyms_tables *tables)
{
	for (size_t size = BACK_MIN; size <= BACK_MAX; size *= 4) {
		uint32_t *words = malloc(size);
		bool found = words && find_before(memory, words, size, tables);

		free(words);
		if (found)
			return true;
	}
	return false;
}

/* ---- Addresses ---- */

static void add_place(struct kallsyms_tables *tables, uint64_t values, uint64_t base, bool addresses)
{
	tables->places[tables->n_places++] = (struct kallsyms_place){{values}, {base}, addresses};
}

static void list_places(struct kallsyms_tables *tables, uint32_t n)
{
	uint64_t number = tables->num_syms.v, behind = tables->token_index.v + TOKENS * 2;
	uint64_t values = align_up(behind, 8);

	add_place(tables, values, align_up(values + 4 * (uint64_t)n, 8), false);
	add_place(tables, number - 8 - align_up(4 * (uint64_t)n, 8), number - 8, false);
	add_place(tables, align_up(behind, 4), 0, false);
	add_place(tables, values, 0, true);
	add_place(tables, number - 8 * (uint64_t)n, 0, true);
}

/* ---- The search ---- */

/* Whether symbol tables belong to the digits. */
static bool find_tables(struct kallsyms_search *search, uint64_t digit, struct kallsyms_tables *tables)
{
	uint32_t n;

	if (!find_tokens(search->memory, digit, tables))
		return false;
	if (search->n_tokens++ >= TOKENS_MAX || !find_numbers(search->memory, tables) ||
	    !read_quietly(search->memory, tables->num_syms.v, &n, sizeof(n)))
		return false;
	list_places(tables, n);
	return true;
}

bool kallsyms_next(struct kallsyms_search *search, struct kallsyms_tables *ret)
{
	bool found = false;

	while (!found && search->n_digits++ < DIGITS_MAX &&
	       memory_find(search->memory, &search->from, search->end, digits, sizeof(digits))) {
		struct kallsyms_tables tables = {0};

		found = find_tables(search, search->from.v, &tables);
		if (found)
			*ret = tables;
		search->from.v += sizeof(digits);
	}
	return found;
}
