/* SPDX-License-Identifier: Apache-2.0 */
#include "changes/scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "changes/exclude.h"

static void entry_deinit(struct scan_entry *entry)
{
	view_node_deinit(&entry->node);
	free(take_ptr(entry->link_to));
	free(take_ptr(entry->path));
}

void scan_deinit(struct scan *scan)
{
	for (size_t i = 0; i < scan->n; i++)
		entry_deinit(&scan->entries[i]);
	for (size_t i = 0; i < scan->n_names; i++)
		free(scan->names[i].path);
	free(scan->names);
	free(scan->entries);
	*scan = (struct scan){};
}

struct error *scan_append(struct scan *scan, struct scan_entry entry)
{
	/* As change_list_append(): the capacity is the least power of two. */
	if ((scan->n & (scan->n - 1)) == 0) {
		void *larger = reallocarray(scan->entries, scan->n ? 2 * scan->n : 1, sizeof(entry));

		if (!larger) {
			entry_deinit(&entry);
			return error_no_memory();
		}
		scan->entries = larger;
	}
	scan->entries[scan->n++] = entry;
	return NULL;
}

char *layer_guest_path(const struct change_layer *layer, const char *path)
{
	const char *target = layer->target + strspn(layer->target, "/");

	if (!*target)
		return strdup(path);
	return *path ? string_format("%s/%s", target, path) : strdup(target);
}

bool scan_excluded(const struct scan *scan, const char *path)
{
	_cleanup_(free_ptr) char *guest = layer_guest_path(scan->layer, path);
	_cleanup_(free_ptr) char *absolute = guest ? string_format("/%s", guest) : NULL;

	/* Without memory nothing is excluded; the next allocation reports it. */
	return absolute && path_excluded(scan->options, absolute);
}

static struct error *append_path(struct scan *scan, enum scan_kind kind, const char *path, bool room)
{
	struct scan_entry entry = {.kind = kind, .room = room, .path = strdup(path)};

	return entry.path ? scan_append(scan, entry) : error_no_memory();
}

static struct error *delete_tree(struct scan *scan, const char *path, const struct stat *st, bool room);

static struct error *delete_child(struct scan *scan, const char *directory, const char *name, bool room)
{
	_cleanup_(free_ptr) char *path = path_join(directory, name);
	struct error *error;
	struct stat st;
	bool exists;

	if (!path)
		return error_no_memory();
	error = inode_stat((struct inode_place){scan->layer->lower_fd, path}, &exists, &st);
	if (error || !exists)
		return error;
	return delete_tree(scan, path, &st, room);
}

/* Everything of lower at `path`, children first. Recursion ends with the longest path the kernel opens. */
static struct error *delete_tree(struct scan *scan, const char *path, const struct stat *st, bool room)
{
	_cleanup_(names_free_ptr) char **names = NULL;
	struct error *error = NULL;

	if (S_ISDIR(st->st_mode))
		error = inode_names((struct inode_place){scan->layer->lower_fd, path}, &names);
	for (size_t i = 0; !error && names && names[i]; i++)
		error = delete_child(scan, path, names[i], room);
	return error ? error : append_path(scan, SCAN_DELETE, path, room);
}

static struct error *append_file(struct scan *scan, const char *path, struct view_node *node, bool had,
				 const struct stat *before)
{
	struct scan_entry entry = {.kind = SCAN_FILE, .node = *node, .had = had, .path = strdup(path)};

	*node = (struct view_node){};
	if (had)
		entry.before = *before;
	if (!entry.path) {
		entry_deinit(&entry);
		return error_no_memory();
	}
	return scan_append(scan, entry);
}

static struct error *scan_directory(struct scan *scan, const char *path, const struct view_node *node,
				    bool was_directory);

/* The very inode of the lower tree at its own place: nothing has happened to it. */
static bool untouched(const struct view_node *node, const char *path)
{
	return !node->upper && strcmp(node->lower, path) == 0;
}

static struct error *compare_directory(struct scan *scan, const char *path, const struct view_node *node,
				       bool was_directory)
{
	struct error *error;

	error = append_path(scan, was_directory ? SCAN_TOUCHED : SCAN_DIRECTORY, path, false);
	return error ? error : scan_directory(scan, path, node, was_directory);
}

/* `node` is what the merged view has there (NULL: nothing), `before` what lower has (NULL: nothing). Takes over node.
 */
static struct error *compare(struct scan *scan, const char *path, struct view_node *node, const struct stat *before)
{
	bool was_directory = before && S_ISDIR(before->st_mode);
	struct error *error = NULL;

	if (!node)
		return before ? delete_tree(scan, path, before, false) : NULL;
	if (untouched(node, path))
		return NULL;
	if (S_ISDIR(node->st.st_mode))
		return compare_directory(scan, path, node, was_directory);
	if (S_ISSOCK(node->st.st_mode)) {
		/* A socket lives with the process that listens, and that one ended with the shadow. */
		log_info("not carried: socket /%s", path);
		return NULL;
	}
	if (was_directory)
		error = delete_tree(scan, path, before, true);
	return error ? error : append_file(scan, path, node, before && !was_directory, before);
}

static struct error *scan_child(struct scan *scan, const char *directory, const struct view_node *parent,
				const char *name, bool was_directory)
{
	_cleanup_(free_ptr) char *path = path_join(directory, name);
	_cleanup_(view_node_deinit) struct view_node node = {};
	bool exists, had = false;
	struct stat before;
	struct error *error;

	if (!path)
		return error_no_memory();
	if (scan_excluded(scan, path))
		return NULL;
	error = view_child(scan->layer, parent, name, &exists, &node);
	if (!error && was_directory)
		error = inode_stat((struct inode_place){scan->layer->lower_fd, path}, &had, &before);
	if (error)
		return error;
	return compare(scan, path, exists ? &node : NULL, had ? &before : NULL);
}

static struct error *add_names(int root_fd, const char *path, char ***names, size_t *n)
{
	_cleanup_(names_free_ptr) char **more = NULL;
	struct error *error;
	size_t n_more = 0;
	void *larger;

	if (!path)
		return NULL;
	error = inode_names((struct inode_place){root_fd, path}, &more);
	if (error)
		return error;
	while (more[n_more])
		n_more++;
	larger = reallocarray(*names, *n + n_more + 1, sizeof(**names));
	if (!larger)
		return error_no_memory();
	*names = larger;
	memcpy(*names + *n, more, (n_more + 1) * sizeof(*more));
	*n += n_more;
	free(take_ptr(more));
	return NULL;
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/*
 * `was_directory`: lower has a directory at this very path. Where the merged directory lies upon
 * that one, whatever is not in upper is as it was.
 */
static struct error *scan_directory(struct scan *scan, const char *path, const struct view_node *node,
				    bool was_directory)
{
	bool in_place = node->lower && strcmp(node->lower, path) == 0;
	_cleanup_(names_free_ptr) char **names = NULL;
	struct error *error;
	size_t n = 0;

	error = add_names(scan->layer->upper_fd, node->upper, &names, &n);
	if (!error && !in_place)
		error = add_names(scan->layer->lower_fd, node->lower, &names, &n);
	if (!error && !in_place && was_directory)
		error = add_names(scan->layer->lower_fd, path, &names, &n);
	if (!error && names)
		qsort(names, n, sizeof(*names), compare_strings);
	for (size_t i = 0; !error && i < n; i++)
		if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
			error = scan_child(scan, path, node, names[i], was_directory);
	return error;
}

struct error *scan_layer(struct scan *scan)
{
	_cleanup_(view_node_deinit) struct view_node root = {};
	struct error *error;

	error = view_root(scan->layer, &root);
	return error ? error : compare_directory(scan, "", &root, true);
}
