/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own symbol table (scripts/kallsyms.c). A name is a length and that many indices
 * of tokens, which are short strings; the first character of the whole is the symbol's type.
 *
 * Names stay compressed: one pass notes where each begins and its hash, and a look-up expands
 * those of equal hash. 200,000 symbols cost a few milliseconds and 16 bytes each.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/internal.h"

#define TOKENS     256u
#define NAMES_MAX  (64u * 1024 * 1024) /* bytes of compressed names */
#define PIECE      (256u * 1024)
#define PROBES_MAX 1024u
#define HASH_PRIME UINT64_C(0x9e3779b97f4a7c15)

struct token {
	const char *text; /* in tokens.table */
	uint32_t size;
	uint64_t hash;  /* of the text */
	uint64_t power; /* HASH_PRIME to the power of its size */
};

struct tokens {
	struct token items[TOKENS];
	char table[65536 + 256];
};

/* Ways to write an address down; kernels are told apart by what comes out right, not by version. */
enum encoding {
	ENCODING_ABSOLUTE_PERCPU, /* o >= 0: itself; else base - 1 - o (until 6.14, with CONFIG_SMP) */
	ENCODING_RELATIVE,        /* base + (u32)o (6.15 and later; before, without CONFIG_SMP) */
	ENCODING_PLACE,           /* relative to the entry's own place (7.0 and later) */
	ENCODING_ADDRESS,         /* 8 bytes (without CONFIG_KALLSYMS_BASE_RELATIVE) */
	ENCODING_MAX,
};

struct symbols {
	size_t n;
	struct tokens tokens;
	uint8_t *names; /* compressed */
	size_t names_size;
	uint32_t *positions; /* of each one's length in names */
	uint32_t *hashes;
	uint32_t *index; /* by hash: number of the symbol + 1; 0: empty. First of a name wins */
	uint32_t mask;
	enum encoding encoding;
	uint64_t base, place; /* for the encoding; place: of the first entry */
	union {
		int32_t *offsets;
		uint64_t *addresses; /* ENCODING_ADDRESS */
		void *values;
	};
};

/*
 * Names are hashed as polynomials, so that a token adds to a hash in one step. An odd multiplier
 * is weak against intent; what that can do is bounded by PROBES_MAX.
 */
static uint64_t add_text(uint64_t hash, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = hash * HASH_PRIME + (uint8_t)text[i];
	return hash;
}

static uint32_t finish_hash(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(hash >> 32);
}

static void set_token(struct token *token, const char *text, size_t size)
{
	*token = (struct token){.text = text, .size = (uint32_t)size, .hash = add_text(0, text, size), .power = 1};
	for (size_t i = 0; i < size; i++)
		token->power *= HASH_PRIME;
}

static struct error *load_tokens(struct memory *memory, const struct kallsyms_tables *tables, struct tokens *tokens)
{
	uint16_t index[TOKENS];
	size_t size;
	struct error *error = memory_read(memory, tables->token_index, index, sizeof(index));

	if (error)
		return error_wrap(error, "token index of kallsyms");
	for (size_t i = 1; i < TOKENS; i++) {
		if (index[i] <= index[i - 1])
			return error_format(NULL, tables->token_index.v,
					    "the token index of kallsyms is not ascending");
	}
	/* The last token's end is not known; what follows, the index itself, is mapped too. */
	size = index[TOKENS - 1] + 128u;
	error = memory_read(memory, tables->token_table, tokens->table, size);
	if (error)
		return error_wrap(error, "token table of kallsyms");
	for (size_t i = 0; i < TOKENS; i++)
		set_token(&tokens->items[i], tokens->table + index[i],
			  strnlen(tokens->table + index[i], size - index[i]));
	return NULL;
}

/* ---- Names ---- */

/* Reads on at `next` until `need` bytes of compressed names are there. */
static struct error *read_names(struct memory *memory, struct symbols *symbols, struct gva *next, size_t *allocated,
				size_t need)
{
	while (symbols->names_size < need) {
		size_t n = PIECE - next->v % PIECE;
		struct error *error;

		if (symbols->names_size + n > *allocated) {
			size_t more = *allocated ? *allocated * 2 : 16 * PIECE;
			uint8_t *names = more <= NAMES_MAX ? realloc(symbols->names, more) : NULL;

			if (!names)
				return more <= NAMES_MAX
					       ? error_no_memory()
					       : error_create(ERROR_FORMAT, "more than %u bytes of symbol names",
							      NAMES_MAX);
			symbols->names = names;
			*allocated = more;
		}
		error = memory_read(memory, *next, symbols->names + symbols->names_size, n);
		if (error && n > PAGE_SIZE) {
			/* They may end shortly before something that is not there. */
			error_destroy(error);
			n = PAGE_SIZE - next->v % PAGE_SIZE;
			error = memory_read(memory, *next, symbols->names + symbols->names_size, n);
		}
		if (error)
			return error_wrap(error, "names of kallsyms");
		symbols->names_size += n;
		next->v += n;
	}
	return NULL;
}

/* The tokens of the name at `position`, all of which lie in names. */
static const uint8_t *name_tokens(const struct symbols *symbols, size_t position, size_t *ret_n)
{
	const uint8_t *name = symbols->names + position;

	/* One byte, or two if the first has its top bit set (6.1 and later; before, no name was that long). */
	*ret_n = name[0] & 0x80 ? (name[0] & 0x7fu) | (size_t)name[1] << 7 : name[0];
	return name + (name[0] & 0x80 ? 2 : 1);
}

/* The name's hash without its type's letter; false: it has none. */
static bool hash_tokens(const struct symbols *symbols, const uint8_t *tokens, size_t n, uint32_t *ret)
{
	uint64_t hash = 0, power = 1;
	uint32_t first = TOKENS;

	for (size_t i = 0; i < n; i++) {
		const struct token *token = &symbols->tokens.items[tokens[i]];

		if (first == TOKENS && token->size > 0)
			first = (uint8_t)token->text[0];
		hash = hash * token->power + token->hash;
		power *= token->power;
	}
	if (first == TOKENS)
		return false;
	/* The letter was multiplied by HASH_PRIME once for each character behind it: power has one too many. */
	*ret = finish_hash(hash * HASH_PRIME - power * first);
	return true;
}

static uint32_t hash_name(const char *name)
{
	return finish_hash(add_text(0, name, strlen(name)) * HASH_PRIME);
}

static struct error *load_names(struct memory *memory, const struct kallsyms_tables *tables, struct symbols *symbols)
{
	struct gva next = tables->names;
	size_t allocated = 0, position = 0;
	struct error *error;

	for (size_t i = 0; i < symbols->n; i++) {
		const uint8_t *tokens;
		size_t n;

		/* Nearly always all of it is there: the longest name has 2 + 0x7fff bytes. */
		if (symbols->names_size - position < 2 + 0x7fff) {
			error = read_names(memory, symbols, &next, &allocated, position + 2);
			if (error)
				return error;
			tokens = name_tokens(symbols, position, &n);
			error = read_names(memory, symbols, &next, &allocated, (size_t)(tokens - symbols->names) + n);
			if (error)
				return error;
		}
		tokens = name_tokens(symbols, position, &n);
		symbols->positions[i] = (uint32_t)position;
		if (!hash_tokens(symbols, tokens, n, &symbols->hashes[i]))
			return error_format(NULL, tables->names.v + position, "symbol %zu of kallsyms has no type", i);
		position = (size_t)(tokens - symbols->names) + n;
	}
	return NULL;
}

/* Walks a name's characters. */
struct letters {
	const struct symbols *symbols;
	const uint8_t *tokens;
	size_t n;
	uint32_t position; /* in the first of the tokens */
};

static struct letters letters_of(const struct symbols *symbols, size_t i)
{
	struct letters letters = {.symbols = symbols};

	letters.tokens = name_tokens(symbols, symbols->positions[i], &letters.n);
	return letters;
}

/* The next character; 0: the end. */
static char next_letter(struct letters *letters)
{
	for (; letters->n > 0; letters->n--, letters->tokens++, letters->position = 0) {
		const struct token *token = &letters->symbols->tokens.items[*letters->tokens];

		if (letters->position < token->size)
			return token->text[letters->position++];
	}
	return '\0';
}

static bool is_name(const struct symbols *symbols, size_t i, const char *name)
{
	struct letters letters = letters_of(symbols, i);

	(void)next_letter(&letters);
	for (; *name; name++) {
		if (next_letter(&letters) != *name)
			return false;
	}
	return next_letter(&letters) == '\0';
}

static bool same_names(const struct symbols *symbols, size_t i, size_t k)
{
	struct letters a = letters_of(symbols, i), b = letters_of(symbols, k);
	char letter;

	(void)next_letter(&a);
	(void)next_letter(&b);
	do {
		letter = next_letter(&a);
		if (letter != next_letter(&b))
			return false;
	} while (letter);
	return true;
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
		uint32_t slot = symbols->hashes[i] & symbols->mask;
		unsigned probes = 0;

		for (; symbols->index[slot]; slot = (slot + 1) & symbols->mask) {
			uint32_t other = symbols->index[slot] - 1;

			if (symbols->hashes[other] == symbols->hashes[i] && same_names(symbols, other, i))
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

static uint64_t address_of(const struct symbols *symbols, size_t i)
{
	int64_t value;

	if (symbols->encoding == ENCODING_ADDRESS)
		return symbols->addresses[i];
	value = symbols->offsets[i];
	switch (symbols->encoding) {
	case ENCODING_ABSOLUTE_PERCPU:
		return value >= 0 ? (uint64_t)value : symbols->base - 1 - (uint64_t)value;
	case ENCODING_RELATIVE:
		return symbols->base + (uint32_t)value;
	case ENCODING_PLACE:
	default:
		return symbols->place + i * 4 + (uint64_t)value;
	}
}

/* Position + 1 of the first symbol of that name; 0: none. */
static uint32_t find_name(const struct symbols *symbols, const char *name)
{
	uint32_t hash = hash_name(name), slot = hash & symbols->mask;

	for (; symbols->index[slot]; slot = (slot + 1) & symbols->mask) {
		uint32_t i = symbols->index[slot] - 1;

		if (symbols->hashes[i] == hash && is_name(symbols, i, name))
			return i + 1;
	}
	return 0;
}

/* Whether the banner and _stext lie where this encoding says. */
static bool check_encoding(struct memory *memory, const struct symbols *symbols, const struct kallsyms_tables *tables,
			   uint32_t banner)
{
	static const char text[] = "Linux version ";
	_cleanup_(error_destroy_ptr) struct error *error = NULL;
	char found[sizeof(text)];
	uint64_t address = address_of(symbols, banner - 1);
	uint32_t stext = find_name(symbols, "_stext");

	if (tables->stext && stext && address_of(symbols, stext - 1) != tables->stext)
		return false;
	if (tables->accept)
		return tables->accept(tables->accept_data, symbols, (struct gva){address});
	error = memory_read_string(memory, (struct gva){address}, found, sizeof(found));
	return !error && strcmp(found, text) == 0;
}

/* Reads the values of one place; false with `error` if they cannot be read. */
static struct error *read_place(struct memory *memory, const struct kallsyms_place *place, struct symbols *symbols)
{
	size_t each = place->addresses ? sizeof(uint64_t) : sizeof(int32_t);
	struct error *error = NULL;

	symbols->place = place->values.v;
	symbols->base = 0;
	if (place->relative_base.v)
		error = memory_read_u64(memory, place->relative_base, &symbols->base);
	return error ? error : memory_read(memory, place->values, symbols->values, symbols->n * each);
}

static bool fits(const struct kallsyms_place *place, enum encoding encoding)
{
	if (place->addresses)
		return encoding == ENCODING_ADDRESS;
	if (place->relative_base.v)
		return encoding == ENCODING_ABSOLUTE_PERCPU || encoding == ENCODING_RELATIVE;
	return encoding == ENCODING_PLACE;
}

static struct error *find_encoding(struct memory *memory, const struct kallsyms_tables *tables, struct symbols *symbols)
{
	uint32_t banner = find_name(symbols, "linux_banner");
	_cleanup_(error_destroy_ptr) struct error *last = NULL;

	if (banner == 0)
		return error_remedy(error_create(ERROR_UNSUPPORTED, "the guest's kernel names its functions only, not "
								    "its variables (no linux_banner in kallsyms)"),
				    "The guest needs a kernel built with CONFIG_KALLSYMS_ALL");
	symbols->values = calloc(symbols->n, sizeof(uint64_t));
	if (!symbols->values)
		return error_no_memory();
	for (size_t i = 0; i < tables->n_places; i++) {
		error_destroy(take_ptr(last));
		last = read_place(memory, &tables->places[i], symbols);
		for (int encoding = 0; !last && encoding < ENCODING_MAX; encoding++) {
			symbols->encoding = (enum encoding)encoding;
			if (fits(&tables->places[i], symbols->encoding) &&
			    check_encoding(memory, symbols, tables, banner))
				return NULL;
		}
	}
	if (last)
		return error_wrap(take_ptr(last), "addresses of kallsyms");
	return error_format(NULL, tables->names.v, "no known encoding of kallsyms yields the kernel's banner");
}

/* ---- The whole ---- */

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
	symbols->n = n;
	symbols->positions = calloc(n, sizeof(*symbols->positions));
	symbols->hashes = calloc(n, sizeof(*symbols->hashes));
	if (!symbols->positions || !symbols->hashes)
		return error_no_memory();
	error = load_tokens(memory, tables, &symbols->tokens);
	if (!error)
		error = load_names(memory, tables, symbols);
	if (!error)
		error = build_index(symbols);
	if (!error)
		error = find_encoding(memory, tables, symbols);
	if (error)
		return error;
	*ret = take_ptr(symbols);
	return NULL;
}

bool symbols_find(const struct symbols *symbols, const char *name, struct gva *ret)
{
	uint32_t found = find_name(symbols, name);

	if (found)
		ret->v = address_of(symbols, found - 1);
	return found != 0;
}

struct error *symbols_get(const struct symbols *symbols, const char *name, struct gva *ret)
{
	if (symbols_find(symbols, name, ret))
		return NULL;
	return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no symbol '%s'", name);
}

uint64_t symbols_next(const struct symbols *symbols, uint64_t address)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < symbols->n; i++) {
		const uint64_t other = address_of(symbols, i);

		if (other > address && other < next)
			next = other;
	}
	return next;
}

size_t symbols_count(const struct symbols *symbols)
{
	return symbols->n;
}

void symbols_at(const struct symbols *symbols, size_t i, struct symbol *ret)
{
	struct letters letters = letters_of(symbols, i);
	size_t n = 0;

	ret->address = address_of(symbols, i);
	ret->type = next_letter(&letters);
	while (n + 1 < sizeof(ret->name) && (ret->name[n] = next_letter(&letters)))
		n++;
	ret->name[n] = '\0';
}

bool symbols_lookup(const struct symbols *symbols, uint64_t address, struct symbol *ret, uint64_t *ret_end)
{
	size_t low = 0, high = symbols->n, first;

	/* The kernel keeps them by address; one that does not, gets an answer, but not a right one. */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (address_of(symbols, middle) <= address)
			low = middle;
		else
			high = middle;
	}
	if (symbols->n == 0 || address_of(symbols, low) > address)
		return false;
	for (first = low; first > 0 && address_of(symbols, first - 1) == address_of(symbols, low);)
		first--;
	symbols_at(symbols, first, ret);
	*ret_end = 0;
	for (size_t i = low + 1; i < symbols->n && *ret_end == 0; i++)
		if (address_of(symbols, i) > ret->address)
			*ret_end = address_of(symbols, i);
	return true;
}

void symbols_destroy(struct symbols *symbols)
{
	if (!symbols)
		return;
	free(symbols->names);
	free(symbols->positions);
	free(symbols->hashes);
	free(symbols->index);
	free(symbols->values);
	free(symbols);
}
