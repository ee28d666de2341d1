/* SPDX-License-Identifier: Apache-2.0 */
/* The list of modules in made memory, in both layouts of a module's memory. */
#include <bpf/btf.h>

#include "tests/unit/guest/made_symbols.h"

#define HEAD      UINT64_C(0x20000)
#define MODULES   UINT64_C(0x21000) /* 256 bytes each */
#define USES      UINT64_C(0x22000)
#define NAME_SIZE 32u

/* A struct module with what the walk wants; two areas, or, since 6.4, an array of them. */
struct module {
	uint32_t state, pad;
	uint64_t list_next, list_prev;
	char name[NAME_SIZE];
	uint64_t init, exit;
	struct {
		uint64_t base;
		uint32_t size, pad;
	} areas[3];
	uint64_t taints;
	uint64_t source_next, source_prev;
	uint32_t refcnt;
};

struct use {
	uint64_t next, prev, source;
};

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct guest_module_list list;
};

static void add(struct btf *btf, const char *name, int type, size_t offset)
{
	assert_int_equal(btf__add_field(btf, name, type, (uint32_t)offset * 8, 0), 0);
}

static void make_types(struct types **ret, bool array)
{
	struct btf *btf = btf__new_empty();
	int u64, u32, u8, node, text, area, areas;
	const void *data;
	uint32_t size;

	assert_non_null(btf);
	u64 = btf__add_int(btf, "u64", 8, 0);
	u32 = btf__add_int(btf, "u32", 4, 0);
	u8 = btf__add_int(btf, "u8", 1, 0);
	node = btf__add_struct(btf, "list_head", 16);
	add(btf, "next", u64, 0);
	add(btf, "prev", u64, 8);
	text = btf__add_array(btf, u32, u8, NAME_SIZE);
	area = btf__add_struct(btf, array ? "module_memory" : "module_layout", 16);
	add(btf, "base", u64, 0);
	add(btf, "size", u32, 8);
	areas = btf__add_array(btf, u32, area, 3);
	btf__add_struct(btf, "module", sizeof(struct module));
	add(btf, "state", u32, 0);
	add(btf, "list", node, offsetof(struct module, list_next));
	add(btf, "name", text, offsetof(struct module, name));
	add(btf, "init", u64, offsetof(struct module, init));
	add(btf, "exit", u64, offsetof(struct module, exit));
	if (array) {
		add(btf, "mem", areas, offsetof(struct module, areas));
	} else {
		add(btf, "core_layout", area, offsetof(struct module, areas[0]));
		add(btf, "init_layout", area, offsetof(struct module, areas[1]));
	}
	add(btf, "taints", u64, offsetof(struct module, taints));
	add(btf, "source_list", node, offsetof(struct module, source_next));
	add(btf, "refcnt", u32, offsetof(struct module, refcnt));
	btf__add_struct(btf, "module_use", sizeof(struct use));
	add(btf, "source_list", node, 0);
	add(btf, "source", u64, offsetof(struct use, source));
	data = btf__raw_data(btf, &size);
	assert_non_null(data);
	assert_ok(types_create(data, size, NULL, ret));
	btf__free(btf);
}

static uint64_t address_of(size_t i)
{
	return MODULES + i * 256;
}

/* Module `i` of `n`, whose next one in the list is `next` (n: the head). Used by nobody. */
static struct module make_module(size_t i, size_t n, size_t next)
{
	const uint64_t empty = KERNEL_BASE + address_of(i) + offsetof(struct module, source_next);
	struct module module = {
		.list_next = KERNEL_BASE + (next == n ? HEAD : address_of(next) + offsetof(struct module, list_next)),
		.init = 1,
		.exit = 1,
		.areas = {{0xffffffffc0000000 + i * 0x10000, 0x1000, 0}, {0, 0x200, 0}, {0, 0x30, 0}},
		.source_next = empty,
		.source_prev = empty,
		.refcnt = 1,
	};

	snprintf(module.name, sizeof(module.name), "module%zu", i);
	return module;
}

static void put(struct fixture *f, size_t i, const struct module *module)
{
	write_at(f->made, address_of(i), module, sizeof(*module));
}

/* A use of module `i` by module `source`, the only one. */
static void put_use(struct fixture *f, size_t i, size_t source, struct module *module)
{
	const uint64_t head = KERNEL_BASE + address_of(i) + offsetof(struct module, source_next);
	const uint64_t place = USES + i * sizeof(struct use);
	const struct use use = {.next = head, .prev = head, .source = KERNEL_BASE + address_of(source)};

	write_at(f->made, place, &use, sizeof(use));
	module->source_next = KERNEL_BASE + place;
	module->refcnt++;
}

static struct error *load(struct fixture *f)
{
	static const struct made_symbol_at symbols[] = {{"modules", HEAD}};

	made_symbols_write(f->made, symbols, ARRAY_SIZE(symbols));
	write_u64(f->made, HEAD, KERNEL_BASE + address_of(0) + offsetof(struct module, list_next));
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->guest.symbols = made_symbols_load(&f->guest.memory);
	return guest_modules(&f->guest, &f->list);
}

static struct fixture *fixture_create(bool array)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	make_types(&f->guest.types, array);
	return f;
}

static void fixture_destroy(struct fixture *f)
{
	guest_module_list_deinit(&f->list);
	types_destroy(f->guest.types);
	symbols_destroy(f->guest.symbols);
	made_guest_destroy(f->made);
	free(f);
}
DEFINE_CLEANUP(struct fixture *, fixture_destroy)

static void check_lines(bool array)
{
	_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create(array);
	struct module modules[4];

	for (size_t i = 0; i < 4; i++)
		modules[i] = make_module(i, 4, i + 1);
	modules[1].state = 3; /* unformed: /proc/modules leaves it out */
	modules[2].state = 1;
	modules[2].taints = 1 << 0 | 1 << 12 | 1 << 9; /* the last is not a module's */
	modules[3].state = 2;
	modules[3].exit = 0;
	put_use(f, 0, 2, &modules[0]);
	put_use(f, 3, 0, &modules[3]);
	for (size_t i = 0; i < 4; i++)
		put(f, i, &modules[i]);
	assert_ok(load(f));
	assert_null(f->list.incomplete);
	assert_int_equal(f->list.n, 3);
	assert_string_equal(f->list.items[0].name, "module0");
	assert_int_equal(f->list.items[0].refcount, 1);
	assert_int_equal(f->list.items[0].size, array ? 0x1230 : 0x1200);
	assert_int_equal(f->list.items[0].address, 0xffffffffc0000000);
	assert_int_equal(f->list.items[0].state, 'L');
	assert_string_equal(f->list.items[0].users, "module2");
	assert_string_equal(f->list.items[1].taint, "PO");
	assert_int_equal(f->list.items[1].refcount, 0);
	assert_int_equal(f->list.items[1].state, 'C');
	assert_string_equal(f->list.items[1].users, "");
	assert_int_equal(f->list.items[2].state, 'G');
	assert_string_equal(f->list.items[2].users, "module0,[permanent]");
}

static void two_areas(void **state)
{
	check_lines(false);
}

static void array_of_areas(void **state)
{
	check_lines(true);
}

/* A circle that never meets the head, a link that leads nowhere: what was found before stays. */
static void broken_lists(void **state)
{
	for (int circle = 0; circle < 2; circle++) {
		_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create(true);

		for (size_t i = 0; i < 4; i++) {
			struct module module = make_module(i, 4, i == 3 ? 1 : i + 1);

			if (i == 3 && !circle)
				module.list_next = 0x1234;
			put(f, i, &module);
		}
		assert_ok(load(f));
		assert_non_null(f->list.incomplete);
		assert_true(f->list.n >= 4 && f->list.n < 64);
	}
}

/* A module that is its own user for ever. */
static void endless_users(void **state)
{
	_cleanup_(fixture_destroy_ptr) struct fixture *f = fixture_create(true);
	struct module module = make_module(0, 1, 1);
	const struct use use = {.next = KERNEL_BASE + USES, .source = KERNEL_BASE + address_of(0)};

	module.source_next = KERNEL_BASE + USES;
	write_at(f->made, USES, &use, sizeof(use));
	put(f, 0, &module);
	assert_ok(load(f));
	assert_non_null(f->list.incomplete);
	assert_int_equal(f->list.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_areas),
		cmocka_unit_test(array_of_areas),
		cmocka_unit_test(broken_lists),
		cmocka_unit_test(endless_users),
	};

	return cmocka_run_group_tests_name("modules", tests, NULL, NULL);
}
