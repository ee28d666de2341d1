/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads only. Every pre-image the payload names is compared with the tree: cheaply by inode,
 * size and change time, which in a guest that has just been woken never differ for an untouched
 * file, and in full where they do.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apply/attributes.h"
#include "apply/logs.h"
#include "apply/paths.h"
#include "apply/report.h"
#include "apply/room.h"
#include "apply/transaction.h"

#define BLOCK_SIZE       4096
/* Free space to be left: a fiftieth of the file system, at most this. */
#define MARGIN_BYTES_MAX (16ull << 20)
#define MARGIN_INODES    16

struct check {
	struct transaction *t;
	struct paths paths;
	const char *grown; /* the last path with a new name, borrowed; NULL: none so far */
	size_t grown_size; /* of its directory */
};

/* Names nobody may ask us to touch. */
static bool is_ours(const char *path)
{
	static const char *const locks[] = {"var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend"};
	static const char *const stages[] = {STAGE_NAME, LATE_STAGE_NAME};
	const char *own = HELPER_DIRECTORY + 1;
	size_t n = strlen(own);

	for (size_t i = 0; i < ARRAY_SIZE(locks); i++)
		if (!strcmp(path, locks[i]))
			return true;
	if (!strncmp(path, own, n) && (!path[n] || path[n] == '/'))
		return true;
	for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
		for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
			if (!strncmp(p, stages[i], strlen(stages[i])) && strcspn(p, "/") == strlen(stages[i]))
				return true;
	return false;
}

static struct error *compare_content(int directory, const char *name, const struct change *change)
{
	_cleanup_(close_fd) int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t digest[SHA256_SIZE];
	struct error *error;

	if (fd < 0)
		return error_system(errno, change->path, "cannot open");
	error = sha256_fd(fd, change->path, digest);
	if (error)
		return error;
	if (memcmp(digest, change->before.sha256, SHA256_SIZE))
		return conflict(change->path, "its content changed since the update was computed");
	return NULL;
}

static struct error *compare_target(int directory, const char *name, const struct change *change)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(directory, name, target, sizeof(target) - 1);

	if (n < 0)
		return error_system(errno, change->path, "cannot read the symlink");
	target[n] = '\0';
	if (strcmp(target, change->before.target ? change->before.target : ""))
		return conflict(change->path, "the symlink points elsewhere since the update was computed");
	return NULL;
}

static struct error *compare_fully(int directory, const char *name, const struct change *change,
				   const struct node *node)
{
	const struct change_preimage *before = &change->before;
	struct error *error = NULL;

	/* A directory's times say what came and went in it, which is for the entries below it to judge. */
	if (!S_ISDIR(node->mode) &&
	    (node->mtime_s != before->attributes.mtime_s || node->mtime_ns != before->attributes.mtime_ns))
		return conflict(change->path, "it was modified since the update was computed");
	if ((S_ISREG(node->mode) || S_ISLNK(node->mode)) && node->size != before->size)
		return conflict(change->path, "its size changed since the update was computed");
	if ((S_ISCHR(node->mode) || S_ISBLK(node->mode)) && node->rdev != before->rdev)
		return conflict(change->path, "its device number changed since the update was computed");
	if (S_ISLNK(node->mode))
		error = compare_target(directory, name, change);
	else if (S_ISREG(node->mode))
		error = compare_content(directory, name, change);
	if (error)
		return error;
	return attributes_compare_xattrs(directory, name, &before->attributes, change->path);
}

static struct error *compare(int directory, const char *name, const struct change *change, const struct node *node)
{
	const struct change_preimage *before = &change->before;

	if (!before->exists)
		return node->exists ? conflict(change->path, "it came into being since the update was computed") : NULL;
	if (!node->exists)
		return conflict(change->path, "it vanished since the update was computed");
	if ((node->mode ^ before->attributes.mode) & S_IFMT)
		return conflict(change->path, "it is of another type than when the update was computed");
	if (node->mode != before->attributes.mode)
		return conflict(change->path, "its mode changed since the update was computed");
	if (node->uid != before->attributes.uid || node->gid != before->attributes.gid)
		return conflict(change->path, "its owner changed since the update was computed");
	if (node->inode == before->inode && node->ctime_s == before->ctime_s && node->ctime_ns == before->ctime_ns &&
	    (!S_ISREG(node->mode) || node->size == before->size))
		return NULL;
	if (log_has_grown(change, node))
		return log_compare(directory, name, change);
	return compare_fully(directory, name, change, node);
}

/* A directory that goes away may hold nothing but what the payload has deleted before it. */
static struct error *check_emptied(struct check *check, int directory, const char *name, const char *path)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_(closedir_ptr) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream) {
		close_fd(&fd);
		return error_system(errno, path, "cannot read the directory");
	}
	while ((errno = 0, entry = readdir(stream))) {
		char below[2 * PATH_MAX];
		uint32_t i;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		i = paths_find(&check->paths, below, snprintf(below, sizeof(below), "%s/%s", path, entry->d_name));
		if (i == NO_ENTRY || entry_change(check->t, i)->kind != CHANGE_DELETE)
			return conflict(below, "it is in a directory that the update removes");
	}
	return errno ? error_system(errno, path, "cannot read the directory") : NULL;
}

static struct error *malformed(const struct change *change, const char *why)
{
	return error_format(change->path, ERROR_NO_ADDRESS, "the payload is wrong: %s", why);
}

static struct error *check_on_disk(struct check *check, uint32_t i)
{
	struct transaction *t = check->t;
	const struct change *change = entry_change(t, i);
	struct slot *slot = &t->slots[i];
	struct error *error;
	struct node node;
	const char *name;
	int directory;

	if (change->kind == CHANGE_ATTRIBUTES && !change->before.exists)
		return malformed(change, "attributes of what is not there");
	error = tree_file_system(&t->tree, change->path, &slot->file_system);
	if (error && error->code == ERROR_NOT_FOUND)
		return error_recode(error, ERROR_CONFLICT);
	if (!error)
		error = tree_parent(&t->tree, change->path, &directory, &name);
	if (!error)
		error = node_read(directory, name, change->path, &node);
	if (!error)
		error = compare(directory, name, change, &node);
	if (error || !node.exists)
		return error;
	if (node.locked)
		return conflict(change->path, "it is immutable or append-only");
	if (node.mount_root && change->kind != CHANGE_ATTRIBUTES)
		return conflict(change->path, "something is mounted there");
	if (change->kind == CHANGE_WRITE && log_has_grown(change, &node))
		t->tree.file_systems[slot->file_system].need_bytes += node.size - change->before.size + BLOCK_SIZE;
	slot->old = node.inode;
	slot->mtime_s = node.mtime_s;
	slot->mtime_ns = node.mtime_ns;
	if (S_ISDIR(node.mode) && change->kind != CHANGE_ATTRIBUTES)
		return check_emptied(check, directory, name, change->path);
	return NULL;
}

/* The path was touched by an earlier entry. */
static struct error *check_again(struct check *check, uint32_t i, uint32_t earlier)
{
	const struct change *change = entry_change(check->t, i), *before = entry_change(check->t, earlier);

	check->t->slots[i].file_system = check->t->slots[earlier].file_system;
	if (change->kind == CHANGE_ATTRIBUTES && before->kind != CHANGE_DELETE &&
	    !((change->attributes.mode ^ before->attributes.mode) & S_IFMT)) {
		check->t->link_sources[i] = earlier;
		return NULL;
	}
	if (before->kind != CHANGE_DELETE || change->kind == CHANGE_DELETE)
		return malformed(change, "it is changed twice");
	return NULL;
}

/* The path lies in a directory that an earlier entry touched: only what does not exist yet can. */
static struct error *check_below(struct check *check, uint32_t i, uint32_t parent)
{
	const struct change *change = entry_change(check->t, i), *above = entry_change(check->t, parent);

	if (above->kind == CHANGE_ATTRIBUTES && S_ISDIR(above->attributes.mode))
		return check_on_disk(check, i);
	if (above->kind != CHANGE_DIRECTORY)
		return malformed(change, "what should hold it is no directory by then");
	if (change->before.exists || change->kind == CHANGE_ATTRIBUTES || change->kind == CHANGE_DELETE)
		return malformed(change, "it exists already in a new directory");
	check->t->slots[i].file_system = check->t->slots[parent].file_system;
	return NULL;
}

/* What is linked to and stays where it is. It is looked at again when the link is made. */
static struct error *check_link_target(struct transaction *t, uint32_t i)
{
	const struct change *change = entry_change(t, i);
	uint32_t file_system;
	struct error *error;
	struct node node;

	error = tree_node(&t->tree, change->target, &node);
	if (!error && !node.exists)
		error = conflict(change->path, "%s, which it should be a link to, is not there", change->target);
	if (!error && ((node.mode ^ change->attributes.mode) & S_IFMT))
		error = conflict(change->path, "%s, which it should be a link to, is of another type", change->target);
	if (!error && node.locked)
		error = conflict(change->path, "%s, which it should be a link to, is immutable or append-only",
				 change->target);
	if (!error)
		error = tree_file_system(&t->tree, change->target, &file_system);
	if (!error && file_system != t->slots[i].file_system)
		error = conflict(change->path, "%s, which it should be a link to, is on another file system",
				 change->target);
	return error;
}

static struct error *check_link(struct check *check, uint32_t i)
{
	const struct change *change = entry_change(check->t, i), *target;
	uint32_t earlier = paths_find(&check->paths, change->target, strlen(change->target));

	check->t->link_sources[i] = NO_ENTRY;
	if (is_ours(change->target))
		return malformed(change, "it is a link to what belongs to the helper");
	target = earlier == NO_ENTRY ? NULL : entry_change(check->t, earlier);
	if (!target || target->kind == CHANGE_ATTRIBUTES)
		return check_link_target(check->t, i);
	if (target->kind == CHANGE_DELETE || target->kind == CHANGE_DIRECTORY)
		return malformed(change, "it is a link to what is no file by then");
	check->t->link_sources[i] = earlier;
	return NULL;
}

static void add_needs(struct transaction *t, uint32_t i)
{
	struct file_system *f = &t->tree.file_systems[t->slots[i].file_system];
	const struct change *change = entry_change(t, i);

	switch (change->kind) {
	case CHANGE_WRITE:
		f->need_bytes += (change->size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
		f->need_inodes++;
		break;
	case CHANGE_DIRECTORY:
		f->need_bytes += BLOCK_SIZE;
		f->need_inodes++;
		break;
	case CHANGE_SYMLINK:
	case CHANGE_FIFO:
	case CHANGE_DEVICE:
		f->need_inodes++;
		break;
	default:
		break;
	}
}

/*
 * What directories that stand may grow by when names come into them: of ext4 a name takes 8 bytes and itself, and a
 * block that is split is half full. Names of one directory follow each other.
 */
static void add_reserve(struct check *check, uint32_t i, bool in_new_directory)
{
	const struct transaction *t = check->t;
	struct file_system *f = &t->tree.file_systems[t->slots[i].file_system];
	const struct change *change = entry_change(t, i);
	const char *slash = strrchr(change->path, '/'), *name = slash ? slash + 1 : change->path;
	size_t parent = slash ? (size_t)(slash - change->path) : 0;

	if (change->kind == CHANGE_DELETE)
		f->reserve_bytes += 2 * SLOT_NAME_SIZE;
	if (change->kind == CHANGE_DELETE || change->kind == CHANGE_ATTRIBUTES || t->slots[i].old)
		return;
	f->reserve_bytes += 2 * (8 + strlen(name));
	if (!in_new_directory &&
	    (!check->grown || parent != check->grown_size || memcmp(change->path, check->grown, parent) != 0))
		f->reserve_bytes += BLOCK_SIZE;
	check->grown = change->path;
	check->grown_size = parent;
}

static struct error *check_entry(struct check *check, uint32_t i)
{
	const struct change *change = entry_change(check->t, i);
	const char *slash = strrchr(change->path, '/');
	uint32_t earlier, parent;
	struct error *error;

	if (is_ours(change->path))
		return malformed(change, "it belongs to the helper or is the package manager's lock");
	earlier = paths_find(&check->paths, change->path, strlen(change->path));
	parent = slash ? paths_find(&check->paths, change->path, slash - change->path) : NO_ENTRY;
	if (earlier != NO_ENTRY)
		error = check_again(check, i, earlier);
	else if (parent != NO_ENTRY)
		error = check_below(check, i, parent);
	else
		error = check_on_disk(check, i);
	if (!error && change->kind == CHANGE_LINK)
		error = check_link(check, i);
	if (error)
		return error;
	paths_put(&check->paths, i);
	add_needs(check->t, i);
	add_reserve(check, i, parent != NO_ENTRY && entry_change(check->t, parent)->kind == CHANGE_DIRECTORY);
	return NULL;
}

static struct error *check_room(const struct file_system *f)
{
	struct statvfs s;
	uint64_t need = f->need_bytes + STAGE_RESERVE_MIN + f->reserve_bytes, margin, free_bytes;

	if (fstatvfs(f->root_fd, &s) < 0)
		return error_system(errno, f->mount, "cannot ask for the free space at");
	if (s.f_flag & ST_RDONLY)
		return conflict(f->mount, "the file system is mounted read-only");
	margin = s.f_blocks * s.f_frsize / 50;
	if (margin > MARGIN_BYTES_MAX)
		margin = MARGIN_BYTES_MAX;
	free_bytes = s.f_bavail * s.f_frsize;
	if (need + margin > free_bytes)
		return error_system(ENOSPC, f->mount, "%llu bytes and a margin of %llu are needed, %llu are free",
				    (unsigned long long)need, (unsigned long long)margin,
				    (unsigned long long)free_bytes);
	/* File systems that make inodes as needed say 0. */
	if (s.f_files && f->need_inodes + MARGIN_INODES > s.f_favail)
		return error_system(ENOSPC, f->mount, "%llu inodes are needed, %llu are free",
				    (unsigned long long)f->need_inodes + MARGIN_INODES, (unsigned long long)s.f_favail);
	return NULL;
}

static void check_deinit(struct check *check)
{
	paths_deinit(&check->paths);
}

struct error *transaction_check(struct transaction *t)
{
	_cleanup_(check_deinit) struct check check = {.t = t};
	size_t n = t->payload.header.n_entries;
	struct error *error;

	t->slots = room_create(t->directory, n * sizeof(*t->slots));
	t->link_sources = room_create(t->directory, n * sizeof(*t->link_sources));
	if (!t->slots || !t->link_sources)
		return error_no_memory();
	error = paths_init(t->directory, &t->payload, &check.paths);
	for (uint32_t i = 0; i < n && !error; i++)
		error = check_entry(&check, i);
	for (size_t i = 0; i < t->tree.n_file_systems && !error; i++)
		error = check_room(&t->tree.file_systems[i]);
	return error;
}
