/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/btf.h>

#include "guest/internal.h"
#include "tests/unit/test.h"

/*
 * struct inner { int a; int b; };
 * struct outer { int first; union { long u; struct { const inner_t in; } ; }; struct outer *next; int bit : 3; char
 * name[16]; };
 */
static struct btf *make_types(void)
{
	struct btf *btf = btf__new_empty();
	int integer, character, inner, alias, constant, anonymous, joined, outer, pointer, array;

	assert_non_null(btf);
	integer = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	character = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	inner = btf__add_struct(btf, "inner", 8);
	assert_int_equal(btf__add_field(btf, "a", integer, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, "b", integer, 32, 0), 0);
	alias = btf__add_typedef(btf, "inner_t", inner);
	constant = btf__add_const(btf, alias);
	anonymous = btf__add_struct(btf, NULL, 8);
	assert_int_equal(btf__add_field(btf, "in", constant, 0, 0), 0);
	joined = btf__add_union(btf, NULL, 8);
	assert_int_equal(btf__add_field(btf, "u", integer, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, NULL, anonymous, 0, 0), 0);
	array = btf__add_array(btf, integer, character, 16);
	outer = btf__add_struct(btf, "outer", 48);
	pointer = outer + 1;
	assert_int_equal(btf__add_field(btf, "first", integer, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, NULL, joined, 64, 0), 0);
	assert_int_equal(btf__add_field(btf, "next", pointer, 128, 0), 0);
	assert_int_equal(btf__add_field(btf, "bit", integer, 195, 3), 0);
	assert_int_equal(btf__add_field(btf, "name", array, 256, 0), 0);
	assert_int_equal(btf__add_ptr(btf, outer), pointer);
	return btf;
}

static struct types *load(struct btf *btf, const struct types *base)
{
	struct types *types = NULL;
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	assert_non_null(data);
	assert_ok(types_create(data, size, base, &types));
	return types;
}

static void assert_member(const struct types *types, const char *type, const char *path, uint32_t offset, uint32_t size)
{
	struct member member = types_find(types, type, path);

	assert_true(member.present);
	assert_int_equal(member.offset, offset);
	assert_int_equal(member.size, size);
}

static void members(void **state)
{
	struct btf *btf = make_types();
	_cleanup_(types_destroy_ptr) struct types *types = load(btf, NULL);

	btf__free(btf);
	assert_member(types, "inner", "b", 4, 4);
	assert_member(types, "outer", "first", 0, 4);
	assert_member(types, "outer", "u", 8, 4);
	assert_member(types, "outer", "in", 8, 8);
	assert_member(types, "outer", "in.b", 12, 4);
	assert_member(types, "outer", "next", 16, 8);
	assert_member(types, "outer", "name", 32, 16);
	assert_int_equal(types_size(types, "outer"), 48);
	assert_int_equal(types_size(types, "nothing"), 0);
	assert_false(types_find(types, "outer", "in.c").present);
	assert_false(types_find(types, "outer", "next.first").present);
	assert_false(types_find(types, "outer", "").present);
	assert_false(types_find(types, "int", "a").present);
}

/*
 * struct cell { int x; unsigned low : 3; unsigned long wide : 40; };
 * struct grid { struct cell row[4]; struct { struct cell rest[0]; }; };
 */
static void arrays_and_bits(void **state)
{
	struct btf *btf = btf__new_empty();
	_cleanup_(types_destroy_ptr) struct types *types = NULL;
	int integer = btf__add_int(btf, "int", 4, 0), wide = btf__add_int(btf, "long", 8, 0);
	int cell = btf__add_struct(btf, "cell", 16), row = cell + 1, rest = cell + 2, anonymous = cell + 3;
	struct member bits;

	assert_int_equal(btf__add_field(btf, "x", integer, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, "low", integer, 32, 3), 0);
	assert_int_equal(btf__add_field(btf, "wide", wide, 35, 40), 0);
	assert_int_equal(btf__add_array(btf, integer, cell, 4), row);
	assert_int_equal(btf__add_array(btf, integer, cell, 0), rest);
	assert_int_equal(btf__add_struct(btf, NULL, 0), anonymous);
	assert_int_equal(btf__add_field(btf, "rest", rest, 0, 0), 0);
	assert_true(btf__add_struct(btf, "grid", 64) > 0);
	assert_int_equal(btf__add_field(btf, "row", row, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, NULL, anonymous, 512, 0), 0);
	types = load(btf, NULL);
	btf__free(btf);
	assert_member(types, "grid", "row", 0, 64);
	assert_int_equal(types_find(types, "grid", "row").count, 4);
	assert_member(types, "grid", "row.x", 0, 4);
	assert_member(types, "grid", "row[2]", 32, 16);
	assert_int_equal(types_find(types, "grid", "row[2]").count, 0);
	assert_member(types, "grid", "row[3].x", 48, 4);
	assert_member(types, "grid", "rest.x", 64, 4);
	assert_false(types_find(types, "grid", "row[4]").present);
	assert_false(types_find(types, "grid", "row[4].x").present);
	assert_false(types_find(types, "grid", "row[].x").present);
	assert_false(types_find(types, "grid", "row[1").present);
	assert_false(types_find(types, "grid", "row[1]x").present);
	assert_false(types_find(types, "grid", "row.").present);
	assert_false(types_find(types, "cell", "x[1]").present);
	bits = types_find(types, "cell", "low");
	assert_true(bits.present && bits.offset == 4 && bits.size == 1 && bits.bits == 3 && bits.shift == 0);
	bits = types_find(types, "grid", "row[1].wide");
	assert_true(bits.present && bits.offset == 20 && bits.size == 6 && bits.bits == 40 && bits.shift == 3);
}

static void enumerations(void **state)
{
	struct btf *btf = btf__new_empty();
	_cleanup_(types_destroy_ptr) struct types *types = NULL;
	uint64_t value = 0;

	assert_true(btf__add_struct(btf, "colour", 4) > 0);
	assert_true(btf__add_enum(btf, "colour", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "RED", 7), 0);
	assert_int_equal(btf__add_enum_value(btf, "NONE", -1), 0);
	assert_true(btf__add_enum(btf, NULL, 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "LOOSE", 9), 0);
	assert_true(btf__add_enum64(btf, "wide", 8, false) > 0);
	assert_int_equal(btf__add_enum64_value(btf, "HIGH", UINT64_C(1) << 40), 0);
	types = load(btf, NULL);
	btf__free(btf);
	assert_true(types_enum(types, "colour", "RED", &value));
	assert_int_equal(value, 7);
	assert_true(types_enum(types, "colour", "NONE", &value));
	assert_int_equal(value, UINT32_MAX);
	assert_true(types_enum(types, "wide", "HIGH", &value));
	assert_int_equal(value, UINT64_C(1) << 40);
	assert_true(types_enum(types, NULL, "LOOSE", &value));
	assert_int_equal(value, 9);
	assert_false(types_enum(types, "colour", "LOOSE", &value));
	assert_false(types_enum(types, "none", "RED", &value));
	assert_false(types_enum(types, NULL, "ABSENT", &value));
	assert_int_equal(types_size(types, "colour"), 4);
	assert_error(types_get_enum(types, "colour", "GREEN", &value), ERROR_UNSUPPORTED);
	assert_error(types_get_enum(types, NULL, "GREEN", &value), ERROR_UNSUPPORTED);
}

static void needs(void **state)
{
	struct btf *btf = make_types();
	_cleanup_(types_destroy_ptr) struct types *types = load(btf, NULL);
	struct member a, b = {.present = true};
	const struct member_need fine[] = {{"inner", "a", &a}, {"inner", "c", &b, .optional = true}};
	const struct member_need missing[] = {{"inner", "c", &b}};

	btf__free(btf);
	assert_ok(types_need(types, fine, 2));
	assert_true(a.present);
	assert_false(b.present);
	assert_error(types_need(types, missing, 1), ERROR_UNSUPPORTED);
}

/* A module's types refer to the kernel's. */
static void split(void **state)
{
	struct btf *base_btf = make_types(), *btf = btf__new_empty_split(base_btf);
	_cleanup_(types_destroy_ptr) struct types *base = load(base_btf, NULL);
	_cleanup_(types_destroy_ptr) struct types *types = NULL;
	int inner = btf__find_by_name(base_btf, "inner");

	assert_true(btf__add_struct(btf, "module_thing", 16) > 0);
	assert_int_equal(btf__add_field(btf, "deep", inner, 64, 0), 0);
	types = load(btf, base);
	btf__free(btf);
	btf__free(base_btf);
	assert_member(types, "module_thing", "deep.b", 12, 4);
	assert_member(types, "outer", "first", 0, 4);
	assert_false(types_find(base, "module_thing", "deep").present);
}

/* A structure that is its own anonymous member, many times over. */
static void contains_itself(void **state)
{
	struct btf *btf = btf__new_empty();
	_cleanup_(types_destroy_ptr) struct types *types = NULL;
	int anonymous = btf__add_struct(btf, NULL, 8), alias = anonymous + 2;

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(btf__add_field(btf, NULL, anonymous, 0, 0), 0);
	assert_int_equal(btf__add_struct(btf, "endless", 8), anonymous + 1);
	assert_int_equal(btf__add_field(btf, NULL, anonymous, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, "loop", alias, 0, 0), 0);
	assert_int_equal(btf__add_typedef(btf, "self", alias), alias);
	types = load(btf, NULL);
	btf__free(btf);
	assert_false(types_find(types, "endless", "x").present);
	assert_false(types_find(types, "endless", "loop.x").present);
}

/* No prefix of a blob makes the parser read beyond it; each is a copy of its own size, for the sanitizer. */
static void cut_at_every_byte(void **state)
{
	struct btf *btf = make_types();
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	for (uint32_t n = 0; n < size; n++) {
		struct types *types = NULL;
		void *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, data, n);
		assert_error(types_create(copy, n, NULL, &types), ERROR_FORMAT);
		free(copy);
	}
	btf__free(btf);
}

/* Sections outside of the blob. */
static void bad_headers(void **state)
{
	struct btf *btf = make_types();
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	/* Each number of the header in turn: magic, length, and the places and sizes of types and strings. */
	for (size_t i = 0; i < sizeof(struct btf_header) / 4; i++) {
		struct types *types = NULL;
		uint32_t *copy = malloc(size);

		assert_non_null(copy);
		memcpy(copy, data, size);
		copy[i] = 0xfffffff0;
		assert_error(types_create(copy, size, NULL, &types), ERROR_FORMAT);
		free(copy);
	}
	btf__free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members),
		cmocka_unit_test(arrays_and_bits),
		cmocka_unit_test(enumerations),
		cmocka_unit_test(needs),
		cmocka_unit_test(split),
		cmocka_unit_test(contains_itself),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(bad_headers),
	};

	return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
