/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maple trees (6.1 and later), as include/linux/maple_tree.h describes them: nodes of 256 bytes, each with up to 16
 * slots and, between them, pivots: the last index of the slot before. A node lies within the range of its parent's
 * slot, so its first index and last index are not in it but come from above.
 */
#include <string.h>

#include "guest/containers.h"

#define NODE_SIZE    256u
#define NODE_MASK    (~UINT64_C(255))
#define TYPE_LEAF    1u
#define TYPE_RANGE   2u
#define TYPE_ARANGE  3u  /* a range node that also knows its gaps */
#define HEIGHT_MAX   31u /* MAPLE_HEIGHT_MAX */
#define NODES_MAX    (WALK_MAX / 16)
#define INTERNAL_MAX 4096u

/* Slots and pivots of one kind of node. */
struct shape {
	struct member pivots, slots, end; /* end: index of the last slot in use, where the node is not full */
};

struct walk {
	struct shape range, arange;
	range_visit visit;
	void *context;
	uint64_t nodes; /* visited so far */
};

static bool is_internal(uint64_t entry)
{
	return (entry & 3) == 2;
}

/* Whether a root leads to a node. What inner nodes lead to are nodes always, without these marks. */
static bool is_node(uint64_t entry)
{
	return is_internal(entry) && entry > INTERNAL_MAX;
}

static struct error *load_shapes(struct guest *guest, struct walk *walk, struct member *root)
{
	const struct member_need needs[] = {
		{"maple_tree", "ma_root", root},
		{"maple_range_64", "pivot", &walk->range.pivots},
		{"maple_range_64", "slot", &walk->range.slots},
		{"maple_range_64", "meta.end", &walk->range.end},
		{"maple_arange_64", "pivot", &walk->arange.pivots},
		{"maple_arange_64", "slot", &walk->arange.slots},
		{"maple_arange_64", "meta.end", &walk->arange.end},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	for (size_t i = 1; !error && i < ARRAY_SIZE(needs); i++)
		if (needs[i].ret->offset > NODE_SIZE || needs[i].ret->size > NODE_SIZE - needs[i].ret->offset)
			error = error_create(ERROR_FORMAT, "member '%s' of struct %s lies outside of it", needs[i].path,
					     needs[i].type);
	return error;
}

static uint64_t word(const uint8_t *node, const struct member *array, uint32_t index)
{
	uint64_t value;

	memcpy(&value, node + array->offset + index * sizeof(value), sizeof(value));
	return value;
}

/* Index of the last slot in use (ma_data_end() in lib/maple_tree.c). */
static uint32_t last_slot(const uint8_t *node, const struct shape *shape, bool arange, uint64_t last)
{
	uint32_t n_pivots = shape->pivots.size / 8, n_slots = shape->slots.size / 8;
	uint64_t pivot = n_pivots ? word(node, &shape->pivots, n_pivots - 1) : last;
	uint32_t end = n_pivots;

	/* The count shares its place with the last slot of a range node: it is one only if that slot is not used. */
	if (arange || !pivot)
		end = node[shape->end.offset];
	else if (pivot == last)
		end = n_pivots - 1;
	return end < n_slots ? end : n_slots - 1;
}

static struct error *walk_node(struct guest *guest, struct walk *walk, uint64_t entry, uint64_t first, uint64_t last,
			       unsigned depth);

static struct error *walk_slot(struct guest *guest, struct walk *walk, uint64_t entry, uint64_t first, uint64_t last,
			       bool leaf, unsigned depth)
{
	if (!leaf)
		return walk_node(guest, walk, entry, first, last, depth + 1);
	/* Reserved places: what is about to be stored there has not happened yet. */
	if (!entry || is_internal(entry))
		return NULL;
	return walk->visit(guest, first, last, entry, walk->context);
}

static struct error *walk_node(struct guest *guest, struct walk *walk, uint64_t entry, uint64_t first, uint64_t last,
			       unsigned depth)
{
	unsigned type = entry >> 3 & 15;
	const struct shape *shape = type == TYPE_ARANGE ? &walk->arange : &walk->range;
	uint32_t end, n_pivots = shape->pivots.size / 8;
	uint8_t node[NODE_SIZE];
	struct error *error;

	if (entry <= INTERNAL_MAX || type < TYPE_LEAF || type > TYPE_ARANGE)
		return error_format(NULL, entry, "0x%llx is no node of a maple tree", (unsigned long long)entry);
	if (depth > HEIGHT_MAX || walk->nodes++ > NODES_MAX)
		return error_format(NULL, entry, "a maple tree of the guest's kernel does not end");
	error = memory_read(&guest->memory, (struct gva){entry & NODE_MASK}, node, sizeof(node));
	if (error)
		return error;
	end = last_slot(node, shape, type == TYPE_ARANGE, last);
	for (uint32_t i = 0; !error && i <= end; i++) {
		uint64_t pivot = i < end && i < n_pivots ? word(node, &shape->pivots, i) : last;

		if (pivot < first || pivot > last)
			return error_format(NULL, entry, "slot %u of a maple tree's node ends at 0x%llx", i,
					    (unsigned long long)pivot);
		error = walk_slot(guest, walk, word(node, &shape->slots, i), first, pivot, type == TYPE_LEAF, depth);
		if (pivot == last)
			break;
		first = pivot + 1;
	}
	return error;
}

struct error *maple_walk(struct guest *guest, struct gva tree, range_visit visit, void *context)
{
	struct walk walk = {.visit = visit, .context = context};
	struct member root;
	uint64_t entry;
	struct error *error = load_shapes(guest, &walk, &root);

	if (!error)
		error = guest_read_member(guest, tree, &root, &entry);
	if (error)
		return error;
	if (is_node(entry))
		return walk_node(guest, &walk, entry, 0, UINT64_MAX, 0);
	/* A tree of one entry holds it in its root, for index 0. */
	return walk_slot(guest, &walk, entry, 0, 0, true, 0);
}
