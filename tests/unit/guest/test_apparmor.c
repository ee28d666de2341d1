/* SPDX-License-Identifier: Apache-2.0 */
/* AppArmor's tables of features in made memory, as a kernel has them and as one that lies may. */
#include <bpf/btf.h>
#include <string.h>

#include "tests/unit/guest/made_symbols.h"

#define ROOT    UINT64_C(0x20000) /* "apparmor"'s own table */
#define TABLES  UINT64_C(0x21000) /* 512 bytes each */
#define STRINGS UINT64_C(0x30000)
#define ENTRIES UINT64_C(0x1700) /* bytes from ROOT on that tables are in; what is damaged, and of STRINGS: */
#define LETTERS UINT64_C(0x100)

enum kind {
	BOOLEAN,
	TEXT,
	NUMBER,
	FOPS,
	DIRECTORY
};

/* struct aa_sfs_entry of Linux 6.1; the union is one number here. */
struct entry {
	uint64_t name, dentry;
	uint16_t mode;
	uint32_t type;
	uint64_t value, file_ops;
};

struct fixture {
	struct made_guest *made;
	struct guest guest;
	uint64_t strings; /* where the next one goes */
	struct guest_apparmor_features features;
};

static void add(struct btf *btf, const char *name, int type, size_t offset)
{
	assert_int_equal(btf__add_field(btf, name, type, (uint32_t)offset * 8, 0), 0);
}

static void make_types(struct types **ret)
{
	static const char *const kinds[] = {"AA_SFS_TYPE_BOOLEAN", "AA_SFS_TYPE_STRING", "AA_SFS_TYPE_U64",
					    "AA_SFS_TYPE_FOPS", "AA_SFS_TYPE_DIR"};
	struct btf *btf = btf__new_empty();
	int u64, u16, kind, value;
	const void *data;
	uint32_t size;

	assert_non_null(btf);
	u64 = btf__add_int(btf, "u64", 8, 0);
	u16 = btf__add_int(btf, "u16", 2, 0);
	kind = btf__add_enum(btf, "aa_sfs_type", 4);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		assert_int_equal(btf__add_enum_value(btf, kinds[i], (int64_t)i), 0);
	value = btf__add_union(btf, NULL, 8);
	add(btf, "u64", u64, 0);
	btf__add_struct(btf, "aa_sfs_entry", sizeof(struct entry));
	add(btf, "name", u64, offsetof(struct entry, name));
	add(btf, "dentry", u64, offsetof(struct entry, dentry));
	add(btf, "mode", u16, offsetof(struct entry, mode));
	add(btf, "v_type", kind, offsetof(struct entry, type));
	add(btf, "v", value, offsetof(struct entry, value));
	add(btf, "file_ops", u64, offsetof(struct entry, file_ops));
	data = btf__raw_data(btf, &size);
	assert_non_null(data);
	assert_ok(types_create(data, size, NULL, ret));
	btf__free(btf);
}

static uint64_t table(unsigned i)
{
	return TABLES + i * UINT64_C(512);
}

static uint64_t put_text(struct fixture *f, const char *text)
{
	uint64_t place = f->strings;

	write_at(f->made, place, text, strlen(text) + 1);
	f->strings += strlen(text) + 1;
	return KERNEL_BASE + place;
}

static void put(struct fixture *f, uint64_t place, unsigned i, const char *name, enum kind kind, uint64_t value)
{
	const struct entry entry = {
		.name = put_text(f, name), .dentry = 1, .type = (uint32_t)kind, .value = value, .file_ops = 2};

	write_at(f->made, place + i * sizeof(entry), &entry, sizeof(entry));
}

static uint64_t at(uint64_t place)
{
	return KERNEL_BASE + place;
}

/* What comes after the directory of features in the first table is not theirs. */
static struct fixture *fixture_create(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	f->strings = STRINGS;
	make_types(&f->guest.types);
	put(f, ROOT, 0, ".access", FOPS, 0);
	put(f, ROOT, 1, "features", DIRECTORY, at(table(0)));
	put(f, ROOT, 2, "raw_data", FOPS, 0);
	put(f, table(0), 0, "policy", DIRECTORY, at(table(1)));
	put(f, table(0), 1, "capability", NUMBER, 0xffffff);
	put(f, table(0), 2, "file", DIRECTORY, at(table(3)));
	put(f, table(1), 0, "versions", DIRECTORY, at(table(2)));
	put(f, table(1), 1, "outofband", NUMBER, 1);
	put(f, table(2), 0, "v5", BOOLEAN, 1);
	put(f, table(2), 1, "v9", BOOLEAN, 0);
	put(f, table(3), 0, "mask", TEXT, put_text(f, "create read write"));
	return f;
}

static struct error *load(struct fixture *f, const char *symbol)
{
	const struct made_symbol_at symbols[] = {{symbol, ROOT}};

	made_symbols_write(f->made, symbols, ARRAY_SIZE(symbols));
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->guest.symbols = made_symbols_load(&f->guest.memory);
	return guest_apparmor_features(&f->guest, &f->features);
}

static void fixture_destroy(struct fixture *f)
{
	guest_apparmor_features_deinit(&f->features);
	types_destroy(f->guest.types);
	symbols_destroy(f->guest.symbols);
	made_guest_destroy(f->made);
	free(f);
}
DEFINE_CLEANUP(struct fixture *, fixture_destroy)

static void files_say_what_the_kernel_says(void **state)
{
	static const struct guest_apparmor_feature expected[] = {
		{(char *)"policy", NULL},
		{(char *)"policy/versions", NULL},
		{(char *)"policy/versions/v5", (char *)"yes\n"},
		{(char *)"policy/versions/v9", (char *)"no\n"},
		{(char *)"policy/outofband", (char *)"0x000001\n"},
		{(char *)"capability", (char *)"0xffffff\n"},
		{(char *)"file", NULL},
		{(char *)"file/mask", (char *)"create read write\n"},
	};
	_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();

	assert_ok(load(f, "aa_sfs_entry_apparmor"));
	assert_int_equal(f->features.n, ARRAY_SIZE(expected));
	for (size_t i = 0; i < f->features.n; i++) {
		assert_string_equal(f->features.items[i].path, expected[i].path);
		if (expected[i].text)
			assert_string_equal(f->features.items[i].text, expected[i].text);
		else
			assert_null(f->features.items[i].text);
	}
}

static void a_kernel_without_it(void **state)
{
	_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();

	assert_error(load(f, "another_table"), ERROR_NOT_FOUND);
}

/* Switched off when it booted: the tables are there, and none of their files was made. */
static void one_that_has_it_off(void **state)
{
	_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();

	write_u64(f->made, ROOT + sizeof(struct entry) + offsetof(struct entry, dentry), 0);
	assert_error(load(f, "aa_sfs_entry_apparmor"), ERROR_NOT_FOUND);
}

/* A part of the features would name another cache: all or none. */
static void what_is_not_known_is_said(void **state)
{
	static const uint32_t kinds[] = {FOPS, 17};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();

		put(f, table(2), 2, "new", (enum kind)kinds[i], 1);
		assert_error(load(f, "aa_sfs_entry_apparmor"), ERROR_UNSUPPORTED);
		assert_int_equal(f->features.n, 0);
	}
}

static void names_that_no_file_can_have(void **state)
{
	char long_name[100] = "";
	const char *const names[] = {"..", ".", "a/b", "../../etc/passwd", "", long_name};

	memset(long_name, 'x', sizeof(long_name) - 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();

		put(f, table(2), 1, names[i], BOOLEAN, 1);
		assert_error(load(f, "aa_sfs_entry_apparmor"), ERROR_FORMAT);
	}
}

/* A directory in itself; a table that does not end; a text that does not. */
static void what_has_no_end(void **state)
{
	_cleanup_(fixture_destroy_ptr) struct fixture *circle = fixture_create(), *table_of_all = fixture_create(),
						      *text = fixture_create();
	const uint64_t far = UINT64_C(0x40000);

	put(circle, table(2), 1, "again", DIRECTORY, at(table(0)));
	assert_error(load(circle, "aa_sfs_entry_apparmor"), ERROR_FORMAT);
	for (unsigned i = 0; i < 4000; i++) {
		table_of_all->strings = STRINGS;
		put(table_of_all, far, i, "x", BOOLEAN, 1);
	}
	put(table_of_all, table(2), 1, "all", DIRECTORY, at(far));
	assert_error(load(table_of_all, "aa_sfs_entry_apparmor"), ERROR_FORMAT);
	memset(text->made->ram + far, 'y', 0x4000);
	put(text, table(2), 1, "long", TEXT, at(far));
	assert_error(load(text, "aa_sfs_entry_apparmor"), ERROR_FORMAT);
}

/* One round of damage: bits, and pointers, for a bit alone seldom leads to another table. */
static void damage(struct made_guest *made, uint64_t *state)
{
	for (unsigned i = 0; i < 1 + *state % 8; i++) {
		*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
		if (*state >> 60 & 1)
			write_u64(made, ROOT + (*state >> 33) % ENTRIES / 8 * 8, at(ROOT + (*state >> 12) % ENTRIES));
		else if (*state >> 61 & 1)
			made->ram[ROOT + (*state >> 33) % ENTRIES] ^= (uint8_t)(1u << (*state >> 24) % 8);
		else
			made->ram[STRINGS + (*state >> 33) % LETTERS] ^= (uint8_t)(1u << (*state >> 24) % 8);
	}
}

static void damaged_tables(void **state)
{
	uint64_t seed = 20261123, read = 0;

	for (unsigned round = 0; round < 1000; round++) {
		_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create();
		struct error *error;

		damage(f->made, &seed);
		error = load(f, "aa_sfs_entry_apparmor");
		assert_in_range(f->features.n, 0, GUEST_APPARMOR_FEATURES_MAX);
		for (size_t i = 0; i < f->features.n; i++)
			assert_null(strstr(f->features.items[i].path, ".."));
		read += error == NULL;
		error_destroy(error);
	}
	/* Both happen: it would be no test otherwise. */
	assert_in_range(read, 50, 950);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_say_what_the_kernel_says),
		cmocka_unit_test(a_kernel_without_it),
		cmocka_unit_test(one_that_has_it_off),
		cmocka_unit_test(what_is_not_known_is_said),
		cmocka_unit_test(names_that_no_file_can_have),
		cmocka_unit_test(what_has_no_end),
		cmocka_unit_test(damaged_tables),
	};

	return cmocka_run_group_tests_name("apparmor", tests, NULL, NULL);
}
