/* SPDX-License-Identifier: Apache-2.0 */
/* xarrays in made memory: struct xarray and struct xa_node as 5.10 to 7.2 have them. */
#ifndef TESTS_UNIT_GUEST_MADE_XARRAY_H
#define TESTS_UNIT_GUEST_MADE_XARRAY_H

#include <bpf/btf.h>

#include "tests/unit/guest/made.h"

#define ARRAY    UINT64_C(0x20000) /* the struct xarray */
#define NODES    UINT64_C(0x21000)
#define XA_RETRY ((256u << 2) | 2)
#define XA_ZERO  ((257u << 2) | 2)

static inline void make_xarray_types(struct types **ret)
{
	struct btf *btf = btf__new_empty();
	int word, byte, slots, marks;
	const void *data;
	uint32_t size;

	assert_non_null(btf);
	word = btf__add_int(btf, "long", 8, 0);
	byte = btf__add_int(btf, "char", 1, BTF_INT_CHAR);
	slots = btf__add_array(btf, word, word, 64);
	marks = btf__add_array(btf, word, word, 3);
	btf__add_struct(btf, "xarray", 16);
	btf__add_field(btf, "xa_head", word, 64, 0);
	btf__add_struct(btf, "xa_node", 576);
	btf__add_field(btf, "shift", byte, 0, 0);
	btf__add_field(btf, "offset", byte, 8, 0);
	btf__add_field(btf, "parent", word, 64, 0);
	btf__add_field(btf, "slots", slots, 320, 0);
	btf__add_field(btf, "marks", marks, 4416, 0);
	data = btf__raw_data(btf, &size);
	assert_non_null(data);
	assert_ok(types_create(data, size, NULL, ret));
	btf__free(btf);
}

/* The place of node `i`, and the entry that points to it. */
static inline uint64_t xa_node(unsigned i)
{
	return NODES + i * 0x400;
}

static inline uint64_t xa_to(unsigned i)
{
	return (KERNEL_BASE + xa_node(i)) | 2;
}

static inline void set_head(struct made_guest *made, uint64_t entry)
{
	write_u64(made, ARRAY + 8, entry);
}

static inline void set_slot(struct made_guest *made, unsigned node, unsigned slot, uint64_t entry)
{
	write_u64(made, xa_node(node) + 40 + slot * 8, entry);
}

/* Makes node `i`, which lies in slot `offset` of node `parent`; parent -1: it is the root. */
static inline void make_node(struct made_guest *made, unsigned i, uint8_t shift, int parent, uint8_t offset)
{
	write_at(made, xa_node(i), &shift, 1);
	write_at(made, xa_node(i) + 1, &offset, 1);
	write_u64(made, xa_node(i) + 8, parent < 0 ? 0 : KERNEL_BASE + xa_node((unsigned)parent));
	if (parent < 0)
		set_head(made, xa_to(i));
	else
		set_slot(made, (unsigned)parent, offset, xa_to(i));
}

/* Gives slots of node `i` the mark `mark`: bit n stands for slot n. */
static inline void set_marks(struct made_guest *made, unsigned i, unsigned mark, uint64_t slots)
{
	write_u64(made, xa_node(i) + 552 + mark * 8, slots);
}

static inline uint64_t sibling_of(unsigned slot)
{
	return (uint64_t)slot << 2 | 2;
}

#endif
