/* SPDX-License-Identifier: Apache-2.0 */
/* xarrays: every kind of entry, ranges, and trees that are bent. */
#include "guest/containers.h"
#include "tests/unit/guest/made_xarray.h"

struct fixture {
	struct made_guest *made;
	struct guest guest;
	struct {
		uint64_t first, last, entry;
	} seen[64];
	size_t n;
	size_t stop_after; /* the visit fails then; 0: never */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->made = made_guest_create();
	make_xarray_types(&f->guest.types);
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

static struct error *visit(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct fixture *f = context;

	if (f->stop_after && f->n == f->stop_after)
		return error_create(ERROR_CANCELLED, "enough");
	if (f->n < ARRAY_SIZE(f->seen)) {
		f->seen[f->n].first = first;
		f->seen[f->n].last = last;
		f->seen[f->n].entry = entry;
	}
	f->n++;
	return NULL;
}

static struct error *walk(struct fixture *f, uint64_t first, uint64_t last)
{
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	f->n = 0;
	return xarray_walk_range(&f->guest, kernel_address(ARRAY), first, last, visit, f);
}

static void assert_seen(const struct fixture *f, size_t i, uint64_t first, uint64_t last, uint64_t entry)
{
	assert_true(i < f->n);
	assert_int_equal(f->seen[i].first, first);
	assert_int_equal(f->seen[i].last, last);
	assert_int_equal(f->seen[i].entry, entry);
}

static void without_a_node(void **state)
{
	struct fixture *f = *state;

	set_head(f->made, 0);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 0);
	set_head(f->made, KERNEL_BASE + 0x1000);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 1);
	assert_seen(f, 0, 0, 0, KERNEL_BASE + 0x1000);
	assert_ok(walk(f, 1, UINT64_MAX));
	assert_int_equal(f->n, 0);
	set_head(f->made, 0x15);
	assert_ok(walk(f, 0, 0));
	assert_seen(f, 0, 0, 0, 0x15);
	set_head(f->made, XA_ZERO);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 0);
}

/* Root of 64 × 64 indices: a node in slot 0, an entry of order 6 in slot 2, one of order 7 in slots 4 and 5. */
static void make_tree(struct fixture *f)
{
	make_node(f->made, 0, 6, -1, 0);
	make_node(f->made, 1, 0, 0, 0);
	set_slot(f->made, 1, 0, 0x1000);
	set_slot(f->made, 1, 1, 0x33); /* a value */
	set_slot(f->made, 1, 3, XA_RETRY);
	set_slot(f->made, 1, 8, 0x2000);
	for (unsigned i = 9; i < 16; i++)
		set_slot(f->made, 1, i, sibling_of(8));
	set_slot(f->made, 1, 63, 0x3000);
	set_slot(f->made, 0, 2, 0x4000);
	set_slot(f->made, 0, 4, 0x5000);
	set_slot(f->made, 0, 5, sibling_of(4));
}

static void every_kind(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 6);
	assert_seen(f, 0, 0, 0, 0x1000);
	assert_seen(f, 1, 1, 1, 0x33);
	assert_seen(f, 2, 8, 15, 0x2000);
	assert_seen(f, 3, 63, 63, 0x3000);
	assert_seen(f, 4, 128, 191, 0x4000);
	assert_seen(f, 5, 256, 383, 0x5000);
}

static void ranges(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	assert_ok(walk(f, 12, 130));
	assert_int_equal(f->n, 3);
	assert_seen(f, 0, 8, 15, 0x2000);
	assert_seen(f, 1, 63, 63, 0x3000);
	assert_seen(f, 2, 128, 191, 0x4000);
	assert_ok(walk(f, 330, 331));
	assert_int_equal(f->n, 1);
	assert_seen(f, 0, 256, 383, 0x5000);
	assert_ok(walk(f, 16, 62));
	assert_int_equal(f->n, 0);
	assert_ok(walk(f, 384, UINT64_MAX));
	assert_int_equal(f->n, 0);
	assert_ok(walk(f, UINT64_C(1) << 40, UINT64_MAX));
	assert_int_equal(f->n, 0);
	assert_ok(walk(f, 15, 15));
	assert_int_equal(f->n, 1);
	assert_int_equal(f->seen[0].entry, 0x2000);
	assert_ok(walk(f, 2, 2));
	assert_int_equal(f->n, 0);
}

/* What is behind the range is not even read. */
static void only_what_is_wanted(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	set_slot(f->made, 0, 9, UINT64_C(0xffffc90000000002)); /* leads nowhere */
	assert_ok(walk(f, 0, 500));
	assert_int_equal(f->n, 6);
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	assert_int_equal(f->n, 6);
}

static void a_failing_visit(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	f->stop_after = 2;
	assert_error(walk(f, 0, UINT64_MAX), ERROR_CANCELLED);
	assert_int_equal(f->n, 2);
}

/* A node that is its own child, one under two parents, one in the wrong slot, heights that do not fit. */
static void bent_trees(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	set_slot(f->made, 0, 1, xa_to(0));
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	set_slot(f->made, 0, 1, xa_to(1));
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	set_slot(f->made, 0, 1, 0);
	make_node(f->made, 1, 6, 0, 0);
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	make_node(f->made, 1, 0, 0, 0);
	make_node(f->made, 0, 66, -1, 0);
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	make_node(f->made, 0, 5, -1, 0);
	assert_error(walk(f, 0, UINT64_MAX), ERROR_FORMAT);
	make_node(f->made, 0, 6, -1, 0);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 6);
}

/* What no mark leads to is not even read. */
static void marked(void **state)
{
	struct fixture *f = *state;

	make_tree(f);
	set_marks(f->made, 0, 0, 1u << 0);
	set_marks(f->made, 1, 0, 1u << 8);
	set_marks(f->made, 0, 1, 1u << 4);
	set_marks(f->made, 0, 2, 1u << 2);
	made_guest_open(f->made);
	f->guest.memory = f->made->memory;
	assert_ok(xarray_walk_marked(&f->guest, kernel_address(ARRAY), XARRAY_DIRTY | XARRAY_WRITEBACK, visit, f));
	assert_int_equal(f->n, 2);
	assert_seen(f, 0, 8, 15, 0x2000);
	assert_seen(f, 1, 256, 383, 0x5000);
	f->n = 0;
	set_slot(f->made, 0, 0, xa_to(60)); /* nothing is there */
	assert_ok(xarray_walk_marked(&f->guest, kernel_address(ARRAY), XARRAY_WRITEBACK, visit, f));
	assert_int_equal(f->n, 1);
}

/* The highest tree there can be: indices of 64 bits. */
static void deep(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i <= 10; i++)
		make_node(f->made, i, (uint8_t)(60 - 6 * i), (int)i - 1, i == 0 ? 0 : i == 1 ? 15 : 63);
	set_slot(f->made, 10, 63, 0x7000);
	assert_ok(walk(f, 0, UINT64_MAX));
	assert_int_equal(f->n, 1);
	assert_seen(f, 0, UINT64_MAX, UINT64_MAX, 0x7000);
	assert_ok(walk(f, UINT64_MAX, UINT64_MAX));
	assert_int_equal(f->n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_node, setup, teardown),
		cmocka_unit_test_setup_teardown(every_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(only_what_is_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failing_visit, setup, teardown),
		cmocka_unit_test_setup_teardown(bent_trees, setup, teardown),
		cmocka_unit_test_setup_teardown(marked, setup, teardown),
		cmocka_unit_test_setup_teardown(deep, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
