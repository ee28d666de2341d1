/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the file systems is the guest's root. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "disk/private.h"

/* Roots that could be meant: partitions, and subvolumes at the top of a btrfs. */
#define CANDIDATES_MAX  64
/* Directory entries looked at on the top level of a btrfs. */
#define TOP_ENTRIES_MAX 1024

struct candidate {
	struct volume *volume;
	char *path; /* on the host; owned */
	struct fstab fstab;
	struct fstab_entry *entry; /* the line of "/", or NULL */
	bool is_root;
};

struct candidates {
	struct candidate items[CANDIDATES_MAX];
	size_t n;
};

static void candidates_deinit(struct candidates *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].path);
		fstab_deinit(&list->items[i].fstab);
	}
}

/* Is there anything of that name? Symlinks may point into file systems that are not mounted yet. */
static bool has_entry(int root_fd, const char *path)
{
	struct error *error;
	int fd = -1;

	error = io_open_in_root(root_fd, path, O_PATH | O_NOFOLLOW, &fd);
	error_destroy(error);
	close_fd(&fd);
	return !error;
}

static bool looks_like_root(const char *path)
{
	_cleanup_(close_fd) int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 && has_entry(fd, "etc/fstab") && has_entry(fd, "etc/os-release");
}

static struct error *add_candidate(struct candidates *list, struct volume *volume, const char *path)
{
	struct candidate *candidate = &list->items[list->n];

	if (list->n == CANDIDATES_MAX)
		return error_create(ERROR_UNSUPPORTED, "more than %d trees look like the guest's root", CANDIDATES_MAX);
	candidate->path = strdup(path);
	if (!candidate->path)
		return error_no_memory();
	candidate->volume = volume;
	list->n++;
	return NULL;
}

/* Installers put the root of a btrfs into a subvolume of the top level: "@", "@rootfs", "root". */
static struct error *add_subvolumes(struct disk *disk, struct volume *volume, struct candidates *list)
{
	_cleanup_(closedir_ptr) DIR *dir = NULL;
	_cleanup_(free_ptr) char *top = NULL;
	struct dirent *entry;
	struct error *error;

	error = disk_make_directory(disk, "tops", (size_t)(volume - disk->volumes), &top);
	if (!error)
		error = file_system_mount(&volume->fs, NULL, "5", top);
	if (error)
		return error;
	dir = opendir(top);
	if (!dir)
		return error_system(errno, top, "list the subvolumes in");
	for (int i = 0; !error && i < TOP_ENTRIES_MAX && (entry = readdir(dir)); i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/%s", top, entry->d_name);

		if (!path)
			return error_no_memory();
		if (entry->d_name[0] != '.' && looks_like_root(path))
			error = add_candidate(list, volume, path);
	}
	return error;
}

static struct error *collect(struct disk *disk, struct candidates *list)
{
	struct error *error = NULL;

	for (size_t i = 0; !error && i < disk->n_volumes; i++) {
		struct volume *volume = &disk->volumes[i];

		if (volume->problem)
			continue;
		if (looks_like_root(volume->path))
			error = add_candidate(list, volume, volume->path);
		else if (strcmp(volume->fs.partition->type, "btrfs") == 0)
			error = add_subvolumes(disk, volume, list);
	}
	return error;
}

static struct error *read_fstab(const char *root, struct fstab *ret)
{
	_cleanup_(close_fd) int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error;
	size_t size;

	if (fd < 0)
		return error_system(errno, root, "open");
	error = io_read_in_root(fd, "etc/fstab", FSTAB_SIZE_MAX, &text, &size);
	if (!error)
		error = fstab_parse(text, size, ret);
	return error;
}

/* The last line of "/" counts. The kernel's own names for its root say nothing. */
static struct fstab_entry *root_entry(struct fstab *fstab)
{
	static const char *const nameless[] = {"/dev/root", "rootfs", "none", "overlay"};
	struct fstab_entry *found = NULL;

	for (size_t i = 0; i < fstab->n; i++)
		if (strcmp(fstab->entries[i].target, "/") == 0)
			found = &fstab->entries[i];
	for (size_t i = 0; found && i < ARRAY_SIZE(nameless); i++)
		if (strcmp(found->source, nameless[i]) == 0)
			return NULL;
	return found;
}

static struct error *same_directory(const char *a, const char *b, bool *ret)
{
	struct stat x, y;

	if (stat(a, &x) < 0)
		return error_system(errno, a, "examine");
	if (stat(b, &y) < 0)
		return error_system(errno, b, "examine");
	/* Every btrfs subvolume has a device number of its own. */
	*ret = x.st_dev == y.st_dev && x.st_ino == y.st_ino;
	return NULL;
}

/* Does the candidate's own fstab say that "/" is this tree? Mounting what it says and looking is the surest answer. */
static struct error *check_candidate(struct disk *disk, struct candidate *candidate)
{
	_cleanup_(free_ptr) char *probe = NULL;
	const struct partition *partition;
	struct error *error;

	error = read_fstab(candidate->path, &candidate->fstab);
	if (error)
		return error;
	candidate->entry = root_entry(&candidate->fstab);
	if (!candidate->entry || fstab_find(candidate->entry, &disk->partitions, &partition) != FSTAB_MATCH_ONE ||
	    partition != candidate->volume->fs.partition)
		return NULL;
	error = disk_make_directory(disk, "probe", 0, &probe);
	if (error)
		return error;
	error = disk_mount_entry(candidate->volume, candidate->entry, probe);
	if (error) {
		error_destroy(error); /* a subvolume of that name is not here: not its root */
		return NULL;
	}
	error = same_directory(candidate->path, probe, &candidate->is_root);
	umount2(probe, MNT_DETACH);
	return error;
}

/* Names of partitions for a message: "partition 2 (LVM2_member), partition 3 (crypto_LUKS)". */
static void append_partition(char *text, size_t size, const struct partition *partition)
{
	char name[PARTITION_NAME_SIZE];
	size_t n = strlen(text);

	snprintf(text + n, size - n, "%s%s (%s)", n ? ", " : "", partition_name(partition, name),
		 partition->type ? partition->type : "several signatures");
}

/* Why there is none, by what was found: the most telling reason first. */
static struct error *no_root(struct disk *disk, struct candidates *list)
{
	char text[512] = "";

	if (list->n > 0) {
		const struct candidate *first = &list->items[0];

		append_partition(text, sizeof(text), first->volume->fs.partition);
		return error_create(ERROR_UNSUPPORTED, "%s looks like the root, but its /etc/fstab says that / is %s",
				    text, first->entry ? first->entry->source : "elsewhere");
	}
	for (size_t i = 0; i < disk->partitions.n; i++)
		if (disk->partitions.items[i].kind == PARTITION_CONTAINER ||
		    disk->partitions.items[i].kind == PARTITION_AMBIGUOUS)
			append_partition(text, sizeof(text), &disk->partitions.items[i]);
	if (text[0])
		return error_create(ERROR_UNSUPPORTED, "the guest's root is inside of %s, which is not supported",
				    text);
	for (size_t i = 0; i < disk->n_volumes; i++)
		if (disk->volumes[i].problem)
			return take_ptr(disk->volumes[i].problem);
	return error_create(ERROR_UNSUPPORTED, "no file system of the disk holds /etc/fstab and /etc/os-release");
}

static struct error *several_roots(const struct candidates *list)
{
	char text[512] = "";

	for (size_t i = 0; i < list->n; i++)
		if (list->items[i].is_root)
			append_partition(text, sizeof(text), list->items[i].volume->fs.partition);
	return error_create(ERROR_UNSUPPORTED, "several file systems are roots: %s", text);
}

/* A lone system without a line for "/" (the kernel's command line says it all): make one up. */
static struct error *add_root_entry(struct candidate *candidate)
{
	struct fstab *fstab = &candidate->fstab;
	struct fstab_entry *entries = reallocarray(fstab->entries, fstab->n + 1, sizeof(*entries));
	struct fstab_entry *entry;

	if (!entries)
		return error_no_memory();
	fstab->entries = entries;
	entry = &entries[fstab->n++];
	*entry = (struct fstab_entry){strdup("/dev/root"), strdup("/"), strdup("auto"), strdup("defaults")};
	if (!entry->source || !entry->target || !entry->type || !entry->options)
		return error_no_memory();
	candidate->entry = entry;
	candidate->is_root = true;
	return NULL;
}

static struct error *choose(struct disk *disk, struct candidates *list, struct candidate **ret)
{
	struct candidate *found = NULL;
	struct error *error;
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		error = check_candidate(disk, &list->items[i]);
		if (error)
			return error;
		if (list->items[i].is_root) {
			found = &list->items[i];
			n++;
		}
	}
	if (n > 1)
		return several_roots(list);
	if (n == 0 && list->n == 1 && !list->items[0].entry) {
		found = &list->items[0];
		error = add_root_entry(found);
		if (error)
			return error;
	}
	if (!found)
		return no_root(disk, list);
	*ret = found;
	return NULL;
}

/* The top levels of btrfs were for looking only. */
static void drop_tops(struct disk *disk)
{
	for (size_t i = 0; i < disk->n_volumes; i++) {
		_cleanup_(free_ptr) char *path = string_format("%s/tops/%zu", disk->run_dir, i);

		if (path)
			umount2(path, MNT_DETACH); /* most have none */
	}
}

struct error *disk_find_root(struct disk *disk, struct disk_root_choice *ret)
{
	_cleanup_(candidates_deinit) struct candidates list = {0};
	struct candidate *found = NULL;
	struct error *error;

	error = collect(disk, &list);
	if (!error)
		error = choose(disk, &list, &found);
	drop_tops(disk);
	if (error)
		return error;
	ret->volume = found->volume;
	ret->fstab = found->fstab;
	ret->entry = found->entry;
	found->fstab = (struct fstab){0};
	return NULL;
}
