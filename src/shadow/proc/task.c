/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of the guest's processes. They never change. */
#include <errno.h>
#include <string.h>

#include "shadow/internal.h"
#include "shadow/proc/serve.h"

enum subdirectory {
	SUB_FD,
	SUB_FDINFO,
	SUB_NS,
	SUB_TASK
};

static const struct {
	const char *name;
	uint32_t mode;
} subdirectories[] = {
	[SUB_FD] = {"fd", 0500}, [SUB_FDINFO] = {"fdinfo", 0555}, [SUB_NS] = {"ns", 0511}, [SUB_TASK] = {"task", 0555}};

static const struct {
	const char *name, *type;
	size_t offset;
} namespaces[] = {
	{"cgroup", "cgroup", offsetof(struct guest_namespaces, cgroup)},
	{"ipc", "ipc", offsetof(struct guest_namespaces, ipc)},
	{"mnt", "mnt", offsetof(struct guest_namespaces, mnt)},
	{"net", "net", offsetof(struct guest_namespaces, net)},
	{"pid", "pid", offsetof(struct guest_namespaces, pid)},
	{"pid_for_children", "pid", offsetof(struct guest_namespaces, pid)},
	{"time", "time", offsetof(struct guest_namespaces, time)},
	{"time_for_children", "time", offsetof(struct guest_namespaces, time)},
	{"user", "user", offsetof(struct guest_namespaces, user)},
	{"uts", "uts", offsetof(struct guest_namespaces, uts)},
};
_Static_assert(ARRAY_SIZE(namespaces) == TASK_NAMESPACES, "serve.h says how many");

#define NET_NAMESPACE 3

static const struct guest_task *task_of(const struct server *server, struct node node)
{
	return proc_find_task(&server->facts, node.pid);
}

/* The last list of descriptors asked for: a program reads one process after the other. */
static int load_fds(struct server *server, const struct guest_task *task)
{
	struct error *error;

	if (server->fds_task == task->address)
		return 0;
	guest_fd_list_deinit(&server->fds);
	server->fds = (struct guest_fd_list){0};
	server->fds_task = 0;
	error = guest_task_fds(server->facts.guest, task->address, &server->fds);
	if (error) {
		int r = error->code == ERROR_NO_MEMORY ? ENOMEM : 0;

		/* None that memory tells of. */
		error_destroy(error);
		server->fds = (struct guest_fd_list){0};
		if (r)
			return r;
	}
	server->fds_task = task->address;
	return 0;
}

const struct guest_fd *task_find_fd(struct server *server, struct node node)
{
	const struct guest_task *task = task_of(server, node);
	size_t low = 0, high;

	if (!task || load_fds(server, task) != 0)
		return NULL;
	high = server->fds.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (server->fds.items[middle].fd == node.sub)
			return &server->fds.items[middle];
		if (server->fds.items[middle].fd < node.sub)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct guest_fd *task_find_fd_text(struct server *server, struct node node, const char *text)
{
	const struct guest_task *task = task_of(server, node);

	if (!task || load_fds(server, task) != 0)
		return NULL;
	for (size_t i = 0; i < server->fds.n; i++)
		if (server->fds.items[i].path && strcmp(server->fds.items[i].path, text) == 0)
			return &server->fds.items[i];
	return NULL;
}

bool task_may_inspect(const struct server *server, const struct asker *asker, uint32_t pid)
{
	const struct guest_task *task = proc_find_task(&server->facts, pid);

	if (asker->uid == 0)
		return true;
	return task && task->dumpable && asker->uid == task->uid && asker->uid == task->euid &&
	       asker->uid == task->suid;
}

static uint32_t fd_mode(const struct guest_fd *fd)
{
	switch (fd->flags & 3 /* O_ACCMODE */) {
	case 0:
		return S_IFLNK | 0500;
	case 1:
		return S_IFLNK | 0300;
	default:
		return S_IFLNK | 0700;
	}
}

int task_stat(struct server *server, struct node node, struct stat *ret)
{
	const struct guest_task *task = task_of(server, node);
	const struct guest_fd *fd;

	if (!task)
		return ENOENT;
	/* What may not be looked at belongs to root; but directories of processes do not hide whose they are. */
	if (task->dumpable || node.kind == NODE_TASK) {
		ret->st_uid = task->euid;
		ret->st_gid = task->egid;
	}
	ret->st_nlink = 1;
	switch (node.kind) {
	case NODE_TASK:
		ret->st_mode = S_IFDIR | 0555;
		ret->st_nlink = node.in_task ? 7 : 9;
		return 0;
	case NODE_TASK_FILE:
		ret->st_mode = S_IFREG | proc_task_files[node.sub].mode;
		return 0;
	case NODE_TASK_LINK:
		ret->st_mode = S_IFLNK | 0777;
		return 0;
	case NODE_TASK_SUB:
		ret->st_mode = S_IFDIR | subdirectories[node.sub].mode;
		ret->st_nlink = node.sub == SUB_TASK ? 2 + task->n_threads : 2;
		return 0;
	case NODE_TASK_FD:
		fd = task_find_fd(server, node);
		ret->st_mode = fd ? fd_mode(fd) : 0;
		ret->st_size = 64;
		return fd ? 0 : ENOENT;
	case NODE_TASK_FDINFO:
		ret->st_mode = S_IFREG | 0444;
		return task_find_fd(server, node) ? 0 : ENOENT;
	case NODE_TASK_NS:
		ret->st_mode = S_IFLNK | 0777;
		return 0;
	case NODE_TASK_TARGET:
		return target_stat(server, node, ret);
	case NODE_TASK_NET:
		if (node.sub >= server->tree.n || !server->tree.nodes[node.sub].file)
			return ENOENT;
		/* Root's, whoever it is that the process belongs to. */
		ret->st_uid = ret->st_gid = 0;
		ret->st_mode = S_IFREG | server->tree.nodes[node.sub].file->mode;
		return 0;
	default:
		return ENOENT;
	}
}

static struct node child_of(struct node parent, enum node_kind kind, uint64_t sub)
{
	return (struct node){.kind = kind, .in_task = parent.in_task, .pid = parent.pid, .sub = sub};
}

static bool text_exists(struct server *server, struct node node)
{
	struct text *text;

	if (task_text(server, node, &text) != 0)
		return false;
	texts_unref(&server->texts, text);
	return true;
}

static bool is_here(const struct proc_task_file *file, bool in_task)
{
	return in_task ? !file->process_only : !file->thread_only;
}

static int lookup_in_task(struct server *server, struct node parent, const char *name, struct node *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(subdirectories); i++) {
		if (strcmp(subdirectories[i].name, name) == 0 && !(i == SUB_TASK && parent.in_task)) {
			*ret = child_of(parent, NODE_TASK_SUB, i);
			return 0;
		}
	}
	if (strcmp(name, "net") == 0) {
		*ret = child_of(parent, NODE_NET, TREE_NET);
		return 0;
	}
	for (size_t i = 0; proc_task_links[i].name; i++) {
		if (strcmp(proc_task_links[i].name, name) == 0) {
			*ret = child_of(parent, NODE_TASK_LINK, i);
			return 0;
		}
	}
	for (size_t i = 0; proc_task_files[i].name; i++) {
		if (strcmp(proc_task_files[i].name, name) == 0 && is_here(&proc_task_files[i], parent.in_task)) {
			*ret = child_of(parent, NODE_TASK_FILE, i);
			return text_exists(server, *ret) ? 0 : ENOENT;
		}
	}
	return ENOENT;
}

/* The number of the task's namespace; 0: unknown. */
static uint32_t namespace_of(struct server *server, const struct guest_task *task, size_t index)
{
	struct guest_namespaces all;
	struct error *error = guest_task_namespaces(server->facts.guest, task->address, &all);
	uint32_t number;

	if (error) {
		error_destroy(error);
		return 0;
	}
	memcpy(&number, (char *)&all + namespaces[index].offset, sizeof(number));
	return number;
}

uint32_t task_namespace(struct server *server, struct node node, size_t index, const char **ret_type)
{
	const struct guest_task *task = task_of(server, node);

	if (!task || index >= ARRAY_SIZE(namespaces))
		return 0;
	*ret_type = namespaces[index].type;
	return namespace_of(server, task, index);
}

bool task_in_first_net(struct server *server, uint32_t pid)
{
	const struct guest_task *task = proc_find_task(&server->facts, pid);
	const struct guest_task *first = proc_find_task(&server->facts, 1);
	uint32_t number;

	if (!task || !first || task == first)
		return true;
	if (!server->first_net)
		server->first_net = namespace_of(server, first, NET_NAMESPACE);
	number = namespace_of(server, task, NET_NAMESPACE);
	/* A task that has ended is in none. */
	return number == 0 || number == server->first_net;
}

static int lookup_below(struct server *server, struct node parent, const char *name, struct node *ret)
{
	const struct guest_task *task = task_of(server, parent), *thread;
	uint64_t number;

	if (!task)
		return ENOENT;
	if (parent.sub == SUB_NS) {
		for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
			if (strcmp(namespaces[i].name, name) == 0 && namespace_of(server, task, i)) {
				*ret = child_of(parent, NODE_TASK_NS, i);
				return 0;
			}
		}
		return target_lookup(server, parent, true, name, ret);
	}
	if (!parse_number(name, UINT32_MAX, &number))
		return parent.sub == SUB_FD ? target_lookup(server, parent, false, name, ret) : ENOENT;
	if (parent.sub == SUB_TASK) {
		thread = proc_find_task(&server->facts, (uint32_t)number);
		if (!thread || thread->tgid != task->tgid || number > NODE_PID_MAX)
			return ENOENT;
		*ret = (struct node){.kind = NODE_TASK, .in_task = true, .pid = (uint32_t)number};
		return 0;
	}
	*ret = child_of(parent, parent.sub == SUB_FD ? NODE_TASK_FD : NODE_TASK_FDINFO, number);
	return task_find_fd(server, *ret) ? 0 : ENOENT;
}

int task_lookup(struct server *server, struct node parent, const char *name, struct node *ret)
{
	if (parent.kind == NODE_TASK)
		return lookup_in_task(server, parent, name, ret);
	return parent.kind == NODE_TASK_SUB ? lookup_below(server, parent, name, ret) : ENOENT;
}

static int list_task(struct server *server, struct node directory, struct listing *listing)
{
	bool ok = true;

	for (size_t i = 0; ok && i < ARRAY_SIZE(subdirectories); i++)
		if (!(i == SUB_TASK && directory.in_task))
			ok = listing_add(listing, child_of(directory, NODE_TASK_SUB, i), S_IFDIR,
					 subdirectories[i].name);
	if (ok)
		ok = listing_add(listing, child_of(directory, NODE_NET, TREE_NET), S_IFDIR, "net");
	for (size_t i = 0; ok && proc_task_links[i].name; i++)
		ok = listing_add(listing, child_of(directory, NODE_TASK_LINK, i), S_IFLNK, proc_task_links[i].name);
	for (size_t i = 0; ok && proc_task_files[i].name; i++) {
		struct node node = child_of(directory, NODE_TASK_FILE, i);

		if (is_here(&proc_task_files[i], directory.in_task) && text_exists(server, node))
			ok = listing_add(listing, node, S_IFREG, proc_task_files[i].name);
	}
	return ok ? 0 : ENOMEM;
}

static int list_threads(struct server *server, const struct guest_task *task, struct listing *listing)
{
	for (size_t i = 0; i < server->facts.tasks->n; i++) {
		const struct guest_task *thread = &server->facts.tasks->items[i];
		struct node node = {.kind = NODE_TASK, .in_task = true, .pid = thread->pid};

		if (thread->tgid == task->tgid && thread->pid <= NODE_PID_MAX &&
		    !listing_add_number(listing, node, S_IFDIR, thread->pid))
			return ENOMEM;
	}
	return 0;
}

static int list_fds(struct server *server, struct node directory, const struct guest_task *task,
		    struct listing *listing)
{
	bool info = directory.sub == SUB_FDINFO;
	int r = load_fds(server, task);

	for (size_t i = 0; r == 0 && i < server->fds.n; i++) {
		uint32_t fd = server->fds.items[i].fd;
		struct node node = child_of(directory, info ? NODE_TASK_FDINFO : NODE_TASK_FD, fd);

		if (!listing_add_number(listing, node, info ? S_IFREG : S_IFLNK, fd))
			r = ENOMEM;
	}
	return r;
}

int task_list(struct server *server, struct node directory, struct listing *listing)
{
	const struct guest_task *task = task_of(server, directory);

	if (!task)
		return ENOENT;
	if (directory.kind == NODE_TASK)
		return list_task(server, directory, listing);
	/* One that is deleted. */
	if (directory.kind == NODE_TASK_TARGET)
		return 0;
	if (directory.sub == SUB_TASK)
		return list_threads(server, task, listing);
	if (directory.sub != SUB_NS)
		return list_fds(server, directory, task, listing);
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
		if (namespace_of(server, task, i) &&
		    !listing_add(listing, child_of(directory, NODE_TASK_NS, i), S_IFLNK, namespaces[i].name))
			return ENOMEM;
	return 0;
}

int task_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size)
{
	const struct guest_task *task = task_of(server, node);
	_cleanup_(free_ptr) char *text = NULL;
	const struct guest_fd *fd;
	struct error *error;
	char number_text[16];
	uint32_t number;

	if (!task)
		return ENOENT;
	if (!task_may_inspect(server, asker, node.pid))
		return EACCES;
	switch (node.kind) {
	case NODE_TASK_LINK:
		error = proc_task_links[node.sub].read(&server->facts, task, &text);
		if (error) {
			error_destroy(error);
			return ENOENT;
		}
		snprintf(buffer, size, "%s", text);
		return 0;
	case NODE_TASK_FD:
		fd = task_find_fd(server, node);
		if (!fd || !fd->path)
			return ENOENT;
		snprintf(number_text, sizeof(number_text), "%u", fd->fd);
		if (!target_of_deleted(fd, buffer, size) || asker_wish(server, asker, number_text) != WISH_WAY)
			snprintf(buffer, size, "%s", fd->path);
		return 0;
	case NODE_TASK_TARGET:
		return target_readlink(server, asker, node, buffer, size);
	case NODE_TASK_NS:
		number = namespace_of(server, task, node.sub);
		snprintf(buffer, size, "%s:[%u]", namespaces[node.sub].type, number);
		return number ? 0 : ENOENT;
	default:
		return EINVAL;
	}
}

struct write_task {
	struct server *server;
	const struct guest_task *task;
	struct node node;
};

static struct error *write_task(void *data, FILE *out)
{
	const struct write_task *w = data;
	const struct proc_task_file *file;
	const struct guest_fd *fd;

	if (w->node.kind == NODE_TASK_FILE) {
		file = &proc_task_files[w->node.sub];
		return (w->node.in_task && file->write_thread ? file->write_thread : file->write)(&w->server->facts,
												  w->task, out);
	}
	if (w->node.kind == NODE_TASK_NET)
		return proc_net_write(&w->server->facts, w->task->address,
				      w->server->tree.nodes[w->node.sub].file->path + strlen("net/"), out);
	fd = task_find_fd(w->server, w->node);
	if (!fd)
		return error_create(ERROR_NOT_FOUND, "no such descriptor");
	return proc_write_fdinfo(&w->server->facts, w->task, fd, out);
}

int task_text(struct server *server, struct node node, struct text **ret)
{
	struct write_task w = {server, task_of(server, node), node};

	if (node.kind == NODE_TASK_TARGET)
		return target_text(server, node, ret);
	return w.task ? texts_get(&server->texts, node_id(node), false, write_task, &w, ret) : ENOENT;
}
