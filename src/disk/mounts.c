/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest's fstab mounts, each by itself and all as one tree. */
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "disk/private.h"

/* A line of fstab that will be mounted. */
struct planned {
	const struct fstab_entry *entry; /* borrowed */
	struct volume *volume;
};

struct plan {
	struct planned items[DISK_MOUNTS_MAX];
	size_t n;
};

/*
 * Directories an update writes to: leaving out what the guest mounts there would change the
 * directory below the mount instead. Data may be left out: nothing of a package is there.
 */
bool disk_is_essential(const char *target)
{
	static const char *const exact[] = {
		"/",          "/bin",     "/boot",         "/etc",         "/opt",     "/sbin", "/var",
		"/var/cache", "/var/lib", "/var/lib/dpkg", "/var/lib/rpm", "/var/log", "/root"};

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (strcmp(target, exact[i]) == 0)
			return true;
	return strncmp(target, "/usr", 4) == 0 || strncmp(target, "/lib", 4) == 0 || strncmp(target, "/etc/", 5) == 0;
}

/* What is not mounted: a note, or an error where an update needs it. */
static struct error *leave_out(struct disk *disk, const struct fstab_entry *entry, const char *reason)
{
	if (disk_is_essential(entry->target))
		return error_create(ERROR_UNSUPPORTED, "the guest mounts %s on %s, but %s", entry->source,
				    entry->target, reason);
	return disk_note(disk, "%s on %s is left out: %s", entry->source, entry->target, reason);
}

/* A later line for the same place hides the earlier one. */
static struct error *add_planned(struct plan *plan, const struct fstab_entry *entry, struct volume *volume)
{
	size_t i = 0;

	while (i < plan->n && strcmp(plan->items[i].entry->target, entry->target) != 0)
		i++;
	if (i == DISK_MOUNTS_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest's /etc/fstab mounts more than %d file systems",
				    DISK_MOUNTS_MAX);
	plan->items[i] = (struct planned){entry, volume};
	if (i == plan->n)
		plan->n++;
	return NULL;
}

static struct error *plan_partition(struct disk *disk, const struct fstab_entry *entry,
				    const struct partition *partition, struct plan *plan)
{
	_cleanup_(free_ptr) char *reason = NULL;
	char name[PARTITION_NAME_SIZE];
	struct volume *volume;

	partition_name(partition, name);
	switch (partition->kind) {
	case PARTITION_FILE_SYSTEM:
		volume = disk_volume(disk, partition);
		if (!volume->problem)
			return add_planned(plan, entry, volume);
		if (disk_is_essential(entry->target))
			return take_ptr(volume->problem);
		return leave_out(disk, entry, volume->problem->message);
	case PARTITION_ESP:
		return leave_out(disk, entry, "the EFI system partition is left alone");
	case PARTITION_SWAP:
	case PARTITION_CONTAINER:
	case PARTITION_OTHER:
		reason = string_format("%s is %s, which is not supported", name, partition->type);
		break;
	case PARTITION_EMPTY:
		reason = string_format("%s holds nothing that is recognised", name);
		break;
	case PARTITION_AMBIGUOUS:
		reason = string_format("%s has the signatures of several file systems", name);
		break;
	}
	return reason ? leave_out(disk, entry, reason) : error_no_memory();
}

static struct error *plan_entry(struct disk *disk, const struct fstab_entry *entry, struct plan *plan)
{
	const char *skip = fstab_skip_reason(entry);
	const struct partition *partition;

	if (skip)
		return disk_note(disk, "%s on %s is ignored: %s", entry->source, entry->target, skip);
	if (fstab_has_option(entry, "bind") || fstab_has_option(entry, "rbind"))
		return leave_out(disk, entry, "bind mounts are not supported");
	switch (fstab_find(entry, &disk->partitions, &partition)) {
	case FSTAB_MATCH_NONE:
		return leave_out(disk, entry, "it is not on this disk");
	case FSTAB_MATCH_SEVERAL:
		return leave_out(disk, entry, "several partitions answer to that name");
	case FSTAB_MATCH_ONE:
		break;
	}
	return plan_partition(disk, entry, partition, plan);
}

static int depth(const char *target)
{
	int n = 0;

	for (const char *p = target; *p; p++)
		n += *p == '/' && p[1];
	return n;
}

static int compare_planned(const void *a, const void *b)
{
	const struct planned *x = a, *y = b;
	int d = depth(x->entry->target) - depth(y->entry->target);

	return d ? d : strcmp(x->entry->target, y->entry->target);
}

static struct error *make_plan(struct disk *disk, const struct disk_root_choice *root, struct plan *plan)
{
	struct error *error = add_planned(plan, root->entry, root->volume);

	for (size_t i = 0; !error && i < root->fstab.n; i++)
		if (strcmp(root->fstab.entries[i].target, "/") != 0)
			error = plan_entry(disk, &root->fstab.entries[i], plan);
	if (!error)
		qsort(plan->items, plan->n, sizeof(plan->items[0]), compare_planned);
	return error;
}

/* Where the guest would mount it: symlinks followed inside the tree so far. NULL in *ret: there is no such directory.
 */
static struct error *resolve_target(struct disk *disk, const char *target, int *ret_fd, char **ret)
{
	_cleanup_(close_fd) int fd = -1;
	char link[64], path[4096 + 1], root[4096 + 1];
	struct error *error;
	ssize_t n, m;

	error = io_open_in_root(disk->root_fd, target, O_PATH | O_DIRECTORY, &fd);
	if (error && error->code != ERROR_NOT_FOUND && error->errnum != ENOTDIR && error->errnum != ELOOP)
		return error;
	if (error) {
		error_destroy(error);
		return NULL;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", disk->root_fd);
	m = readlink(link, root, sizeof(root) - 1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || m < 0)
		return error_system(errno, link, "read");
	path[n] = 0;
	if (n <= m || memcmp(path, root, (size_t)m) != 0 || path[m] != '/')
		return error_create(ERROR_UNSUPPORTED, "the mount point %s leads to the guest's root", target);
	*ret = strdup(path + m);
	if (!*ret)
		return error_no_memory();
	*ret_fd = take_fd(fd);
	return NULL;
}

/* A place that an earlier mount is on, or that hides an earlier one, is no tree. */
static struct error *check_place(const struct disk *disk, const char *target)
{
	size_t length = strlen(target);

	for (size_t i = 1; i < disk->n_mounts; i++) {
		const char *other = disk->mounts[i].target;

		if (strncmp(other, target, length) == 0 && (other[length] == 0 || other[length] == '/'))
			return error_create(ERROR_UNSUPPORTED, "the guest's /etc/fstab mounts %s over %s", target,
					    other);
	}
	return NULL;
}

/* Puts a copy of the mount at `path` onto the directory `target_fd`. */
static struct error *bind(const char *path, int target_fd)
{
	_cleanup_(close_fd) int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0 || move_mount(tree, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_system(errno, path, "build the guest's tree");
	return NULL;
}

/* What is the same whoever says what is mounted. Takes `target`. */
static struct error *append_mount(struct disk *disk, const struct file_system *fs, char *target, const char *path,
				  const char *options, const char *root)
{
	struct disk_mount *mount = &disk->mounts[disk->n_mounts++];

	mount->target = target;
	mount->path = strdup(path);
	mount->type = strdup(fs->partition->type);
	mount->uuid = strdup(fs->partition->uuid ? fs->partition->uuid : "");
	mount->options = strdup(options);
	mount->root = strdup(root);
	mount->start = fs->partition->start;
	mount->ext4_mount_count = fs->ext4_mount_count;
	mount->ext4_mount_time_s = fs->ext4_mount_time_s;
	mount->unmounted = fs->unmounted;
	mount->newer = fs->has_newer ? &fs->newer : NULL;
	return target && mount->path && mount->type && mount->uuid && mount->options && mount->root ? NULL
												    : error_no_memory();
}

/* Takes `target`. */
static struct error *add_mount(struct disk *disk, const struct planned *planned, char *target, const char *path)
{
	return append_mount(disk, &planned->volume->fs, target, path, planned->entry->options, "/");
}

struct error *disk_add_live(struct disk *disk, const struct file_system *fs, const struct guest_mount *mount,
			    const char *path)
{
	struct error *error = append_mount(disk, fs, strdup(mount->target), path, mount->options, mount->root);

	disk->mounts[disk->n_mounts - 1].major = mount->major;
	disk->mounts[disk->n_mounts - 1].minor = mount->minor;
	return error;
}

static struct error *mount_root(struct disk *disk, const struct planned *planned)
{
	_cleanup_(free_ptr) char *path = NULL;
	_cleanup_(free_ptr) char *root = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct error *error;

	error = disk_make_directory(disk, "mounts", 0, &path);
	if (!error)
		error = disk_make_directory(disk, "root", 0, &root);
	if (!error)
		error = disk_mount_entry(planned->volume, planned->entry, path);
	if (error)
		return error;
	fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, root, "open");
	error = bind(path, fd);
	if (error)
		return error;
	/* Again: the descriptor of before is of the directory below the mount. */
	disk->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (disk->root_fd < 0)
		return error_system(errno, root, "open");
	return add_mount(disk, planned, strdup("/"), path);
}

static struct error *mount_below(struct disk *disk, const struct planned *planned)
{
	_cleanup_(free_ptr) char *target = NULL;
	_cleanup_(free_ptr) char *path = NULL;
	_cleanup_(close_fd) int target_fd = -1;
	struct error *error;

	error = resolve_target(disk, planned->entry->target, &target_fd, &target);
	if (error)
		return error;
	if (!target)
		return leave_out(disk, planned->entry, "there is no such directory");
	error = check_place(disk, target);
	if (!error)
		error = disk_make_directory(disk, "mounts", disk->n_mounts, &path);
	if (!error)
		error = disk_mount_entry(planned->volume, planned->entry, path);
	if (!error)
		error = bind(path, target_fd);
	return error ? error : add_mount(disk, planned, take_ptr(target), path);
}

/* The first mounts have done their work: what is still needed is mounted in its place. */
void disk_drop_volumes(struct disk *disk)
{
	for (size_t i = 0; i < disk->n_volumes; i++) {
		if (disk->volumes[i].path)
			umount2(disk->volumes[i].path, MNT_DETACH);
		file_system_release(&disk->volumes[i].fs);
	}
}

struct error *disk_mount_all(struct disk *disk, const struct disk_root_choice *root)
{
	_cleanup_(free_ptr) struct plan *plan = calloc(1, sizeof(*plan));
	struct error *error;

	disk->mounts = calloc(DISK_MOUNTS_MAX, sizeof(*disk->mounts));
	if (!plan || !disk->mounts)
		return error_no_memory();
	error = make_plan(disk, root, plan);
	if (!error)
		error = mount_root(disk, &plan->items[0]);
	for (size_t i = 1; !error && i < plan->n; i++)
		error = mount_below(disk, &plan->items[i]);
	if (!error)
		disk_drop_volumes(disk);
	return error;
}
