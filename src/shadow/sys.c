/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's /sys; see shadow/sys.h. Values that do not come from a kobject are in sys_values.c. */
#include "shadow/sys.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/setup.h"
#include "shadow/sys_security.h"
#include "shadow/sys_values.h"

#define PATH_BYTES_MAX  4096u
/*
 * Of all trees below /sys together; a large host has some hundred thousand files there, of which one takes some ten
 * pieces of work (guest_work()). Not time: what a shadow has does not depend on what else this host is doing.
 */
#define NODES_MAX       GUEST_KERNFS_MAX
#define PATHS_BYTES_MAX (UINT64_C(64) << 20)
#define WORK_MAX        (UINT64_C(1) << 24)

/* What is left of these bounds. */
struct sys_budget {
	uint64_t nodes, path_bytes, work;
	uint64_t work_seen; /* what of guest_work() is paid for */
};

/* One tree that is being written. */
struct sys_tree {
	struct shadow *shadow;
	const struct guest_kernfs *tree;
	struct sys_values *values;
	bool is_sysfs;
	char **paths; /* of each node, relative to `fd`; "" for the root; NULL: it was left out */
	int fd;
	/*
	 * Where the next node goes: its directory, found without following links. A tree that lies may have a link and
	 * a directory of one name.
	 */
	uint32_t parent;
	int parent_fd; /* -1: none */
	struct sys_budget *budget;
};

/* ---- Nodes ---- */

static struct error *own(int fd, const char *path, uint32_t mode)
{
	if (fchownat(fd, path, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!S_ISLNK(mode) && fchmodat(fd, path, mode & 07777, 0) < 0))
		return error_system(errno, path, "cannot set owner and mode");
	return NULL;
}

static struct error *make_file(struct sys_tree *t, const char *name, uint32_t mode, const char *text)
{
	_cleanup_(close_fd) int fd =
		openat(t->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct error *error;

	if (fd < 0)
		return error_system(errno, name, "cannot create");
	error = io_write(fd, text, strlen(text), name);
	if (!error && (fchown(fd, SHADOW_ID_BASE, SHADOW_ID_BASE) < 0 || fchmod(fd, mode & 07777) < 0))
		error = error_system(errno, name, "cannot set owner and mode");
	return error;
}

/* The target as sysfs writes it: up to what the two paths share, and down again. */
static char *relative_target(const char *from, const char *to)
{
	size_t shared = 0, size;
	FILE *out;
	char *text = NULL;

	for (size_t i = 0; from[i] && from[i] == to[i]; i++)
		if (from[i] == '/')
			shared = i + 1;
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (const char *p = strchr(from + shared, '/'); p; p = strchr(p + 1, '/'))
		fputs("../", out);
	fputs(to + shared, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static struct error *make_link(struct sys_tree *t, uint32_t index, const char *path)
{
	const struct guest_kernfs_node *node = &t->tree->items[index];
	_cleanup_(free_ptr) char *target = NULL;

	if (node->target == GUEST_KERNFS_NONE || !t->paths[node->target])
		return NULL;
	target = relative_target(path, t->paths[node->target]);
	if (!target)
		return error_no_memory();
	if (!target[0] || symlinkat(target, t->parent_fd, node->name) < 0)
		return error_system(errno, path, "cannot create the link");
	return own(t->parent_fd, node->name, S_IFLNK);
}

static struct error *make_value(struct sys_tree *t, uint32_t index, const char *path)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = NULL;

	if (t->is_sysfs)
		error = sys_value(t->values, t->tree, index, path, &text);
	else
		error = sys_cgroup_value(t->values, t->tree, index, path, &text);
	if (error && error->code != ERROR_NO_MEMORY) {
		/* What cannot be told is not there. */
		error_destroy(error);
		return NULL;
	}
	return error ? error : make_file(t, t->tree->items[index].name, t->tree->items[index].mode, text);
}

static struct error *set_path(struct sys_tree *t, uint32_t index)
{
	const struct guest_kernfs_node *node = &t->tree->items[index];
	const char *parent = t->paths[node->parent];
	size_t size = parent ? strlen(parent) + strlen(node->name) + 2 : 0;

	if (index == 0) {
		t->paths[0] = strdup("");
		return t->paths[0] ? NULL : error_no_memory();
	}
	if (!parent || size > PATH_BYTES_MAX || size > t->budget->path_bytes)
		return NULL;
	t->budget->path_bytes -= size;
	t->paths[index] = string_format("%s%s%s", parent, *parent ? "/" : "", node->name);
	return t->paths[index] ? NULL : error_no_memory();
}

/* Entries of one directory follow each other. */
static struct error *open_parent(struct sys_tree *t, uint32_t parent)
{
	const char *path = t->paths[parent];

	if (t->parent_fd >= 0 && t->parent == parent)
		return NULL;
	close_fd(&t->parent_fd);
	t->parent_fd = -1;
	t->parent = parent;
	return setup_open(t->fd, *path ? path : "/", O_PATH | O_DIRECTORY, &t->parent_fd);
}

static struct error *make_node(struct sys_tree *t, uint32_t index)
{
	const struct guest_kernfs_node *node = &t->tree->items[index];
	const char *path = t->paths[index];
	struct error *error = open_parent(t, node->parent);

	if (error)
		return error;
	if (S_ISLNK(node->mode))
		return make_link(t, index, path);
	if (S_ISREG(node->mode))
		return make_value(t, index, path);
	if (mkdirat(t->parent_fd, node->name, 0755) < 0 && errno != EEXIST)
		return error_system(errno, path, "cannot create the directory");
	return own(t->parent_fd, node->name, node->mode);
}

/* Pays for one node and for what was read since the last time. */
static bool has_work_left(const struct shadow *shadow, struct sys_budget *budget)
{
	uint64_t now = guest_work(shadow->guest), spent = now - budget->work_seen;

	budget->work_seen = now;
	budget->work -= spent < budget->work ? spent : budget->work;
	if (budget->work == 0 || budget->nodes == 0)
		return false;
	budget->nodes--;
	return true;
}

static size_t end_of_siblings(const struct guest_kernfs *tree, size_t start)
{
	size_t end = start + 1;

	while (end < tree->n && tree->items[end].parent == tree->items[start].parent)
		end++;
	return end;
}

/*
 * The last one first: a tmpfs lists its newest entry first, and lsmod and others show what they find in the order in
 * which the guest's kernel lists it. One that cannot be made, two of one name, does not keep the others away.
 */
static struct error *make_siblings(struct sys_tree *t, size_t start, size_t end, bool *ret_cut)
{
	for (size_t i = end; i-- > start;) {
		struct error *error;

		if (!t->paths[i])
			continue;
		*ret_cut = !has_work_left(t->shadow, t->budget);
		if (*ret_cut) {
			log_warning("/sys: not all of the guest's is in the shadow, it is too much: %s and what "
				    "follows",
				    t->paths[i]);
			return NULL;
		}
		error = make_node(t, (uint32_t)i);
		if (error && error->code == ERROR_NO_MEMORY)
			return error;
		if (error)
			log_debug("/sys: %s", error->message);
		error_destroy(error);
	}
	return NULL;
}

static struct error *make_nodes(struct sys_tree *t)
{
	struct error *error = NULL;
	bool cut = false;

	t->paths = calloc(t->tree->n, sizeof(*t->paths));
	if (!t->paths)
		return error_no_memory();
	for (size_t i = 0; !error && i < t->tree->n; i++)
		error = set_path(t, (uint32_t)i);
	for (size_t end, start = 1; !error && start < t->tree->n; start = end) {
		end = end_of_siblings(t->tree, start);
		error = make_siblings(t, start, end, &cut);
		if (cut)
			break;
	}
	return error;
}

/* ---- Trees ---- */

static bool is_kernfs(const struct guest_mount *mount)
{
	return strcmp(mount->fstype, "sysfs") == 0 || strcmp(mount->fstype, "cgroup") == 0 ||
	       strcmp(mount->fstype, "cgroup2") == 0;
}

/* Directories down to the mount point; what is missing is made, for a tmpfs of the guest may be between. */
static struct error *open_point(int sys, const char *target, int *ret)
{
	const char *path = target + strlen("/sys");
	_cleanup_(close_fd) int fd = openat(sys, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];

	if (fd < 0)
		return error_system(errno, target, "cannot open");
	while (*path == '/') {
		size_t n = strcspn(++path, "/");
		int next;

		if (n > NAME_MAX)
			return error_create(ERROR_FORMAT, "%s: a long name", target);
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		path += n;
		if (mkdirat(fd, name, 0755) == 0 &&
		    fchownat(fd, name, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0)
			return error_system(errno, target, "cannot set the owner of");
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return error_system(errno, target, "cannot create the mount point");
		close_fd(&fd);
		fd = next;
	}
	*ret = take_fd(fd);
	return NULL;
}

static struct error *make_tree(struct shadow *shadow, struct sys_values *values, const struct guest_mount *mount,
			       struct sys_budget *budget, int sys)
{
	_cleanup_(guest_kernfs_deinit) struct guest_kernfs tree = {0};
	_cleanup_(close_fd) int fd = -1;
	struct sys_tree t = {.shadow = shadow,
			     .tree = &tree,
			     .values = values,
			     .is_sysfs = strcmp(mount->fstype, "sysfs") == 0,
			     .budget = budget};
	struct error *error;

	/* A guest may say that it has very many of them. */
	if (!has_work_left(shadow, budget))
		return error_create(ERROR_FORMAT, "the guest's /sys is too much");
	error = guest_kernfs(shadow->guest, mount->major, mount->minor, &tree);
	if (!error)
		error = open_point(sys, mount->target, &fd);
	if (error)
		return error;
	if (tree.incomplete)
		log_info("%s: not all of it is known: %s", mount->target, tree.incomplete->message);
	t.fd = fd;
	t.parent_fd = -1;
	error = sys_values_begin(values, mount);
	if (!error)
		error = make_nodes(&t);
	close_fd(&t.parent_fd);
	for (size_t i = 0; t.paths && i < tree.n; i++)
		free(t.paths[i]);
	free(t.paths);
	return error;
}

/* A directory for every other thing that is mounted there, empty but for one: debugfs, tracefs, … */
static struct error *make_point(struct shadow *shadow, int sys, const struct guest_mount *mount)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = open_point(sys, mount->target, &fd);

	return error || strcmp(mount->fstype, "securityfs") != 0 ? error : sys_security_make(shadow, fd);
}

static struct error *make_all(struct shadow *shadow, int sys)
{
	_cleanup_(sys_values_destroy_ptr) struct sys_values *values = NULL;
	struct sys_budget budget = {NODES_MAX, PATHS_BYTES_MAX, WORK_MAX, guest_work(shadow->guest)};
	struct error *error = sys_values_create(shadow, &values);

	for (size_t i = 0; !error && i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		if (!guest_path_below(mount->target, "/sys"))
			continue;
		error = is_kernfs(mount) ? make_tree(shadow, values, mount, &budget, sys)
					 : make_point(shadow, sys, mount);
		if (error && error->code != ERROR_NO_MEMORY) {
			log_warning("%s is not all in the shadow: %s", mount->target, error->message);
			error_destroy(take_ptr(error));
		}
	}
	return error;
}

static bool has_sysfs(const struct shadow *shadow)
{
	for (size_t i = 0; i < shadow->mounts.n; i++)
		if (strcmp(shadow->mounts.items[i].target, "/sys") == 0 &&
		    strcmp(shadow->mounts.items[i].fstype, "sysfs") == 0)
			return shadow->guest != NULL;
	return false;
}

struct error *sys_make(struct shadow *shadow)
{
	_cleanup_(free_ptr) char *path = string_format("%s/sys", shadow->run_dir);
	_cleanup_(close_fd) int mount = -1, sys = -1;
	struct error *error;

	if (!has_sysfs(shadow))
		return NULL;
	if (!path)
		return error_no_memory();
	error = setup_tmpfs_sized("256m", "1000000", &mount);
	if (!error)
		error = setup_mount_at(mount, path);
	if (error)
		return error;
	shadow->sys = take_ptr(path);
	sys = open(shadow->sys, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sys < 0)
		return error_system(errno, shadow->sys, "cannot open");
	return make_all(shadow, sys);
}

void sys_destroy(struct shadow *shadow)
{
	if (!shadow->sys)
		return;
	umount2(shadow->sys, MNT_DETACH);
	rmdir(shadow->sys);
	free(shadow->sys);
}
