/* SPDX-License-Identifier: Apache-2.0 */
#include "update/live.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/deleted_file.h"
#include "base/io.h"
#include "base/log.h"

/* O_ACCMODE and its values as the guest's kernel has them: those of every Linux. */
bool live_is_written(const struct guest_fd *fd)
{
	return (fd->flags & O_ACCMODE) != O_RDONLY && fd->path && *fd->path == '/' && fd->inode &&
	       !is_deleted_file(fd->path);
}

bool live_is_mapped(const struct guest_map *map)
{
	return !map->anonymous && !map->kernel && map->perms[1] == 'w' && map->perms[3] == 's' && map->inode &&
	       *map->path == '/' && !is_deleted_file(map->path);
}

/* --- where it is on the disk --- */

/* `path` without the directory it is below: "a/b", "" for the directory itself. */
static const char *below(const char *path, const char *directory)
{
	const char *rest = directory[1] ? path + strlen(directory) : path;

	return rest + strspn(rest, "/");
}

/* The disk's mount a path of the guest lies on, and where in it: *ret_rest, to be freed. */
static struct error *find_place(const struct sleeping *s, const char *path, const struct disk_mount **ret,
				char **ret_rest)
{
	const struct guest_mount *mount = sleeping_mount_of(s, path);
	_cleanup_(free_ptr) char *inside = NULL;
	size_t n;
	const struct disk_mount *mounts = disk_mounts(s->disk, &n), *found = NULL;

	/* A bind mount shows a part of a file system elsewhere: by its device and what it begins with. */
	if (mount) {
		const char *rest = below(path, mount->target), *root = mount->root[1] ? mount->root : "";

		inside = string_format("%s%s%s", root, *rest ? "/" : "", rest);
		if (!inside)
			return error_no_memory();
	}
	for (size_t i = 0; i < n; i++) {
		const struct disk_mount *candidate = &mounts[i];
		bool fits = mount && (candidate->major || candidate->minor)
				    ? candidate->major == mount->major && candidate->minor == mount->minor &&
					      guest_path_below(inside, candidate->root)
				    : guest_path_below(path, candidate->target);

		if (fits && (!found || strlen(candidate->target) >= strlen(found->target)))
			found = candidate;
	}
	*ret = found;
	if (!found)
		return NULL;
	*ret_rest = strdup(mount && (found->major || found->minor) ? below(inside, found->root)
								   : below(path, found->target));
	return *ret_rest ? NULL : error_no_memory();
}

/* Whether the disk has a regular file of this number there. */
static struct error *is_on_disk(const struct sleeping *s, const char *path, uint64_t inode, const char **ret_mount)
{
	_cleanup_(close_fd) int root = -1, fd = -1;
	_cleanup_(free_ptr) char *rest = NULL;
	const struct disk_mount *mount = NULL;
	struct error *error = find_place(s, path, &mount, &rest);
	struct stat st;

	if (error || !mount || !*rest)
		return error;
	root = open(mount->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_system(errno, mount->target, "cannot open the guest's");
	error = io_open_in_root(root, rest, O_PATH, &fd);
	if (error) {
		/* No such file: memory is ahead of the disk, or it is a container's. */
		error_destroy(error);
		return NULL;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_ino == inode)
		*ret_mount = mount->target;
	return NULL;
}

/* --- the walk --- */

struct reading {
	const struct sleeping *sleeping;
	struct live *live;
	GHashTable *seen; /* files that were looked at: live_is_new() */
	unsigned n_gaps;  /* processes that are not known whole */
};

bool live_is_new(GHashTable *seen, const char *path, uint64_t inode)
{
	return g_hash_table_add(seen, g_strdup_printf("%llu %s", (unsigned long long)inode, path));
}

static struct error *add(struct reading *r, const struct guest_task *task, const char *path, uint64_t inode)
{
	struct live *live = r->live;
	const char *mount = NULL;
	struct shadow_live_file *made;
	struct error *error;

	/* What is seldom on a disk, and never travels. */
	if (live->n == LIVE_MAX || guest_path_below(path, "/dev") || guest_path_below(path, "/run") ||
	    guest_path_below(path, "/proc") || guest_path_below(path, "/sys") || guest_path_below(path, "/tmp") ||
	    !live_is_new(r->seen, path, inode))
		return NULL;
	error = is_on_disk(r->sleeping, path, inode, &mount);
	if (error || !mount)
		return error;
	error = array_room(&live->items, live->n, sizeof(*live->items));
	if (error)
		return error;
	made = &live->items[live->n++];
	*made = (struct shadow_live_file){
		.path = strdup(path),
		.inode = inode,
		.holder = string_format("%s (process %u)", task->comm, task->pid),
		.mount = mount,
	};
	return made->path && made->holder ? NULL : error_no_memory();
}

/* A gap is counted, no memory stays an error. A process that ended meanwhile holds nothing. */
static struct error *note_gap(struct reading *r, struct error *failure)
{
	if (!failure || failure->code == ERROR_NO_MEMORY)
		return failure;
	r->n_gaps += failure->code != ERROR_NOT_FOUND;
	error_destroy(failure);
	return NULL;
}

static struct error *read_files(struct reading *r, const struct guest_task *task)
{
	_cleanup_(guest_fd_list_deinit) struct guest_fd_list files = {0};
	struct error *error = note_gap(r, guest_task_fds(r->sleeping->guest, task->address, &files));

	if (!error)
		error = note_gap(r, take_ptr(files.incomplete));
	for (size_t i = 0; !error && i < files.n; i++)
		if (live_is_written(&files.items[i]))
			error = add(r, task, files.items[i].path, files.items[i].inode);
	return error;
}

static struct error *read_maps(struct reading *r, const struct guest_task *task)
{
	_cleanup_(guest_map_list_deinit) struct guest_map_list maps = {0};
	struct error *error = note_gap(r, guest_task_maps(r->sleeping->guest, task->address, &maps));

	if (!error)
		error = note_gap(r, take_ptr(maps.incomplete));
	for (size_t i = 0; !error && i < maps.n; i++)
		if (live_is_mapped(&maps.items[i]))
			error = add(r, task, maps.items[i].path, maps.items[i].inode);
	return error;
}

static int compare_inodes(const void *left, const void *right)
{
	const struct shadow_live_file *a = left, *b = right;

	return (a->inode > b->inode) - (a->inode < b->inode);
}

struct error *live_read(const struct sleeping *s, struct live *ret)
{
	_cleanup_(live_deinit) struct live live = {0};
	struct reading r = {.sleeping = s, .live = &live};
	struct error *error = NULL;

	if (!s->guest)
		return NULL;
	r.seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	guest_share_effort(s->guest, true);
	for (size_t i = 0; !error && i < s->processes.n; i++) {
		const struct guest_task *task = &s->processes.items[i];

		if (task->kernel_thread || !task->dumpable)
			continue;
		error = read_files(&r, task);
		if (!error)
			error = read_maps(&r, task);
	}
	guest_share_effort(s->guest, false);
	g_hash_table_destroy(r.seen);
	if (error)
		return error_wrap(error, "the files that processes hold open");
	if (r.n_gaps)
		log_warning("what files %u process%s open is not known whole: memory does not tell", r.n_gaps,
			    r.n_gaps == 1 ? " holds" : "es hold");
	if (live.n)
		qsort(live.items, live.n, sizeof(*live.items), compare_inodes);
	*ret = live;
	live = (struct live){0};
	return NULL;
}

void live_deinit(struct live *live)
{
	for (size_t i = 0; i < live->n; i++) {
		free((char *)live->items[i].path);
		free((char *)live->items[i].holder);
	}
	free(live->items);
	*live = (struct live){0};
}

/* --- changes --- */

/* Where the layer of a path is mounted; the root's has all that is in no other. */
static const char *layer_of(const struct change_layer *layers, size_t n_layers, const char *path)
{
	const char *found = "/";

	for (size_t i = 0; i < n_layers; i++) {
		const char *target = layers[i].target;
		size_t n = strlen(target) - 1;

		if (n && !strncmp(path, target + 1, n) && (!path[n] || path[n] == '/') &&
		    strlen(target) > strlen(found))
			found = target;
	}
	return found;
}

static bool is_before(const void *item, const void *key)
{
	const struct shadow_live_file *file = item;
	const uint64_t *inode = key;

	return file->inode < *inode;
}

static const struct shadow_live_file *find_inode(const struct live *live, const struct change_layer *layers,
						 size_t n_layers, const struct change *change)
{
	uint64_t inode = change->before.inode;
	const char *layer;

	if (!change->before.exists || !S_ISREG(change->before.attributes.mode))
		return NULL;
	layer = layer_of(layers, n_layers, change->path);
	for (size_t i = array_lower_bound(live->items, live->n, sizeof(*live->items), &inode, is_before);
	     i < live->n && live->items[i].inode == inode; i++)
		if (!strcmp(live->items[i].mount, layer))
			return &live->items[i];
	return NULL;
}

const struct shadow_live_file *live_hit(const struct live *live, const struct change_layer *layers, size_t n_layers,
					const struct change *change)
{
	if (change->kind == CHANGE_ATTRIBUTES)
		return NULL;
	for (size_t i = 0; change->kind == CHANGE_LINK && i < live->n; i++)
		if (!strcmp(live->items[i].path + 1, change->target))
			return &live->items[i];
	return find_inode(live, layers, n_layers, change);
}

const struct shadow_live_file *live_attributes(const struct live *live, const struct change_layer *layers,
					       size_t n_layers, const struct change *change)
{
	return change->kind == CHANGE_ATTRIBUTES ? find_inode(live, layers, n_layers, change) : NULL;
}
