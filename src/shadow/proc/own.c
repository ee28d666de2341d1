/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of the shadow's own processes, mirrored from a real procfs of their pid namespace. Their files are
 * read through descriptors of ours; their magic links lead into the real one, which is mounted at /proc/.own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shadow/internal.h"
#include "shadow/proc/serve.h"

/* Names below the real /proc/PID: the host kernel's, so there are some hundred at most. */
#define NAMES_MAX 4096
#define PATH_SIZE 160

static int intern(struct server *server, const char *name, uint64_t *ret)
{
	char **grown;

	for (size_t i = 0; i < server->n_names; i++) {
		if (strcmp(server->names[i], name) == 0) {
			*ret = i;
			return 0;
		}
	}
	if (server->n_names == NAMES_MAX)
		return ENOMEM;
	grown = realloc(server->names, (server->n_names + 1) * sizeof(*grown));
	if (!grown)
		return ENOMEM;
	server->names = grown;
	grown[server->n_names] = strdup(name);
	if (!grown[server->n_names])
		return ENOMEM;
	*ret = server->n_names++;
	return 0;
}

/* The page range of a link of map_files that begins with this page; the list is the kernel's. */
static bool find_map(const struct server *server, const char *directory, uint64_t page, char ret[64])
{
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	int fd = openat(server->own_fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir && fd >= 0)
		close(fd);
	while (dir && (entry = readdir(dir))) {
		if (strtoull(entry->d_name, NULL, 16) >> 12 == page && entry->d_name[0] != '.') {
			snprintf(ret, 64, "%.63s", entry->d_name);
			return true;
		}
	}
	return false;
}

/* The node's path in the real procfs. False: it is gone. */
static bool own_path(const struct server *server, struct node node, char ret[PATH_SIZE])
{
	char base[64], directory[96], map[64];

	if (node.in_task)
		snprintf(base, sizeof(base), "%u/task/%u", node.pid, node.pid);
	else
		snprintf(base, sizeof(base), "%u", node.pid);
	switch (node.kind) {
	case NODE_OWN:
		snprintf(ret, PATH_SIZE, "%s", base);
		return true;
	case NODE_OWN_NAME:
	case NODE_OWN_WAY:
		if (node.sub >= server->n_names)
			return false;
		snprintf(ret, PATH_SIZE, "%s/%s", base, server->names[node.sub]);
		return true;
	case NODE_OWN_FD:
	case NODE_OWN_FDINFO:
		snprintf(ret, PATH_SIZE, "%s/%s/%llu", base, node.kind == NODE_OWN_FD ? "fd" : "fdinfo",
			 (unsigned long long)node.sub);
		return true;
	case NODE_OWN_MAP:
		snprintf(directory, sizeof(directory), "%s/map_files", base);
		if (!find_map(server, directory, node.sub, map))
			return false;
		snprintf(ret, PATH_SIZE, "%s/%s", directory, map);
		return true;
	default:
		return false;
	}
}

static const char *name_of(const struct server *server, struct node node)
{
	return (node.kind == NODE_OWN_NAME || node.kind == NODE_OWN_WAY) && node.sub < server->n_names
		       ? server->names[node.sub]
		       : "";
}

/* A process that ends while it is looked at is as absent as one that has ended. */
static int gone(int errnum)
{
	return errnum == ESRCH ? ENOENT : errnum;
}

int own_stat(struct server *server, struct node node, struct stat *ret)
{
	char path[PATH_SIZE];

	if (!own_path(server, node, path))
		return ENOENT;
	if (node.kind == NODE_OWN_WAY) {
		ret->st_mode = S_IFLNK | 0777;
		ret->st_nlink = 1;
		return 0;
	}
	return fstatat(server->own_fd, path, ret, AT_SYMLINK_NOFOLLOW) < 0 ? gone(errno) : 0;
}

uint32_t own_process_of(const struct server *server, pid_t tid)
{
	_cleanup_(close_fd) int fd = -1;
	char path[32], text[512];
	const char *line;
	ssize_t n;

	if (tid <= 0)
		return 0;
	snprintf(path, sizeof(path), "%d/status", tid);
	fd = openat(server->own_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	/* The name before it is escaped: no newline is in it. */
	line = strstr(text, "\nTgid:");
	return line ? (uint32_t)strtoul(line + 6, NULL, 10) : 0;
}

/* What stands in place of the real file: it would tell of the host. */
enum substitute {
	SUBSTITUTE_NONE,
	SUBSTITUTE_MOUNTINFO,
	SUBSTITUTE_MOUNTS,
	SUBSTITUTE_MOUNTSTATS,
	SUBSTITUTE_CGROUP,
	SUBSTITUTE_CPUSET
};

static const char *const substitutes[] = {[SUBSTITUTE_MOUNTINFO] = "mountinfo",
					  [SUBSTITUTE_MOUNTS] = "mounts",
					  [SUBSTITUTE_MOUNTSTATS] = "mountstats",
					  [SUBSTITUTE_CGROUP] = "cgroup",
					  [SUBSTITUTE_CPUSET] = "cpuset"};

static enum substitute substitute_of(const char *name)
{
	for (size_t i = 1; i < ARRAY_SIZE(substitutes); i++)
		if (strcmp(substitutes[i], name) == 0)
			return (enum substitute)i;
	return SUBSTITUTE_NONE;
}

/* The groups of the guest's first process: where a program that nobody put elsewhere would be. */
static struct error *write_cgroups(const struct proc_facts *facts, FILE *out)
{
	const struct guest_task *first = proc_find_task(facts, 1);
	struct guest_cgroup_list list;
	struct error *error;

	if (!first)
		return error_create(ERROR_NOT_FOUND, "the guest has no first process");
	error = guest_task_cgroups(facts->guest, first->address, &list);
	if (error)
		return error;
	for (size_t i = 0; i < list.n; i++)
		fprintf(out, "%u:%s:%s\n", list.items[i].hierarchy, list.items[i].controllers, list.items[i].path);
	guest_cgroup_list_deinit(&list);
	return NULL;
}

struct write_substitute {
	const struct proc_facts *facts;
	enum substitute which;
};

static struct error *write_substitute(void *data, FILE *out)
{
	const struct write_substitute *w = data;
	struct error *(*write)(const struct proc_facts *, const struct guest_task *, FILE *) = NULL;

	if (w->which == SUBSTITUTE_CGROUP)
		return write_cgroups(w->facts, out);
	if (w->which == SUBSTITUTE_MOUNTINFO)
		write = proc_write_mountinfo;
	else if (w->which == SUBSTITUTE_MOUNTS)
		write = proc_write_mounts;
	else if (w->which == SUBSTITUTE_MOUNTSTATS)
		write = proc_write_mountstats;
	return write ? write(w->facts, NULL, out) : error_create(ERROR_NOT_FOUND, "not told");
}

/* The same for every process: kept under the number that no process has. */
static int substitute_text(struct server *server, enum substitute which, struct text **ret)
{
	struct write_substitute w = {&server->facts, which};
	uint64_t id = node_id((struct node){.kind = NODE_OWN_NAME, .sub = NODE_SUB_MAX - which});

	return texts_get(&server->texts, id, false, write_substitute, &w, ret);
}

static bool is_shown(struct server *server, struct node parent, const char *name)
{
	enum substitute which = parent.kind == NODE_OWN ? substitute_of(name) : SUBSTITUTE_NONE;
	struct text *text;

	if (!which)
		return true;
	if (substitute_text(server, which, &text) != 0)
		return false;
	texts_unref(&server->texts, text);
	return true;
}

/* The node for a name that is there. */
static int child_of(struct server *server, struct node parent, const char *name, struct node *ret)
{
	const char *directory = name_of(server, parent);
	struct node node = {.kind = NODE_OWN_NAME, .in_task = parent.in_task, .pid = parent.pid};
	char path[PATH_SIZE];
	uint64_t number;
	int r;

	if (strcmp(directory, "task") == 0) {
		if (!parse_number(name, NODE_PID_MAX, &number))
			return ENOENT;
		*ret = (struct node){.kind = NODE_OWN, .in_task = true, .pid = (uint32_t)number};
		return 0;
	}
	if (parent.kind == NODE_OWN && strcmp(name, "net") == 0) {
		node.kind = NODE_NET;
		node.sub = TREE_NET;
	} else if (strcmp(directory, "fd") == 0 || strcmp(directory, "fdinfo") == 0) {
		if (!parse_number(name, UINT32_MAX, &node.sub))
			return ENOENT;
		node.kind = directory[2] ? NODE_OWN_FDINFO : NODE_OWN_FD;
	} else if (strcmp(directory, "map_files") == 0) {
		node.kind = NODE_OWN_MAP;
		node.sub = strtoull(name, NULL, 16) >> 12 & NODE_SUB_MAX;
	} else {
		if ((size_t)snprintf(path, sizeof(path), "%s%s%s", directory, directory[0] ? "/" : "", name) >=
		    sizeof(path))
			return ENOENT;
		r = intern(server, path, &node.sub);
		if (r)
			return r;
	}
	*ret = node;
	return 0;
}

static bool shows_way(const struct server *server, const struct asker *asker, struct node node);

int own_lookup(struct server *server, const struct asker *asker, struct node parent, const char *name, struct node *ret)
{
	char path[PATH_SIZE], whole[PATH_SIZE + 64];
	struct stat st;
	int r;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || !own_path(server, parent, path))
		return ENOENT;
	if ((size_t)snprintf(whole, sizeof(whole), "%s/%s", path, name) >= sizeof(whole))
		return ENOENT;
	if (fstatat(server->own_fd, whole, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return gone(errno);
	if (!is_shown(server, parent, name))
		return ENOENT;
	r = child_of(server, parent, name, ret);
	if (r == 0 && shows_way(server, asker, *ret))
		ret->kind = NODE_OWN_WAY;
	return r;
}

int own_list(struct server *server, struct node directory, struct listing *listing)
{
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	char path[PATH_SIZE];
	struct dirent *entry;
	struct node node;
	int fd;

	if (!own_path(server, directory, path))
		return ENOENT;
	fd = openat(server->own_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gone(errno);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return ENOMEM;
	}
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    !is_shown(server, directory, entry->d_name) ||
		    child_of(server, directory, entry->d_name, &node) != 0)
			continue;
		if (!listing_add_copy(listing, node, DTTOIF(entry->d_type), entry->d_name))
			return ENOMEM;
	}
	return 0;
}

int own_list_processes(struct server *server, struct listing *listing)
{
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	int fd = openat(server->own_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	uint64_t pid;

	if (fd < 0)
		return errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return ENOMEM;
	}
	while ((entry = readdir(dir))) {
		struct node node = {.kind = NODE_OWN};

		if (!parse_number(entry->d_name, NODE_PID_MAX, &pid) || pid <= 1 ||
		    proc_find_task(&server->facts, (uint32_t)pid))
			continue;
		node.pid = (uint32_t)pid;
		if (!listing_add_number(listing, node, S_IFDIR, (uint32_t)pid))
			return ENOMEM;
	}
	return 0;
}

/* --- magic links --- */

/* What the asker sees of a path of the shadow's root: it may have changed its own. */
static void show_path(const struct server *server, const struct asker *asker, char *path)
{
	char link[32], root[4096];
	ssize_t n;

	/* A descriptor that was opened through the way that a link has shown. */
	if (strncmp(path, "/proc/.own/", 11) == 0)
		memmove(path + 6, path + 11, strlen(path + 11) + 1);
	snprintf(link, sizeof(link), "%d/root", asker->tid);
	n = readlinkat(server->own_fd, link, root, sizeof(root) - 1);
	if (n <= 1)
		return;
	root[n] = '\0';
	if (strncmp(path, root, (size_t)n) != 0 || (path[n] && path[n] != '/'))
		return;
	memmove(path, path + n, strlen(path + n) + 1);
	if (!path[0])
		strcpy(path, "/");
}

/* What a program that was started in the guest would see: the namespaces of its first process. */
static bool namespace_text(struct server *server, const char *name, char *buffer, size_t size)
{
	const struct asker root = {0};
	struct node directory = {.kind = NODE_TASK, .pid = 1}, node;

	if (strncmp(name, "ns/", 3) != 0 || task_lookup(server, directory, "ns", &node) != 0)
		return false;
	directory = node;
	return task_lookup(server, directory, name + 3, &node) == 0 &&
	       task_readlink(server, &root, node, buffer, size) == 0;
}

static int read_text(const struct server *server, const struct asker *asker, const char *path, char *buffer,
		     size_t size)
{
	ssize_t n = readlinkat(server->own_fd, path, buffer, size - 1);

	if (n < 0)
		return gone(errno);
	buffer[n] = '\0';
	if (buffer[0] == '/')
		show_path(server, asker, buffer);
	return 0;
}

/* Whether Linux would let the asker look into the process: it is root, or the owner of what may be looked at. */
static bool may_inspect(const struct server *server, const struct asker *asker, uint32_t pid)
{
	char path[32];
	struct stat st;

	if (asker->uid == 0 || own_process_of(server, asker->tid) == pid)
		return true;
	/* The directory is its user's; a file in it is root's if nobody may look into the process. */
	snprintf(path, sizeof(path), "%u/maps", pid);
	return fstatat(server->own_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid == asker->uid;
}

int own_readlink(struct server *server, const struct asker *asker, struct node node, char *buffer, size_t size)
{
	const char *name = name_of(server, node), *last;
	char path[PATH_SIZE];
	unsigned depth = node.in_task ? 3 : 1;
	enum wish wish;
	size_t n = 0;

	if (!own_path(server, node, path))
		return ENOENT;
	if (node.kind != NODE_OWN_WAY && !may_inspect(server, asker, node.pid))
		return EACCES;
	last = strrchr(path, '/') + 1;
	wish = node.kind == NODE_OWN_WAY ? WISH_WAY : asker_wish(server, asker, last);
	if (wish == WISH_TEXT && namespace_text(server, name, buffer, size))
		return 0;
	if (wish == WISH_TEXT || (wish == WISH_UNKNOWN && node.kind == NODE_OWN_NAME && !strchr(name, '/')))
		return read_text(server, asker, path, buffer, size);
	if (!name[0] || strchr(name, '/'))
		depth++;
	while (depth--)
		n += (size_t)snprintf(buffer + n, size - n, "../");
	snprintf(buffer + n, size - n, ".own/%s", path);
	return 0;
}

/*
 * Files that a program expects to be able to write. The kernel takes most of them from the process itself alone (comm,
 * loginuid, attr): it is shown the way to the real one when it opens them so, see own_lookup().
 */
static bool is_writable(const char *name)
{
	static const char *const names[] = {"autogroup", "clear_refs", "comm",          "coredump_filter", "loginuid",
					    "mem",       "oom_adj",    "oom_score_adj", "timerslack_ns"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return strncmp(name, "attr/", 5) == 0;
}

/* The link that stands for a file while it is opened for writing. */
static bool shows_way(const struct server *server, const struct asker *asker, struct node node)
{
	return node.kind == NODE_OWN_NAME && is_writable(name_of(server, node)) && asker_is_writing(server, asker);
}

int own_open(struct server *server, const struct asker *asker, struct node node, int flags, int *ret_fd,
	     struct text **ret_text)
{
	const char *name = name_of(server, node);
	enum substitute which = substitute_of(name);
	char path[PATH_SIZE];
	int fd;

	if (!own_path(server, node, path))
		return ENOENT;
	if ((node.kind == NODE_OWN_FDINFO || node_is_private(name)) && !may_inspect(server, asker, node.pid))
		return EACCES;
	if ((flags & O_ACCMODE) != O_RDONLY)
		return EACCES;
	if (which)
		return substitute_text(server, which, ret_text);
	fd = openat(server->own_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	if (fd < 0)
		return gone(errno);
	*ret_fd = fd;
	return 0;
}

void own_deinit(struct server *server)
{
	for (size_t i = 0; i < server->n_names; i++)
		free(server->names[i]);
	free(take_ptr(server->names));
	server->n_names = 0;
}
