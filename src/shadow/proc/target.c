/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the links in /proc/PID/fd and /proc/PID/ns of the guest's tasks lead to. Linux has magic links there: stat(2)
 * goes to the open file whatever the text says. Ours are ordinary links, and what has a path is found by it. The others
 * say "socket:[123]", a name beside the link itself: a lookup of that name, which no directory lists, gives a node with
 * the type, the number and the owner that memory tells.
 *
 * - sockets and pipes: nobody is at the other end; opening a socket is ENXIO as in Linux;
 * - files of no type ("anon_inode:[eventpoll]"): FUSE has none. Who follows is led on to one of the real ones, which
 *   init has (SIGNAL_FD): its number is another one, the rest is the same, and it does not open either;
 * - deleted files: who follows such a link, and does not just read it, is shown a name beside it. Their contents are
 *   there as far as memory has them;
 * - namespaces: regular files that do not open.
 */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/proc/serve.h"

#define IN_NS         (UINT64_C(1) << 33)
#define DELETED       " (deleted)"
#define DELETED_NAME  "deleted:["
/* A descriptor of the shadow's first process that is of no type. */
#define TYPELESS_FILE ".own/1/fd/4"

static bool is_deleted(const struct guest_fd *fd)
{
	size_t n = fd->path ? strlen(fd->path) : 0;

	return n > strlen(DELETED) && fd->path[0] == '/' && strcmp(fd->path + n - strlen(DELETED), DELETED) == 0;
}

bool target_of_deleted(const struct guest_fd *fd, char *buffer, size_t size)
{
	if (!is_deleted(fd))
		return false;
	snprintf(buffer, size, DELETED_NAME "%u]", fd->fd);
	return true;
}

static bool is_number_of_deleted(const char *name, uint64_t *ret)
{
	char digits[16];
	size_t n = strlen(name), before = strlen(DELETED_NAME);

	if (n <= before || n - before > sizeof(digits) || strncmp(name, DELETED_NAME, before) != 0 ||
	    name[n - 1] != ']')
		return false;
	memcpy(digits, name + before, n - before - 1);
	digits[n - before - 1] = '\0';
	return parse_number(digits, UINT32_MAX, ret);
}

static int lookup_namespace(struct server *server, struct node node, const char *name, struct node *ret)
{
	const char *type;
	char text[64];

	for (size_t i = 0; i < TASK_NAMESPACES; i++) {
		uint32_t number = task_namespace(server, node, i, &type);

		snprintf(text, sizeof(text), "%s:[%u]", type, number);
		if (number && strcmp(text, name) == 0) {
			node.sub = IN_NS | i;
			*ret = node;
			return 0;
		}
	}
	return ENOENT;
}

int target_lookup(struct server *server, struct node directory, bool in_ns, const char *name, struct node *ret)
{
	struct node node = {.kind = NODE_TASK_TARGET, .in_task = directory.in_task, .pid = directory.pid};
	const struct guest_fd *fd;

	if (in_ns)
		return lookup_namespace(server, node, name, ret);
	if (is_number_of_deleted(name, &node.sub)) {
		fd = task_find_fd(server, node);
		if (!fd || !is_deleted(fd))
			return ENOENT;
	} else {
		fd = strchr(name, ':') ? task_find_fd_text(server, node, name) : NULL;
		if (!fd)
			return ENOENT;
		node.sub = fd->fd;
	}
	*ret = node;
	return 0;
}

/* The open file as memory has it. */
static int read_file(struct server *server, struct node node, struct guest_file *ret)
{
	const struct guest_fd *fd = node.sub & IN_NS ? NULL : task_find_fd(server, node);
	struct error *error;

	if (!fd)
		return ENOENT;
	error = guest_open_file(server->facts.guest, fd->file, ret);
	if (!error)
		return 0;
	error_destroy(error);
	return ENOENT;
}

static int stat_namespace(struct server *server, struct node node, struct stat *ret)
{
	const char *type;

	ret->st_ino = task_namespace(server, node, node.sub & ~IN_NS, &type);
	ret->st_mode = S_IFREG | 0444;
	ret->st_uid = ret->st_gid = 0;
	return ret->st_ino ? 0 : ENOENT;
}

int target_stat(struct server *server, struct node node, struct stat *ret)
{
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	int r;

	if (node.sub & IN_NS)
		return stat_namespace(server, node, ret);
	r = read_file(server, node, &file);
	if (r)
		return r;
	ret->st_ino = file.inode;
	ret->st_mode = file.mode;
	ret->st_nlink = file.links;
	ret->st_uid = file.uid;
	ret->st_gid = file.gid;
	ret->st_size = (off_t)file.size;
	ret->st_rdev = makedev(file.major, file.minor);
	switch (file.mode & S_IFMT) {
	case 0:
		ret->st_mode = S_IFLNK | 0777;
		ret->st_size = 0;
		return 0;
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return ENOENT;
	}
}

int target_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size)
{
	const struct guest_fd *fd = node.sub & IN_NS ? NULL : task_find_fd(server, node);

	/* What Linux leads to is no link. */
	if (!fd || !fd->path || asker_wish(server, asker, fd->path) == WISH_TEXT)
		return EINVAL;
	snprintf(buffer, size, "%s" TYPELESS_FILE, node.in_task ? "../../../../" : "../../");
	return 0;
}

struct write_target {
	struct guest *guest;
	const struct guest_file *file;
};

static struct error *write_target(void *data, FILE *out)
{
	const struct write_target *w = data;
	char buffer[65536];
	struct error *error = NULL;
	size_t n = 1;

	for (uint64_t at = 0; !error && n > 0 && at < w->file->size; at += n) {
		error = guest_file_read(w->guest, w->file, at, buffer, sizeof(buffer), &n);
		if (!error)
			fwrite(buffer, 1, n, out);
	}
	return error;
}

int target_text(struct server *server, struct node node, struct text **ret)
{
	_cleanup_(guest_file_deinit) struct guest_file file = {0};
	struct write_target w = {server->facts.guest, &file};
	int r;

	/* What is in a namespace is the guest's alone. */
	if (node.sub & IN_NS)
		return EACCES;
	r = read_file(server, node, &file);
	if (r)
		return r;
	if (!S_ISREG(file.mode))
		return EACCES;
	if (file.size > PROC_TEXT_MAX)
		return EFBIG;
	r = texts_get(&server->texts, node_id(node), false, write_target, &w, ret);
	/* Not in memory, but it is there. */
	return r == ENOENT ? EIO : r;
}
