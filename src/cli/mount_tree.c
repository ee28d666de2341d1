/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mount_tree.h"

#include <stdlib.h>

#include "base/array.h"

#define NONE SIZE_MAX

struct node {
	int32_t id;
	size_t mount;
};

/* Links between the list's indices. */
struct links {
	size_t *parent;      /* NONE: a root */
	size_t *first_child; /* in the list's order */
	size_t *next;        /* sibling */
};

/* What is still to be visited. */
struct pending {
	size_t mount, parent_row;
	bool last;
};

static int by_id(const void *left, const void *right)
{
	const struct node *a = left, *b = right;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->mount < b->mount ? -1 : a->mount > b->mount;
}

static bool is_before(const void *node, const void *id)
{
	return ((const struct node *)node)->id < *(const int32_t *)id;
}

/* The first mount with that id; NONE: there is none. */
static size_t find(const struct node *nodes, size_t n, int32_t id)
{
	size_t i = array_lower_bound(nodes, n, sizeof(*nodes), &id, is_before);

	return i < n && nodes[i].id == id ? nodes[i].mount : NONE;
}

/* From the last to the first, so that each list of children begins with its first. */
static void link_children(const struct guest_mount_list *list, const struct node *nodes, struct links *links)
{
	for (size_t i = 0; i < list->n; i++)
		links->first_child[i] = NONE;
	for (size_t i = list->n; i-- > 0;) {
		size_t parent = find(nodes, list->n, list->items[i].parent);

		links->parent[i] = parent == i ? NONE : parent;
		links->next[i] = NONE;
		if (links->parent[i] == NONE)
			continue;
		links->next[i] = links->first_child[parent];
		links->first_child[parent] = i;
	}
}

/* The tree below `root`, depth first. Each mount has one parent, so only a circle can meet one twice. */
static void visit(const struct links *links, size_t root, struct pending *stack, bool *seen, struct mount_row *rows,
		  size_t *n_rows)
{
	size_t depth = 1;

	stack[0] = (struct pending){root, MOUNT_TREE_ROOT, true};
	seen[root] = true;
	while (depth) {
		struct pending now = stack[--depth];
		size_t row = (*n_rows)++, begin = depth;

		rows[row] = (struct mount_row){now.mount, now.parent_row, now.last};
		for (size_t c = links->first_child[now.mount]; c != NONE; c = links->next[c]) {
			if (seen[c])
				continue;
			seen[c] = true;
			stack[depth++] = (struct pending){c, row, links->next[c] == NONE};
		}
		/* The first child on top. */
		for (size_t a = begin, b = depth; a + 1 < b; a++) {
			struct pending swapped = stack[--b];

			stack[b] = stack[a];
			stack[a] = swapped;
		}
	}
}

static void order(const struct guest_mount_list *list, const struct links *links, struct pending *stack, bool *seen,
		  struct mount_row *rows)
{
	size_t n_rows = 0;

	for (size_t i = 0; i < list->n; i++)
		if (links->parent[i] == NONE)
			visit(links, i, stack, seen, rows, &n_rows);
	/* What is left goes in circles. */
	for (size_t i = 0; i < list->n; i++)
		if (!seen[i])
			visit(links, i, stack, seen, rows, &n_rows);
}

struct error *mount_tree(const struct guest_mount_list *list, struct mount_row **ret)
{
	size_t n = list->n + 1;
	_cleanup_(free_ptr) struct node *nodes = calloc(n, sizeof(*nodes));
	_cleanup_(free_ptr) size_t *indices = calloc(n, 3 * sizeof(*indices));
	_cleanup_(free_ptr) struct pending *stack = calloc(n, sizeof(*stack));
	_cleanup_(free_ptr) bool *seen = calloc(n, sizeof(*seen));
	struct links links = {indices, indices + n, indices + 2 * n};
	struct mount_row *rows = calloc(n, sizeof(*rows));

	if (!nodes || !indices || !stack || !seen || !rows) {
		free(rows);
		return error_no_memory();
	}
	for (size_t i = 0; i < list->n; i++)
		nodes[i] = (struct node){list->items[i].id, i};
	qsort(nodes, list->n, sizeof(*nodes), by_id);
	link_children(list, nodes, &links);
	order(list, &links, stack, seen, rows);
	*ret = rows;
	return NULL;
}
