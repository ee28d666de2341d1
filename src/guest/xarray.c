/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xarrays (include/linux/xarray.h). A node has 64 slots (16 with CONFIG_BASE_SMALL). An entry's low two bits say what
 * it is: 0 a pointer (a tagged one has 1 or 3 in its own users), 1 a value, 2 something internal: above 4096 a node,
 * below a sibling, a zero or a retry entry.
 *
 * A node names its parent and its slot there, which is checked: so each is met once, and no tree, however it is bent,
 * makes more visits than memory has nodes.
 */
#include <string.h>

#include "guest/containers.h"

#define SLOTS_MAX    64u
#define NODE_MAX     1024u /* bytes; sizeof(struct xa_node) is 576 */
#define INTERNAL_MAX 4096u
#define SHIFT_MAX    60u
#define MARKS        3u /* XA_MAX_MARKS */

struct xarray_layout {
	struct member head, shift, offset, parent, slots, marks;
	uint32_t size; /* bytes of a node up to the end of its slots and marks */
	unsigned chunk_shift;
};

struct node {
	struct gva address;
	unsigned shift;
	uint64_t first; /* index of its first slot */
	unsigned slot;  /* the next one to look at */
	uint64_t slots[SLOTS_MAX];
	uint64_t marks[MARKS]; /* bit n: slot n, or something below it, has the mark */
};

static struct error *load_layout(struct guest *guest, struct xarray_layout *ret)
{
	const struct member_need needs[] = {
		{"xarray", "xa_head", &ret->head},   {"xa_node", "shift", &ret->shift},
		{"xa_node", "offset", &ret->offset}, {"xa_node", "parent", &ret->parent},
		{"xa_node", "slots", &ret->slots},   {"xa_node", "marks", &ret->marks, .optional = true},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (error)
		return error;
	ret->size = ret->slots.offset + ret->slots.size;
	if (ret->size > NODE_MAX || (ret->slots.size != 64 * 8 && ret->slots.size != 16 * 8))
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has xarrays with %u bytes of slots",
				    ret->slots.size);
	ret->chunk_shift = ret->slots.size == 64 * 8 ? 6 : 4;
	if (ret->marks.size != MARKS * 8 || ret->marks.offset > NODE_MAX - MARKS * 8)
		ret->marks.present = false;
	if (ret->marks.present && ret->size < ret->marks.offset + ret->marks.size)
		ret->size = ret->marks.offset + ret->marks.size;
	return NULL;
}

static bool is_node(uint64_t entry)
{
	return (entry & 3) == 2 && entry > INTERNAL_MAX;
}

static bool is_sibling(uint64_t entry)
{
	return (entry & 3) == 2 && entry < SLOTS_MAX << 2;
}

/* Not siblings (which belong to the entry before them), but the rest of what is no entry. */
static bool is_nothing(uint64_t entry)
{
	return entry == 0 || (entry & 3) == 2;
}

/* Reads the node that `entry` points to; `parent` NULL: it is the root. */
static struct error *read_node(struct guest *guest, const struct xarray_layout *layout, uint64_t entry,
			       const struct node *parent, struct node *ret)
{
	uint8_t bytes[NODE_MAX];
	struct gva address = {entry - 2};
	uint64_t up;
	struct error *error = memory_read(&guest->memory, address, bytes, layout->size);

	if (error)
		return error;
	memcpy(&up, bytes + layout->parent.offset, sizeof(up));
	ret->address = address;
	ret->shift = bytes[layout->shift.offset];
	ret->slot = 0;
	ret->first = 0;
	memcpy(ret->slots, bytes + layout->slots.offset, layout->slots.size);
	if (layout->marks.present)
		memcpy(ret->marks, bytes + layout->marks.offset, sizeof(ret->marks));
	else
		memset(ret->marks, 0xff, sizeof(ret->marks)); /* unknown: nothing is passed over */
	if (ret->shift % layout->chunk_shift || ret->shift > SHIFT_MAX || up != (parent ? parent->address.v : 0) ||
	    (parent &&
	     (ret->shift + layout->chunk_shift != parent->shift || bytes[layout->offset.offset] != parent->slot)))
		return error_format(NULL, address.v,
				    "an xarray of the guest's kernel has a node that is not in its place");
	if (parent)
		ret->first = parent->first + ((uint64_t)parent->slot << parent->shift);
	return NULL;
}

/* The slots after `slot` that belong to its entry. */
static unsigned count_siblings(const struct xarray_layout *layout, const struct node *node, unsigned slot)
{
	unsigned n = 0;

	while (slot + n + 1 < 1u << layout->chunk_shift && is_sibling(node->slots[slot + n + 1]))
		n++;
	return n;
}

/* Skips the slots of a node that was just read which lie before the index `first`. */
static void seek(const struct xarray_layout *layout, struct node *node, uint64_t first)
{
	uint64_t slot = first > node->first ? (first - node->first) >> node->shift : 0;

	node->slot = slot < 1u << layout->chunk_shift ? (unsigned)slot : 1u << layout->chunk_shift;
	/* An entry with siblings may begin before. */
	while (node->slot > 0 && node->slot < 1u << layout->chunk_shift && is_sibling(node->slots[node->slot]))
		node->slot--;
}

struct walk {
	struct guest *guest;
	struct xarray_layout layout;
	uint64_t first, last; /* wanted */
	unsigned marks;       /* wanted: bit n stands for mark n; 0: all entries */
	range_visit visit;
	void *context;
	struct node nodes[SHIFT_MAX / 4 + 1]; /* from the root down to where the walk is */
	unsigned depth;                       /* nodes in use */
};

/* Whether the slot, or something below it, is marked as wanted. */
static bool is_wanted(const struct walk *walk, const struct node *node)
{
	uint64_t marked = 0;

	for (unsigned i = 0; i < MARKS; i++)
		if (walk->marks & 1u << i)
			marked |= node->marks[i];
	return !walk->marks || marked >> node->slot & 1;
}

/* Looks at the next slot of the lowest node; goes down or, behind the last slot, up. */
static struct error *step(struct walk *walk)
{
	struct node *node = &walk->nodes[walk->depth - 1];
	uint64_t entry, first, last;
	unsigned siblings;
	struct error *error;

	if (node->slot >= 1u << walk->layout.chunk_shift) {
		if (--walk->depth > 0)
			walk->nodes[walk->depth - 1].slot++;
		return NULL;
	}
	entry = node->slots[node->slot];
	siblings = is_nothing(entry) ? 0 : count_siblings(&walk->layout, node, node->slot);
	first = node->first + ((uint64_t)node->slot << node->shift);
	last = first + ((uint64_t)(siblings + 1) << node->shift) - 1;
	if (first > walk->last) {
		walk->depth = 0;
		return NULL;
	}
	if (!is_wanted(walk, node)) {
		node->slot += siblings + 1;
		return NULL;
	}
	if (last >= walk->first && is_node(entry) && node->shift > 0) {
		if (walk->depth >= ARRAY_SIZE(walk->nodes))
			return error_format(NULL, entry, "an xarray of the guest's kernel is too deep");
		error = read_node(walk->guest, &walk->layout, entry, node, node + 1);
		if (error)
			return error;
		seek(&walk->layout, node + 1, walk->first);
		walk->depth++;
		return NULL;
	}
	node->slot += siblings + 1;
	if (last < walk->first || is_nothing(entry))
		return NULL;
	return walk->visit(walk->guest, first, last, entry, walk->context);
}

static struct error *walk_array(struct walk *walk, struct gva array)
{
	uint64_t head;
	struct error *error = load_layout(walk->guest, &walk->layout);

	if (!error)
		error = guest_read_member(walk->guest, array, &walk->layout.head, &head);
	if (error)
		return error;
	/* A lone entry's marks are flags of the array at a place that moves with the configuration: it is visited. */
	if (!is_node(head))
		return walk->first > 0 || is_nothing(head) ? NULL : walk->visit(walk->guest, 0, 0, head, walk->context);
	error = read_node(walk->guest, &walk->layout, head, NULL, &walk->nodes[0]);
	if (error)
		return error;
	seek(&walk->layout, &walk->nodes[0], walk->first);
	walk->depth = 1;
	while (!error && walk->depth > 0)
		error = step(walk);
	return error;
}

struct error *xarray_walk_range(struct guest *guest, struct gva array, uint64_t first, uint64_t last, range_visit visit,
				void *context)
{
	struct walk walk = {.guest = guest, .first = first, .last = last, .visit = visit, .context = context};

	return walk_array(&walk, array);
}

struct error *xarray_walk_marked(struct guest *guest, struct gva array, unsigned marks, range_visit visit,
				 void *context)
{
	struct walk walk = {.guest = guest, .last = UINT64_MAX, .marks = marks, .visit = visit, .context = context};

	return walk_array(&walk, array);
}

struct error *xarray_walk(struct guest *guest, struct gva array, range_visit visit, void *context)
{
	return xarray_walk_range(guest, array, 0, UINT64_MAX, visit, context);
}
