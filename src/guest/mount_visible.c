/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a mount namespace a path can reach: a later mount hides what lies below its mount point. The table is the
 * guest's and may lie: numbers may repeat or lead in circles, names may be of no path.
 */
#include "guest/mounts.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "guest/internal.h"

#define PATH_BYTES_MAX 4095u

struct child {
	int32_t parent;
	size_t index; /* into items */
};

struct tree {
	const struct guest_mount *items;
	size_t n;
	struct child *by_parent; /* n, by parent and then in the list's order */
	bool *met;
	size_t *visible; /* indices, in the order of the result */
	size_t n_visible;
};

static bool is_clean_path(const char *path)
{
	if (path[0] != '/' || strlen(path) > PATH_BYTES_MAX)
		return false;
	if (!path[1])
		return true;
	for (const char *p = path; *p; p += strcspn(p, "/")) {
		size_t n = strcspn(++p, "/");

		if (n == 0 || n > 255 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
	}
	return true;
}

bool guest_path_below(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	if (n == 1)
		return true;
	return strncmp(path, directory, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static int compare_children(const void *a, const void *b)
{
	const struct child *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static bool is_before(const void *child, const void *parent)
{
	return ((const struct child *)child)->parent < *(const int32_t *)parent;
}

/* The first place in by_parent whose mount has this parent or a greater one. */
static size_t first_child(const struct tree *tree, int32_t parent)
{
	return array_lower_bound(tree->by_parent, tree->n, sizeof(*tree->by_parent), &parent, is_before);
}

/* Whether another child of the same mount, at a directory above or later at the same, lies over it. */
static bool is_hidden(const struct tree *tree, size_t parent, size_t first, size_t end, size_t i)
{
	const struct guest_mount *mount = &tree->items[tree->by_parent[i].index];

	for (size_t k = first; k < end; k++) {
		const struct guest_mount *other = &tree->items[tree->by_parent[k].index];
		bool same = strcmp(other->target, mount->target) == 0;

		/* The first mount of all is its own parent. */
		if (k != i && tree->by_parent[k].index != parent && guest_path_below(mount->target, other->target) &&
		    (!same || k > i))
			return true;
	}
	return false;
}

static void visit(struct tree *tree, size_t index)
{
	const struct guest_mount *mount = &tree->items[index];
	size_t first = first_child(tree, mount->id), end = first;

	if (tree->met[index])
		return;
	tree->met[index] = true;
	while (end < tree->n && tree->by_parent[end].parent == mount->id)
		end++;
	/* On the very same place: nothing of this one is seen, nor of what else is mounted on it. */
	for (size_t i = end; i > first; i--) {
		size_t child = tree->by_parent[i - 1].index;

		if (child != index && strcmp(tree->items[child].target, mount->target) == 0) {
			visit(tree, child);
			return;
		}
	}
	tree->visible[tree->n_visible++] = index;
	for (size_t i = first; i < end; i++) {
		const struct guest_mount *child = &tree->items[tree->by_parent[i].index];

		if (guest_path_below(child->target, mount->target) && !is_hidden(tree, index, first, end, i))
			visit(tree, tree->by_parent[i].index);
	}
}

/* The root: it is mounted at "/", on nothing of the list. */
static bool find_root(const struct tree *tree, size_t *ret)
{
	for (size_t i = 0; i < tree->n; i++) {
		bool on_another = false;

		if (strcmp(tree->items[i].target, "/") != 0)
			continue;
		for (size_t k = 0; k < tree->n && !on_another; k++)
			on_another = k != i && tree->items[k].id == tree->items[i].parent;
		if (!on_another) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* Moves what can be no mount of a path to the end; returns how many are left. */
static size_t drop_insane(struct guest_mount_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct guest_mount item = list->items[i];

		if (!is_clean_path(item.target))
			continue;
		list->items[i] = list->items[n];
		list->items[n++] = item;
	}
	return n;
}

/* The list becomes what is visible of it. */
static struct error *keep(struct guest_mount_list *list, const struct tree *tree)
{
	struct guest_mount_list kept = {.incomplete = list->incomplete};

	kept.items = calloc(tree->n_visible + 1, sizeof(*kept.items));
	if (!kept.items)
		return error_no_memory();
	for (size_t i = 0; i < tree->n_visible; i++) {
		kept.items[kept.n++] = list->items[tree->visible[i]];
		list->items[tree->visible[i]] = (struct guest_mount){0};
	}
	list->incomplete = NULL;
	guest_mount_list_deinit(list);
	*list = kept;
	return NULL;
}

struct error *guest_mounts_visible(struct guest_mount_list *list)
{
	_cleanup_(free_ptr) struct child *by_parent = NULL;
	_cleanup_(free_ptr) size_t *visible = NULL;
	_cleanup_(free_ptr) bool *met = NULL;
	struct tree tree = {.items = list->items, .n = drop_insane(list)};
	struct error *error = NULL;
	size_t root;

	if (tree.n < list->n)
		error = error_create(ERROR_FORMAT, "%zu of the guest's mounts have a place that is no path",
				     list->n - tree.n);
	error = walk_note(&list->incomplete, error);
	if (!error && tree.n > GUEST_VISIBLE_MAX) {
		error = walk_note(&list->incomplete,
				  error_create(ERROR_FORMAT, "of the guest's %zu mounts only %u are looked at", tree.n,
					       GUEST_VISIBLE_MAX));
		tree.n = GUEST_VISIBLE_MAX;
	}
	if (error)
		return error;
	by_parent = tree.by_parent = calloc(tree.n + 1, sizeof(*by_parent));
	visible = tree.visible = calloc(tree.n + 1, sizeof(*visible));
	met = tree.met = calloc(tree.n + 1, sizeof(*met));
	if (!by_parent || !visible || !met)
		return error_no_memory();
	for (size_t i = 0; i < tree.n; i++)
		by_parent[i] = (struct child){list->items[i].parent, i};
	qsort(by_parent, tree.n, sizeof(*by_parent), compare_children);
	if (!find_root(&tree, &root))
		return error_create(ERROR_FORMAT, "none of the guest's %zu mounts is its root", list->n);
	visit(&tree, root);
	return keep(list, &tree);
}
