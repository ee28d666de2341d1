/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/filesystem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cursor.h"
#include "base/io.h"
#include "base/process.h"
#include "disk/coherent.h"
#include "disk/ext4/ext4.h"
#include "disk/journal.h"
#include "disk/private.h"

/* Others take free loop devices as well; every lost race costs one turn. */
#define LOOP_ATTEMPTS       64

/* The ext2 superblock and the fields we read (fs/ext4/ext4.h). */
#define EXT_SUPERBLOCK      1024
#define EXT_SUPERBLOCK_SIZE 1024
#define EXT_MTIME           0x2c  /* le32 */
#define EXT_MOUNT_COUNT     0x34  /* le16 */
#define EXT_STATE           0x3a  /* le16; bit 0: unmounted, of one without a journal */
#define EXT_INCOMPATIBLE    0x60  /* le32 */
#define EXT_NEEDS_RECOVERY  0x4u  /* of it: mounted for writing, and not unmounted since */
#define EXT_MTIME_HIGH      0x274 /* u8, bits 32 to 39 */

/* The btrfs superblock (fs/btrfs/ctree.h). */
#define BTRFS_SUPERBLOCK    65536
#define BTRFS_LOG_ROOT      0x60 /* le64; not 0: a log tree that the next mount replays */
#define BTRFS_NUM_DEVICES   0x88 /* le64 */

/* Of one question to the reader. */
#define READ_AHEAD_KIB      "1024"
/* A reader ends by itself when its last mount is gone. */
#define READER_GRACE_MS     1000

static bool is_ext(const struct partition *partition)
{
	return strncmp(partition->type, "ext", 3) == 0;
}

static int try_attach(const struct loop_config *config, char *device, size_t size)
{
	_cleanup_(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_(close_fd) int fd = -1;
	int number;

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	if (number < 0)
		return -1;
	snprintf(device, size, "/dev/loop%d", number);
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_CONFIGURE, config) < 0)
		return -1;
	return take_fd(fd);
}

/* The device lets go of the disk when its last opener or mount does, however our process ends. */
static struct error *attach(int disk_fd, const struct partition *partition, struct file_system *fs)
{
	struct loop_config config = {
		.fd = (uint32_t)disk_fd,
		.info =
			{
				.lo_offset = partition->start,
				.lo_sizelimit = partition->size,
				.lo_flags = LO_FLAGS_AUTOCLEAR,
			},
	};

	for (int i = 0; i < LOOP_ATTEMPTS; i++) {
		fs->loop_fd = try_attach(&config, fs->device, sizeof(fs->device));
		if (fs->loop_fd >= 0)
			return NULL;
		if (errno != EBUSY)
			break;
	}
	return error_system(errno, NULL, "attach a loop device");
}

static struct error *read_ext(struct file_system *fs)
{
	uint8_t buffer[EXT_SUPERBLOCK_SIZE], high;
	struct cursor c = cursor_init(buffer, sizeof(buffer), fs->device);
	struct error *error;
	uint16_t count, state;
	uint32_t low, features;

	error = io_pread(fs->loop_fd, buffer, sizeof(buffer), EXT_SUPERBLOCK, fs->device);
	if (!error)
		error = cursor_seek(&c, EXT_MTIME);
	if (!error)
		error = cursor_le32(&c, &low);
	if (!error)
		error = cursor_seek(&c, EXT_MOUNT_COUNT);
	if (!error)
		error = cursor_le16(&c, &count);
	if (!error)
		error = cursor_seek(&c, EXT_STATE);
	if (!error)
		error = cursor_le16(&c, &state);
	if (!error)
		error = cursor_seek(&c, EXT_INCOMPATIBLE);
	if (!error)
		error = cursor_le32(&c, &features);
	if (!error)
		error = cursor_seek(&c, EXT_MTIME_HIGH);
	if (!error)
		error = cursor_u8(&c, &high);
	if (error)
		return error;
	fs->ext4_mount_count = count;
	fs->ext4_mount_time_s = (uint64_t)high << 32 | low;
	fs->unmounted = (state & 1) && !(features & EXT_NEEDS_RECOVERY) ? DISK_UNMOUNTED_YES : DISK_UNMOUNTED_NO;
	return NULL;
}

/*
 * The kernel would replay as well, but e2fsck also clears the orphans (files unlinked while open)
 * and knows damage that the kernel believes. debugfs's replay fails on journals that are fine.
 */
static struct error *replay_ext(const struct file_system *fs)
{
	const char *argv[] = {"e2fsck", "-p", "-E", "journal_only", fs->device, NULL};
	const struct process_options options = {.argv = argv, .die_with_parent = true};
	struct process_result result = {0};
	struct error *error;

	journal_read_ahead(fs->loop_fd, fs->device);
	error = process_run(&options, 0, &result);
	if (error)
		return error;
	/* 1: something was replayed; 2 would be: reboot the host, as after work on a mounted root. */
	if (result.status > 1) {
		const char *text = result.errors[0] ? result.errors : result.output;

		error = error_create(ERROR_FORMAT, "the journal cannot be replayed (e2fsck status %d): %.*s",
				     result.status, (int)strcspn(text, "\n"), text);
		error = error_remedy(error, "let the guest check its file system");
	}
	process_result_deinit(&result);
	return error;
}

/* A btrfs over several devices would be mounted from whatever the host's kernel thinks are the others. */
static struct error *check_btrfs(struct file_system *fs)
{
	uint8_t buffer[BTRFS_NUM_DEVICES + 8];
	struct cursor c = cursor_init(buffer, sizeof(buffer), fs->device);
	uint64_t n, log_root;
	struct error *error;

	error = io_pread(fs->loop_fd, buffer, sizeof(buffer), BTRFS_SUPERBLOCK, fs->device);
	if (!error)
		error = cursor_seek(&c, BTRFS_LOG_ROOT);
	if (!error)
		error = cursor_le64(&c, &log_root);
	if (!error)
		error = cursor_seek(&c, BTRFS_NUM_DEVICES);
	if (!error)
		error = cursor_le64(&c, &n);
	if (error)
		return error;
	if (log_root)
		fs->unmounted = DISK_UNMOUNTED_NO;
	if (n != 1)
		return error_create(ERROR_UNSUPPORTED, "btrfs over %" PRIu64 " devices is not supported", n);
	return NULL;
}

/*
 * Memory of another disk, or of this one at another time, is left to those who compare the mounts of all file systems:
 * they say it better.
 */
static bool is_same_mount(const struct file_system *fs, const struct guest_file_system *system)
{
	return system->has_ext4 && system->ext4_mount_count == fs->ext4_mount_count &&
	       system->ext4_mount_time_s == fs->ext4_mount_time_s;
}

static struct error *open_ext(struct file_system *fs, const struct disk_memory *memory)
{
	const struct coherent_options options = {.device = fs->device,
						 .device_fd = fs->loop_fd,
						 .size = fs->partition->size,
						 .directory = fs->run_dir,
						 .keep = memory ? memory->keep : NULL};
	const struct guest_file_system *system = NULL;
	struct error *error = read_ext(fs);

	if (error)
		return error;
	if (memory && memory->guest && fs->unmounted == DISK_UNMOUNTED_NO)
		system = disk_find_system(memory, fs->partition);
	if (system && is_same_mount(fs, system)) {
		error = coherent_build(&options, memory->guest, system, &fs->newer);
		fs->has_newer = !error;
	}
	/* It has nothing left to replay then, but clears the files that are open without a name. */
	if (!error)
		error = replay_ext(fs);
	/* All went through the device, whose pages the disk below does not know. */
	if (!error && fsync(fs->loop_fd) < 0)
		error = error_system(errno, fs->device, "write back what was replayed on");
	return error;
}

struct error *file_system_open(const struct file_system_options *options, struct file_system *ret)
{
	const struct partition *partition = options->partition;
	char name[PARTITION_NAME_SIZE];
	struct error *error;

	ret->partition = partition;
	ret->way = options->way;
	ret->run_dir = options->run_dir;
	ret->image_fd = open(options->disk_path, O_RDONLY | O_CLOEXEC);
	if (ret->image_fd < 0)
		return error_system(errno, options->disk_path, "open the exported disk");
	error = attach(options->disk_fd, partition, ret);
	if (!error && is_ext(partition))
		error = open_ext(ret, options->memory);
	if (!error && strcmp(partition->type, "btrfs") == 0)
		error = check_btrfs(ret);
	return error_wrap(error, "%s (%s)", partition_name(partition, name), partition->type);
}

/* The kernel's own words about a mount that failed, from the context's log; "" if it has none. */
static void mount_message(int context, char *buffer, size_t size)
{
	ssize_t n = read(context, buffer, size - 1);

	if (n < 0)
		n = 0;
	buffer[n] = 0;
	buffer[strcspn(buffer, "\n")] = 0;
	/* "e text": a level and a blank come first. */
	if (n > 2 && buffer[1] == ' ')
		memmove(buffer, buffer + 2, strlen(buffer + 2) + 1);
}

static int set_options(int context, const struct file_system *fs, const char *subvolume, const char *subvolume_id)
{
	const char *type = fs->partition->type;

	if (fsconfig(context, FSCONFIG_SET_STRING, "source", fs->device, 0) < 0 ||
	    fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return -1;
	/* The superblock can ask for errors=panic, and it is the host that would. */
	if (is_ext(fs->partition))
		return fsconfig(context, FSCONFIG_SET_STRING, "errors", "continue", 0);
	/* A clone of the same file system may be mounted already: another VM on the same template. */
	if (strcmp(type, "xfs") == 0)
		return fsconfig(context, FSCONFIG_SET_FLAG, "nouuid", NULL, 0);
	if (subvolume && fsconfig(context, FSCONFIG_SET_STRING, "subvol", subvolume, 0) < 0)
		return -1;
	if (subvolume_id && fsconfig(context, FSCONFIG_SET_STRING, "subvolid", subvolume_id, 0) < 0)
		return -1;
	return 0;
}

static struct error *mount_by_kernel(const struct file_system *fs, const char *subvolume, const char *subvolume_id,
				     const char *path)
{
	const char *driver = is_ext(fs->partition) ? "ext4" : fs->partition->type;
	_cleanup_(close_fd) int context = fsopen(driver, FSOPEN_CLOEXEC);
	_cleanup_(close_fd) int mount_fd = -1;
	char name[PARTITION_NAME_SIZE], message[256] = "";

	partition_name(fs->partition, name);
	if (context < 0 && errno == ENODEV)
		return error_create(ERROR_UNSUPPORTED, "%s: the host's kernel does not know %s", name, driver);
	if (context < 0)
		return error_system(errno, NULL, "%s: open %s", name, driver);
	if (set_options(context, fs, subvolume, subvolume_id) == 0 &&
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount_fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	if (mount_fd < 0) {
		int saved = errno;

		mount_message(context, message, sizeof(message));
		return error_system(saved, NULL, "%s: mount %s%s%s", name, fs->partition->type, message[0] ? ": " : "",
				    message);
	}
	if (move_mount(mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, path, "%s: put the mount in its place", name);
	return NULL;
}

bool file_system_in_userspace(const struct file_system *fs)
{
	return fs->way == DISK_WAY_USERSPACE && is_ext(fs->partition);
}

/*
 * FUSE reads 128 KiB ahead, which is little where each question goes through two processes. Where it cannot be changed
 * (a container's /sys) reading is slower, and nothing else.
 */
static void read_ahead_more(const char *path)
{
	_cleanup_(free_ptr) char *setting = NULL;
	_cleanup_(close_fd) int fd = -1;
	struct stat st;

	/* The answer to this comes after the connection is set up, which sets the number, too. */
	if (stat(path, &st) < 0)
		return;
	setting = string_format("/sys/class/bdi/%u:%u/read_ahead_kb", major(st.st_dev), minor(st.st_dev));
	fd = setting ? open(setting, O_WRONLY | O_CLOEXEC) : -1;
	if (fd >= 0)
		(void)!write(fd, READ_AHEAD_KIB, strlen(READ_AHEAD_KIB));
}

static struct error *mount_reader(const struct file_system *fs, struct shift shift, const char *path, pid_t *ret)
{
	char name[PARTITION_NAME_SIZE];
	const struct ext4_mount_options options = {
		.disk_fd = fs->image_fd,
		.start = fs->partition->start,
		.size = fs->partition->size,
		.name = partition_name(fs->partition, name),
		.directory = fs->run_dir,
		.shift = shift,
	};
	_cleanup_(close_fd) int fd = -1;
	struct error *error = ext4_mount(&options, &fd, ret);

	if (error)
		return error_wrap(error, "%s (%s)", options.name, fs->partition->type);
	if (move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, path, "%s: put the mount in its place", options.name);
	read_ahead_more(path);
	return NULL;
}

/* All mounts of a file system are one to the kernel: a path leads to the same inode of the same device in each. */
static struct error *mount_copy(const struct file_system *fs, const char *path)
{
	_cleanup_(close_fd) int fd = -1;
	struct error *error = disk_clone_directory(fs->mounted_at, "/", &fd);

	if (!error && move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		error = error_system(errno, path, "put the mount in its place");
	return error;
}

struct error *file_system_mount(struct file_system *fs, const char *subvolume, const char *subvolume_id,
				const char *path)
{
	struct error *error;

	if (!file_system_in_userspace(fs))
		return mount_by_kernel(fs, subvolume, subvolume_id, path);
	if (fs->mounted_at)
		return mount_copy(fs, path);
	error = mount_reader(fs, (struct shift){0}, path, &fs->reader);
	if (error)
		return error;
	fs->mounted_at = strdup(path);
	return fs->mounted_at ? NULL : error_no_memory();
}

struct error *file_system_mount_shifted(struct file_system *fs, uint32_t base, uint32_t count, const char *path)
{
	if (fs->shifted_reader > 0)
		return NULL;
	return mount_reader(fs, (struct shift){.base = base, .count = count}, path, &fs->shifted_reader);
}

void file_system_release(struct file_system *fs)
{
	close_fd(&fs->loop_fd);
}

void file_system_deinit(struct file_system *fs)
{
	process_stop(&fs->reader, READER_GRACE_MS);
	process_stop(&fs->shifted_reader, READER_GRACE_MS);
	free(fs->mounted_at);
	close_fd(&fs->image_fd);
	close_fd(&fs->loop_fd);
}
