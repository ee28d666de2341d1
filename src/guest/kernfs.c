/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over kernfs: each directory is a red-black tree of its entries (fs/kernfs/dir.c). */
#include "guest/kernfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "guest/containers.h"
#include "guest/object.h"
#include "guest/vfs.h"

#define FLAG_DIRECTORY 1u /* KERNFS_DIR, _FILE and _LINK of enum kernfs_node_type */
#define FLAG_FILE      2u
#define FLAG_LINK      4u

struct kernfs_layout {
	struct object_span span;
	struct member active, parent, name, node, ns, flags, mode, children, target, object;
	struct member info_root, info_ns, root_node;
	struct member super_list;
};

struct walk {
	const struct vfs_layout *vfs;
	struct kernfs_layout layout;
	uint64_t ns;     /* entries of other namespaces are not seen */
	uint32_t parent; /* index of the directory that is being read */
	uint64_t parent_address;
	uint64_t *targets; /* of each node: the address that its link leads to, or 0 */
	struct guest_kernfs tree;
};

void guest_kernfs_deinit(struct guest_kernfs *tree)
{
	for (size_t i = 0; i < tree->n; i++)
		free(tree->items[i].name);
	free(tree->items);
	error_destroy(tree->incomplete);
	*tree = (struct guest_kernfs){0};
}

static struct error *load_layout(struct guest *guest, struct kernfs_layout *l)
{
	const struct member_need node[] = {
		{"kernfs_node", "active", &l->active},
		{"kernfs_node", "parent", &l->parent, .optional = true},
		{"kernfs_node", "name", &l->name},
		{"kernfs_node", "rb", &l->node},
		{"kernfs_node", "ns", &l->ns},
		{"kernfs_node", "flags", &l->flags},
		{"kernfs_node", "mode", &l->mode},
		{"kernfs_node", "dir.children", &l->children},
		{"kernfs_node", "symlink.target_kn", &l->target},
		{"kernfs_node", "priv", &l->object},
	};
	const struct member_need others[] = {
		{"kernfs_super_info", "root", &l->info_root},
		{"kernfs_super_info", "ns", &l->info_ns},
		{"kernfs_root", "kn", &l->root_node},
		{"super_block", "s_list", &l->super_list},
	};
	/* Renamed when it became RCU-protected (6.15). */
	const struct member_need renamed = {"kernfs_node", "__parent", &l->parent};
	struct error *error = object_need(guest->types, node, ARRAY_SIZE(node), &l->span);

	if (!error && !l->parent.present)
		error = object_need(guest->types, &renamed, 1, &l->span);
	return error ? error : types_need(guest->types, others, ARRAY_SIZE(others));
}

/* ---- Which tree ---- */

struct super_search {
	const struct walk *walk;
	uint32_t device;
	struct vfs_super found;
	bool is_found;
};

static struct error *compare_super(struct guest *guest, struct gva super, void *context)
{
	struct super_search *search = context;
	uint64_t device;
	struct error *error;

	if (search->is_found)
		return NULL;
	error = guest_read_member(guest, super, &search->walk->vfs->path->super_device, &device);
	if (!error && (uint32_t)device == search->device) {
		error = vfs_super_read(guest, search->walk->vfs, super.v, &search->found);
		search->is_found = !error;
	}
	return error;
}

static bool is_kernfs(const struct vfs_super *super)
{
	return strcmp(super->type, "sysfs") == 0 || strcmp(super->type, "cgroup") == 0 ||
	       strcmp(super->type, "cgroup2") == 0;
}

static struct error *find_root(struct guest *guest, struct walk *walk, uint32_t major, uint32_t minor, uint64_t *ret)
{
	struct super_search search = {.walk = walk, .device = major << 20 | minor};
	struct gva head;
	uint64_t root;
	struct error *error = symbols_get(guest->symbols, "super_blocks", &head);

	if (!error)
		error = list_walk(guest, head, walk->layout.super_list.offset, compare_super, &search);
	if (error && search.is_found) {
		error_destroy(error);
		error = NULL;
	}
	if (error)
		return error;
	if (!search.is_found)
		return error_create(ERROR_NOT_FOUND, "no file system %u:%u is mounted", major, minor);
	if (!is_kernfs(&search.found))
		return error_create(ERROR_UNSUPPORTED, "a file system of type %s", search.found.type);
	error = guest_read_member(guest, (struct gva){search.found.info}, &walk->layout.info_root, &root);
	if (!error)
		error = guest_read_member(guest, (struct gva){search.found.info}, &walk->layout.info_ns, &walk->ns);
	return error ? error : guest_read_member(guest, (struct gva){root}, &walk->layout.root_node, ret);
}

/* ---- Nodes ---- */

static struct error *append(struct walk *walk, const struct guest_kernfs_node *node, uint64_t target)
{
	struct guest_kernfs *tree = &walk->tree;
	struct error *error;

	if (tree->n >= GUEST_KERNFS_MAX)
		return error_create(ERROR_FORMAT, "more than %u files", GUEST_KERNFS_MAX);
	error = array_room(&tree->items, tree->n, sizeof(*tree->items));
	if (!error)
		error = array_room(&walk->targets, tree->n, sizeof(*walk->targets));
	if (error)
		return error;
	walk->targets[tree->n] = target;
	tree->items[tree->n++] = *node;
	return NULL;
}

static bool is_name(const char *name)
{
	return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

/* Permissions of links do not count; those of others are the kernel's. */
static uint32_t mode_of(uint64_t flags, uint64_t mode)
{
	if (flags & FLAG_DIRECTORY)
		return S_IFDIR | (mode & 07777);
	return flags & FLAG_LINK ? S_IFLNK | 0777 : S_IFREG | (mode & 07777);
}

static struct error *add_node(struct guest *guest, struct walk *walk, const struct object *record, const char *name)
{
	const struct kernfs_layout *l = &walk->layout;
	uint64_t flags = object_get(record, &l->flags);
	struct guest_kernfs_node node = {
		.parent = walk->parent,
		.target = GUEST_KERNFS_NONE,
		.mode = mode_of(flags, object_get(record, &l->mode)),
		.name = strdup(name),
		.object = object_get(record, &l->object),
		.address = record->address.v,
	};
	struct error *error;

	(void)guest;
	if (!node.name)
		return error_no_memory();
	error = append(walk, &node, flags & FLAG_LINK ? object_get(record, &l->target) : 0);
	if (error)
		free(node.name);
	return error;
}

static struct error *visit_entry(struct guest *guest, struct gva address, void *context)
{
	struct walk *walk = context;
	const struct kernfs_layout *l = &walk->layout;
	char name[FILE_NAME_SIZE];
	struct object record;
	uint64_t ns;
	struct error *error = guest_effort(guest, 1, address.v);

	if (!error)
		error = object_load(guest, l->span, address.v, &record);
	if (error)
		return error;
	/* Below zero: it is being removed, or hidden. */
	if ((int32_t)object_get(&record, &l->active) < 0)
		return NULL;
	ns = object_get(&record, &l->ns);
	if (ns && ns != walk->ns)
		return NULL;
	if (object_get(&record, &l->parent) != walk->parent_address)
		return error_format(NULL, address.v, "an entry of another directory");
	error = memory_read_string(&guest->memory, (struct gva){object_get(&record, &l->name)}, name, sizeof(name));
	if (!error && !is_name(name))
		error = error_format(NULL, address.v, "an impossible name");
	return error ? error : add_node(guest, walk, &record, name);
}

/*
 * Half of all files are counters of the memory allocator, some sixty for each of its caches, of which none can be told
 * without adding up its lists: their names are not read.
 */
static bool is_cache(const struct guest_kernfs *tree, const struct guest_kernfs_node *node)
{
	const struct guest_kernfs_node *parent = &tree->items[node->parent];

	return strcmp(parent->name, "slab") == 0 && strcmp(tree->items[parent->parent].name, "kernel") == 0;
}

/* The list is its own queue: entries of a directory come behind it. */
static struct error *walk_tree(struct guest *guest, struct walk *walk)
{
	for (size_t i = 0; i < walk->tree.n; i++) {
		struct gva node = {walk->tree.items[i].address};
		struct error *error;

		if (!S_ISDIR(walk->tree.items[i].mode) || is_cache(&walk->tree, &walk->tree.items[i]))
			continue;
		walk->parent = (uint32_t)i;
		walk->parent_address = node.v;
		error = walk_note(&walk->tree.incomplete,
				  rb_walk(guest, (struct gva){node.v + walk->layout.children.offset},
					  walk->layout.node.offset, visit_entry, walk));
		if (error)
			return error;
		if (guest_effort_spent(guest) || walk->tree.n >= GUEST_KERNFS_MAX)
			return NULL;
	}
	return NULL;
}

/* ---- Links ---- */

struct place_of {
	uint64_t address;
	uint32_t index;
};

static int compare_places(const void *a, const void *b)
{
	const struct place_of *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

static struct error *resolve_links(struct walk *walk)
{
	struct guest_kernfs *tree = &walk->tree;
	_cleanup_(free_ptr) struct place_of *places = calloc(tree->n, sizeof(*places));

	if (!places)
		return error_no_memory();
	for (size_t i = 0; i < tree->n; i++)
		places[i] = (struct place_of){tree->items[i].address, (uint32_t)i};
	qsort(places, tree->n, sizeof(*places), compare_places);
	for (size_t i = 0; i < tree->n; i++) {
		const struct place_of key = {walk->targets[i], 0}, *found = NULL;

		if (walk->targets[i])
			found = bsearch(&key, places, tree->n, sizeof(*places), compare_places);
		if (found)
			tree->items[i].target = found->index;
	}
	return NULL;
}

struct error *guest_kernfs(struct guest *guest, uint32_t major, uint32_t minor, struct guest_kernfs *ret)
{
	struct walk walk = {0};
	struct guest_kernfs_node top = {.target = GUEST_KERNFS_NONE, .mode = S_IFDIR | 0755};
	struct error *error = vfs_layout_get(guest, &walk.vfs);

	guest_effort_begin(guest);
	if (!error)
		error = load_layout(guest, &walk.layout);
	if (!error)
		error = find_root(guest, &walk, major, minor, &top.address);
	if (!error)
		error = guest_read_member(guest, (struct gva){top.address}, &walk.layout.object, &top.object);
	if (!error && !(top.name = strdup("")))
		error = error_no_memory();
	if (!error)
		error = append(&walk, &top, 0);
	if (!error)
		error = walk_tree(guest, &walk);
	if (!error)
		error = resolve_links(&walk);
	free(walk.targets);
	if (error) {
		guest_kernfs_deinit(&walk.tree);
		return error_wrap(error, "files of the guest's file system %u:%u", major, minor);
	}
	*ret = walk.tree;
	return NULL;
}
