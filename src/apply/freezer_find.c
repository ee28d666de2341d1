/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cgroups may be frozen. The tree is the service manager's: pid 1 is in /init.scope, the agent in
 * /system.slice/qemu-guest-agent.service, a login in /user.slice. A branch without anything that is to be spared is
 * frozen as a whole; of any other the children are looked at.
 *
 * Of the hierarchies three matter: the unified one, in which systemd has its tree or (hybrid) a copy; its own one of
 * version 1 (name=systemd), which tells where the unified one does not what belongs to the channel; and the controller
 * "freezer" of version 1, in which containers may have groups, and all others are in the root.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "apply/fault.h"
#include "apply/freezer_find.h"
#include "base/io.h"

#define CGROUPS_MAX   512 /* each is a descriptor; a guest with more has them in a few slices */
#define ANCESTORS_MAX (FREEZER_PIDS_MAX - 2)
#define DEPTH_MAX     16
#define PROCS_MAX     (1u << 22)
#define MOUNTS_MAX    (1u << 22)
#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD, include/linux/sched.h */

/* As /proc/PID/cgroup names them (cgroups(7)): the unified one has no controllers there. */
static const char *const hierarchies[] = {"", "freezer", "name=systemd"};

static const char *controller_of(enum freezer_version version)
{
	return version == FREEZER_UNIFIED ? "" : "freezer";
}

static struct error *add(struct cgroup_list *list, const char *path)
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

static void list_deinit(struct cgroup_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->paths[i]);
	free(list->paths);
	*list = (struct cgroup_list){};
}

void freezer_spared_deinit(struct freezer_spared *spared)
{
	list_deinit(&spared->cgroups);
}

/* --- hierarchies --- */

/* Where the unified hierarchy is mounted: alone, or beside those of version 1. */
static char *find_unified(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct statfs s;

		if (statfs(mounts[i], &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC)
			return strdup(mounts[i]);
	}
	return NULL;
}

/* Whether `word` is one of those of a list with commas. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
		if (strcspn(at, ",") == n && !strncmp(at, word, n))
			return true;
	return false;
}

/* proc_pid_mountinfo(5): of a whole hierarchy, at a place whose name needs no escape. */
static char *find_freezer_in(char *mountinfo)
{
	char *rest = NULL;

	for (char *line = strtok_r(mountinfo, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char mount[256], options[256];
		char *type = strstr(line, " - cgroup ");

		if (type && sscanf(type, " - cgroup %*s %255s", options) == 1 && has_word(options, "freezer") &&
		    sscanf(line, "%*s %*s %*s / %255s", mount) == 1 && !strchr(mount, '\\'))
			return strdup(mount);
	}
	return NULL;
}

/* Where version 1's is; NULL if nowhere. */
static char *find_version_one(void)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = io_read_file("/proc/self/mountinfo", MOUNTS_MAX, &text, NULL);

	error_destroy(error);
	return error ? NULL : find_freezer_in(text);
}

/* --- processes --- */

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

/* Its path in a hierarchy; NULL if it cannot be told. The caller frees it. */
static char *path_in(const char *cgroups, const char *hierarchy)
{
	for (const char *line = cgroups; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		_cleanup_(free_ptr) char *list = path ? strndup(names + 1, (size_t)(path - names - 1)) : NULL;

		if (list && (*hierarchy ? has_word(list, hierarchy) : !*list))
			return strndup(path + 1, strcspn(path + 1, "\n"));
	}
	return NULL;
}

/* The directory of a process's cgroup where it would be frozen; NULL if it cannot be told. */
static char *directory_of(const struct freezable *f, pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "cgroup");
	_cleanup_(free_ptr) char *path = path_in(text, controller_of(f->version));

	return f->mount && path ? string_format("%s%s", f->mount, path) : NULL;
}

static bool is_or_is_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	return !strncmp(path, above, n) && (!path[n] || path[n] == '/');
}

bool freezer_holds(const struct freezable *f, pid_t pid)
{
	_cleanup_(free_ptr) char *directory = directory_of(f, pid);

	for (size_t i = 0; directory && i < f->list.n; i++)
		if (is_or_is_below(directory, f->list.paths[i]))
			return true;
	return false;
}

void freezer_spare(struct freezer_spared *spared, pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "cgroup");

	if (spared->n_pids < FREEZER_PIDS_MAX)
		spared->pids[spared->n_pids++] = pid;
	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		_cleanup_(free_ptr) char *path = path_in(text, hierarchies[i]);
		_cleanup_(free_ptr) char *named = path ? string_format("%s:%s", hierarchies[i], path) : NULL;

		if (named)
			error_destroy(add(&spared->cgroups, named));
	}
}

static pid_t parent_of(pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "status");
	const char *parent = text ? strstr(text, "\nPPid:") : NULL;

	return parent ? (pid_t)strtol(parent + strlen("\nPPid:"), NULL, 10) : 0;
}

void freezer_spare_channel(struct freezer_spared *ret)
{
	pid_t pid = getpid();

	for (unsigned i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		freezer_spare(ret, pid);
		pid = parent_of(pid);
	}
	freezer_spare(ret, 1);
}

bool freezer_is_kernels(pid_t pid)
{
	_cleanup_(free_ptr) char *text = read_proc(pid, "stat");
	/* Behind the name, in which anything may stand: state, parent, group, session, terminal, its group, flags. */
	const char *end = text ? strrchr(text, ')') : NULL;
	unsigned flags = 0;

	return !end || sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1 || (flags & KERNEL_THREAD);
}

/* A root tells nothing: there is everybody whom nobody has put anywhere. */
bool freezer_spares(const struct freezer_spared *spared, pid_t pid)
{
	_cleanup_(free_ptr) char *text = NULL;

	for (size_t i = 0; i < spared->n_pids; i++)
		if (spared->pids[i] == pid)
			return true;
	text = read_proc(pid, "cgroup");
	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++) {
		_cleanup_(free_ptr) char *path = path_in(text, hierarchies[i]);
		_cleanup_(free_ptr) char *named = path ? string_format("%s:%s", hierarchies[i], path) : NULL;

		for (size_t j = 0; named && j < spared->cgroups.n; j++)
			if (strcmp(strrchr(spared->cgroups.paths[j], ':'), ":/") != 0 &&
			    is_or_is_below(named, spared->cgroups.paths[j]))
				return true;
	}
	return !text;
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

/* Whether what /proc says is true of the hierarchy that is mounted here. */
static struct error *check_names(const struct freezable *f, const struct freezer_spared *spared)
{
	_cleanup_(free_ptr) char *ours = directory_of(f, getpid());
	bool known = ours && lists_us(ours);

	/* A cgroup outside of the namespace's root is told by "..". */
	for (size_t i = 0; i < spared->cgroups.n && known; i++)
		known = !strstr(spared->cgroups.paths[i], "/..");
	return known ? NULL : error_create(ERROR_FAILED, "which cgroup is whose cannot be told from here");
}

/* --- what may be frozen --- */

enum relation {
	RELATION_NONE,  /* holds nothing that is spared */
	RELATION_ABOVE, /* something below it is spared */
	RELATION_SAME,  /* spared, with all below it */
};

static enum relation relate(const char *named, const struct freezer_spared *spared)
{
	enum relation relation = RELATION_NONE;

	for (size_t i = 0; i < spared->cgroups.n; i++) {
		const char *path = spared->cgroups.paths[i];

		if (!strcmp(path, named))
			return RELATION_SAME;
		if (is_or_is_below(path, named))
			relation = RELATION_ABOVE;
	}
	return relation;
}

static bool is_freezable(enum freezer_version version, const char *path)
{
	_cleanup_(free_ptr) char *control =
		string_format("%s/%s", path, version == FREEZER_UNIFIED ? "cgroup.freeze" : "freezer.state");

	return control && !strchr(path, '\n') && access(control, W_OK) == 0;
}

static struct error *visit(const char *path, unsigned depth, const struct freezer_spared *spared, struct freezable *ret)
{
	_cleanup_(closedir_ptr) DIR *stream = opendir(path);
	struct error *error = NULL;
	struct dirent *entry;

	/* It went away meanwhile. */
	if (!stream)
		return NULL;
	while (!error && (entry = readdir(stream))) {
		_cleanup_(free_ptr) char *below = string_format("%s/%s", path, entry->d_name);
		_cleanup_(free_ptr) char *named = NULL;
		enum relation relation;

		if (!below)
			return error_no_memory();
		if (entry->d_type != DT_DIR || *entry->d_name == '.')
			continue;
		named = string_format("%s:%s", controller_of(ret->version), below + strlen(ret->mount));
		if (!named)
			return error_no_memory();
		relation = relate(named, spared);
		if (relation == RELATION_ABOVE && depth < DEPTH_MAX)
			error = visit(below, depth + 1, spared, ret);
		if (relation != RELATION_NONE || !is_freezable(ret->version, below))
			continue;
		if (ret->list.n == CGROUPS_MAX)
			return error_create(ERROR_FAILED, "there are more than %d cgroups", CGROUPS_MAX);
		error = add(&ret->list, below);
	}
	return error;
}

/* `top`: a test's, or NULL. */
static struct error *find_in(const char *top, const struct freezer_spared *spared, struct freezable *ret)
{
	struct error *error;

	if (!top)
		top = ret->mount;
	error = check_names(ret, spared);
	/* One that a killed helper has left is no branch of its own. */
	if (!error && ret->version == FREEZER_ONE)
		error = freezer_group_make(top, &ret->group);
	return error ? error : visit(top, 0, spared, ret);
}

struct error *freezer_find(const struct freezer_spared *spared, struct freezable *ret)
{
	const char *top = fault_cgroup();
	struct statfs s = {};
	struct error *error;

	*ret = (struct freezable){};
	ret->mount = !top || (statfs(top, &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC) ? find_unified() : NULL;
	error = ret->mount ? find_in(top, spared, ret) : NULL;
	if (error || ret->list.n || (ret->mount && top))
		return error;
	free(ret->mount);
	ret->version = FREEZER_ONE;
	ret->mount = find_version_one();
	if (!ret->mount)
		ret->mount = freezer_mount();
	return ret->mount ? find_in(top, spared, ret) : NULL;
}

void freezable_deinit(struct freezable *f)
{
	for (size_t i = 0; f->fds && i < f->list.n; i++)
		close_fd(&f->fds[i]);
	free(f->fds);
	if (f->group)
		freezer_group_empty(f->group);
	freezer_unmount();
	free(f->group);
	free(f->mount);
	list_deinit(&f->list);
	*f = (struct freezable){};
}
