/* SPDX-License-Identifier: Apache-2.0 */
#include "dump.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/io.h"
#include "base/sha256.h"
#include "tests/unit/test.h"

#define LINKS_MAX 64

struct dump {
	const char *root;
	FILE *out;
	struct {
		ino_t inode;
		char *path;
	} links[LINKS_MAX];
	size_t n_links;
};

static const char *first_name(struct dump *d, ino_t inode, const char *path)
{
	for (size_t i = 0; i < d->n_links; i++)
		if (d->links[i].inode == inode)
			return d->links[i].path;
	assert_true(d->n_links < LINKS_MAX);
	d->links[d->n_links].inode = inode;
	d->links[d->n_links].path = strdup(path);
	return d->links[d->n_links++].path;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void dump_xattrs(struct dump *d, const char *path)
{
	char names[4096], value[4096];
	char *list[64];
	size_t n_list = 0;
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1)
		list[n_list++] = p;
	qsort(list, n_list, sizeof(*list), compare_names);
	for (size_t i = 0; i < n_list; i++) {
		ssize_t size = lgetxattr(path, list[i], value, sizeof(value));

		fprintf(d->out, " %s=", list[i]);
		for (ssize_t k = 0; k < size; k++)
			fprintf(d->out, "%02x", (uint8_t)value[k]);
	}
}

static void dump_content(struct dump *d, const char *path, const struct stat *s)
{
	char hex[SHA256_HEX_SIZE], target[4096] = "";
	uint8_t digest[SHA256_SIZE];
	int fd;

	if (S_ISLNK(s->st_mode)) {
		assert_true(readlink(path, target, sizeof(target) - 1) >= 0);
		fprintf(d->out, " -> %s", target);
	}
	if (S_ISREG(s->st_mode)) {
		fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		assert_null(sha256_fd(fd, path, digest));
		close(fd);
		sha256_to_hex(digest, hex);
		fprintf(d->out, " size=%lld %s", (long long)s->st_size, hex);
	}
	if (S_ISCHR(s->st_mode) || S_ISBLK(s->st_mode))
		fprintf(d->out, " rdev=%llx", (unsigned long long)s->st_rdev);
}

static void dump_path(struct dump *d, const char *name);

static void dump_below(struct dump *d, const char *path, const char *name)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		_cleanup_(free_ptr) char *below = string_format("%s%s%s", name, *name ? "/" : "", entries[i]->d_name);

		if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, ".."))
			dump_path(d, below);
		free(entries[i]);
	}
	free(entries);
}

static void dump_path(struct dump *d, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", d->root, name);
	struct stat s;

	if (!strcmp(name, "var/lib/ouassister"))
		return;
	assert_int_equal(lstat(path, &s), 0);
	fprintf(d->out, "%s mode=%o uid=%u gid=%u", name, s.st_mode, s.st_uid, s.st_gid);
	if (*name)
		fprintf(d->out, " mtime=%lld.%09ld", (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
	if (!S_ISDIR(s.st_mode))
		fprintf(d->out, " nlink=%lu", (unsigned long)s.st_nlink);
	if (!S_ISDIR(s.st_mode) && s.st_nlink > 1)
		fprintf(d->out, " same=%s", first_name(d, s.st_ino, name));
	dump_content(d, path, &s);
	dump_xattrs(d, path);
	fputc('\n', d->out);
	if (S_ISDIR(s.st_mode))
		dump_below(d, path, name);
}

char *dump_tree(const char *root)
{
	struct dump d = {.root = root};
	char *text = NULL;
	size_t size;

	d.out = open_memstream(&text, &size);
	dump_path(&d, "");
	fclose(d.out);
	for (size_t i = 0; i < d.n_links; i++)
		free(d.links[i].path);
	return text;
}
