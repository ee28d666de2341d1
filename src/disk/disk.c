/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/disk.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "disk/coherent.h"
#include "disk/private.h"

struct error *disk_private_namespace(void)
{
	if (unshare(CLONE_NEWNS) < 0)
		return error_remedy(error_system(errno, NULL, "make a private mount namespace"), "run as root");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_system(errno, "/", "keep mounts from spreading");
	return NULL;
}

struct error *disk_way_parse(const char *word, enum disk_way *ret)
{
	static const char *const words[DISK_WAYS] = {"userspace", "kernel"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum disk_way)i;
			return NULL;
		}
	}
	return error_create(ERROR_USAGE, "\"%s\" is no way to read a disk: userspace or kernel", word);
}

struct error *disk_note(struct disk *disk, const char *format, ...)
{
	va_list arguments;
	char *text;
	int n;

	if (disk->n_notes == DISK_NOTES_MAX)
		return NULL;
	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0)
		return error_no_memory();
	disk->notes[disk->n_notes++] = text;
	return NULL;
}

struct volume *disk_volume(struct disk *disk, const struct partition *partition)
{
	for (size_t i = 0; i < disk->n_volumes; i++)
		if (disk->volumes[i].fs.partition == partition)
			return &disk->volumes[i];
	return NULL;
}

static struct error *make_one(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_system(errno, path, "create directory");
	return NULL;
}

struct error *disk_make_directory(struct disk *disk, const char *name, size_t number, char **ret)
{
	_cleanup_(free_ptr) char *parent = string_format("%s/%s", disk->run_dir, name);
	_cleanup_(free_ptr) char *path = string_format("%s/%s/%zu", disk->run_dir, name, number);
	struct error *error;

	if (!parent || !path)
		return error_no_memory();
	error = make_one(parent);
	if (!error)
		error = make_one(path);
	if (!error)
		*ret = take_ptr(path);
	return error;
}

struct error *disk_mount_entry(struct volume *volume, const struct fstab_entry *entry, const char *path)
{
	_cleanup_(free_ptr) char *subvolume = NULL;
	_cleanup_(free_ptr) char *subvolume_id = NULL;
	struct error *error;

	error = fstab_option_value(entry, "subvol", &subvolume);
	if (!error)
		error = fstab_option_value(entry, "subvolid", &subvolume_id);
	if (!error)
		error = file_system_mount(&volume->fs, subvolume, subvolume_id, path);
	return error;
}

/* A tmpfs, so that not even directories stay behind when the process is killed. */
static struct error *make_run_dir(struct disk *disk, const char *work_dir)
{
	_cleanup_(free_ptr) char *absolute = realpath(work_dir, NULL);
	_cleanup_(free_ptr) char *path = NULL;

	if (!absolute)
		return error_system(errno, work_dir, "find the working directory");
	path = string_format("%s/disk.XXXXXX", absolute);
	if (!path)
		return error_no_memory();
	if (!mkdtemp(path))
		return error_system(errno, path, "create directory");
	disk->run_dir = take_ptr(path);
	if (mount("tmpfs", disk->run_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700,size=1m") < 0)
		return error_system(errno, disk->run_dir, "mount a tmpfs");
	disk->run_dir_mounted = true;
	return NULL;
}

static struct error *open_storage(struct disk *disk, const struct disk_options *options)
{
	struct disk_file *files;
	struct error *error;
	struct stat st;
	size_t n;

	error = disk_files(options->path, options->format, &files, &n);
	if (error)
		return error;
	error = make_run_dir(disk, options->work_dir);
	if (!error)
		error = storage_open(files, n, options->work_dir, disk->run_dir, &disk->storage);
	disk_files_free(files, n);
	if (error)
		return error;
	if (fstat(storage_fd(disk->storage), &st) < 0)
		return error_system(errno, options->path, "read the size of");
	return partition_list_read(storage_fd(disk->storage), (uint64_t)st.st_size, options->path, &disk->partitions);
}

/* A volume that fails is only a problem if it is needed. */
static struct error *open_volume(struct disk *disk, const struct partition *partition,
				 const struct disk_options *wanted)
{
	const struct file_system_options options = {
		.disk_fd = storage_fd(disk->storage),
		.disk_path = storage_path(disk->storage),
		.run_dir = disk->run_dir,
		.partition = partition,
		.memory = wanted->memory,
		.way = wanted->way,
	};
	struct volume *volume = &disk->volumes[disk->n_volumes];
	struct error *error;
	char *path;

	volume->fs.loop_fd = volume->fs.image_fd = -1;
	disk->n_volumes++;
	error = disk_make_directory(disk, "volumes", disk->n_volumes, &path);
	if (error)
		return error;
	volume->problem = file_system_open(&options, &volume->fs);
	if (!volume->problem)
		volume->problem = file_system_mount(&volume->fs, NULL, NULL, path);
	if (volume->problem)
		free(path);
	else
		volume->path = path;
	return NULL;
}

/* Once for the disk: who trusts its guest for one file system trusts it. */
static struct error *note_kernel(struct disk *disk, enum disk_way way)
{
	const struct partition *partition;
	char name[PARTITION_NAME_SIZE];
	size_t i = 0;

	while (i < disk->n_volumes && (disk->volumes[i].problem || file_system_in_userspace(&disk->volumes[i].fs)))
		i++;
	if (way == DISK_WAY_KERNEL || i == disk->n_volumes)
		return NULL;
	partition = disk->volumes[i].fs.partition;
	return disk_note(disk, "%s (%s) is mounted by the host's kernel: only ext2 to ext4 are read in userspace",
			 partition_name(partition, name), partition->type);
}

static struct error *open_volumes(struct disk *disk, const struct disk_options *options)
{
	struct error *error = NULL;

	disk->volumes = calloc(disk->partitions.n, sizeof(*disk->volumes));
	if (!disk->volumes)
		return error_no_memory();
	for (size_t i = 0; !error && i < disk->partitions.n; i++) {
		const struct partition *partition = &disk->partitions.items[i];
		char name[PARTITION_NAME_SIZE];

		partition_name(partition, name);
		if (partition->kind == PARTITION_FILE_SYSTEM)
			error = open_volume(disk, partition, options);
		else if (partition->kind == PARTITION_ESP)
			error = disk_note(disk, "the EFI system partition, %s, is left alone", name);
		else if (partition->kind == PARTITION_CONTAINER)
			error = disk_note(disk, "%s (%s) is not looked into", name, partition->type);
	}
	return error ? error : note_kernel(disk, options->way);
}

static struct error *open_steps(struct disk *disk, const struct disk_options *options)
{
	struct disk_root_choice root = {0};
	struct error *error;

	error = open_storage(disk, options);
	if (!error)
		error = open_volumes(disk, options);
	if (!error && options->memory && disk_has_live_root(disk, options->memory)) {
		error = disk_mount_live(disk, options->memory);
		return error_wrap(error, "disk %s", options->path);
	}
	if (!error && options->memory && options->memory->mounts->n > 0)
		error = disk_note(disk, "the root that memory tells of is not on this disk: /etc/fstab decides");
	if (!error)
		error = disk_find_root(disk, &root);
	if (!error)
		error = disk_mount_all(disk, &root);
	fstab_deinit(&root.fstab);
	return error_wrap(error, "disk %s", options->path);
}

struct error *disk_open(const struct disk_options *options, struct disk **ret)
{
	_cleanup_(disk_close_ptr) struct disk *disk = calloc(1, sizeof(*disk));
	struct error *error;

	if (!disk)
		return error_no_memory();
	disk->root_fd = -1;
	disk->notes = calloc(DISK_NOTES_MAX, sizeof(*disk->notes));
	if (!disk->notes)
		return error_no_memory();
	error = open_steps(disk, options);
	if (error)
		return error;
	*ret = take_ptr(disk);
	return NULL;
}

int disk_root(const struct disk *disk)
{
	return disk->root_fd;
}

const char *disk_image(const struct disk *disk)
{
	return storage_path(disk->storage);
}

const struct disk_mount *disk_mounts(const struct disk *disk, size_t *ret_n)
{
	*ret_n = disk->n_mounts;
	return disk->mounts;
}

struct error *disk_mount_shifted(struct disk *disk, size_t index, uint32_t base, uint32_t count, int *ret)
{
	const struct disk_mount *mount = &disk->mounts[index];
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error;
	size_t i = 0;

	while (i < disk->n_volumes && disk->volumes[i].fs.partition->start != mount->start)
		i++;
	if (i == disk->n_volumes || !file_system_in_userspace(&disk->volumes[i].fs)) {
		*ret = -1;
		return NULL;
	}
	error = disk_make_directory(disk, "shifted", i, &path);
	if (!error)
		error = file_system_mount_shifted(&disk->volumes[i].fs, base, count, path);
	return error ? error : disk_clone_directory(path, mount->root, ret);
}

const char *const *disk_notes(const struct disk *disk, size_t *ret_n)
{
	*ret_n = disk->n_notes;
	return (const char *const *)disk->notes;
}

static void free_mounts(struct disk *disk)
{
	for (size_t i = 0; i < disk->n_mounts; i++) {
		free(disk->mounts[i].target);
		free(disk->mounts[i].path);
		free(disk->mounts[i].type);
		free(disk->mounts[i].uuid);
		free(disk->mounts[i].options);
		free(disk->mounts[i].root);
	}
	free(disk->mounts);
}

static void free_volumes(struct disk *disk)
{
	for (size_t i = 0; i < disk->n_volumes; i++) {
		file_system_deinit(&disk->volumes[i].fs);
		disk_newer_deinit(&disk->volumes[i].fs.newer);
		error_destroy(disk->volumes[i].problem);
		free(disk->volumes[i].path);
	}
	free(disk->volumes);
}

/*
 * Detaching the tmpfs takes everything mounted below it along, at once where nobody uses it. The
 * loop devices then let go of the exported file, and only then the daemon is ended: a file system
 * should not lose its disk while it is mounted.
 */
void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	close_fd(&disk->root_fd);
	if (disk->run_dir_mounted)
		umount2(disk->run_dir, MNT_DETACH);
	free_volumes(disk);
	storage_close(disk->storage);
	if (disk->run_dir)
		rmdir(disk->run_dir);
	free(disk->run_dir);
	partition_list_deinit(&disk->partitions);
	free_mounts(disk);
	for (size_t i = 0; i < disk->n_notes; i++)
		free(disk->notes[i]);
	free(disk->notes);
	free(disk);
}
