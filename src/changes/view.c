/* SPDX-License-Identifier: Apache-2.0 */
#include "changes/view.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/io.h"

#define OVERLAY_NAME_MAX 64

char *path_join(const char *parent, const char *name)
{
	return *parent ? string_format("%s/%s", parent, name) : strdup(name);
}

void view_node_deinit(struct view_node *node)
{
	free(take_ptr(node->upper));
	free(take_ptr(node->lower));
}

struct inode_place view_place(const struct change_layer *layer, const struct view_node *node)
{
	if (node->upper)
		return (struct inode_place){layer->upper_fd, node->upper, layer->acl_id_base};
	return (struct inode_place){.root_fd = layer->lower_fd, .path = node->lower};
}

const char *view_private_prefix(const struct change_layer *layer, const struct view_node *node)
{
	return node->upper ? layer->xattr_prefix : NULL;
}

struct error *view_overlay_xattr(const struct change_layer *layer, const char *upper, const char *name, void *value,
				 size_t size, ssize_t *ret)
{
	_cleanup_(free_ptr) char *full = string_format("%s%s", layer->xattr_prefix, name);

	if (!full)
		return error_no_memory();
	return inode_xattr((struct inode_place){layer->upper_fd, upper}, full, value, size, ret);
}

static struct error *has_xattr(const struct change_layer *layer, const char *upper, const char *name, bool *ret)
{
	struct error *error;
	ssize_t n = -1;

	error = view_overlay_xattr(layer, upper, name, NULL, 0, &n);
	if (!error)
		*ret = n >= 0;
	return error;
}

/* "x" on overlay.opaque marks a directory that holds whiteouts as attributes; "y" hides what is below. */
static struct error *read_marks(const struct change_layer *layer, const char *upper, bool *ret_opaque,
				bool *ret_whiteouts)
{
	struct error *error;
	char value[8];
	ssize_t n;

	error = view_overlay_xattr(layer, upper, "opaque", value, sizeof(value), &n);
	if (error)
		return error;
	if (n >= 0 && !(n == 1 && (value[0] == 'y' || value[0] == 'x')))
		return error_format(upper, ERROR_NO_ADDRESS, "overlay mark \"opaque\" is neither y nor x");
	*ret_opaque = n == 1 && value[0] == 'y';
	*ret_whiteouts = n == 1 && value[0] == 'x';
	if (*ret_whiteouts)
		return NULL;
	return has_xattr(layer, upper, "whiteouts", ret_whiteouts);
}

static bool redirect_valid(const char *path)
{
	for (;;) {
		size_t length = strcspn(path, "/");

		if (length == 0 || (length == 1 && path[0] == '.') || (length == 2 && strncmp(path, "..", 2) == 0))
			return false;
		if (!path[length])
			return true;
		path += length + 1;
	}
}

/* Path in lower the directory was at before it was renamed, NULL if it was not. */
static struct error *read_redirect(const struct change_layer *layer, const struct view_node *parent, const char *upper,
				   char **ret)
{
	char value[PATH_MAX + 1];
	struct error *error;
	char *lower = NULL;
	ssize_t n;

	error = view_overlay_xattr(layer, upper, "redirect", value, PATH_MAX, &n);
	if (error)
		return error;
	if (n < 0) {
		*ret = NULL;
		return NULL;
	}
	value[n] = '\0';
	/* The kernel neither makes nor follows redirects with userxattr: such a mark is forged. */
	if (strncmp(layer->xattr_prefix, "trusted.", 8) != 0 || strlen(value) != (size_t)n)
		return error_format(upper, ERROR_NO_ADDRESS, "overlay redirect that cannot be");
	if (value[0] == '/' && redirect_valid(value + 1))
		lower = strdup(value + 1);
	else if (parent->lower && !strchr(value, '/') && redirect_valid(value))
		lower = path_join(parent->lower, value);
	else
		return error_format(upper, ERROR_NO_ADDRESS, "overlay redirect to a path that cannot be");
	if (!lower)
		return error_no_memory();
	*ret = lower;
	return NULL;
}

/* Sets node->lower to the directory that upper's merges with, if there is one. */
static struct error *find_lower_directory(const struct change_layer *layer, const struct view_node *parent,
					  const char *name, struct view_node *node)
{
	_cleanup_(free_ptr) char *lower = NULL;
	struct error *error;
	bool opaque, exists;
	struct stat st;

	error = read_marks(layer, node->upper, &opaque, &node->xattr_whiteouts);
	if (error || opaque)
		return error;
	error = read_redirect(layer, parent, node->upper, &lower);
	if (error)
		return error;
	bool redirected = lower != NULL;

	if (!redirected && parent->lower) {
		lower = path_join(parent->lower, name);
		if (!lower)
			return error_no_memory();
	}
	if (!lower)
		return NULL;
	error = inode_stat((struct inode_place){layer->lower_fd, lower}, &exists, &st);
	if (error)
		return error;
	if (exists && S_ISDIR(st.st_mode))
		node->lower = take_ptr(lower);
	else if (redirected)
		return error_format(node->upper, ERROR_NO_ADDRESS, "overlay redirect to no directory");
	return NULL;
}

static struct error *is_whiteout(const struct change_layer *layer, const struct view_node *parent, const char *upper,
				 const struct stat *st, bool *ret)
{
	*ret = S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
	if (*ret || !parent->xattr_whiteouts || !S_ISREG(st->st_mode) || st->st_size != 0)
		return NULL;
	return has_xattr(layer, upper, "whiteout", ret);
}

/* A file whose data is elsewhere: our overlays are mounted with metacopy=off. */
static struct error *refuse_metacopy(const struct change_layer *layer, const char *upper)
{
	bool metacopy = false;
	struct error *error;

	error = has_xattr(layer, upper, "metacopy", &metacopy);
	if (error)
		return error;
	return metacopy ? error_format(upper, ERROR_NO_ADDRESS, "the layer holds a file without its data (metacopy)")
			: NULL;
}

/* `node` has its path in upper and its stat; fills in the rest. */
static struct error *resolve_upper(const struct change_layer *layer, const struct view_node *parent, const char *name,
				   bool *ret_exists, struct view_node *node)
{
	struct error *error;
	bool whiteout;

	error = is_whiteout(layer, parent, node->upper, &node->st, &whiteout);
	if (error)
		return error;
	*ret_exists = !whiteout;
	if (S_ISDIR(node->st.st_mode))
		return find_lower_directory(layer, parent, name, node);
	return S_ISREG(node->st.st_mode) ? refuse_metacopy(layer, node->upper) : NULL;
}

static struct error *stat_child(int root_fd, const char *parent, const char *name, bool *ret_exists, char **ret_path,
				struct stat *ret)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error;

	*ret_exists = false;
	if (!parent)
		return NULL;
	path = path_join(parent, name);
	if (!path)
		return error_no_memory();
	error = inode_stat((struct inode_place){root_fd, path}, ret_exists, ret);
	if (!error && *ret_exists)
		*ret_path = take_ptr(path);
	return error;
}

struct error *view_child(const struct change_layer *layer, const struct view_node *parent, const char *name,
			 bool *ret_exists, struct view_node *ret)
{
	struct view_node node = {};
	struct error *error;
	bool exists;

	error = stat_child(layer->upper_fd, parent->upper, name, &exists, &node.upper, &node.st);
	if (!error && exists)
		error = resolve_upper(layer, parent, name, &exists, &node);
	else if (!error)
		error = stat_child(layer->lower_fd, parent->lower, name, &exists, &node.lower, &node.st);
	if (error || !exists)
		view_node_deinit(&node);
	if (error)
		return error;
	if (exists)
		*ret = node;
	*ret_exists = exists;
	return NULL;
}

struct error *view_root(const struct change_layer *layer, struct view_node *ret)
{
	struct view_node node = {.upper = strdup(""), .lower = strdup("")};
	struct error *error;
	bool exists, opaque;

	if (!node.upper || !node.lower) {
		view_node_deinit(&node);
		return error_no_memory();
	}
	error = inode_stat((struct inode_place){layer->upper_fd, ""}, &exists, &node.st);
	if (!error)
		error = read_marks(layer, "", &opaque, &node.xattr_whiteouts);
	if (error) {
		view_node_deinit(&node);
		return error;
	}
	*ret = node;
	return NULL;
}

struct error *view_lookup(const struct change_layer *layer, const char *path, bool *ret_exists, struct view_node *ret)
{
	_cleanup_(free_ptr) char *copy = strdup(path);
	struct view_node node;
	char *rest = copy, *name;
	bool exists = true;
	struct error *error;

	if (!copy)
		return error_no_memory();
	error = view_root(layer, &node);
	if (error)
		return error;
	while (exists && *path && (name = strsep(&rest, "/"))) {
		struct view_node child = {};

		error = view_child(layer, &node, name, &exists, &child);
		view_node_deinit(&node);
		if (error)
			return error;
		node = child;
	}
	if (exists)
		*ret = node;
	*ret_exists = exists;
	return NULL;
}
