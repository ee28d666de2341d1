/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own symbol table (scripts/kallsyms.c). A name is a length and that many indices
 * of tokens, which are short strings; the first character of the whole is the symbol's type.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

#define TOKENS        256u
/* KSYM_NAME_LEN is 128, 512 since 6.1; with the type's letter and a NUL. */
#define NAME_MAX_SIZE 1024u
#define POOL_MAX      (128u * 1024 * 1024)
#define PROBES_MAX    1024u

struct symbol {
	uint64_t address;
	uint32_t name; /* offset in the pool */
	uint32_t hash;
};

struct symbols {
	struct symbol *items;
	size_t n;
	char *pool; /* NUL-terminated names */
	size_t pool_size, pool_allocated;
	uint32_t *index; /* by hash: position in items + 1; 0: empty. First of a name wins */
	uint32_t mask;
};

struct tokens {
	uint16_t index[TOKENS];
	char table[65536 + 256];
	size_t size; /* bytes of the table that were read */
};

/* The compressed names, read ahead in pieces. */
struct names {
	struct memory *memory;
	struct gva next;
	uint8_t buffer[PAGE_SIZE];
	size_t position, size;
};

static uint32_t hash_name(const char *name, size_t size)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash;
}

static struct error *load_tokens(struct memory *memory, const struct kallsyms_tables *tables, struct tokens *ret)
{
	struct error *error = memory_read(memory, tables->token_index, ret->index, sizeof(ret->index));
	size_t size;

	if (error)
		return error_wrap(error, "token index of kallsyms");
	for (size_t i = 1; i < TOKENS; i++) {
		if (ret->index[i] <= ret->index[i - 1])
			return error_format(NULL, tables->token_index.v,
					    "the token index of kallsyms is not ascending");
	}
	/* The last token's end is not known; what follows, the index itself, is mapped too. */
	size = ret->index[TOKENS - 1] + 128u;
	error = memory_read(memory, tables->token_table, ret->table, size);
	if (error)
		return error_wrap(error, "token table of kallsyms");
	ret->table[size] = '\0';
	ret->size = size;
	return NULL;
}

static struct error *next_byte(struct names *names, uint8_t *ret)
{
	if (names->position == names->size) {
		size_t n = PAGE_SIZE - names->next.v % PAGE_SIZE;
		struct error *error = memory_read(names->memory, names->next, names->buffer, n);

		if (error)
			return error_wrap(error, "names of kallsyms");
		names->next.v += n;
		names->position = 0;
		names->size = n;
	}
	*ret = names->buffer[names->position++];
	return NULL;
}

/* One byte, or two if the first has its top bit set (6.1 and later; before, no name was that long). */
static struct error *next_length(struct names *names, uint32_t *ret)
{
	uint8_t low, high;
	struct error *error = next_byte(names, &low);

	if (error)
		return error;
	*ret = low;
	if (!(low & 0x80))
		return NULL;
	error = next_byte(names, &high);
	if (!error)
		*ret = (low & 0x7fu) | (uint32_t)high << 7;
	return error;
}

/* Expands the next name, with its type letter, NUL-terminated. */
static struct error *next_name(struct names *names, const struct tokens *tokens, char name[NAME_MAX_SIZE],
			       size_t *ret_size)
{
	size_t size = 0;
	uint32_t length;
	struct error *error = next_length(names, &length);

	if (error)
		return error;
	while (length-- > 0) {
		uint8_t token;
		const char *text;
		size_t n;

		error = next_byte(names, &token);
		if (error)
			return error;
		text = tokens->table + tokens->index[token];
		n = strnlen(text, tokens->size - tokens->index[token]);
		if (size + n >= NAME_MAX_SIZE)
			return error_format(NULL, names->next.v, "a symbol's name of more than %u bytes",
					    NAME_MAX_SIZE);
		memcpy(name + size, text, n);
		size += n;
	}
	name[size] = '\0';
	*ret_size = size;
	return NULL;
}

static struct error *add_name(struct symbols *symbols, const char *name, size_t size)
{
	if (symbols->pool_size + size + 1 > symbols->pool_allocated) {
		size_t allocated = symbols->pool_allocated ? symbols->pool_allocated * 2 : 1024 * 1024;
		char *pool;

		if (allocated > POOL_MAX)
			return error_create(ERROR_FORMAT, "more than %u bytes of symbol names", POOL_MAX);
		pool = realloc(symbols->pool, allocated);
		if (!pool)
			return error_no_memory();
		symbols->pool = pool;
		symbols->pool_allocated = allocated;
	}
	memcpy(symbols->pool + symbols->pool_size, name, size);
	symbols->pool[symbols->pool_size + size] = '\0';
	symbols->items[symbols->n++] =
		(struct symbol){.name = (uint32_t)symbols->pool_size, .hash = hash_name(name, size)};
	symbols->pool_size += size + 1;
	return NULL;
}

static struct error *load_names(struct memory *memory, const struct kallsyms_tables *tables, uint32_t n,
				struct symbols *symbols)
{
	_cleanup_(free_ptr) struct tokens *tokens = calloc(1, sizeof(*tokens));
	struct names names = {.memory = memory, .next = tables->names};
	struct error *error;

	symbols->items = calloc(n, sizeof(*symbols->items));
	if (!tokens || !symbols->items)
		return error_no_memory();
	error = load_tokens(memory, tables, tokens);
	for (uint32_t i = 0; !error && i < n; i++) {
		char name[NAME_MAX_SIZE];
		size_t size = 0;

		error = next_name(&names, tokens, name, &size);
		if (!error && size < 1)
			error = error_format(NULL, names.next.v, "symbol %u of kallsyms has no type", i);
		if (!error)
			error = add_name(symbols, name + 1, size - 1);
	}
	return error;
}

static struct error *build_index(struct symbols *symbols)
{
	uint32_t slots = 64;

	while (slots / 2 < symbols->n)
		slots *= 2;
	symbols->index = calloc(slots, sizeof(*symbols->index));
	if (!symbols->index)
		return error_no_memory();
	symbols->mask = slots - 1;
	for (uint32_t i = 0; i < symbols->n; i++) {
		const struct symbol *symbol = &symbols->items[i];
		uint32_t slot = symbol->hash & symbols->mask;
		unsigned probes = 0;

		for (; symbols->index[slot]; slot = (slot + 1) & symbols->mask) {
			const struct symbol *other = &symbols->items[symbols->index[slot] - 1];

			if (other->hash == symbol->hash &&
			    strcmp(symbols->pool + other->name, symbols->pool + symbol->name) == 0)
				break;
			if (++probes > PROBES_MAX)
				return error_create(ERROR_FORMAT, "the guest's symbols have colliding names");
		}
		if (!symbols->index[slot])
			symbols->index[slot] = i + 1;
	}
	return NULL;
}

/* ---- Addresses ---- */

/* Ways to write an address down; kernels are told apart by what comes out right, not by version. */
enum encoding {
	ENCODING_ABSOLUTE_PERCPU, /* o >= 0: itself; else base - 1 - o (until 6.14) */
	ENCODING_RELATIVE,        /* base + (u32)o (6.15 and later) */
	ENCODING_PLACE,           /* relative to the entry's own place (7.0 and later) */
	ENCODING_MAX,
};

struct offsets {
	const int32_t *values; /* as many as symbols */
	struct gva place;      /* of the first one */
	uint64_t base;
	bool has_base;
};

static uint64_t decode_address(const struct offsets *offsets, enum encoding encoding, size_t i)
{
	int64_t value = offsets->values[i];

	switch (encoding) {
	case ENCODING_ABSOLUTE_PERCPU:
		return value >= 0 ? (uint64_t)value : offsets->base - 1 - (uint64_t)value;
	case ENCODING_RELATIVE:
		return offsets->base + (uint32_t)value;
	case ENCODING_PLACE:
		return offsets->place.v + i * 4 + (uint64_t)value;
	default:
		return 0;
	}
}

/* Whether the banner and _stext lie where this encoding says. */
static bool check_encoding(struct memory *memory, const struct symbols *symbols, const struct offsets *offsets,
			   enum encoding encoding, uint64_t stext)
{
	static const char banner[] = "Linux version ";
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	char text[sizeof(banner)];
	struct gva position;

	if ((encoding == ENCODING_PLACE) == offsets->has_base)
		return false;
	/* Before addresses are set, find() yields positions. */
	if (!symbols_find(symbols, "linux_banner", &position))
		return false;
	error = memory_read_string(memory, (struct gva){decode_address(offsets, encoding, position.v)}, text,
				   sizeof(text));
	if (error || strcmp(text, banner) != 0)
		return false;
	return stext == 0 || !symbols_find(symbols, "_stext", &position) ||
	       decode_address(offsets, encoding, position.v) == stext;
}

static struct error *set_addresses(struct memory *memory, const struct kallsyms_tables *tables, struct symbols *symbols)
{
	_cleanup_(free_ptr) int32_t *values = calloc(symbols->n, sizeof(*values));
	struct offsets offsets = {.values = values, .place = tables->offsets, .has_base = tables->relative_base.v != 0};
	struct error *error = NULL;

	if (!values)
		return error_no_memory();
	if (offsets.has_base)
		error = memory_read_u64(memory, tables->relative_base, &offsets.base);
	if (!error)
		error = memory_read(memory, tables->offsets, values, symbols->n * sizeof(*values));
	if (error)
		return error_wrap(error, "addresses of kallsyms");
	for (size_t i = 0; i < symbols->n; i++)
		symbols->items[i].address = i;
	for (int encoding = 0; encoding < ENCODING_MAX; encoding++) {
		if (!check_encoding(memory, symbols, &offsets, (enum encoding)encoding, tables->stext))
			continue;
		for (size_t i = 0; i < symbols->n; i++)
			symbols->items[i].address = decode_address(&offsets, (enum encoding)encoding, i);
		return NULL;
	}
	return error_format(NULL, tables->offsets.v, "no known encoding of kallsyms yields the kernel's banner");
}

struct error *symbols_load(struct memory *memory, const struct kallsyms_tables *tables, struct symbols **ret)
{
	_cleanup_(symbols_destroy_ptr) struct symbols *symbols = calloc(1, sizeof(*symbols));
	uint32_t n;
	struct error *error;

	if (!symbols)
		return error_no_memory();
	error = memory_read_u32(memory, tables->num_syms, &n);
	if (error)
		return error_wrap(error, "number of kernel symbols");
	if (n == 0 || n > SYMBOLS_MAX)
		return error_format(NULL, tables->num_syms.v, "%u kernel symbols", n);
	error = load_names(memory, tables, n, symbols);
	if (!error)
		error = build_index(symbols);
	if (!error)
		error = set_addresses(memory, tables, symbols);
	if (error)
		return error;
	*ret = take_ptr(symbols);
	return NULL;
}

bool symbols_find(const struct symbols *symbols, const char *name, struct gva *ret)
{
	uint32_t hash = hash_name(name, strlen(name)), slot = hash & symbols->mask;

	for (; symbols->index[slot]; slot = (slot + 1) & symbols->mask) {
		const struct symbol *symbol = &symbols->items[symbols->index[slot] - 1];

		if (symbol->hash != hash || strcmp(symbols->pool + symbol->name, name) != 0)
			continue;
		ret->v = symbol->address;
		return true;
	}
	return false;
}

struct error *symbols_get(const struct symbols *symbols, const char *name, struct gva *ret)
{
	if (symbols_find(symbols, name, ret))
		return NULL;
	return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no symbol '%s'", name);
}

size_t symbols_count(const struct symbols *symbols)
{
	return symbols->n;
}

void symbols_destroy(struct symbols *symbols)
{
	if (!symbols)
		return;
	free(symbols->items);
	free(symbols->pool);
	free(symbols->index);
	free(symbols);
}
