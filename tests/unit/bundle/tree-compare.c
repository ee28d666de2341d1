/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree-compare A B: prints every difference between two trees, in everything an update can
 * change: names, types, modes, owners, times to the nanosecond, device numbers, link texts,
 * contents, extended attributes, and which names are one file. Exit status 1 if there is one.
 *
 * Not compared: inode numbers, ctime, atime, sizes of directories, and the overlay attributes of
 * `-x PREFIX`. Sockets are passed over: they are not carried. With -d the link counts of
 * directories are not compared either (overlayfs shows 1 for merged ones). -t PATH: the time of
 * this path is not compared; may be repeated.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *skip_prefix;
static bool skip_directory_links;
static const char *skip_times[16];
static unsigned n_skip_times;
static unsigned differences;

/* First path met of each inode with several names, on either side: index by inode pairs. */
struct pair {
	struct file {
		dev_t device; /* overlayfs without xino has one for each layer */
		ino_t inode;
	} a, b;
};
static struct pair *pairs;
static size_t n_pairs;

static void differ(const char *path, const char *what)
{
	printf("/%s: %s\n", path, what);
	differences++;
}

static bool is_file(struct file file, const struct stat *st)
{
	return file.device == st->st_dev && file.inode == st->st_ino;
}

static void compare_links(const char *path, const struct stat *a, const struct stat *b)
{
	if (a->st_nlink != b->st_nlink) {
		char text[96];

		snprintf(text, sizeof(text), "%lu and %lu names", (unsigned long)a->st_nlink,
			 (unsigned long)b->st_nlink);
		differ(path, text);
	}
	if (a->st_nlink < 2 && b->st_nlink < 2)
		return;
	for (size_t i = 0; i < n_pairs; i++) {
		bool same_a = is_file(pairs[i].a, a), same_b = is_file(pairs[i].b, b);

		if (same_a && same_b)
			return;
		if (same_a || same_b)
			differ(path, "not a name of the same file on both sides");
	}
	pairs = reallocarray(pairs, n_pairs + 1, sizeof(*pairs));
	if (!pairs)
		err(2, "reallocarray");
	pairs[n_pairs++] = (struct pair){{a->st_dev, a->st_ino}, {b->st_dev, b->st_ino}};
}

static bool skips_time(const char *path)
{
	for (unsigned i = 0; i < n_skip_times; i++)
		if (strcmp(skip_times[i], path) == 0)
			return true;
	return false;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void compare_numbers(const char *path, const struct stat *a, const struct stat *b)
{
	char text[128];

	if (a->st_mode != b->st_mode) {
		snprintf(text, sizeof(text), "modes %o and %o", a->st_mode, b->st_mode);
		differ(path, text);
	}
	if (a->st_uid != b->st_uid || a->st_gid != b->st_gid) {
		snprintf(text, sizeof(text), "owners %u:%u and %u:%u", a->st_uid, a->st_gid, b->st_uid, b->st_gid);
		differ(path, text);
	}
	if (!skips_time(path) && !same_time(&a->st_mtim, &b->st_mtim)) {
		snprintf(text, sizeof(text), "times %ld.%09ld and %ld.%09ld", a->st_mtim.tv_sec, a->st_mtim.tv_nsec,
			 b->st_mtim.tv_sec, b->st_mtim.tv_nsec);
		differ(path, text);
	}
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		differ(path, "device numbers");
}

static int compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "NAME=hex" of every attribute, sorted. */
static char **read_xattrs(const char *path, size_t *ret)
{
	static char list[65536], value[65536];
	char **items = calloc(1024, sizeof(*items));
	ssize_t size = llistxattr(path, list, sizeof(list));
	size_t n = 0;

	for (const char *name = list; size > 0 && name < list + size; name += strlen(name) + 1) {
		ssize_t length;
		FILE *stream;
		size_t bytes;

		if (skip_prefix && strncmp(name, skip_prefix, strlen(skip_prefix)) == 0)
			continue;
		length = lgetxattr(path, name, value, sizeof(value));
		if (length < 0)
			continue;
		stream = open_memstream(&items[n++], &bytes);
		fprintf(stream, "%s=", name);
		for (ssize_t i = 0; i < length; i++)
			fprintf(stream, "%02x", (unsigned char)value[i]);
		fclose(stream);
	}
	qsort(items, n, sizeof(*items), compare_strings);
	*ret = n;
	return items;
}

static void compare_xattrs(const char *path, const char *pa, const char *pb)
{
	size_t na, nb;
	char **a = read_xattrs(pa, &na), **b = read_xattrs(pb, &nb);
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = strcmp(a[i], b[i]) == 0;
	if (!same) {
		differ(path, "extended attributes");
		for (size_t i = 0; i < na; i++)
			printf("  A %s\n", a[i]);
		for (size_t i = 0; i < nb; i++)
			printf("  B %s\n", b[i]);
	}
	for (size_t i = 0; i < na; i++)
		free(a[i]);
	for (size_t i = 0; i < nb; i++)
		free(b[i]);
	free(a);
	free(b);
}

static void compare_contents(const char *path, const char *pa, const char *pb)
{
	FILE *a = fopen(pa, "re"), *b = fopen(pb, "re");
	int x, y;

	if (!a || !b)
		err(2, "%s", path);
	do {
		x = getc(a);
		y = getc(b);
	} while (x == y && x != EOF);
	if (x != y)
		differ(path, "contents");
	fclose(a);
	fclose(b);
}

static void compare_targets(const char *path, const char *pa, const char *pb)
{
	char a[4096], b[4096];
	ssize_t x = readlink(pa, a, sizeof(a)), y = readlink(pb, b, sizeof(b));

	if (x != y || x < 0 || memcmp(a, b, (size_t)x) != 0)
		differ(path, "link texts");
}

static void compare(const char *a, const char *b, const char *path);

static int not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int order(const struct dirent **x, const struct dirent **y)
{
	return strcmp((*x)->d_name, (*y)->d_name);
}

static bool is_socket(const char *directory, const char *name)
{
	struct stat st;
	char *full;
	bool socket;

	if (asprintf(&full, "%s/%s", directory, name) < 0)
		err(2, "asprintf");
	socket = lstat(full, &st) == 0 && S_ISSOCK(st.st_mode);
	free(full);
	return socket;
}

static void only(const char *directory, const char *path, const char *name, const char *side)
{
	char *full, *text;

	if (is_socket(directory, name))
		return;
	if (asprintf(&full, "%s%s%s", path, *path ? "/" : "", name) < 0 || asprintf(&text, "only in %s", side) < 0)
		err(2, "asprintf");
	differ(full, text);
	free(full);
	free(text);
}

static void compare_child(const char *a, const char *b, const char *path, const char *name)
{
	char *full;

	if (asprintf(&full, "%s%s%s", path, *path ? "/" : "", name) < 0)
		err(2, "asprintf");
	compare(a, b, full);
	free(full);
}

static void compare_directories(const char *a, const char *b, const char *pa, const char *pb, const char *path)
{
	struct dirent **x, **y;
	int n = scandir(pa, &x, not_dots, order), m = scandir(pb, &y, not_dots, order), i = 0, j = 0;

	if (n < 0 || m < 0)
		err(2, "%s", path);
	while (i < n || j < m) {
		int c = i == n ? 1 : j == m ? -1 : strcmp(x[i]->d_name, y[j]->d_name);

		if (c < 0)
			only(pa, path, x[i++]->d_name, "A");
		else if (c > 0)
			only(pb, path, y[j++]->d_name, "B");
		else {
			compare_child(a, b, path, x[i]->d_name);
			i++;
			j++;
		}
	}
	for (i = 0; i < n; i++)
		free(x[i]);
	for (j = 0; j < m; j++)
		free(y[j]);
	free(x);
	free(y);
}

static void compare(const char *a, const char *b, const char *path)
{
	struct stat x, y;
	char *pa, *pb;

	if (asprintf(&pa, "%s/%s", a, path) < 0 || asprintf(&pb, "%s/%s", b, path) < 0)
		err(2, "asprintf");
	if (lstat(pa, &x) < 0 || lstat(pb, &y) < 0)
		err(2, "%s", path);
	compare_numbers(path, &x, &y);
	compare_xattrs(path, pa, pb);
	if (!S_ISDIR(x.st_mode) || !skip_directory_links)
		compare_links(path, &x, &y);
	if ((x.st_mode & S_IFMT) == (y.st_mode & S_IFMT)) {
		if (S_ISREG(x.st_mode))
			compare_contents(path, pa, pb);
		else if (S_ISLNK(x.st_mode))
			compare_targets(path, pa, pb);
		else if (S_ISDIR(x.st_mode))
			compare_directories(a, b, pa, pb, path);
	}
	free(pa);
	free(pb);
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "x:t:d")) != -1) {
		if (option == 'x')
			skip_prefix = optarg;
		else if (option == 't' && n_skip_times < 16)
			skip_times[n_skip_times++] = optarg;
		else if (option == 'd')
			skip_directory_links = true;
		else
			return 2;
	}
	if (argc - optind != 2)
		errx(2, "usage: tree-compare [-d] [-x PREFIX] [-t PATH]... A B");
	compare(argv[optind], argv[optind + 1], "");
	free(pairs);
	return differences != 0;
}
