/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups around everything that runs in one shadow, so that a fork bomb in it is the
 * guest's own trouble: RLIMIT_NPROC counts each of the guest's 2^30 users for itself.
 *
 * Version 1: below our own group of each hierarchy with a controller that we use. Version 2: beside our own group,
 * because there a group with processes in it may not pass controllers on to groups below it. A host may have
 * some controllers here and some there: each is taken where it is found first, and one that is nowhere is done without.
 */
#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/cgroup.h"
#include "shadow/weaken.h"

/* How long groups of those who were just killed are waited for: 5 s. */
#define TIDY_TRIES    100
#define TIDY_PAUSE_NS 50000000
#define NAME_PREFIX   "ouassister-"
/* Groups of our own process that may be there already: other shadows. */
#define NUMBERS       64
/* The kernel lets a group go a moment after its last process, and that one only when the disk has taken what it wrote.
 */
#define REMOVE_TRIES  1500
#define REMOVE_NS     (10 * 1000000)

DEFINE_CLEANUP(FILE *, endmntent)

/* Whether `list`, words between commas, holds `word`. */
static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && memcmp(p, word, n) == 0)
			return true;
	return false;
}

/* Our own group in one hierarchy, as /proc/self/cgroup has it ("NUMBER:CONTROLLERS:PATH"); NULL: not listed. */
static char *own_group(const char *table, const char *controller)
{
	for (const char *line = table; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		_cleanup_(free_ptr) char *copy = strndup(line, strcspn(line, "\n"));
		char *controllers = copy ? strchr(copy, ':') : NULL;
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		if (controller ? has_word(controllers + 1, controller) : controllers[1] == '\0')
			return strdup(path);
	}
	return NULL;
}

/* A number of a process is one only in its namespace, and all namespaces share the groups. */
static unsigned long own_namespace(void)
{
	struct stat s;

	return stat("/proc/self/ns/pid", &s) < 0 ? 0 : (unsigned long)s.st_ino;
}

/*
 * Groups of processes that were killed before they could remove them. The kernel refuses those that still have
 * processes: whether there are such.
 */
static bool remove_stale(const char *parent)
{
	_cleanup_(closedir_ptr) DIR *dir = opendir(parent);
	struct dirent *entry;
	unsigned long own = own_namespace(), namespace;
	bool left = false;

	while (dir && (entry = readdir(dir))) {
		int pid;

		if (sscanf(entry->d_name, NAME_PREFIX "%d-%lu-", &pid, &namespace) == 2 && pid > 0 &&
		    namespace == own && kill(pid, 0) < 0 && errno == ESRCH)
			left |= unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0 && errno == EBUSY;
	}
	return left;
}

static bool write_text(const char *directory, const char *file, const char *text)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, file);
	_cleanup_(close_fd) int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool write_number(const char *directory, const char *file, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)number);
	return write_text(directory, file, text);
}

/* --- the controllers --- */

static bool limit_processes(const char *directory, bool unified, const struct shadow_limits *limits)
{
	return write_number(directory, "pids.max", limits->processes);
}

/* Also what the kernel keeps for these processes: pipes, sockets, watches, message queues. Swapping would only move it.
 */
static bool limit_memory(const char *directory, bool unified, const struct shadow_limits *limits)
{
	if (unified) {
		(void)write_text(directory, "memory.swap.max", "0\n");
		/* Half a program that goes on is worth nothing. */
		(void)write_text(directory, "memory.oom.group", "1\n");
		return write_number(directory, "memory.max", limits->memory_bytes);
	}
	(void)write_text(directory, "memory.swappiness", "0\n");
	(void)write_number(directory, "memory.kmem.tcp.limit_in_bytes", limits->memory_bytes / 4);
	if (!write_number(directory, "memory.limit_in_bytes", limits->memory_bytes))
		return false;
	/* Absent where swap is not counted; not below the limit of memory, hence after it. */
	(void)write_number(directory, "memory.memsw.limit_in_bytes", limits->memory_bytes);
	return true;
}

/* Being a group of its own is all: however many busy processes there are, together they weigh as much as one other. */
static bool share_processor(const char *directory, bool unified, const struct shadow_limits *limits)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, unified ? "cpu.weight" : "cpu.shares");

	return path && access(path, F_OK) == 0;
}

static const struct controller {
	const char *name;
	bool (*limit)(const char *directory, bool unified, const struct shadow_limits *limits);
	size_t member; /* of struct cgroup: the directory that has it */
} controllers[] = {
	{"pids", limit_processes, offsetof(struct cgroup, pids)},
	{"memory", limit_memory, offsetof(struct cgroup, memory)},
	{"cpu", share_processor, offsetof(struct cgroup, cpu)},
};

_Static_assert(ARRAY_SIZE(controllers) <= CGROUP_DIRECTORIES_MAX, "a directory for each");

static const char **directory_of(struct cgroup *cgroup, const struct controller *controller)
{
	return (const char **)((char *)cgroup + controller->member);
}

/* --- making them --- */

/* A new directory in `parent`; NULL if the kernel does not allow it there. */
static char *make_in(const char *parent)
{
	for (unsigned i = 0; i < NUMBERS; i++) {
		_cleanup_(free_ptr) char *path =
			string_format("%s/" NAME_PREFIX "%d-%lu-%u", parent, (int)getpid(), own_namespace(), i);

		if (path && mkdir(path, 0755) == 0)
			return take_ptr(path);
		if (!path || errno != EEXIST)
			return NULL;
	}
	return NULL;
}

/* The directory that a new group belongs in, or NULL. `controller`: one that the hierarchy has; NULL: version 2. */
static char *parent_of(const struct mntent *mount, const char *table, const char *controller)
{
	_cleanup_(free_ptr) char *own = own_group(table, controller);
	char *slash = own ? strrchr(own, '/') : NULL, *path;

	if (!slash)
		return NULL;
	if (!controller)
		*slash = '\0';
	path = string_format("%s%s", mount->mnt_dir, own);
	/* In a container the path may be one of the host. */
	if (path && access(path, F_OK) < 0) {
		free(path);
		path = strdup(mount->mnt_dir);
	}
	return path;
}

/* A controller that we still need and this hierarchy of version 1 has. */
static const char *needed_here(struct cgroup *cgroup, const struct mntent *mount)
{
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (!*directory_of(cgroup, &controllers[i]) && has_word(mount->mnt_opts, controllers[i].name))
			return controllers[i].name;
	return NULL;
}

/* Takes what is still needed from one hierarchy. */
static void use_hierarchy(struct cgroup *cgroup, const struct mntent *mount, const char *table,
			  const struct shadow_limits *limits)
{
	bool unified = strcmp(mount->mnt_type, "cgroup2") == 0, used = false;
	const char *controller = unified ? NULL : needed_here(cgroup, mount);
	_cleanup_(free_ptr) char *parent = NULL, *path = NULL;

	if (cgroup->n == CGROUP_DIRECTORIES_MAX || (!unified && !controller))
		return;
	parent = parent_of(mount, table, controller);
	if (!parent)
		return;
	(void)remove_stale(parent);
	path = make_in(parent);
	for (size_t i = 0; path && i < ARRAY_SIZE(controllers); i++) {
		const char **directory = directory_of(cgroup, &controllers[i]);

		if (*directory || !controllers[i].limit(path, unified, limits))
			continue;
		*directory = path;
		used = true;
	}
	if (path && cgroup->memory == path)
		cgroup->memory_unified = unified;
	if (used)
		cgroup->directories[cgroup->n++] = take_ptr(path);
	else if (path)
		rmdir(path);
}

struct error *cgroup_create(const struct shadow_limits *limits, struct cgroup *ret)
{
	_cleanup_(endmntent_ptr) FILE *mounts = setmntent("/proc/self/mounts", "re");
	_cleanup_(free_ptr) char *table = NULL;
	struct error *error = io_read_file("/proc/self/cgroup", 1 << 20, &table, NULL);
	struct mntent *mount;

	*ret = (struct cgroup){0};
	if (error && error->errnum != ENOENT)
		return error;
	error_destroy(error);
	while (table && mounts && (mount = getmntent(mounts)))
		if (strcmp(mount->mnt_type, "cgroup") == 0 || strcmp(mount->mnt_type, "cgroup2") == 0)
			use_hierarchy(ret, mount, table, limits);
	return NULL;
}

static bool tidy_once(void)
{
	_cleanup_(endmntent_ptr) FILE *mounts = setmntent("/proc/self/mounts", "re");
	_cleanup_(free_ptr) char *table = NULL;
	struct cgroup none = {0};
	struct mntent *mount;
	bool left = false;

	error_destroy(io_read_file("/proc/self/cgroup", 1 << 20, &table, NULL));
	while (table && mounts && (mount = getmntent(mounts))) {
		bool unified = strcmp(mount->mnt_type, "cgroup2") == 0;
		_cleanup_(free_ptr) char *parent = NULL;
		const char *controller = NULL;

		if (!unified && strcmp(mount->mnt_type, "cgroup") == 0)
			controller = needed_here(&none, mount);
		if (unified || controller)
			parent = parent_of(mount, table, controller);
		left |= parent && remove_stale(parent);
	}
	return left;
}

void cgroup_tidy_up(void)
{
	const struct timespec pause = {.tv_nsec = TIDY_PAUSE_NS};

	/* Killed processes take a moment to go. */
	for (unsigned i = 0; i < TIDY_TRIES && tidy_once(); i++)
		nanosleep(&pause, NULL);
}

struct error *cgroup_enter(const struct cgroup *cgroup)
{
	for (size_t i = 0; DEFENCE("control group") && i < cgroup->n; i++)
		if (!write_text(cgroup->directories[i], "cgroup.procs", "0\n"))
			return error_system(errno, cgroup->directories[i], "cannot enter the control group");
	return NULL;
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	_cleanup_(free_ptr) char *path = NULL, *text = NULL;
	const char *line;
	struct error *error;

	if (!cgroup->memory)
		return 0;
	path = string_format("%s/%s", cgroup->memory, cgroup->memory_unified ? "memory.events" : "memory.oom_control");
	error = path ? io_read_file(path, 4096, &text, NULL) : error_no_memory();
	error_destroy(error);
	line = text ? strstr(text, "oom_kill ") : NULL;
	return line ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
}

void cgroup_deinit(struct cgroup *cgroup)
{
	const struct timespec pause = {.tv_nsec = REMOVE_NS};

	for (size_t i = 0; i < cgroup->n; i++) {
		for (int tries = 0; rmdir(cgroup->directories[i]) < 0 && errno == EBUSY && tries < REMOVE_TRIES;
		     tries++)
			nanosleep(&pause, NULL);
		free(cgroup->directories[i]);
	}
	*cgroup = (struct cgroup){0};
}
