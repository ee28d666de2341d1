/* SPDX-License-Identifier: Apache-2.0 */
#include "update/tree_difference.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/io.h"
#include "base/json.h"
#include "base/names.h"

#define DEPTH_MAX 512u /* of directories: a hostile disk has deeper ones */
#define PIECE     65536u

struct comparison {
	const struct disk *seen;
	json_t *list;
	uint64_t more, unreadable;
};

/* One directory in both trees; -1: not there. */
struct pair {
	int seen, alone;
	const char *path; /* without a slash at its end: "" is the root */
	unsigned depth;
};

static struct error *read_names(int directory_fd, struct names *ret)
{
	_cleanup_(closedir_ptr) DIR *directory = NULL;
	struct error *error = NULL;
	struct dirent *entry;
	int fd;

	if (directory_fd < 0)
		return NULL;
	fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, NULL, "read directory");
	directory = fdopendir(fd);
	if (!directory) {
		close_fd(&fd);
		return error_no_memory();
	}
	errno = 0;
	while (!error && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			error = names_add(ret, entry->d_name);
	if (!error && errno)
		error = error_system(errno, NULL, "read directory");
	names_sort(ret);
	return error;
}

/* ---- One name ---- */

static struct error *report(struct comparison *comparison, const char *path, const char *how, json_t *what)
{
	json_t *item = json_pack("{s:s, s:o}", "how", how, "what", what);
	struct error *error = item ? json_set_bytes(item, "path", path, strlen(path)) : error_no_memory();

	if (json_array_size(comparison->list) >= DIFFERENCES_MAX) {
		comparison->more++;
		json_decref(item);
		return error;
	}
	if (json_array_append_new(comparison->list, item) < 0 && !error)
		error = error_no_memory();
	return error;
}

/* What cannot be read is neither there nor gone; the others are compared all the same. Takes `error`. */
static struct error *report_unreadable(struct comparison *comparison, const char *path, struct error *error)
{
	json_t *what = json_pack("[s]", error->message);

	comparison->unreadable++;
	error_destroy(error);
	return what ? report(comparison, *path ? path : "/", "unreadable", what) : error_no_memory();
}

/* A number of one file system may be another file's in the next: then contents are compared for nothing. */
static bool has_newer_contents(const struct disk *disk, uint64_t inode)
{
	size_t n;
	const struct disk_mount *mounts = disk_mounts(disk, &n);

	for (size_t i = 0; i < n; i++)
		if (mounts[i].newer && mounts[i].newer->n_inodes &&
		    bsearch(&inode, mounts[i].newer->inodes, mounts[i].newer->n_inodes, sizeof(inode),
			    array_compare_u64))
			return true;
	return false;
}

/* Both of the same size; *ret: they differ. */
static struct error *compare_contents(int seen, int alone, bool *ret)
{
	_cleanup_(free_ptr) char *a = malloc(PIECE);
	_cleanup_(free_ptr) char *b = malloc(PIECE);
	ssize_t n = 1;

	if (!a || !b)
		return error_no_memory();
	while (!*ret && n > 0) {
		n = read(seen, a, PIECE);
		if (n < 0)
			return error_system(errno, NULL, "read");
		*ret = read(alone, b, PIECE) != n || memcmp(a, b, (size_t)n) != 0;
	}
	return NULL;
}

static struct error *contents_differ(const struct pair *pair, const char *name, bool *ret)
{
	_cleanup_(close_fd) int seen = openat(pair->seen, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(close_fd) int alone = openat(pair->alone, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (seen < 0 || alone < 0)
		return error_system(errno, NULL, "open");
	return compare_contents(seen, alone, ret);
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static struct error *add_word(json_t *what, bool different, const char *word)
{
	return different && json_array_append_new(what, json_string(word)) < 0 ? error_no_memory() : NULL;
}

/* The same name in both. */
static struct error *compare_one(struct comparison *comparison, const struct pair *pair, const char *name,
				 const char *path, const struct stat *a, const struct stat *b)
{
	bool contents = S_ISREG(a->st_mode) && S_ISREG(b->st_mode) && a->st_size != b->st_size;
	bool owner = a->st_uid != b->st_uid || a->st_gid != b->st_gid, mode = a->st_mode != b->st_mode;
	bool other = a->st_ino != b->st_ino, times = !same_time(a->st_mtim, b->st_mtim);
	json_t *what = json_array();
	struct error *error = what ? NULL : error_no_memory();

	if (!error && !contents && S_ISREG(a->st_mode) && S_ISREG(b->st_mode) &&
	    (other || has_newer_contents(comparison->seen, a->st_ino)))
		error = contents_differ(pair, name, &contents);
	if (!error)
		error = add_word(what, other, "another file");
	if (!error)
		error = add_word(what, contents, "contents");
	if (!error)
		error = add_word(what, mode, "mode");
	if (!error)
		error = add_word(what, owner, "owner");
	if (!error)
		error = add_word(what, a->st_nlink != b->st_nlink, "links");
	if (!error)
		error = add_word(what, times, "time");
	/* What else there is (attributes, a change and the change back) is told by this time alone. */
	if (!error && json_array_size(what) == 0)
		error = add_word(what, !same_time(a->st_ctim, b->st_ctim), "attributes");
	if (error || json_array_size(what) == 0) {
		json_decref(what);
		return error && error->code != ERROR_NO_MEMORY ? report_unreadable(comparison, path, error) : error;
	}
	return report(comparison, path, "changed", what);
}

/* ---- Directories ---- */

static struct error *compare_directory(struct comparison *comparison, const struct pair *pair);

static struct error *enter(struct comparison *comparison, const struct pair *pair, const char *name, const char *path,
			   bool in_seen, bool in_alone)
{
	_cleanup_(close_fd) int seen = -1;
	_cleanup_(close_fd) int alone = -1;
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (pair->depth >= DEPTH_MAX)
		return error_create(ERROR_UNSUPPORTED, "%s: more than %u directories in one another", path, DEPTH_MAX);
	if (in_seen)
		seen = openat(pair->seen, name, flags);
	if (in_alone)
		alone = openat(pair->alone, name, flags);
	if ((in_seen && seen < 0) || (in_alone && alone < 0))
		return report_unreadable(comparison, path, error_system(errno, NULL, "open directory"));
	return compare_directory(comparison, &(struct pair){seen, alone, path, pair->depth + 1});
}

/* *ret: it is there. */
static struct error *look(int directory, const char *name, struct stat *st, bool *ret)
{
	*ret = directory >= 0 && fstatat(directory, name, st, AT_SYMLINK_NOFOLLOW) == 0;
	return *ret || directory < 0 || errno == ENOENT ? NULL : error_system(errno, NULL, "look at it");
}

static struct error *compare_name(struct comparison *comparison, const struct pair *pair, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", pair->path, name);
	struct stat a = {0}, b = {0};
	bool in_seen = false, in_alone = false;
	struct error *error;

	if (!path)
		return error_no_memory();
	error = look(pair->seen, name, &a, &in_seen);
	if (!error)
		error = look(pair->alone, name, &b, &in_alone);
	if (error)
		return report_unreadable(comparison, path, error);
	if (in_seen && in_alone)
		error = compare_one(comparison, pair, name, path, &a, &b);
	else
		error = report(comparison, path, in_seen ? "added" : "removed", json_array());
	in_seen = in_seen && S_ISDIR(a.st_mode);
	in_alone = in_alone && S_ISDIR(b.st_mode);
	return error || !(in_seen || in_alone) ? error : enter(comparison, pair, name, path, in_seen, in_alone);
}

static struct error *compare_directory(struct comparison *comparison, const struct pair *pair)
{
	_cleanup_(names_deinit) struct names seen = {0}, alone = {0};
	size_t i = 0, j = 0;
	struct error *error = read_names(pair->seen, &seen);

	if (!error)
		error = read_names(pair->alone, &alone);
	if (error && error->code != ERROR_NO_MEMORY)
		return report_unreadable(comparison, pair->path, error);
	while (!error && (i < seen.n || j < alone.n)) {
		int order = i >= seen.n ? 1 : j >= alone.n ? -1 : strcmp(seen.items[i], alone.items[j]);

		error = compare_name(comparison, pair, order <= 0 ? seen.items[i] : alone.items[j]);
		i += order <= 0;
		j += order >= 0;
	}
	return error;
}

struct error *tree_difference(const struct disk *seen, const struct disk *alone, json_t **ret, uint64_t *ret_more,
			      uint64_t *ret_unreadable)
{
	_cleanup_(json_decref_ptr) json_t *list = json_array();
	struct comparison comparison = {.seen = seen, .list = list};
	struct error *error = list ? NULL : error_no_memory();

	if (!error)
		error = compare_directory(&comparison, &(struct pair){disk_root(seen), disk_root(alone), "", 0});
	if (error)
		return error_wrap(error, "compare what the guest sees with its disk");
	*ret = take_ptr(list);
	*ret_more = comparison.more;
	*ret_unreadable = comparison.unreadable;
	return NULL;
}
