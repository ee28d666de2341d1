/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof of the restarts: who still maps what the update took away. The old inodes lie in the slots, so that a
 * mapping of one is found by its number; a path tells nothing, for the file has another one now.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "apply/events.h"
#include "apply/room.h"
#include "apply/transaction.h"
#include "base/array.h"
#include "base/deleted_file.h"
#include "base/unit_name.h"

#define STALE_MAX      512 /* processes that are named */
#define INIT_LOOKS     20  /* systemd executes itself anew after it has answered */
#define INIT_PAUSE_NS  500000000
#define CGROUP_SIZE    4096
#define PROC_PATH_SIZE 96

/* A file that was replaced or deleted. */
struct old_file {
	uint64_t inode, device; /* st_ino, st_dev */
	const char *path;       /* relative; borrowed */
};

struct stale_process {
	uint32_t pid;
	uint64_t start_ticks, files;
	char name[32];
	char unit[UNIT_NAME_MAX]; /* "": none */
	char *file;               /* absolute; owned */
	bool earlier;             /* it was deleted before the update */
};

struct look {
	const struct transaction *t;
	struct old_file *old; /* by inode */
	size_t n_old;
	struct stale_process *found;
	size_t n_found, n_stale, n_processes;
};

static int compare_old(const void *left, const void *right)
{
	const struct old_file *a = left, *b = right;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	return a->device < b->device ? -1 : a->device > b->device;
}

/* The inode that the entry put away; 0: none. */
static uint64_t put_away(const struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);

	if (change->kind == CHANGE_ATTRIBUTES || !change->before.exists || !S_ISREG(change->before.attributes.mode))
		return 0;
	return t->slots[i].old == t->slots[i].staged ? 0 : t->slots[i].old;
}

static struct error *list_old(struct look *look)
{
	const struct transaction *t = look->t;
	uint32_t n = t->payload.header.n_entries;
	size_t n_old = 0;

	for (uint32_t i = 0; i < n; i++)
		n_old += put_away(t, i) != 0;
	look->old = room_create(t->directory, n_old * sizeof(*look->old));
	if (!look->old)
		return error_no_memory();
	for (uint32_t i = 0; i < n; i++)
		if (put_away(t, i))
			look->old[look->n_old++] =
				(struct old_file){.inode = t->slots[i].old,
						  .device = t->tree.file_systems[t->slots[i].file_system].device,
						  .path = entry_change(t, i)->path};
	qsort(look->old, look->n_old, sizeof(*look->old), compare_old);
	return NULL;
}

static bool is_before(const void *old, const void *inode)
{
	return ((const struct old_file *)old)->inode < *(const uint64_t *)inode;
}

/* The first with this inode number. */
static const struct old_file *find_old(const struct look *look, uint64_t inode)
{
	size_t i = array_lower_bound(look->old, look->n_old, sizeof(*look->old), &inode, is_before);

	return i < look->n_old && look->old[i].inode == inode ? &look->old[i] : NULL;
}

/* A line of /proc/PID/maps. */
struct mapping {
	unsigned long long start, end, inode;
	unsigned int major, minor;
	char perms[5];
	const char *path; /* in the line */
};

static bool parse_mapping(char *line, struct mapping *ret)
{
	unsigned long long offset;
	int n = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &ret->start, &ret->end, ret->perms, &offset, &ret->major,
		   &ret->minor, &ret->inode, &n) < 7 ||
	    n == 0)
		return false;
	ret->path = line + n;
	return true;
}

/* stat(2) of what is mapped: where file systems show another device there than in maps (btrfs). */
static bool stat_mapping(uint32_t pid, const struct mapping *mapping, struct stat *ret)
{
	char path[PROC_PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid, mapping->start, mapping->end);
	return stat(path, ret) == 0;
}

static const struct old_file *find_mapped(const struct look *look, uint32_t pid, const struct mapping *mapping)
{
	const struct old_file *end = look->old + look->n_old;
	const struct old_file *first = find_old(look, mapping->inode);
	struct stat st;

	for (const struct old_file *old = first; old && old < end && old->inode == mapping->inode; old++)
		if (old->device == makedev(mapping->major, mapping->minor))
			return old;
	if (!first || !stat_mapping(pid, mapping, &st))
		return NULL;
	for (const struct old_file *old = first; old < end && old->inode == mapping->inode; old++)
		if (old->device == st.st_dev && old->inode == st.st_ino)
			return old;
	return NULL;
}

static bool is_earlier(const struct look *look, const struct mapping *mapping)
{
	if (mapping->perms[2] != 'x' || !is_deleted_file(mapping->path) || is_made_to_be_deleted(mapping->path))
		return false;
	for (size_t i = 0; i < look->t->tree.n_file_systems; i++)
		if (look->t->tree.file_systems[i].device == makedev(mapping->major, mapping->minor))
			return true;
	return false;
}

/* Takes one more file; those that the update took away are named before earlier ones. */
static struct error *take_file(struct stale_process *process, const char *directory, const char *path, size_t length,
			       bool earlier)
{
	char *file;

	process->files++;
	if (process->file && (earlier || !process->earlier))
		return NULL;
	if (asprintf(&file, "%s%.*s", directory, (int)length, path) < 0)
		return error_no_memory();
	free(process->file);
	process->file = file;
	process->earlier = earlier;
	return NULL;
}

static struct error *look_at_maps(const struct look *look, struct stale_process *process)
{
	_cleanup_(fclose_ptr) FILE *maps = NULL;
	_cleanup_(free_ptr) char *line = NULL;
	unsigned long long last = 0;
	struct error *error = NULL;
	char path[PROC_PATH_SIZE];
	size_t size = 0;

	snprintf(path, sizeof(path), "/proc/%u/maps", process->pid);
	maps = fopen(path, "re");
	/* It has ended, or is the kernel's. */
	while (maps && !error && getline(&line, &size, maps) > 0) {
		struct mapping mapping;
		const struct old_file *old;

		/* The mappings of one file stand together. */
		if (!parse_mapping(line, &mapping) || !mapping.inode || mapping.inode == last)
			continue;
		old = find_mapped(look, process->pid, &mapping);
		if (old)
			error = take_file(process, "/", old->path, strlen(old->path), false);
		else if (is_earlier(look, &mapping))
			error = take_file(process, "", mapping.path, strlen(mapping.path) - strlen(DELETED_FILE_SUFFIX),
					  true);
		else
			continue;
		last = mapping.inode;
	}
	return error;
}

/* The first line that begins so, of a small file of the process; false: there is none. */
static bool read_line(uint32_t pid, const char *name, const char *part, char *ret, size_t ret_size)
{
	_cleanup_(fclose_ptr) FILE *file = NULL;
	char path[PROC_PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	file = fopen(path, "re");
	while (file && fgets(ret, (int)ret_size, file)) {
		ret[strcspn(ret, "\n")] = '\0';
		if (strstr(ret, part))
			return true;
	}
	return false;
}

static void find_unit(struct stale_process *process)
{
	static const char *const hierarchies[] = {"0::/", ":name=systemd:/"};
	char line[CGROUP_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(hierarchies); i++)
		if (read_line(process->pid, "cgroup", hierarchies[i], line, sizeof(line)) &&
		    unit_of_cgroup(strstr(line, hierarchies[i]) + strlen(hierarchies[i]) - 1, process->unit))
			return;
	*process->unit = '\0';
}

/* The 22nd field of stat; the second may hold anything, in brackets. */
static uint64_t start_of(uint32_t pid)
{
	char line[1024];
	const char *field = read_line(pid, "stat", ")", line, sizeof(line)) ? strrchr(line, ')') : NULL;

	for (unsigned i = 0; field && i < 20; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field, NULL, 10) : 0;
}

static struct error *look_at_process(struct look *look, uint32_t pid)
{
	struct stale_process process = {.pid = pid};
	struct error *error = look_at_maps(look, &process);

	look->n_processes++;
	if (error || !process.file) {
		free(process.file);
		return error;
	}
	look->n_stale++;
	if (look->n_found == STALE_MAX) {
		free(process.file);
		return NULL;
	}
	process.start_ticks = start_of(pid);
	if (!read_line(pid, "comm", "", process.name, sizeof(process.name)))
		*process.name = '\0';
	find_unit(&process);
	error = array_room(&look->found, look->n_found, sizeof(*look->found));
	if (error)
		free(process.file);
	else
		look->found[look->n_found++] = process;
	return error;
}

static void forget_found(struct look *look)
{
	for (size_t i = 0; i < look->n_found; i++)
		free(look->found[i].file);
	free(take_ptr(look->found));
	look->n_found = look->n_stale = look->n_processes = 0;
}

static struct error *look_at_all(struct look *look)
{
	_cleanup_(closedir_ptr) DIR *proc = opendir("/proc");
	struct error *error = NULL;
	struct dirent *entry;

	if (!proc)
		return error_system(errno, "/proc", "cannot read");
	while (!error && (entry = readdir(proc))) {
		char *end;
		unsigned long pid = strtoul(entry->d_name, &end, 10);

		if (pid && pid <= UINT32_MAX && !*end)
			error = look_at_process(look, (uint32_t)pid);
	}
	return error;
}

static bool init_is_stale(const struct look *look)
{
	for (size_t i = 0; i < look->n_found; i++)
		if (look->found[i].pid == 1)
			return true;
	return false;
}

static void say_process(const struct look *look, const struct stale_process *process)
{
	struct event event;

	event_begin(&event, "stale");
	event_number(&event, "pid", process->pid);
	event_number(&event, "start_ticks", process->start_ticks);
	event_string(&event, "name", process->name);
	event_string(&event, "unit", *process->unit ? process->unit : NULL);
	event_string(&event, "file", process->file);
	event_number(&event, "files", process->files);
	if (process->earlier)
		event_number(&event, "earlier", 1);
	event_write(&event, look->t->report_fd);
}

static void say_all(const struct look *look)
{
	struct event event;

	for (size_t i = 0; i < look->n_found; i++)
		say_process(look, &look->found[i]);
	event_begin(&event, "looked");
	event_number(&event, "processes", look->n_processes);
	event_number(&event, "stale", look->n_stale);
	event_write(&event, look->t->report_fd);
}

/* Whether pid 1 was asked to execute itself anew. */
static bool expects_reexec(const struct transaction *t)
{
	for (size_t i = 0; i < t->payload.actions.n; i++) {
		const char *verb = t->payload.actions.items[i].verb;

		if (verb && !strcmp(verb, "daemon-reexec"))
			return !t->no_actions;
	}
	return false;
}

void transaction_report_stale(struct transaction *t)
{
	struct look look = {.t = t};
	struct error *error = list_old(&look);

	if (!error)
		error = look_at_all(&look);
	for (unsigned i = 1; !error && i < INIT_LOOKS && expects_reexec(t) && init_is_stale(&look); i++) {
		nanosleep(&(struct timespec){.tv_nsec = INIT_PAUSE_NS}, NULL);
		forget_found(&look);
		error = look_at_all(&look);
	}
	if (!error)
		say_all(&look);
	else
		event_note(t->report_fd, "/proc", "cannot tell who uses old files: %s", error->message);
	error_destroy(error);
	forget_found(&look);
	room_destroy(look.old);
}
