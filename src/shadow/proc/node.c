/* SPDX-License-Identifier: Apache-2.0 */
/* Which node is what, and the files of the whole system. */
#include <errno.h>
#include <string.h>

#include "shadow/proc/serve.h"

uint64_t node_id(struct node node)
{
	return (uint64_t)node.kind << 59 | (uint64_t)node.pid << 36 | (uint64_t)node.in_task << 35 | node.sub;
}

struct node node_of(uint64_t id)
{
	return (struct node){.kind = (enum node_kind)(id >> 59),
			     .pid = (uint32_t)(id >> 36) & NODE_PID_MAX,
			     .in_task = id >> 35 & 1,
			     .sub = id & NODE_SUB_MAX};
}

bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!text[0] || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > max / 10)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	if (value > max)
		return false;
	*ret = value;
	return true;
}

void listing_deinit(struct listing *listing)
{
	for (size_t i = 0; i < listing->n; i++)
		free(listing->entries[i].text);
	free(take_ptr(listing->entries));
	listing->n = listing->space = 0;
}

static struct entry *listing_append(struct listing *listing, struct node node, uint32_t type)
{
	size_t space = listing->space ? listing->space * 2 : 64;
	struct entry *grown;

	if (listing->n == listing->space) {
		grown = realloc(listing->entries, space * sizeof(*grown));
		if (!grown)
			return NULL;
		listing->entries = grown;
		listing->space = space;
	}
	listing->entries[listing->n] = (struct entry){.id = node_id(node), .type = type};
	return &listing->entries[listing->n++];
}

bool listing_add(struct listing *listing, struct node node, uint32_t type, const char *name)
{
	struct entry *entry = listing_append(listing, node, type);

	if (entry)
		entry->name = name;
	return entry;
}

bool listing_add_number(struct listing *listing, struct node node, uint32_t type, uint32_t number)
{
	struct entry *entry = listing_append(listing, node, type);

	if (entry)
		entry->number = number;
	return entry;
}

bool listing_add_copy(struct listing *listing, struct node node, uint32_t type, const char *name)
{
	struct entry *entry;
	char *copy = strdup(name);

	if (!copy)
		return false;
	entry = listing_append(listing, node, type);
	if (!entry) {
		free(copy);
		return false;
	}
	entry->text = copy;
	return true;
}

bool node_is_private(const char *name)
{
	static const char *const names[] = {"auxv",    "cwd",         "environ",      "exe",  "fd",    "fdinfo",
					    "io",      "map_files",   "maps",         "mem",  "ns",    "numa_maps",
					    "pagemap", "patch_state", "personality",  "root", "smaps", "smaps_rollup",
					    "stack",   "syscall",     "timerslack_ns"};
	size_t size = strcspn(name, "/");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strncmp(names[i], name, size) == 0 && !names[i][size])
			return true;
	return false;
}

struct write_file {
	const struct proc_facts *facts;
	const struct proc_file *file;
};

static struct error *write_file(void *data, FILE *out)
{
	const struct write_file *w = data;

	return w->file->write(w->facts, out);
}

static int tree_text(struct server *server, struct node node, struct text **ret)
{
	const struct proc_file *file = server->tree.nodes[node.sub - 1].file;
	struct write_file w = {&server->facts, file};

	return texts_get(&server->texts, node_id(node), file->live, write_file, &w, ret);
}

static bool tree_file_exists(struct server *server, struct node node)
{
	struct text *text;

	if (node_text(server, node, &text) != 0)
		return false;
	texts_unref(&server->texts, text);
	return true;
}

static int tree_stat(struct server *server, struct node node, struct stat *ret)
{
	const struct tree_node *t;

	if (node.kind == NODE_NET)
		node.sub++;
	if (node.sub == 0 || node.sub > server->tree.n)
		return ENOENT;
	t = &server->tree.nodes[node.sub - 1];
	ret->st_nlink = 1;
	if (t->file) {
		ret->st_mode = S_IFREG | t->file->mode;
	} else if (t->link) {
		ret->st_mode = S_IFLNK | 0777;
	} else {
		ret->st_mode = S_IFDIR | 0555;
		ret->st_nlink = 2;
	}
	return 0;
}

/* A child of a directory of the tree, which may be that of the network of a process. */
static struct node tree_child(struct server *server, struct node parent, uint32_t index)
{
	struct node node = {.kind = NODE_TREE, .sub = index + 1};

	if (parent.kind != NODE_NET)
		return node;
	if (!server->tree.nodes[index].file) {
		node = parent;
		node.sub = index;
	} else if (!task_in_first_net(server, parent.pid)) {
		node = (struct node){.kind = NODE_TASK_NET, .in_task = parent.in_task, .pid = parent.pid, .sub = index};
	}
	return node;
}

static int tree_lookup(struct server *server, struct node parent, const char *name, struct node *ret)
{
	uint32_t directory = (uint32_t)(parent.kind == NODE_NET ? parent.sub : parent.sub - 1);
	uint32_t index = tree_find(&server->tree, directory, name);

	if (!index)
		return ENOENT;
	*ret = tree_child(server, parent, index);
	if (server->tree.nodes[index].file && !tree_file_exists(server, *ret))
		return ENOENT;
	return 0;
}

static int tree_list(struct server *server, struct node directory, struct listing *listing)
{
	uint32_t index = (uint32_t)(directory.kind == NODE_NET ? directory.sub : directory.sub - 1);

	for (index = server->tree.nodes[index].child; index; index = server->tree.nodes[index].sibling) {
		const struct tree_node *t = &server->tree.nodes[index];
		struct node node = tree_child(server, directory, index);
		uint32_t type = t->file ? S_IFREG : t->link ? S_IFLNK : S_IFDIR;

		if (t->file && !tree_file_exists(server, node))
			continue;
		if (!listing_add(listing, node, type, t->name))
			return ENOMEM;
	}
	return 0;
}

static int root_lookup(struct server *server, struct node parent, const char *name, struct node *ret)
{
	uint64_t pid;

	if (strcmp(name, ".own") == 0) {
		*ret = (struct node){.kind = NODE_OWN_MOUNT};
		return 0;
	}
	if (strcmp(name, "sys") == 0) {
		*ret = (struct node){.kind = NODE_SYS};
		return 0;
	}
	if (!parse_number(name, NODE_PID_MAX, &pid))
		return tree_lookup(server, parent, name, ret);
	ret->pid = (uint32_t)pid;
	ret->in_task = false;
	ret->sub = 0;
	if (proc_find_task(&server->facts, (uint32_t)pid)) {
		ret->kind = NODE_TASK;
		return 0;
	}
	ret->kind = NODE_OWN;
	/* The first process of the shadow has the number of the guest's. */
	return pid > 1 ? 0 : ENOENT;
}

static int root_list(struct server *server, struct node root, struct listing *listing)
{
	int r = tree_list(server, root, listing);

	if (r == 0 && !listing_add(listing, (struct node){.kind = NODE_SYS}, S_IFDIR, "sys"))
		r = ENOMEM;
	for (size_t i = 0; r == 0 && i < server->facts.tasks->n; i++) {
		const struct guest_task *task = &server->facts.tasks->items[i];
		struct node node = {.kind = NODE_TASK, .pid = task->pid};

		if (task->pid != task->tgid || task->pid > NODE_PID_MAX)
			continue;
		if (!listing_add_number(listing, node, S_IFDIR, task->pid))
			r = ENOMEM;
	}
	return r ? r : own_list_processes(server, listing);
}

static int tree_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size)
{
	const struct tree_node *t = &server->tree.nodes[node.sub - 1];
	uint32_t pid;

	if (t->link[0]) {
		snprintf(buffer, size, "%s", t->link);
		return 0;
	}
	pid = own_process_of(server, asker->tid);
	if (!pid)
		return ENOENT;
	if (strcmp(t->name, "self") == 0)
		snprintf(buffer, size, "%u", pid);
	else
		snprintf(buffer, size, "%u/task/%u", pid, (unsigned)asker->tid);
	return 0;
}

static bool is_own(struct node node)
{
	return node.kind >= NODE_OWN && node.kind <= NODE_OWN_MAP;
}

static bool is_task(struct node node)
{
	return node.kind >= NODE_TASK && node.kind < NODE_OWN;
}

int node_stat(struct server *server, struct node node, struct stat *ret)
{
	*ret = (struct stat){0};
	if (is_task(node))
		return task_stat(server, node, ret);
	if (is_own(node))
		return own_stat(server, node, ret);
	if (node.kind == NODE_SYS)
		return sys_stat(server, node, ret);
	if (node.kind == NODE_OWN_MOUNT) {
		ret->st_mode = S_IFDIR | 0555;
		ret->st_nlink = 2;
		return 0;
	}
	return tree_stat(server, node, ret);
}

int node_lookup(struct server *server, const struct asker *asker, struct node parent, const char *name,
		struct node *ret)
{
	struct node node = {0};
	int r;

	if (is_task(parent))
		r = task_lookup(server, parent, name, &node);
	else if (is_own(parent))
		r = own_lookup(server, asker, parent, name, &node);
	else if (parent.kind == NODE_SYS)
		r = sys_lookup(server, parent, name, &node);
	else if (parent.kind == NODE_TREE && parent.sub == TREE_ROOT + 1)
		r = root_lookup(server, parent, name, &node);
	else if (parent.kind == NODE_TREE || parent.kind == NODE_NET)
		r = tree_lookup(server, parent, name, &node);
	else
		r = ENOENT;
	if (r == 0)
		*ret = node;
	return r;
}

bool node_stays_absent(struct node parent, const char *name)
{
	if (parent.kind == NODE_TREE && parent.sub == TREE_ROOT + 1)
		return name[0] < '0' || name[0] > '9';
	return is_task(parent) || parent.kind == NODE_SYS || parent.kind == NODE_TREE;
}

int node_list(struct server *server, struct node directory, struct listing *listing)
{
	if (is_task(directory))
		return task_list(server, directory, listing);
	if (is_own(directory))
		return own_list(server, directory, listing);
	if (directory.kind == NODE_SYS)
		return sys_list(server, directory, listing);
	if (directory.kind == NODE_TREE && directory.sub == TREE_ROOT + 1)
		return root_list(server, directory, listing);
	if (directory.kind == NODE_TREE || directory.kind == NODE_NET)
		return tree_list(server, directory, listing);
	return 0;
}

int node_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size)
{
	if (is_task(node))
		return task_readlink(server, asker, node, buffer, size);
	if (is_own(node))
		return own_readlink(server, asker, node, buffer, size);
	return node.kind == NODE_TREE ? tree_readlink(server, asker, node, buffer, size) : EINVAL;
}

int node_text(struct server *server, struct node node, struct text **ret)
{
	if (is_task(node))
		return task_text(server, node, ret);
	return tree_text(server, node, ret);
}
