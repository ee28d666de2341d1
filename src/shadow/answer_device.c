/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes, which the kernel refuses to the root of a user namespace. They are made for it where they are nothing
 * but an entry: on mounts without devices. So the layers hold them, and the guest gets them with the other changes.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shadow/answer.h"

/* Whether a node there opens nothing. */
static bool is_harmless(int directory)
{
	struct statfs fs;

	return fstatfs(directory, &fs) == 0 && fs.f_flags & ST_NODEV &&
	       (fs.f_type == OVERLAYFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC);
}

/*
 * Opens the directory that the path's last component is in; *ret_name is that, within `path`. The kernel says what is
 * wrong with a path that has none.
 */
static int open_parent(struct answer_call *call, int directory, char *path, int *ret, const char **ret_name)
{
	char *slash;
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	slash = strrchr(path, '/');
	*ret_name = slash ? slash + 1 : path;
	if (!**ret_name || strcmp(*ret_name, ".") == 0 || strcmp(*ret_name, "..") == 0)
		return EEXIST;
	if (!slash) {
		*ret = answer_open_path(call, directory, ".");
	} else if (slash == path) {
		*ret = answer_open_path(call, directory, "/");
	} else {
		*slash = '\0';
		*ret = answer_open_path(call, directory, path);
	}
	return *ret < 0 ? ENOENT : 0;
}

/*
 * Gives what was just made to the caller. Its name may stand for something else by now, which must not be touched: ours
 * is a device of the host's root, and nobody in the shadow can make or get such a file.
 */
static int give(int directory, const char *name, dev_t device, mode_t mode, const struct answer_caller *caller)
{
	_cleanup_(close_fd) int node = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st, parent;
	gid_t group = caller->fsgid;
	char path[32];

	if (node < 0 || fstat(node, &st) < 0 || fstat(directory, &parent) < 0 || st.st_uid != 0 ||
	    (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) || st.st_rdev != device)
		return EIO;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", node);
	if (fchownat(node, "", SHADOW_ID_BASE + caller->fsuid,
		     parent.st_mode & S_ISGID ? parent.st_gid : SHADOW_ID_BASE + group, AT_EMPTY_PATH) < 0 ||
	    chmod(path, mode & 07777) < 0)
		return errno;
	return 0;
}

static int make(struct answer_call *call, int directory, uint64_t path_address, mode_t mode, uint32_t number)
{
	/* The kernel's new_decode_dev(). */
	dev_t device = makedev((number & 0xfff00) >> 8, (number & 0xff) | (number >> 12 & 0xfff00));
	_cleanup_(close_fd) int parent = -1;
	struct answer_caller caller;
	char path[PATH_MAX];
	const char *name;
	int errnum = answer_read_string(call, path_address, path, sizeof(path), ENAMETOOLONG);

	if (!errnum)
		errnum = answer_caller(call, &caller);
	if (errnum)
		return errnum;
	if (!answer_capable(&caller, CAP_MKNOD) || caller.fsuid != 0 || caller.fsgid == UINT32_MAX)
		return EPERM;
	/* Overlayfs takes this one for "deleted". */
	if (S_ISCHR(mode) && device == 0)
		return EPERM;
	if (!path[0])
		return ENOENT;
	errnum = open_parent(call, directory, path, &parent, &name);
	if (errnum)
		return errnum;
	if (DEFENCE("harmless mounts") && !is_harmless(parent))
		return EPERM;
	if (mknodat(parent, name, mode & S_IFMT, device) < 0)
		return errno;
	return give(parent, name, device, mode & 07777 & ~caller.umask, &caller);
}

int answer_mknod(struct answer_call *call)
{
	return make(call, AT_FDCWD, call->args[0], (mode_t)call->args[1], (uint32_t)call->args[2]);
}

int answer_mknodat(struct answer_call *call)
{
	return make(call, (int)call->args[0], call->args[1], (mode_t)call->args[2], (uint32_t)call->args[3]);
}
