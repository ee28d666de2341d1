/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and trees in made memory, whole and damaged. */
#include <bpf/btf.h>

#include "guest/containers.h"
#include "tests/unit/guest/made.h"

#define HEAD   UINT64_C(0x20000)
#define NODES  UINT64_C(0x21000)
#define OFFSET 8u /* of a node in its object */

struct fixture {
	struct made_guest *made;
	struct guest guest;
	/* What was visited. */
	uint64_t seen[64];
	size_t n;
	size_t stop_after; /* the visit fails then; 0: never */
};

/* struct maple_tree and its nodes as 6.1 to 7.2 have them. */
static void make_maple_types(struct types **ret)
{
	struct btf *btf = btf__new_empty();
	int word, byte, pivots, slots, arange_pivots, arange_slots, meta, padded, joined;
	const void *data;
	uint32_t size;

	assert_non_null(btf);
	word = btf__add_int(btf, "long", 8, 0);
	byte = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	pivots = btf__add_array(btf, word, word, 15);
	slots = btf__add_array(btf, word, word, 16);
	arange_pivots = btf__add_array(btf, word, word, 9);
	arange_slots = btf__add_array(btf, word, word, 10);
	meta = btf__add_struct(btf, "maple_metadata", 2);
	btf__add_field(btf, "end", byte, 0, 0);
	btf__add_field(btf, "gap", byte, 8, 0);
	padded = btf__add_struct(btf, NULL, 128);
	btf__add_field(btf, "pad", pivots, 0, 0);
	btf__add_field(btf, "meta", meta, 960, 0);
	joined = btf__add_union(btf, NULL, 128);
	btf__add_field(btf, "slot", slots, 0, 0);
	btf__add_field(btf, NULL, padded, 0, 0);
	btf__add_struct(btf, "maple_range_64", 256);
	btf__add_field(btf, "parent", word, 0, 0);
	btf__add_field(btf, "pivot", pivots, 64, 0);
	btf__add_field(btf, NULL, joined, 1024, 0);
	btf__add_struct(btf, "maple_arange_64", 256);
	btf__add_field(btf, "parent", word, 0, 0);
	btf__add_field(btf, "pivot", arange_pivots, 64, 0);
	btf__add_field(btf, "slot", arange_slots, 640, 0);
	btf__add_field(btf, "gap", arange_slots, 1280, 0);
	btf__add_field(btf, "meta", meta, 1920, 0);
	btf__add_struct(btf, "maple_tree", 16);
	btf__add_field(btf, "ma_root", word, 64, 0);
	data = btf__raw_data(btf, &size);
	assert_non_null(data);
	assert_ok(types_create(data, size, NULL, ret));
	btf__free(btf);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	make_maple_types(&f->guest.types);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	types_destroy(f->guest.types);
	made_guest_destroy(f->made);
	free(f);
	return 0;
}

static void ready(struct fixture *f)
{
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->n = 0;
}

static struct error *note(struct fixture *f, uint64_t value)
{
	if (f->stop_after && f->n == f->stop_after)
		return error_create(ERROR_CANCELLED, "enough");
	if (f->n < ARRAY_SIZE(f->seen))
		f->seen[f->n] = value;
	f->n++;
	return NULL;
}

static struct error *visit(struct guest *guest, struct gva object, void *context)
{
	return note(context, object.v - KERNEL_BASE);
}

static struct error *visit_range(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct fixture *f = context;

	assert_true(first <= last);
	assert_ok(note(f, first));
	assert_ok(note(f, last));
	return note(f, entry);
}

static void assert_seen(const struct fixture *f, const uint64_t *wanted, size_t n)
{
	assert_int_equal(f->n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(f->seen[i], wanted[i]);
}

/* The place of node `i`; its object lies OFFSET bytes before it. */
static uint64_t node(unsigned i)
{
	return NODES + i * 0x100;
}

static void link_to(struct fixture *f, uint64_t from, uint64_t to)
{
	write_u64(f->made, from, KERNEL_BASE + to);
}

#define OBJECT(i) (node(i) - OFFSET)

static void lists(void **state)
{
	struct fixture *f = *state;
	const uint64_t wanted[] = {OBJECT(2), OBJECT(0), OBJECT(1)};

	link_to(f, HEAD, HEAD);
	ready(f);
	assert_ok(list_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_int_equal(f->n, 0);
	link_to(f, HEAD, node(2));
	link_to(f, node(2), node(0));
	link_to(f, node(0), node(1));
	link_to(f, node(1), HEAD);
	ready(f);
	assert_ok(list_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_seen(f, wanted, 3);
	f->n = 0;
	f->stop_after = 2;
	assert_error(list_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_CANCELLED);
	assert_seen(f, wanted, 2);
}

static void damaged_lists(void **state)
{
	struct fixture *f = *state;

	/* A circle without the head, and a pointer to nowhere. */
	link_to(f, HEAD, node(0));
	link_to(f, node(0), node(1));
	link_to(f, node(1), node(0));
	ready(f);
	assert_error(list_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	assert_in_range(f->n, 2, 16);
	write_u64(f->made, node(1), UINT64_C(0xffff888000001000));
	ready(f);
	assert_error(list_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	assert_int_equal(f->n, 3); /* what a node holds is for the visit to find out */
}

static void hash_chains(void **state)
{
	struct fixture *f = *state;
	const uint64_t wanted[] = {OBJECT(0), OBJECT(1)};

	ready(f);
	assert_ok(hlist_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_int_equal(f->n, 0);
	link_to(f, HEAD, node(0));
	link_to(f, node(0), node(1));
	ready(f);
	assert_ok(hlist_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_seen(f, wanted, 2);
	write_u64(f->made, node(1), 2 * 77 + 1); /* hlist_nulls */
	ready(f);
	assert_ok(hlist_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_seen(f, wanted, 2);
	link_to(f, node(1), node(1));
	ready(f);
	assert_error(hlist_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	assert_in_range(f->n, 2, 16);
}

#define NONE 99u

static void write_rb(struct fixture *f, unsigned i, unsigned parent, unsigned left, unsigned right)
{
	write_u64(f->made, node(i), (parent == NONE ? 0 : KERNEL_BASE + node(parent)) | (i & 1));
	write_u64(f->made, node(i) + 8, right == NONE ? 0 : KERNEL_BASE + node(right));
	write_u64(f->made, node(i) + 16, left == NONE ? 0 : KERNEL_BASE + node(left));
}

/*        3
 *    1       5
 *  0   2   4
 */
static void make_rb(struct fixture *f)
{
	link_to(f, HEAD, node(3));
	write_rb(f, 3, NONE, 1, 5);
	write_rb(f, 1, 3, 0, 2);
	write_rb(f, 0, 1, NONE, NONE);
	write_rb(f, 2, 1, NONE, NONE);
	write_rb(f, 5, 3, 4, NONE);
	write_rb(f, 4, 5, NONE, NONE);
}

static void rb_trees(void **state)
{
	struct fixture *f = *state;
	const uint64_t wanted[] = {OBJECT(0), OBJECT(1), OBJECT(2), OBJECT(3), OBJECT(4), OBJECT(5)};

	ready(f);
	assert_ok(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_int_equal(f->n, 0);
	make_rb(f);
	ready(f);
	assert_ok(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f));
	assert_seen(f, wanted, 6);
	f->n = 0;
	f->stop_after = 4;
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_CANCELLED);
	assert_seen(f, wanted, 4);
}

static void damaged_rb_trees(void **state)
{
	struct fixture *f = *state;

	make_rb(f);
	write_rb(f, 5, 3, 1, NONE); /* a child of two */
	ready(f);
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	assert_int_equal(f->n, 4);
	make_rb(f);
	write_rb(f, 1, 3, 0, 0); /* one child twice */
	ready(f);
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	make_rb(f);
	write_rb(f, 2, 1, 3, NONE); /* back to the root */
	ready(f);
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	make_rb(f);
	write_rb(f, 3, 3, 3, NONE); /* its own child */
	ready(f);
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	make_rb(f);
	write_u64(f->made, node(4) + 8, 1); /* nowhere */
	ready(f);
	assert_error(rb_walk(&f->guest, kernel_address(HEAD), OFFSET, visit, f), ERROR_FORMAT);
	assert_int_equal(f->n, 5);
}

/* ---- Maple trees ---- */

/* Types of nodes, as the lower bits of what leads to them. */
#define LEAF   (UINT64_C(1) << 3 | 4)
#define RANGE  (UINT64_C(2) << 3 | 4)
#define ARANGE (UINT64_C(3) << 3 | 4)
#define ROOT   UINT64_C(2) /* set in a root's entry */

static uint64_t entry(unsigned i, uint64_t type)
{
	return (KERNEL_BASE + node(i)) | type;
}

static void set_root(struct fixture *f, uint64_t value)
{
	write_u64(f->made, HEAD + 8, value);
}

static void set_slot(struct fixture *f, unsigned i, unsigned slot, uint64_t value, uint64_t pivot)
{
	write_u64(f->made, node(i) + 128 + slot * 8, value);
	if (slot < 15)
		write_u64(f->made, node(i) + 8 + slot * 8, pivot);
}

static void set_arange(struct fixture *f, unsigned i, unsigned slot, uint64_t value, uint64_t pivot)
{
	write_u64(f->made, node(i) + 80 + slot * 8, value);
	if (slot < 9)
		write_u64(f->made, node(i) + 8 + slot * 8, pivot);
}

static void set_end(struct fixture *f, unsigned i, uint64_t type, uint8_t end)
{
	write_at(f->made, node(i) + (type == ARANGE ? 240 : 248), &end, 1);
}

static void maple_roots(void **state)
{
	struct fixture *f = *state;
	const uint64_t one[] = {0, 0, 0x5000};

	ready(f);
	assert_ok(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f));
	assert_int_equal(f->n, 0);
	set_root(f, 0x5000);
	ready(f);
	assert_ok(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f));
	assert_seen(f, one, 3);
}

/* Two leaves below a node that knows its gaps; the second leaf is full. */
static void make_maple(struct fixture *f)
{
	set_root(f, entry(0, ARANGE | ROOT));
	set_arange(f, 0, 0, entry(1, LEAF), 0xfff);
	set_arange(f, 0, 1, entry(2, LEAF), UINT64_MAX);
	set_arange(f, 0, 2, 0x4444, 0x4444); /* stale */
	set_end(f, 0, ARANGE, 1);
	set_slot(f, 1, 0, 0, 0xff);
	set_slot(f, 1, 1, 0x10000, 0x1ff);
	set_slot(f, 1, 2, 0x406, 0x2ff); /* XA_ZERO_ENTRY */
	set_slot(f, 1, 3, 0x20000, 0);
	set_slot(f, 1, 4, 0x6666, 0x200); /* stale */
	set_end(f, 1, LEAF, 3);
	for (unsigned i = 0; i < 16; i++)
		set_slot(f, 2, i, 0x100000 + i * 0x1000, 0x1000 + i);
}

static void maple_trees(void **state)
{
	struct fixture *f = *state;

	make_maple(f);
	ready(f);
	assert_ok(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f));
	assert_int_equal(f->n, 3 * (2 + 16));
	assert_int_equal(f->seen[0], 0x100);
	assert_int_equal(f->seen[1], 0x1ff);
	assert_int_equal(f->seen[2], 0x10000);
	assert_int_equal(f->seen[3], 0x300);
	assert_int_equal(f->seen[4], 0xfff);
	assert_int_equal(f->seen[5], 0x20000);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(f->seen[6 + i * 3], 0x1000 + i);
		assert_int_equal(f->seen[7 + i * 3], i < 15 ? 0x1000 + i : UINT64_MAX);
		assert_int_equal(f->seen[8 + i * 3], 0x100000 + i * 0x1000);
	}
}

static void damaged_maple_trees(void **state)
{
	struct fixture *f = *state;

	make_maple(f);
	set_arange(f, 0, 1, entry(1, LEAF), UINT64_MAX); /* the first leaf again */
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
	assert_int_equal(f->n, 6);
	make_maple(f);
	set_arange(f, 0, 1, entry(0, ARANGE), UINT64_MAX); /* itself */
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
	make_maple(f);
	set_arange(f, 0, 0, entry(3, RANGE), 0xfff); /* a chain of nodes with one slot each, in a circle */
	set_slot(f, 3, 0, entry(3, RANGE), 0);
	set_end(f, 3, RANGE, 0);
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
	assert_int_equal(f->n, 0);
	make_maple(f);
	set_arange(f, 0, 0, 0x500, 0xfff); /* no node */
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
	make_maple(f);
	set_root(f, entry(0, UINT64_C(9) << 3 | ROOT)); /* no such type */
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
	make_maple(f);
	set_arange(f, 0, 1, entry(2, LEAF), 0xffff); /* more slots than there are */
	set_end(f, 0, ARANGE, 255);
	ready(f);
	assert_error(maple_walk(&f->guest, kernel_address(HEAD), visit_range, f), ERROR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(hash_chains, setup, teardown),
		cmocka_unit_test_setup_teardown(rb_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_rb_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(maple_roots, setup, teardown),
		cmocka_unit_test_setup_teardown(maple_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_maple_trees, setup, teardown),
	};

	return cmocka_run_group_tests_name("containers", tests, NULL, NULL);
}
