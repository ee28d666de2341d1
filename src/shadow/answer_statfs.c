/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statfs(2) and its like: the guest's file systems, as they were at the suspend, less what the shadow's programs have
 * used since. Where memory does not tell, the kernel answers for the file systems of the shadow.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shadow/answer.h"
#include "shadow/usage.h"

#define STATFS_VALID 0x20 /* ST_VALID: the flags mean something */
#define NO_SYMFOLLOW 0x2000

/* struct ustat of the kernel (<linux/types.h>). */
struct old_ustat {
	int32_t free;
	uint64_t files_free;
	char name[6], pack[6];
};

/* The mount that a path of the shadow's root is on; NULL: not known. */
static const struct guest_mount *find_mount(const struct shadow *shadow, const char *path)
{
	const struct guest_mount *best = NULL;
	size_t length = 0;

	for (size_t i = 0; i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		if (guest_path_below(path, mount->target) && strlen(mount->target) >= length) {
			best = mount;
			length = strlen(mount->target);
		}
	}
	return best;
}

static bool has_word(const char *options, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = options; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return true;
	return false;
}

static long mount_flags(const struct guest_mount *mount, const struct guest_statfs *fs)
{
	static const struct {
		const char *word;
		long flag;
	} words[] = {
		{"ro", ST_RDONLY},         {"nosuid", ST_NOSUID},         {"nodev", ST_NODEV},
		{"noexec", ST_NOEXEC},     {"noatime", ST_NOATIME},       {"nodiratime", ST_NODIRATIME},
		{"relatime", ST_RELATIME}, {"nosymfollow", NO_SYMFOLLOW},
	};
	long flags = STATFS_VALID;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (has_word(mount->mount_options, words[i].word))
			flags |= words[i].flag;
	if (fs->read_only)
		flags |= ST_RDONLY;
	if (fs->synchronous)
		flags |= ST_SYNCHRONOUS;
	if (fs->mandatory_locks)
		flags |= ST_MANDLOCK;
	return flags;
}

static uint64_t reduce(uint64_t from, int64_t units, uint64_t most)
{
	if (units >= 0)
		return from > (uint64_t)units ? from - (uint64_t)units : 0;
	return from + (uint64_t)-units < most ? from + (uint64_t)-units : most;
}

static bool has_layer(const struct shadow *shadow, const char *target)
{
	for (size_t i = 0; i < shadow->n_layers; i++)
		if (strcmp(shadow->layers[i].target, target) == 0)
			return true;
	return false;
}

/* False: memory does not tell. */
static bool fill(struct answer_call *call, const char *path, struct statfs *ret)
{
	const struct guest_mount *mount = find_mount(call->shadow, path);
	struct guest_statfs fs;
	int64_t blocks;
	struct room used;
	struct error *error;

	if (!mount)
		return false;
	error = guest_statfs(call->shadow->guest, mount->major, mount->minor, &fs);
	if (error) {
		error_destroy(error);
		return false;
	}
	/* A file system of the shadow's own disk counts for itself. */
	if (!fs.room_known && has_layer(call->shadow, mount->target))
		return false;
	*ret = (struct statfs){.f_type = (long)fs.type,
			       .f_bsize = (long)fs.block_size,
			       .f_frsize = (long)fs.fragment,
			       .f_blocks = fs.blocks,
			       .f_bfree = fs.free,
			       .f_bavail = fs.available,
			       .f_files = fs.files,
			       .f_ffree = fs.files_free,
			       .f_fsid = {{(int)fs.id[0], (int)fs.id[1]}},
			       .f_namelen = (long)fs.name_max,
			       .f_flags = mount_flags(mount, &fs)};
	if (fs.blocks == 0 || fs.fragment == 0)
		return true;
	used = usage_since(call->shadow, mount->major, mount->minor);
	blocks = (used.bytes + (used.bytes > 0 ? (int64_t)fs.fragment - 1 : 0)) / (int64_t)fs.fragment;
	ret->f_bfree = reduce(ret->f_bfree, blocks, fs.blocks);
	ret->f_bavail = reduce(ret->f_bavail, blocks, ret->f_bfree);
	ret->f_ffree = reduce(ret->f_ffree, used.files, fs.files);
	return true;
}

/* ---- The calls ---- */

/* The answer about what `fd` (may be -1) is. */
static int answer_about(struct answer_call *call, int fd, struct statfs *ret)
{
	char path[PATH_MAX];

	if (fd < 0 || !answer_path_of(fd, path) || !fill(call, path, ret)) {
		call->proceed = true;
		return 0;
	}
	return answer_write(call, call->args[1], ret, sizeof(*ret));
}

int answer_statfs(struct answer_call *call)
{
	_cleanup_(close_fd) int fd = -1;
	char path[PATH_MAX];
	struct statfs fs;
	int errnum = answer_read_string(call, call->args[0], path, sizeof(path), ENAMETOOLONG);

	if (errnum)
		return errnum;
	fd = answer_open_path(call, AT_FDCWD, path);
	return answer_about(call, fd, &fs);
}

int answer_fstatfs(struct answer_call *call)
{
	_cleanup_(close_fd) int fd = -1;
	struct statfs fs;
	char name[32];

	snprintf(name, sizeof(name), "fd/%d", (int)call->args[0]);
	fd = answer_open_proc(call, name, O_PATH);
	return answer_about(call, fd, &fs);
}

/* By the device number of a file's stat. */
int answer_ustat(struct answer_call *call)
{
	const struct shadow *shadow = call->shadow;
	uint32_t device = (uint32_t)call->args[0];
	struct old_ustat old = {0};
	struct statfs fs;

	for (size_t i = 0; i < shadow->mounts.n; i++) {
		const struct guest_mount *mount = &shadow->mounts.items[i];

		if (makedev(mount->major, mount->minor) != device || !fill(call, mount->target, &fs))
			continue;
		old.free = (int32_t)fs.f_bfree;
		old.files_free = fs.f_ffree;
		return answer_write(call, call->args[1], &old, sizeof(old));
	}
	return EINVAL;
}
