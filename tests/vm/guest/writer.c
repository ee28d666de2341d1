/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in a guest: writes to its disk in all ways that leave something in memory alone, until it is told to stop.
 *
 *   writer load DIRECTORY ROOT OUTPUT   workers change DIRECTORY; when told to stop, every other process is stopped,
 *                                       and OUTPUT gets what `scan ROOT` prints
 *   writer scan ROOT                    one line for each name of ROOT's file system
 *
 * It is told through its memory: a page that begins with MAGIC has the word `stop`, which the host sets in the
 * memory of a guest that it has loaded and not let run yet. Each worker looks at it before every system call, so that
 * none begins after the suspend; the paths of the call that a worker is in are in the page, too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/sha256.h"

#define MAGIC   "writer's page: told to stop here"
#define WORKERS 6
#define BUFFER  (1 << 20)

struct slot {
	_Atomic uint32_t busy; /* in a system call that changes these */
	char paths[2][240];
};
struct page {
	char magic[32];
	_Atomic uint32_t stop;
	uint32_t workers;
	_Atomic uint64_t calls;
	struct slot slots[WORKERS];
};

static struct page *page;
static struct slot *slot; /* of this worker */
static unsigned worker;
static uint64_t state; /* of the random numbers */
static char base[128]; /* the worker's directory */
static uint8_t *noise;

static uint32_t chance(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 20) % n;
}

/* The word is looked at last: whoever was suspended behind that begins its call once woken, and has said so before. */
static void begin(const char *a, const char *b)
{
	snprintf(slot->paths[0], sizeof(slot->paths[0]), "%s", a);
	snprintf(slot->paths[1], sizeof(slot->paths[1]), "%s", b ? b : "");
	atomic_store(&slot->busy, 1);
	while (atomic_load(&page->stop))
		usleep(20000);
}

static void end(void)
{
	atomic_store(&slot->busy, 0);
	atomic_fetch_add(&page->calls, 1);
}

/* One system call that changes these paths (B may be NULL). Failures are part of the load: a name is there or not. */
#define CALL(a, b, expression)                                                                                         \
	({                                                                                                             \
		begin(a, b);                                                                                           \
		__typeof__(expression) _value = (expression);                                                          \
		end();                                                                                                 \
		_value;                                                                                                \
	})

static const char *name_of(char *path, const char *kind, unsigned n)
{
	snprintf(path, 240, "%s/%s%u", base, kind, n);
	return path;
}

static void write_some(const char *path, int fd, size_t n)
{
	if (n > 0 && fd >= 0 && CALL(path, NULL, write(fd, noise + chance(BUFFER), n)) < 0 && errno != ENOSPC)
		exit(1);
}

/* Small files: made, renamed, linked, given attributes, deleted. */
static void small_files(void)
{
	char a[240], b[240], value[3000];
	int fd;

	name_of(a, chance(4) ? "f" : "a-name-that-is-quite-a-bit-longer-than-others-and-fills-blocks-", chance(400));
	name_of(b, "f", chance(400));
	switch (chance(12)) {
	case 0 ... 4:
		fd = CALL(a, NULL, open(a, O_CREAT | O_WRONLY | (chance(2) ? O_TRUNC : O_APPEND), 0640));
		write_some(a, fd, chance(3) ? chance(120) : chance(20000));
		if (fd >= 0 && chance(40) == 0)
			CALL(a, NULL, fsync(fd));
		close(fd);
		break;
	case 5:
		CALL(a, b, rename(a, b));
		break;
	case 6:
		CALL(a, b, link(a, b));
		break;
	case 7:
		CALL(a, NULL, unlink(a));
		break;
	case 8:
		memset(value, 'x', sizeof(value));
		CALL(a, NULL,
		     setxattr(a, chance(2) ? "user.one" : "user.two", value, chance(2) ? 20 : chance(2900), 0));
		break;
	case 9:
		CALL(a, NULL, chmod(a, 0600 | chance(0200)));
		CALL(a, NULL, lchown(a, chance(3) ? 0 : 70000 + chance(100), chance(1000)));
		break;
	case 10:
		CALL(a, NULL, unlink(a));
		memset(value, 'l', 200);
		value[chance(2) ? 20 : 150] = '\0';
		CALL(a, NULL, symlink(value, a));
		break;
	default:
		CALL(a, NULL, utimes(a, (struct timeval[]){{chance(1u << 30), chance(999999)}, {chance(1u << 30), 1}}));
		CALL(a, NULL, removexattr(a, "user.one"));
	}
}

/* Logs: small appends, a truncation now and then. */
static void logs(void)
{
	char path[240];
	int fd;

	name_of(path, "log", chance(8));
	fd = CALL(path, NULL, open(path, O_CREAT | O_WRONLY | O_APPEND, 0644));
	for (unsigned i = 0; i < 20; i++)
		write_some(path, fd, chance(700));
	if (fd >= 0 && chance(60) == 0)
		CALL(path, NULL, ftruncate(fd, chance(100000)));
	close(fd);
}

/* Large files: whole, sparse, reserved beforehand, punched. */
static void large_files(void)
{
	char path[240];
	off_t size = chance(30) << 20;
	int fd;

	name_of(path, "big", chance(3));
	fd = CALL(path, NULL, open(path, O_CREAT | O_RDWR | (chance(3) ? 0 : O_TRUNC), 0644));
	if (fd < 0)
		return;
	if (chance(3) == 0)
		CALL(path, NULL, fallocate(fd, chance(2) ? FALLOC_FL_KEEP_SIZE : 0, chance(1 << 20), chance(8 << 20)));
	for (off_t done = 0; done < size; done += BUFFER) {
		CALL(path, NULL, pwrite(fd, noise, chance(BUFFER), done + chance(5000)));
		if (chance(10) == 0)
			CALL(path, NULL, pwrite(fd, noise, chance(9000), chance(32 << 20)));
	}
	if (chance(3) == 0)
		CALL(path, NULL,
		     fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, chance(1 << 20), chance(3 << 20)));
	if (chance(5) == 0)
		CALL(path, NULL, ftruncate(fd, chance(16 << 20)));
	close(fd);
}

/* A tree that is made and taken away, with a directory large enough for an index. */
static void trees(void)
{
	char directory[240], path[300];

	name_of(directory, "tree", chance(3));
	CALL(directory, NULL, mkdir(directory, 0755));
	for (unsigned i = 0; i < 150; i++) {
		snprintf(path, sizeof(path), "%s/entry-with-some-length-%u", directory, chance(600));
		if (i % 50 == 0)
			CALL(path, NULL, mkdir(path, 0750));
		else if (i % 50 == 1)
			CALL(path, NULL, mknod(path, chance(2) ? S_IFIFO | 0600 : S_IFCHR | 0600, makedev(1, 3)));
		else
			close(CALL(path, NULL, open(path, O_CREAT | O_WRONLY, 0644)));
	}
	if (chance(2))
		return;
	for (unsigned i = 0; i < 600; i++) {
		snprintf(path, sizeof(path), "%s/entry-with-some-length-%u", directory, i);
		if (CALL(path, NULL, unlink(path)) < 0)
			CALL(path, NULL, rmdir(path));
	}
	CALL(directory, NULL, rmdir(directory));
}

/* Stores through a mapping; files that are open without a name. */
static void mapped(void)
{
	static int nameless[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
	char path[240];
	unsigned i = chance(8);
	uint8_t *map;
	int fd;

	name_of(path, "map", chance(4));
	fd = CALL(path, NULL, open(path, O_CREAT | O_RDWR, 0644));
	if (fd < 0 || CALL(path, NULL, ftruncate(fd, 300000 + chance(5) * 4096)) < 0)
		return;
	/* Sets the time of access. */
	map = CALL(path, NULL, mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	for (unsigned n = 0; map != MAP_FAILED && n < 30; n++) {
		unsigned at = chance(290000);

		CALL(path, NULL, memcpy(map + at, noise + at, chance(9000)));
	}
	if (map != MAP_FAILED)
		munmap(map, 300000);
	close(fd);
	close(nameless[i]);
	name_of(path, "nameless", i);
	nameless[i] = CALL(path, NULL, open(path, O_CREAT | O_RDWR | O_TRUNC, 0600));
	write_some(path, nameless[i], chance(200000));
	CALL(path, NULL, unlink(path));
	write_some(path, nameless[i], chance(200000));
}

/* Reads, which change the times of access; now and then everything goes to the disk. */
static void others(void)
{
	char path[240], buffer[512];
	int fd;

	name_of(path, "read", chance(20));
	fd = CALL(path, NULL, open(path, O_CREAT | O_RDWR, 0644));
	if (chance(8) == 0)
		write_some(path, fd, 300);
	if (fd >= 0)
		(void)!CALL(path, NULL, pread(fd, buffer, sizeof(buffer), 0));
	close(fd);
	usleep(20000);
	if (chance(400) == 0)
		CALL("", NULL, (sync(), 0));
}

static void work(unsigned number, const char *directory)
{
	static void (*const jobs[WORKERS])(void) = {small_files, logs, large_files, trees, mapped, others};

	worker = number;
	slot = &page->slots[number];
	state = (UINT64_C(0x9e3779b97f4a7c15) * (number + 1)) ^ (uint64_t)time(NULL);
	noise = malloc(3 * BUFFER);
	for (size_t i = 0; i < 3 * BUFFER; i += 8) {
		chance(2);
		memcpy(noise + i, &state, 8);
	}
	snprintf(base, sizeof(base), "%s/w%u", directory, number);
	mkdir(base, 0755);
	for (;;) {
		jobs[number]();
		if (number == 2)
			usleep(300000);
		else
			usleep(chance(3000));
	}
}

/* ---- The tree ---- */

static void print_name(FILE *out, const char *name)
{
	for (; *name; name++)
		if (*name <= ' ' || *name == '\\' || *name == 0x7f)
			fprintf(out, "\\x%02x", (unsigned char)*name);
		else
			fputc(*name, out);
}

static void print_hash(FILE *out, const char *path)
{
	int fd = open(path, O_RDONLY | O_NOATIME);
	struct sha256 *hash = sha256_create();
	uint8_t digest[32];
	ssize_t n = 0;

	while (fd >= 0 && (n = read(fd, noise, BUFFER)) > 0)
		sha256_update(hash, noise, (size_t)n);
	if (fd < 0 || n < 0) {
		fprintf(out, " unreadable:%d", errno);
	} else {
		sha256_final(hash, digest);
		sha256_destroy(hash);
		fputc(' ', out);
		for (unsigned i = 0; i < 32; i++)
			fprintf(out, "%02x", digest[i]);
	}
	if (fd >= 0)
		close(fd);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_attributes(FILE *out, const char *path)
{
	char names[8192], value[8192], *sorted[64];
	ssize_t size = llistxattr(path, names, sizeof(names));
	size_t n = 0;

	for (char *name = names; size > 0 && name < names + size && n < 64; name += strlen(name) + 1)
		sorted[n++] = name;
	qsort(sorted, n, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < n; i++) {
		ssize_t length = lgetxattr(path, sorted[i], value, sizeof(value));

		fprintf(out, " %s=", sorted[i]);
		for (ssize_t k = 0; k < length; k++)
			fprintf(out, "%02x", (unsigned char)value[k]);
	}
}

static void print_one(FILE *out, const char *path, const char *shown, const struct stat *st)
{
	struct timespec access = st->st_atim;
	char target[4096];
	ssize_t n;

	print_name(out, shown);
	/* Looking at a link is an access to it, and to all its names. */
	if (S_ISLNK(st->st_mode))
		access = (struct timespec){0};
	fprintf(out, " %llu %o %u:%u %u %lld a%lld.%09ld m%lld.%09ld c%lld.%09ld", (unsigned long long)st->st_ino,
		st->st_mode, st->st_uid, st->st_gid, (unsigned)st->st_nlink, (long long)st->st_size,
		(long long)access.tv_sec, access.tv_nsec, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		fprintf(out, " %u:%u", major(st->st_rdev), minor(st->st_rdev));
	print_attributes(out, path);
	if (S_ISLNK(st->st_mode) && (n = readlink(path, target, sizeof(target) - 1)) >= 0) {
		target[n] = '\0';
		fputs(" -> ", out);
		print_name(out, target);
	}
	if (S_ISREG(st->st_mode))
		print_hash(out, path);
	fputc('\n', out);
}

static void scan(FILE *out, const char *path, size_t root_size, dev_t device)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOATIME);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		fprintf(out, "%s unreadable:%d\n", path + root_size, errno);
		return;
	}
	while ((entry = readdir(directory))) {
		char child[4096];
		struct stat st;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path[1] ? path : "", entry->d_name);
		if (lstat(child, &st) < 0) {
			fprintf(out, "%s unreadable:%d\n", child + root_size, errno);
			continue;
		}
		/* What is mounted on a directory hides it. */
		if (st.st_dev != device) {
			print_name(out, child + root_size);
			fputs(" mounted\n", out);
			continue;
		}
		print_one(out, child, child + root_size, &st);
		if (S_ISDIR(st.st_mode))
			scan(out, child, root_size, device);
	}
	closedir(directory);
}

static int scan_root(FILE *out, const char *root)
{
	struct stat st;

	noise = noise ? noise : malloc(BUFFER);
	if (lstat(root, &st) < 0) {
		perror(root);
		return 1;
	}
	scan(out, root, root[1] ? strlen(root) : 0, st.st_dev);
	fprintf(out, "end\n");
	return fflush(out) == 0 && !ferror(out) ? 0 : 1;
}

/* ---- Both ---- */

static void wait_for(uint32_t stop)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (atomic_load(&page->stop) != stop)
		nanosleep(&pause, NULL);
}

static int print_tree(const char *root, const char *output)
{
	FILE *out = fopen(output, "w");
	int status = out ? scan_root(out, root) : 1;

	return out && fclose(out) == 0 ? status : 1;
}

static int load(const char *directory, const char *root, const char *output)
{
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	noise = malloc(BUFFER);
	mkdir(directory, 0755);
	if (page == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	page->workers = WORKERS;
	memcpy(page->magic, MAGIC, sizeof(page->magic));
	for (unsigned i = 0; i < WORKERS; i++)
		if (fork() == 0)
			work(i, directory);
	for (;;) {
		wait_for(1);
		/* What is in a system call comes to its end, and stops then. */
		kill(-1, SIGSTOP);
		sleep(1);
		if (print_tree(root, output))
			return 1;
		kill(-1, SIGCONT);
		printf("writer: scanned\n");
		fflush(stdout);
		wait_for(0);
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "load"))
		return load(argv[2], argv[3], argv[4]);
	if (argc == 3 && !strcmp(argv[1], "scan"))
		return scan_root(stdout, argv[2]);
	fprintf(stderr, "usage: writer load DIRECTORY ROOT OUTPUT | writer scan ROOT\n");
	return 2;
}
