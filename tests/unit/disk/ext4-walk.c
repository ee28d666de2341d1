/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4-walk IMAGE...: each image of a file system is mounted by the reader of ext4, out of the middle of a larger file,
 * and everything that is found in it is asked for everything. Prints what became of each. Fails if a reader ends before
 * its mount does, does not answer for a minute, or shows a byte from beside its image.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/process.h"
#include "disk/disk.h"
#include "disk/ext4/ext4.h"

#define BESIDE    (1u << 20)
#define MARK      "BESIDE THE IMAGE"
#define MARK_SIZE (sizeof(MARK) - 1)
/* A hostile directory leads anywhere, also in circles. */
#define NAMES_MAX 20000
#define DEPTH_MAX 40
#define RUNS_MAX  64
#define READ_SIZE (256u << 10)
#define HANG_S    60
#define IMAGE_MAX (UINT64_C(1) << 30)

struct walk {
	const char *image;
	unsigned names, errors;
	bool failed;
};

static char buffer[READ_SIZE + 1];

static void fail(struct walk *walk, const char *what, const char *name)
{
	printf("%s: FAILED: %s at %s\n", walk->image, what, name);
	walk->failed = true;
}

/* What a question came to: an error of the file concerned is as it should be, a mount that nobody serves is not. */
static bool answered(struct walk *walk, long result, const char *name)
{
	if (result >= 0)
		return true;
	if (errno == ENOTCONN || errno == ECONNABORTED)
		fail(walk, "the reader has ended", name);
	walk->errors++;
	return false;
}

static void look_for_mark(struct walk *walk, size_t n, const char *name)
{
	if (memmem(buffer, n, MARK, MARK_SIZE))
		fail(walk, "bytes from beside the image", name);
}

static void use_attributes(struct walk *walk, int directory, const char *name)
{
	static char names[65536];
	char path[64 + NAME_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
	n = llistxattr(path, names, sizeof(names));
	if (!answered(walk, n, name))
		return;
	for (const char *at = names; at < names + n; at += strlen(at) + 1) {
		ssize_t size = lgetxattr(path, at, buffer, READ_SIZE);

		if (answered(walk, size, name))
			look_for_mark(walk, (size_t)size, name);
	}
}

static void read_at(struct walk *walk, int fd, off_t offset, const char *name)
{
	ssize_t n = pread(fd, buffer, READ_SIZE, offset < 0 ? 0 : offset);

	if (answered(walk, n, name))
		look_for_mark(walk, (size_t)n, name);
}

static void use_contents(struct walk *walk, int directory, const char *name, off_t size)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	unsigned flags;

	if (!answered(walk, fd, name))
		return;
	(void)answered(walk, ioctl(fd, FS_IOC_GETFLAGS, &flags), name);
	read_at(walk, fd, 0, name);
	read_at(walk, fd, size / 2, name);
	read_at(walk, fd, size - 4096, name);
	for (off_t at = 0, i = 0; i < RUNS_MAX; i++) {
		at = lseek(fd, at, i % 2 ? SEEK_HOLE : SEEK_DATA);
		if (at < 0)
			break;
		read_at(walk, fd, at, name);
	}
}

static void use_directory(struct walk *walk, int directory, const char *name, unsigned depth);

static void use_name(struct walk *walk, int directory, const char *name, unsigned depth)
{
	struct stat st;
	ssize_t n;

	walk->names++;
	if (!answered(walk, fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW), name))
		return;
	use_attributes(walk, directory, name);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(directory, name, buffer, READ_SIZE);
		if (answered(walk, n, name))
			look_for_mark(walk, (size_t)n, name);
	}
	if (S_ISREG(st.st_mode))
		use_contents(walk, directory, name, st.st_size);
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
		use_directory(walk, directory, name, depth + 1);
}

static void use_directory(struct walk *walk, int directory, const char *name, unsigned depth)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!answered(walk, fd, name) || !dir)
		return;
	while (errno = 0, walk->names < NAMES_MAX && (entry = readdir(dir))) {
		if (strstr(entry->d_name, MARK))
			fail(walk, "bytes from beside the image", name);
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			use_name(walk, fd, entry->d_name, depth);
	}
	if (errno)
		(void)answered(walk, -1, name);
	closedir(dir);
}

/* The image with marks before and behind it; its descriptor. */
static int surround(const char *path, uint64_t *ret_size)
{
	_cleanup_(close_fd) int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat st;

	if (from < 0 || to < 0 || fstat(from, &st) < 0 || (uint64_t)st.st_size > IMAGE_MAX)
		return -1;
	*ret_size = (uint64_t)st.st_size;
	for (uint64_t at = 0; at < BESIDE; at += MARK_SIZE)
		if (pwrite(to, MARK, MARK_SIZE, (off_t)at) < 0 ||
		    pwrite(to, MARK, MARK_SIZE, (off_t)(BESIDE + *ret_size + at)) < 0)
			return -1;
	for (off_t at = 0; at < st.st_size;) {
		ssize_t n = pread(from, buffer, READ_SIZE, at);

		if (n <= 0 || pwrite(to, buffer, (size_t)n, at + BESIDE) != n)
			return -1;
		at += n;
	}
	return to;
}

static void use_mount(struct walk *walk, int mount_fd, pid_t reader)
{
	struct statvfs fs;

	(void)answered(walk, fstatvfs(mount_fd, &fs), "/");
	use_directory(walk, mount_fd, ".", 0);
	if (waitpid(reader, NULL, WNOHANG) != 0)
		fail(walk, "the reader has ended", "the end");
}

static bool use_image(const char *path, const char *directory)
{
	struct walk walk = {.image = path};
	struct ext4_mount_options options = {.start = BESIDE, .name = "image", .directory = directory};
	_cleanup_(close_fd) int disk = surround(path, &options.size), mount_fd = -1;
	struct error *error;
	pid_t reader;

	if (disk < 0) {
		perror(path);
		return false;
	}
	options.disk_fd = disk;
	/* Whoever waits for an answer that does not come is ended, and that is told by the exit status. */
	alarm(HANG_S);
	error = ext4_mount(&options, &mount_fd, &reader);
	if (error && (error->code == ERROR_FORMAT || error->code == ERROR_UNSUPPORTED)) {
		printf("%s: refused: %s\n", path, error->message);
		error_destroy(error);
		return true;
	}
	if (error) {
		printf("%s: FAILED: %s\n", path, error->message);
		error_destroy(error);
		return false;
	}
	if (move_mount(mount_fd, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		fail(&walk, "cannot be mounted", directory);
	use_mount(&walk, mount_fd, reader);
	close_fd(&mount_fd);
	if (umount2(directory, MNT_DETACH) < 0)
		fail(&walk, "cannot be unmounted", directory);
	process_stop(&reader, 1000);
	alarm(0);
	printf("%s: %u names, %u errors\n", path, walk.names, walk.errors);
	return !walk.failed;
}

int main(int argc, char **argv)
{
	char directory[] = "/var/tmp/ext4-walk.XXXXXX";
	struct error *error = argc > 1 ? disk_private_namespace() : error_create(ERROR_USAGE, "ext4-walk IMAGE...");
	bool failed = false;

	if (error || !mkdtemp(directory)) {
		fprintf(stderr, "ext4-walk: %s\n", error ? error->message : strerror(errno));
		error_destroy(error);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		failed |= !use_image(argv[i], directory);
	rmdir(directory);
	return failed;
}
