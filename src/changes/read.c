/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second half of changes_read(): from what was found in the layers to the ordered list. The order
 * is the one changes.h promises; each pass below is one paragraph of it, over all layers.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "changes/scan.h"

struct reader {
	struct scan *scans; /* one a layer */
	size_t n;
	struct change_list list;
};

static struct inode_place lower_place(const struct scan *scan, const char *path)
{
	return (struct inode_place){scan->layer->lower_fd, path};
}

/* A change of `kind` at `path` of the layer. With `before` its pre-image is read. */
static struct error *change_begin(const struct reader *reader, const struct scan *scan, enum change_kind kind,
				  const char *path, bool before, struct change *ret)
{
	struct change change = {.kind = kind, .layer = (unsigned)(scan - reader->scans)};
	struct error *error = NULL;

	change.path = layer_guest_path(scan->layer, path);
	if (!change.path)
		return error_no_memory();
	if (before)
		error = inode_preimage(lower_place(scan, path), &change.before);
	if (error) {
		change_deinit(&change);
		return error;
	}
	*ret = change;
	return NULL;
}

static struct error *read_attributes(const struct scan *scan, const struct view_node *node,
				     struct change_attributes *ret)
{
	return inode_attributes(view_place(scan->layer, node), &node->st, view_private_prefix(scan->layer, node), ret);
}

/* Ends a change: appended, or destroyed if `error`. */
static struct error *change_end(struct reader *reader, struct change *change, struct error *error)
{
	if (error) {
		error = error_wrap(error, "/%s", change->path);
		change_deinit(change);
		return error;
	}
	return change_list_append(&reader->list, *change);
}

static struct error *emit_delete(struct reader *reader, const struct scan *scan, const struct scan_entry *entry)
{
	struct change change;
	struct error *error;

	error = change_begin(reader, scan, CHANGE_DELETE, entry->path, true, &change);
	return error ? error : change_end(reader, &change, NULL);
}

static struct error *emit_directory(struct reader *reader, const struct scan *scan, const struct scan_entry *entry)
{
	struct view_node node = {};
	struct change change;
	struct error *error;
	bool exists;

	error = change_begin(reader, scan, CHANGE_DIRECTORY, entry->path, true, &change);
	if (error)
		return error;
	error = view_lookup(scan->layer, entry->path, &exists, &node);
	if (!error && !exists)
		error = error_create(ERROR_FAILED, "the layer changes while it is read");
	if (!error)
		error = read_attributes(scan, &node, &change.attributes);
	view_node_deinit(&node);
	return change_end(reader, &change, error);
}

static enum change_kind kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return CHANGE_SYMLINK;
	case S_IFIFO:
		return CHANGE_FIFO;
	case S_IFCHR:
	case S_IFBLK:
		return CHANGE_DEVICE;
	default:
		return CHANGE_WRITE;
	}
}

static struct error *emit_new(struct reader *reader, const struct scan *scan, const struct scan_entry *entry)
{
	struct inode_place place = view_place(scan->layer, &entry->node);
	const struct stat *st = &entry->node.st;
	struct change change;
	struct error *error;

	error = change_begin(reader, scan, kind_of(st->st_mode), entry->path, entry->had, &change);
	if (error)
		return error;
	error = read_attributes(scan, &entry->node, &change.attributes);
	if (!error && change.kind == CHANGE_WRITE) {
		change.size = (uint64_t)st->st_size;
		error = inode_sha256(place, change.size, change.sha256);
	} else if (!error && change.kind == CHANGE_SYMLINK) {
		error = inode_target(place, st, &change.target);
	} else if (!error && change.kind == CHANGE_DEVICE) {
		change.rdev = st->st_rdev;
	}
	return change_end(reader, &change, error);
}

/*
 * Overlay attributes below belong to the guest (its containers'), but overlayfs takes them for
 * its own and does not copy them up: put back what the inode had.
 */
static struct error *keep_private(const char *prefix, const struct change_attributes *before,
				  struct change_attributes *after)
{
	for (size_t i = 0; i < before->n_xattrs; i++) {
		const struct change_xattr *old = &before->xattrs[i];
		struct change_xattr copy = {.size = old->size};
		size_t at = 0;
		void *larger;

		if (strncmp(old->name, prefix, strlen(prefix)) != 0)
			continue;
		while (at < after->n_xattrs && strcmp(after->xattrs[at].name, old->name) < 0)
			at++;
		if (at < after->n_xattrs && strcmp(after->xattrs[at].name, old->name) == 0)
			continue;
		larger = reallocarray(after->xattrs, after->n_xattrs + 1, sizeof(copy));
		if (larger)
			after->xattrs = larger;
		copy.name = strdup(old->name);
		copy.value = malloc(old->size + 1);
		if (!larger || !copy.name || !copy.value) {
			free(copy.name);
			free(copy.value);
			return error_no_memory();
		}
		memcpy(copy.value, old->value, old->size);
		memmove(after->xattrs + at + 1, after->xattrs + at, (after->n_xattrs - at) * sizeof(copy));
		after->xattrs[at] = copy;
		after->n_xattrs++;
	}
	return NULL;
}

/* ATTRIBUTES of an inode that stays; nothing if they are as before, unless `forced`. */
static struct error *emit_attributes(struct reader *reader, const struct scan *scan, const char *path,
				     const struct view_node *node, bool had, bool forced)
{
	struct change change;
	struct error *error;

	error = change_begin(reader, scan, CHANGE_ATTRIBUTES, path, had, &change);
	if (error)
		return error;
	error = read_attributes(scan, node, &change.attributes);
	if (!error && had)
		error = keep_private(scan->layer->xattr_prefix, &change.before.attributes, &change.attributes);
	if (!error && had && !forced && attributes_equal(&change.attributes, &change.before.attributes)) {
		change_deinit(&change);
		return NULL;
	}
	return change_end(reader, &change, error);
}

static struct error *emit_link(struct reader *reader, const struct scan *scan, const struct scan_entry *entry)
{
	struct change change;
	struct error *error;

	error = change_begin(reader, scan, CHANGE_LINK, entry->path, entry->had, &change);
	if (error)
		return error;
	change.target = layer_guest_path(scan->layer, entry->link_to);
	error = change.target ? read_attributes(scan, &entry->node, &change.attributes) : error_no_memory();
	return change_end(reader, &change, error);
}

/* Whatever comes in the order of the walk: directories, files, and deletions that make room for them. */
static struct error *pass_create(struct reader *reader, const struct scan *scan, struct scan_entry *entry)
{
	size_t n = reader->list.n;
	struct error *error;

	if (entry->kind == SCAN_DELETE && entry->room)
		return emit_delete(reader, scan, entry);
	if (entry->kind == SCAN_DIRECTORY)
		return emit_directory(reader, scan, entry);
	if (entry->kind != SCAN_FILE)
		return NULL;
	if (entry->verdict == VERDICT_NEW)
		return emit_new(reader, scan, entry);
	if (entry->verdict != VERDICT_IN_PLACE)
		return NULL;
	error = emit_attributes(reader, scan, entry->path, &entry->node, true, false);
	entry->changed = reader->list.n > n;
	return error;
}

/*
 * Further names of an inode whose attributes change need nothing in a guest, but an image layer
 * can only say so by a new file, and that has to get all the names.
 */
static struct error *pass_link(struct reader *reader, const struct scan *scan, struct scan_entry *entry)
{
	if (entry->kind != SCAN_FILE)
		return NULL;
	if (entry->verdict == VERDICT_LINK || (entry->verdict == VERDICT_STAYS && scan->entries[entry->leader].changed))
		return emit_link(reader, scan, entry);
	return NULL;
}

static struct error *pass_delete(struct reader *reader, const struct scan *scan, struct scan_entry *entry)
{
	if (entry->kind == SCAN_DELETE && !entry->room)
		return emit_delete(reader, scan, entry);
	return NULL;
}

typedef struct error *(*pass_function)(struct reader *, const struct scan *, struct scan_entry *);

static struct error *run_pass(struct reader *reader, pass_function pass)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < reader->n; i++)
		for (size_t j = 0; !error && j < reader->scans[i].n; j++)
			error = pass(reader, &reader->scans[i], &reader->scans[i].entries[j]);
	return error;
}

/* A directory whose attributes are to be set at the end. */
struct directory {
	char *path;
	unsigned depth;
	bool forced; /* something below it changes, and with that its times */
};

struct directory_list {
	struct directory *items;
	size_t n;
};

static void directory_list_deinit(struct directory_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i].path);
	free(list->items);
}

static struct error *directory_append(struct directory_list *list, const char *path, size_t length, bool forced)
{
	struct directory directory = {.path = strndup(path, length), .forced = forced};

	if (!directory.path)
		return error_no_memory();
	directory.depth = length > 0;
	for (size_t i = 0; i < length; i++)
		directory.depth += path[i] == '/';
	if ((list->n & (list->n - 1)) == 0) {
		void *larger = reallocarray(list->items, list->n ? 2 * list->n : 1, sizeof(directory));

		if (!larger) {
			free(directory.path);
			return error_no_memory();
		}
		list->items = larger;
	}
	list->items[list->n++] = directory;
	return NULL;
}

static struct error *append_parent(struct directory_list *list, const char *path)
{
	const char *slash = strrchr(path, '/');

	return directory_append(list, path, slash ? (size_t)(slash - path) : 0, true);
}

/* Deepest first; of the same path the forced one first. */
static int compare_directories(const void *a, const void *b)
{
	const struct directory *x = a, *y = b;
	int order;

	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	order = strcmp(x->path, y->path);
	return order ? order : (int)y->forced - (int)x->forced;
}

static struct error *collect_directories(const struct scan *scan, struct directory_list *list)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < scan->n; i++) {
		const struct scan_entry *entry = &scan->entries[i];

		if (entry->kind == SCAN_TOUCHED || entry->kind == SCAN_DIRECTORY)
			error = directory_append(list, entry->path, strlen(entry->path), entry->kind == SCAN_DIRECTORY);
		if (error || entry->kind == SCAN_TOUCHED)
			continue;
		if (entry->kind == SCAN_FILE && entry->verdict != VERDICT_NEW && entry->verdict != VERDICT_LINK)
			continue;
		error = append_parent(list, entry->path);
	}
	if (list->items)
		qsort(list->items, list->n, sizeof(*list->items), compare_directories);
	return error;
}

static struct error *emit_directory_attributes(struct reader *reader, const struct scan *scan,
					       const struct directory *directory)
{
	struct view_node node = {};
	struct error *error;
	struct stat before;
	bool exists, had;

	error = view_lookup(scan->layer, directory->path, &exists, &node);
	/* The parent of something deleted can be deleted itself, or be no directory any more. */
	if (error || !exists)
		return error;
	error = inode_stat(lower_place(scan, directory->path), &had, &before);
	if (!error && S_ISDIR(node.st.st_mode))
		error = emit_attributes(reader, scan, directory->path, &node, had && S_ISDIR(before.st_mode),
					directory->forced);
	view_node_deinit(&node);
	return error;
}

static struct error *pass_directories(struct reader *reader, const struct scan *scan)
{
	_cleanup_(directory_list_deinit) struct directory_list list = {};
	struct error *error;

	error = collect_directories(scan, &list);
	for (size_t i = 0; !error && i < list.n; i++)
		if (i == 0 || strcmp(list.items[i - 1].path, list.items[i].path) != 0)
			error = emit_directory_attributes(reader, scan, &list.items[i]);
	return error;
}

static struct error *emit_all(struct reader *reader)
{
	struct error *error;

	if ((error = run_pass(reader, pass_create)) || (error = run_pass(reader, pass_link)) ||
	    (error = run_pass(reader, pass_delete)))
		return error;
	/* Layers from the inside out: a directory that is mounted upon is its parent layer's. */
	for (size_t i = reader->n; !error && i > 0; i--)
		error = pass_directories(reader, &reader->scans[i - 1]);
	return error;
}

struct error *changes_read(const struct change_layer *layers, size_t n_layers, const struct change_options *options,
			   struct change_list *ret)
{
	static const struct change_options defaults;
	struct reader reader = {.n = n_layers};
	struct error *error = NULL;

	reader.scans = calloc(n_layers + 1, sizeof(*reader.scans));
	if (!reader.scans)
		return error_no_memory();
	for (size_t i = 0; !error && i < n_layers; i++) {
		reader.scans[i].layer = &layers[i];
		reader.scans[i].options = options ? options : &defaults;
		error = scan_layer(&reader.scans[i]);
		if (!error)
			error = scan_links(&reader.scans[i]);
		error = error_wrap(error, "cannot read the changes of %s", layers[i].target);
	}
	if (!error)
		error = emit_all(&reader);
	for (size_t i = 0; i < n_layers; i++)
		scan_deinit(&reader.scans[i]);
	free(reader.scans);
	if (error)
		change_list_deinit(&reader.list);
	else
		*ret = reader.list;
	return error;
}

/* The path inside the layer; NULL if it is not of that layer. */
static const char *layer_path(const struct change_layer *layer, const char *path)
{
	const char *target = layer->target + strspn(layer->target, "/");
	size_t length = strlen(target);

	if (length == 0)
		return path;
	if (strncmp(path, target, length) != 0 || path[length] != '/')
		return NULL;
	return path + length + 1;
}

struct error *changes_open_content(const struct change_layer *layers, size_t n_layers, const struct change *change,
				   int *ret)
{
	struct view_node node = {};
	struct error *error;
	const char *path;
	bool exists;

	path = change->layer < n_layers ? layer_path(&layers[change->layer], change->path) : NULL;
	if (!path || (change->kind != CHANGE_WRITE && change->kind != CHANGE_ATTRIBUTES))
		return error_create(ERROR_USAGE, "/%s has no content in layer %u", change->path, change->layer);
	error = view_lookup(&layers[change->layer], path, &exists, &node);
	if (error)
		return error;
	if (!exists || !S_ISREG(node.st.st_mode))
		error = error_create(ERROR_CONFLICT, "/%s is not in its layer any more", change->path);
	else
		error = inode_open(view_place(&layers[change->layer], &node), O_RDONLY | O_NONBLOCK, ret);
	view_node_deinit(&node);
	return error;
}

struct error *changes_open_before(const struct change_layer *layers, size_t n_layers, const struct change *change,
				  int *ret)
{
	const char *path = change->layer < n_layers ? layer_path(&layers[change->layer], change->path) : NULL;
	_cleanup_(close_fd) int fd = -1;
	struct stat s;

	if (!path)
		return error_create(ERROR_USAGE, "/%s is not in layer %u", change->path, change->layer);
	fd = io_openat2(layers[change->layer].lower_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY,
			RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
		return error_system(errno, change->path, "cannot open in the guest");
	if (fd >= 0 && fstat(fd, &s) < 0)
		return error_system(errno, change->path, "cannot examine in the guest");
	if (fd < 0 || !S_ISREG(s.st_mode))
		return error_create(ERROR_NOT_FOUND, "/%s is no file before the update", change->path);
	*ret = take_fd(fd);
	return NULL;
}
