/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the whole system, from the tables, as a tree. */
#include <string.h>

#include "base/array.h"
#include "shadow/proc/serve.h"

static const struct {
	const char *name, *target;
} links[] = {
	{"mounts", "self/mounts"},
	{"net", "self/net"},
	/* Answered for each caller. */
	{"self", ""},
	{"thread-self", ""},
};

static struct error *add(struct tree *tree, uint32_t parent, const char *name, size_t size, uint32_t *ret)
{
	struct tree_node node = {.parent = parent};
	uint32_t *place;

	if (tree->n == tree->space) {
		size_t space = tree->space ? tree->space * 2 : 256;
		struct tree_node *grown = realloc(tree->nodes, space * sizeof(*grown));

		if (!grown)
			return error_no_memory();
		tree->nodes = grown;
		tree->space = space;
	}
	node.name = strndup(name, size);
	if (!node.name)
		return error_no_memory();
	tree->nodes[tree->n] = node;
	/* In the order of the tables. */
	if (tree->n > TREE_NET) {
		place = &tree->nodes[parent].child;
		while (*place)
			place = &tree->nodes[*place].sibling;
		*place = (uint32_t)tree->n;
	}
	*ret = (uint32_t)tree->n++;
	return NULL;
}

static uint32_t find(const struct tree *tree, uint32_t directory, const char *name, size_t size)
{
	uint32_t i = tree->nodes[directory].child;

	while (i && (strncmp(tree->nodes[i].name, name, size) != 0 || tree->nodes[i].name[size]))
		i = tree->nodes[i].sibling;
	return i;
}

uint32_t tree_find(const struct tree *tree, uint32_t directory, const char *name)
{
	return find(tree, directory, name, strlen(name));
}

struct error *tree_add_file(struct tree *tree, uint32_t directory, const char *path, const struct proc_file *file)
{
	uint32_t at = directory, next;
	struct error *error;

	for (const char *part = path;; part++) {
		size_t size = strcspn(part, "/");
		bool last = part[size] == '\0';

		next = find(tree, at, part, size);
		if (next && (last || tree->nodes[next].file || tree->nodes[next].link))
			return error_create(ERROR_FAILED, "/proc/%s is there twice", path);
		if (!next) {
			error = add(tree, at, part, size, &next);
			if (error)
				return error;
		}
		at = next;
		if (last)
			break;
		part += size;
	}
	tree->nodes[at].file = file;
	return NULL;
}

static struct error *add_table(struct tree *tree, const struct proc_file *table)
{
	struct error *error = NULL;

	for (const struct proc_file *file = table; !error && file->path; file++) {
		if (strncmp(file->path, "net/", 4) == 0)
			error = tree_add_file(tree, TREE_NET, file->path + 4, file);
		else
			error = tree_add_file(tree, TREE_ROOT, file->path, file);
	}
	return error;
}

struct error *tree_init(struct tree *tree)
{
	struct error *error;
	uint32_t node;

	error = add(tree, 0, "", 0, &node);
	if (!error)
		error = add(tree, 0, "net", 3, &node);
	for (size_t i = 0; !error && i < ARRAY_SIZE(links); i++) {
		error = add(tree, TREE_ROOT, links[i].name, strlen(links[i].name), &node);
		if (!error)
			tree->nodes[node].link = links[i].target;
	}
	if (!error)
		error = add_table(tree, proc_system_files);
	if (!error)
		error = add_table(tree, proc_device_files);
	if (!error)
		error = add_table(tree, proc_net_files);
	return error;
}

void tree_deinit(struct tree *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		free(tree->nodes[i].name);
	free(take_ptr(tree->nodes));
	tree->n = tree->space = 0;
}
