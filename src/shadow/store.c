/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/store.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "shadow/devices.h"
#include "shadow/shadow.h"
#include "shadow/weaken.h"

/* What the host keeps of its free space: a sixteenth, and no more than this. */
#define RESERVE_MAX (UINT64_C(1) << 30)
/* Above, the file system would need features that cost. */
#define SIZE_MAX_   (UINT64_C(8) << 40)
/* From here on there is room for a journal. */
#define JOURNAL_MIN (UINT64_C(1) << 30)
#define MKFS_MS     60000

/* The name is there for a moment only, and only where the file system knows no unnamed files. */
static struct error *make_file(const char *directory, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/store", directory);
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (!path)
		return error_no_memory();
	if (fd < 0) {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return error_system(errno, directory, "cannot create a file for the changes in");
	*ret = fd;
	return NULL;
}

static struct error *choose_size(int fd, const char *directory, uint64_t max, uint64_t *ret)
{
	struct statvfs host;
	uint64_t available, reserve;

	if (fstatvfs(fd, &host) < 0)
		return error_system(errno, directory, "cannot ask for the free space of");
	available = (uint64_t)host.f_bavail * host.f_frsize;
	reserve = available / 16 < RESERVE_MAX ? available / 16 : RESERVE_MAX;
	available -= reserve;
	if (available > max)
		available = max;
	if (available > SIZE_MAX_)
		available = SIZE_MAX_;
	if (available < SHADOW_DISK_MIN_BYTES)
		return error_remedy(error_create(ERROR_FAILED, "%s: %llu KiB for the changes of the shadow are too few",
						 directory, (unsigned long long)(available >> 10)),
				    "make room there");
	*ret = available & ~UINT64_C(4095);
	return NULL;
}

/*
 * Nobody uses it after a crash, so that there are no checksums, and the journal guards no data. Without one, though,
 * ext4 gives no inode away again within seconds of its deletion, and looks at each of them again and again: a tenth of
 * what an upgrade takes. Tables of inodes and the journal are not written until they are used, so that an empty one
 * takes some hundred KiB. Extended attributes may be as long as those of xfs and btrfs.
 */
#define FEATURES                                                                                                       \
	"extent,filetype,sparse_super,flex_bg,uninit_bg,dir_index,dir_nlink,extra_isize,large_file,huge_file,ea_inode"

static struct error *make_file_system(int fd, bool journal)
{
	char path[32];
	const char *const argv[] = {"mkfs.ext4",
				    "-q",
				    "-F",
				    "-b",
				    "4096",
				    "-I",
				    "256",
				    "-i",
				    "8192",
				    "-m",
				    "0",
				    "-O",
				    journal ? "none,has_journal," FEATURES : "none," FEATURES,
				    "-E",
				    "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
				    path,
				    NULL};
	struct process_options options = {.argv = argv, .keep_fds = &fd, .n_keep_fds = 1, .die_with_parent = true};
	struct process_result result = {0};
	struct error *error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	error = process_run(&options, MKFS_MS, &result);
	if (!error && result.status != 0)
		error = error_create(ERROR_FAILED, "mkfs.ext4: %s", result.errors ? result.errors : "failed");
	process_result_deinit(&result);
	return error_remedy(error, "install e2fsprogs");
}

/* Metadata need not be safe every five seconds. */
static struct error *set_options(int fs, const char *source, bool journal)
{
	static const char *const flags[] = {"noinit_itable", "discard", "nobarrier"};
	static const char *const journal_options[][2] = {{"data", "writeback"}, {"commit", "300"}};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (fsconfig(fs, FSCONFIG_SET_FLAG, flags[i], NULL, 0) < 0)
			return error_system(errno, source, "cannot set mount option %s for", flags[i]);
	for (size_t i = 0; journal && i < ARRAY_SIZE(journal_options); i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, journal_options[i][0], journal_options[i][1], 0) < 0)
			return error_system(errno, source, "cannot set mount option %s for", journal_options[i][0]);
	return NULL;
}

static struct error *mount_device(const char *name, const char *directory, bool journal)
{
	_cleanup_(close_fd) int fs = fsopen("ext4", FSOPEN_CLOEXEC), mount = -1;
	struct error *error;
	char source[64];

	snprintf(source, sizeof(source), "/dev/%s", name);
	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return error_system(errno, source, "cannot use ext4 on");
	error = set_options(fs, source, journal);
	if (error)
		return error;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, source, "cannot mount");
	/* What the guest makes set-user-id or a device is neither for anybody of the host. */
	mount = fsmount(fs, FSMOUNT_CLOEXEC,
			(DEFENCE("nosuid store") ? MOUNT_ATTR_NOSUID : 0) | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
	if (mount < 0 || move_mount(mount, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, directory, "cannot mount the store on");
	return NULL;
}

struct error *store_mount(const char *directory, uint64_t max, uint64_t *ret_size)
{
	_cleanup_(close_fd) int file = -1, loop = -1;
	struct error *error = make_file(directory, &file);
	uint64_t size = 0;
	char name[24];

	if (!error)
		error = choose_size(file, directory, max, &size);
	if (!error && ftruncate(file, (off_t)size) < 0)
		error = error_system(errno, directory, "cannot size the file for the changes in");
	if (!error)
		error = make_file_system(file, size >= JOURNAL_MIN);
	/* Pages are kept once, by the file system above. The device goes with its last user. */
	if (!error)
		error = devices_attach(file, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, name, &loop);
	if (!error)
		error = mount_device(name, directory, size >= JOURNAL_MIN);
	if (error)
		return error_wrap(error, "the store of the shadow's changes");
	*ret_size = size;
	return NULL;
}

void store_unmount(const char *directory)
{
	umount2(directory, MNT_DETACH);
}

struct error *store_check(int fd)
{
	if (syncfs(fd) < 0)
		return error_remedy(error_system(errno, NULL, "what the shadow's programs wrote is not all there"),
				    "make room below the state directory");
	return NULL;
}
