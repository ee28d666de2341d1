/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sysctls: the directories that /proc/sys shows (fs/proc/proc_sysctl.c). Each is a red-black tree of
 * entries, an entry being a file or a directory of its own. What belongs to a namespace (network,
 * IPC, user, pid) hangs in a tree of that namespace, with its whole path; the kernel's own tree has
 * only links to it, which are left out here.
 */
#include "guest/sysctl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "guest/containers.h"

#define DEPTH_MAX   16u
#define NAME_SIZE   1024u
/* Entries of all directories: about 100 for each network interface, and 1200. */
#define ENTRIES_MAX (1u << 19)

struct sysctl_layout {
	struct member node_header; /* struct ctl_node */
	uint32_t node_size;
	struct object_span header_span;
	struct member table, nodes; /* struct ctl_table_header */
	struct object_span span;
	struct member name, data, size, mode, handler; /* struct ctl_table */
	uint32_t table_size;
	struct member root; /* of a struct ctl_dir, which begins with its header */
};

struct sysctl_walk {
	struct guest *guest;
	const struct sysctl_layout *layout;
	const struct sysctl_handlers *handlers;
	uint32_t tick_rate; /* HZ */
	struct guest_sysctl_list *list;
	const char *wanted; /* only this one; NULL: all */
	uint64_t entries;
	unsigned depth;
	char path[NAME_SIZE]; /* of the directory, with a slash behind it; "" for /proc/sys */
	size_t path_size;
};

static struct error *load_layout(struct guest *guest, struct sysctl_layout *ret)
{
	const struct member_need header[] = {
		{"ctl_table_header", "ctl_table", &ret->table},
		{"ctl_table_header", "node", &ret->nodes},
	};
	const struct member_need entry[] = {
		{"ctl_table", "procname", &ret->name},        {"ctl_table", "data", &ret->data},
		{"ctl_table", "maxlen", &ret->size},          {"ctl_table", "mode", &ret->mode},
		{"ctl_table", "proc_handler", &ret->handler},
	};
	const struct member_need rest[] = {{"ctl_node", "header", &ret->node_header}, {"ctl_dir", "root", &ret->root}};
	struct error *error;

	*ret = (struct sysctl_layout){0};
	error = object_need(guest->types, header, ARRAY_SIZE(header), &ret->header_span);
	if (!error)
		error = object_need(guest->types, entry, ARRAY_SIZE(entry), &ret->span);
	if (!error)
		error = types_need(guest->types, rest, ARRAY_SIZE(rest));
	if (error)
		return error;
	ret->node_size = types_size(guest->types, "ctl_node");
	ret->table_size = types_size(guest->types, "ctl_table");
	if (!ret->node_size || !ret->table_size)
		return error_create(ERROR_UNSUPPORTED, "the guest's sysctls have no size");
	return NULL;
}

/* ---- The walk ---- */

/* Whether the entry just appended to the path, file or directory, leads to what is looked for. */
static bool leads_there(const struct sysctl_walk *walk, bool directory)
{
	if (!walk->wanted)
		return true;
	if (!directory)
		return strcmp(walk->path, walk->wanted) == 0;
	return strncmp(walk->path, walk->wanted, walk->path_size) == 0;
}

static struct error *append(struct sysctl_walk *walk, const uint8_t *object)
{
	const struct sysctl_layout *layout = walk->layout;
	const struct sysctl_entry entry = {
		.name = walk->path,
		.data = object_field(object, &layout->data),
		.size = object_field(object, &layout->size),
		.handler = object_field(object, &layout->handler),
	};
	struct guest_sysctl sysctl = {.mode = (uint32_t)object_field(object, &layout->mode) & 0777};
	struct error *error = array_room(&walk->list->items, walk->list->n, sizeof(*walk->list->items));

	if (error)
		return error;
	/* Of a file that cannot be read there is nothing to show. */
	error = sysctl.mode & 0444 ? sysctl_value(walk->guest, walk->handlers, walk->tick_rate, &entry, &sysctl) : NULL;
	if (!error) {
		sysctl.name = strdup(walk->path);
		error = sysctl.name ? NULL : error_no_memory();
	}
	if (error) {
		free(sysctl.value);
		return error_wrap(error, "%s", walk->path);
	}
	walk->list->items[walk->list->n++] = sysctl;
	return NULL;
}

static struct error *walk_directory(struct sysctl_walk *walk, struct gva directory);

static struct error *visit_entry(struct sysctl_walk *walk, const uint8_t *object, struct gva address, struct gva header)
{
	const uint64_t mode = object_field(object, &walk->layout->mode);
	const size_t before = walk->path_size;
	struct error *error;

	if (S_ISLNK(mode))
		return NULL;
	if (NAME_SIZE - before < 258)
		return error_format(NULL, address.v, "the path of a sysctl does not end");
	error = memory_read_string(&walk->guest->memory, (struct gva){object_field(object, &walk->layout->name)},
				   walk->path + before, 256);
	if (error)
		return error;
	walk->path_size += strlen(walk->path + before);
	if (S_ISDIR(mode)) {
		walk->path[walk->path_size++] = '/';
		walk->path[walk->path_size] = '\0';
		/* The header of a directory is the directory's beginning. */
		if (leads_there(walk, true))
			error = walk_directory(walk, header);
	} else if (leads_there(walk, false)) {
		error = append(walk, object);
	}
	walk->path_size = before;
	walk->path[before] = '\0';
	return error;
}

/* A node stands for the entry of the same number in its header's table. */
static struct error *visit_node(struct guest *guest, struct gva node, void *context)
{
	struct sysctl_walk *walk = context;
	const struct sysctl_layout *layout = walk->layout;
	uint8_t object[OBJECT_MAX];
	uint64_t header, nodes, index;
	struct gva address;
	struct error *error;

	if (walk->entries++ > ENTRIES_MAX)
		return error_format(NULL, node.v, "the guest has more than %u sysctls", ENTRIES_MAX);
	error = guest_read_member(guest, node, &layout->node_header, &header);
	if (!error)
		error = object_read(guest, (struct gva){header}, layout->header_span, object);
	if (error)
		return error;
	nodes = object_field(object, &layout->nodes);
	index = (node.v - nodes) / layout->node_size;
	if (node.v < nodes || index > ENTRIES_MAX)
		return walk_note(&walk->list->incomplete, error_format(NULL, node.v, "a sysctl is not in its table"));
	address.v = object_field(object, &layout->table) + index * layout->table_size;
	error = object_read(guest, address, layout->span, object);
	if (!error)
		error = visit_entry(walk, object, address, (struct gva){header});
	return walk_note(&walk->list->incomplete, error);
}

static struct error *walk_directory(struct sysctl_walk *walk, struct gva directory)
{
	struct error *error;

	if (walk->depth >= DEPTH_MAX)
		return error_format(NULL, directory.v, "the guest's sysctls lie more than %u directories deep",
				    DEPTH_MAX);
	walk->depth++;
	error = rb_walk(walk->guest, (struct gva){directory.v + walk->layout->root.offset}, 0, visit_node, walk);
	walk->depth--;
	return error;
}

/* A set of sysctls: the kernel's own, or the initial namespace's of some kind. */
static struct error *walk_set(struct sysctl_walk *walk, const char *type, const char *path, const char *symbol)
{
	struct member directory = types_find(walk->guest->types, type, path);
	struct gva object;

	/* Kinds of namespaces got theirs one after the other: IPC in 5.19, pid in 6.14. */
	if (!directory.present || !symbols_find(walk->guest->symbols, symbol, &object))
		return NULL;
	return walk_note(&walk->list->incomplete, walk_directory(walk, (struct gva){object.v + directory.offset}));
}

static struct error *walk_all(struct guest *guest, const char *wanted, struct guest_sysctl_list *ret)
{
	const struct {
		const char *type, *path, *symbol;
	} sets[] = {
		{"ctl_table_root", "default_set.dir", "sysctl_table_root"},
		{"net", "sysctls.dir", "init_net"},
		{"user_namespace", "set.dir", "init_user_ns"},
		{"ipc_namespace", "ipc_set.dir", "init_ipc_ns"},
		{"ipc_namespace", "mq_set.dir", "init_ipc_ns"},
		{"pid_namespace", "set.dir", "init_pid_ns"},
	};
	_cleanup_(sysctl_handlers_destroy_ptr) struct sysctl_handlers *handlers = NULL;
	struct sysctl_layout layout;
	struct sysctl_walk walk = {.guest = guest, .layout = &layout, .list = ret, .wanted = wanted};
	struct gva root;
	struct error *error = load_layout(guest, &layout);

	if (!error)
		error = symbols_get(guest->symbols, sets[0].symbol, &root);
	if (!error)
		error = sysctl_handlers_create(guest, &handlers);
	if (!error)
		error = guest_tick_rate(guest, &walk.tick_rate);
	walk.handlers = handlers;
	for (size_t i = 0; !error && i < ARRAY_SIZE(sets); i++)
		error = walk_set(&walk, sets[i].type, sets[i].path, sets[i].symbol);
	return error;
}

static int by_name(const void *a, const void *b)
{
	const struct guest_sysctl *left = a, *right = b;

	return strcmp(left->name, right->name);
}

struct error *guest_sysctls(struct guest *guest, struct guest_sysctl_list *ret)
{
	struct guest_sysctl_list list = {0};
	struct error *error = walk_all(guest, NULL, &list);

	if (error) {
		guest_sysctl_list_deinit(&list);
		return error_wrap(error, "the guest's sysctls");
	}
	if (list.n > 0)
		qsort(list.items, list.n, sizeof(*list.items), by_name);
	list.incomplete = error_wrap(list.incomplete, "the guest's sysctls");
	*ret = list;
	return NULL;
}

struct error *guest_sysctl(struct guest *guest, const char *name, char **ret)
{
	_cleanup_(guest_sysctl_list_deinit) struct guest_sysctl_list list = {0};
	struct error *error = walk_all(guest, name, &list);

	if (error)
		return error_wrap(error, "sysctl %s of the guest", name);
	if (list.n > 0 && list.items[0].value) {
		*ret = take_ptr(list.items[0].value);
		return NULL;
	}
	if (list.incomplete)
		return error_wrap(take_ptr(list.incomplete), "sysctl %s of the guest", name);
	if (list.n > 0)
		return error_create(ERROR_NOT_FOUND, "sysctl %s of the guest: only its running kernel can tell", name);
	return error_create(ERROR_NOT_FOUND, "the guest has no sysctl %s", name);
}

void guest_sysctl_list_deinit(struct guest_sysctl_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].name);
		free(list->items[i].value);
	}
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_sysctl_list){0};
}
