/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and red-black trees. The maple tree has a file of its own, the xarray another. */
#include "guest/containers.h"

struct error *list_walk(struct guest *guest, struct gva head, uint32_t node_offset, list_visit visit, void *context)
{
	struct loop_guard guard = {0};
	uint64_t next;
	struct error *error = memory_read_u64(&guest->memory, head, &next);

	while (!error && next != head.v) {
		if (!loop_guard_step(&guard, next))
			return error_format(NULL, next, "a list of the guest's kernel does not end");
		error = visit(guest, (struct gva){next - node_offset}, context);
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	return error;
}

struct error *hlist_walk(struct guest *guest, struct gva head, uint32_t node_offset, list_visit visit, void *context)
{
	struct loop_guard guard = {0};
	uint64_t next;
	struct error *error = memory_read_u64(&guest->memory, head, &next);

	/* A chain of hlist_nulls ends in a number with bit 0 set, not in 0. */
	while (!error && next && !(next & 1)) {
		if (!loop_guard_step(&guard, next))
			return error_format(NULL, next, "a hash chain of the guest's kernel does not end");
		error = visit(guest, (struct gva){next - node_offset}, context);
		if (!error)
			error = memory_read_u64(&guest->memory, (struct gva){next}, &next);
	}
	return error;
}

/* ---- Red-black trees ---- */

/* struct rb_node, the same since 2.6.18: the colour lies in the parent's low bits. */
struct rb_node {
	uint64_t parent_color, right, left;
};

/*
 * Reads the node that `parent` (0: the root) points to. That every node points back to where it was come from, and
 * no parent has one child twice, means that each is met once: no circle is possible, however many nodes there are.
 */
static struct error *rb_read(struct guest *guest, uint64_t address, uint64_t parent, struct rb_node *ret)
{
	struct rb_node node;
	struct error *error = memory_read(&guest->memory, (struct gva){address}, &node, sizeof(node));

	if (error)
		return error;
	if ((node.parent_color & ~UINT64_C(3)) != parent)
		return error_format(NULL, address, "a tree of the guest's kernel has a node with another parent");
	if (node.left && node.left == node.right)
		return error_format(NULL, address, "a tree of the guest's kernel has one node twice");
	*ret = node;
	return NULL;
}

/* Goes down to the leftmost node at or below *address, which has `parent`. */
static struct error *rb_leftmost(struct guest *guest, uint64_t *address, uint64_t parent, uint64_t *steps,
				 struct rb_node *node)
{
	struct error *error = rb_read(guest, *address, parent, node);

	while (!error && node->left) {
		if ((*steps)++ > WALK_MAX)
			return error_format(NULL, *address, "a tree of the guest's kernel does not end");
		parent = *address;
		*address = node->left;
		error = rb_read(guest, *address, parent, node);
	}
	return error;
}

/* Goes up from *address until it comes from a left child; *address 0: that was all. */
static struct error *rb_up(struct guest *guest, uint64_t *address, uint64_t *steps, struct rb_node *node)
{
	for (;;) {
		uint64_t child = *address;
		struct error *error;

		*address = node->parent_color & ~UINT64_C(3);
		if (!*address)
			return NULL;
		if ((*steps)++ > WALK_MAX)
			return error_format(NULL, *address, "a tree of the guest's kernel does not end");
		error = memory_read(&guest->memory, (struct gva){*address}, node, sizeof(*node));
		if (error || node->left == child)
			return error;
	}
}

struct error *rb_walk(struct guest *guest, struct gva root, uint32_t node_offset, list_visit visit, void *context)
{
	struct rb_node node;
	uint64_t address, steps = 0;
	struct error *error = memory_read_u64(&guest->memory, root, &address);

	if (error || !address)
		return error;
	error = rb_leftmost(guest, &address, 0, &steps, &node);
	while (!error && address) {
		error = visit(guest, (struct gva){address - node_offset}, context);
		if (error)
			break;
		if (node.right) {
			uint64_t parent = address;

			address = node.right;
			error = rb_leftmost(guest, &address, parent, &steps, &node);
		} else {
			error = rb_up(guest, &address, &steps, &node);
		}
		if (steps++ > WALK_MAX)
			return error_format(NULL, address, "a tree of the guest's kernel does not end");
	}
	return error;
}
