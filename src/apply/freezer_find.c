/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroups may be frozen. The tree is the service manager's: pid 1 is in /init.scope, the agent in
 * /system.slice/qemu-guest-agent.service, a login in /user.slice. A branch without anything that is to be spared is
 * frozen as a whole; of any other the children are looked at.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "apply/fault.h"
#include "apply/freezer.h"
#include "base/io.h"

#define CGROUPS_MAX   512 /* each is a descriptor; a guest with more has them in a few slices */
#define ANCESTORS_MAX 64
#define DEPTH_MAX     16
#define PROCS_MAX     (1u << 20)

void cgroup_list_deinit(struct cgroup_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->paths[i]);
	free(list->paths);
	*list = (struct cgroup_list){};
}

struct error *cgroup_list_add(struct cgroup_list *list, const char *path)
{
	char **grown = reallocarray(list->paths, list->n + 1, sizeof(*grown));

	if (!grown)
		return error_no_memory();
	list->paths = grown;
	grown[list->n] = strdup(path);
	if (!grown[list->n])
		return error_no_memory();
	list->n++;
	return NULL;
}

/* Where the unified hierarchy is mounted: alone, or beside those of version 1. NULL if nowhere. */
static const char *find_mount(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct statfs s;

		if (statfs(mounts[i], &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC)
			return mounts[i];
	}
	return NULL;
}

static char *read_proc(pid_t pid, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/%s", pid, name);
	struct error *error;
	char *text = NULL;

	if (!path)
		return NULL;
	error = io_read_file(path, 65536, &text, NULL);
	error_destroy(error);
	return error ? NULL : text;
}

/* What follows `key` at the beginning of a line; cuts the line's end off. */
static char *find_line(char *text, const char *key)
{
	for (char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, key, strlen(key))) {
			line[strcspn(line, "\n")] = '\0';
			return line + strlen(key);
		}
	return NULL;
}

/* The directory of a process's cgroup; NULL if it cannot be told. */
static char *directory_of(pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "cgroup");
	const char *mount = find_mount(), *path = find_line(text, "0::");

	return mount && path ? string_format("%s%s", mount, path) : NULL;
}

void freezer_spare(struct cgroup_list *list, pid_t pid)
{
	_cleanup_(free_ptr) char *directory = directory_of(pid);

	if (directory)
		error_destroy(cgroup_list_add(list, directory));
}

static bool lists_us(const char *directory)
{
	_cleanup_(free_ptr) char *path = string_format("%s/cgroup.procs", directory);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = path ? io_read_file(path, PROCS_MAX, &text, NULL) : NULL;
	bool found = false;

	error_destroy(error);
	for (const char *line = text; line && *line && !found; line += strcspn(line, "\n"), line += *line == '\n')
		found = strtol(line, NULL, 10) == getpid();
	return found;
}

bool freezer_knows(const struct cgroup_list *spared)
{
	_cleanup_(free_ptr) char *ours = directory_of(getpid());

	/* A cgroup outside of the namespace's root is told by "..". */
	for (size_t i = 0; i < spared->n; i++)
		if (strstr(spared->paths[i], "/.."))
			return false;
	/* Without the hierarchy there is nothing to freeze by mistake. */
	return !find_mount() || (ours && lists_us(ours));
}

bool freezer_holds(const struct cgroup_list *list, pid_t pid)
{
	_cleanup_(free_ptr) char *directory = directory_of(pid);

	for (size_t i = 0; directory && i < list->n; i++) {
		size_t n = strlen(list->paths[i]);

		if (!strncmp(directory, list->paths[i], n) && (!directory[n] || directory[n] == '/'))
			return true;
	}
	return false;
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "status");
	const char *parent = find_line(text, "PPid:");

	return parent ? (pid_t)strtol(parent, NULL, 10) : 0;
}

void freezer_spare_channel(struct cgroup_list *ret)
{
	pid_t pid = getpid();

	for (unsigned i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		freezer_spare(ret, pid);
		pid = parent_of(pid);
	}
	freezer_spare(ret, 1);
}

enum relation {
	RELATION_NONE,  /* holds nothing that is spared */
	RELATION_ABOVE, /* something below it is spared */
	RELATION_SAME,  /* spared, with all below it */
};

static enum relation relate(const char *path, const struct cgroup_list *spared)
{
	enum relation relation = RELATION_NONE;
	size_t n = strlen(path);

	for (size_t i = 0; i < spared->n; i++) {
		if (strncmp(spared->paths[i], path, n))
			continue;
		if (!spared->paths[i][n])
			return RELATION_SAME;
		if (spared->paths[i][n] == '/')
			relation = RELATION_ABOVE;
	}
	return relation;
}

static bool is_freezable(const char *path)
{
	_cleanup_(free_ptr) char *control = string_format("%s/cgroup.freeze", path);

	return control && !strchr(path, '\n') && access(control, W_OK) == 0;
}

static struct error *visit(const char *path, unsigned depth, const struct cgroup_list *spared, struct cgroup_list *ret)
{
	_cleanup_(closedir_ptr) DIR *stream = opendir(path);
	struct error *error = NULL;
	struct dirent *entry;

	/* It went away meanwhile. */
	if (!stream)
		return NULL;
	while (!error && (entry = readdir(stream))) {
		_cleanup_(free_ptr) char *below = string_format("%s/%s", path, entry->d_name);
		enum relation relation;

		if (!below)
			return error_no_memory();
		if (entry->d_type != DT_DIR || *entry->d_name == '.')
			continue;
		relation = relate(below, spared);
		if (relation == RELATION_ABOVE && depth < DEPTH_MAX)
			error = visit(below, depth + 1, spared, ret);
		if (relation != RELATION_NONE || !is_freezable(below))
			continue;
		if (ret->n == CGROUPS_MAX)
			return error_create(ERROR_FAILED, "there are more than %d cgroups", CGROUPS_MAX);
		error = cgroup_list_add(ret, below);
	}
	return error;
}

struct error *freezer_find(const struct cgroup_list *spared, struct cgroup_list *ret)
{
	const char *top = fault_cgroup() ? fault_cgroup() : find_mount();

	return top ? visit(top, 0, spared, ret) : NULL;
}
