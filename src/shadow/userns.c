/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/internal.h"
#include "shadow/limits.h"

struct error *userns_write_map(pid_t pid, const char *name, uint32_t inside, uint32_t outside, uint32_t count)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/%s", pid, name);
	_cleanup_(free_ptr) char *line = string_format("%u %u %u\n", inside, outside, count);
	_cleanup_(close_fd) int fd = -1;

	if (!path || !line)
		return error_no_memory();
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open the id map");
	return io_write(fd, line, strlen(line), path);
}

/* The child that carries the namespace until its descriptor is open: waits for the end of `wait_fd`. */
static void hold_namespace(const struct shadow_limits *limits, pid_t parent, int ready_fd, int wait_fd)
{
	uid_t owner = DEFENCE("owner") ? SHADOW_ID_OWNERS + (uid_t)parent : 0;
	struct error *error = limits ? limits_apply_to_owner(limits) : NULL;
	char byte = 0;

	if (!error && setresgid(owner, owner, owner) == 0 && setresuid(owner, owner, owner) == 0 &&
	    unshare(CLONE_NEWUSER) == 0)
		byte = 1;
	error_destroy(error);
	if (write(ready_fd, &byte, 1) == 1)
		(void)!read(wait_fd, &byte, 1);
	_exit(0);
}

static struct error *map_and_open(pid_t pid, uint32_t inside, uint32_t outside, uint32_t count, int *ret)
{
	_cleanup_(free_ptr) char *path = NULL;
	struct error *error;
	int fd;

	error = userns_write_map(pid, "uid_map", inside, outside, count);
	if (error)
		return error;
	error = userns_write_map(pid, "gid_map", inside, outside, count);
	if (error)
		return error;
	path = string_format("/proc/%d/ns/user", pid);
	if (!path)
		return error_no_memory();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open the user namespace");
	*ret = fd;
	return NULL;
}

struct error *userns_create(uint32_t inside, uint32_t outside, uint32_t count, const struct shadow_limits *limits,
			    int *ret)
{
	pid_t pid, parent = getpid();
	int ready[2], hold[2];
	struct error *error;
	char byte = 0;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	if (pipe2(hold, O_CLOEXEC) < 0) {
		error = error_system(errno, NULL, "cannot create a pipe");
		close(ready[0]);
		close(ready[1]);
		return error;
	}
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		hold_namespace(limits, parent, ready[1], hold[0]);
	}
	close(ready[1]);
	close(hold[0]);
	if (pid < 0)
		error = error_system(errno, NULL, "cannot fork");
	else if (read(ready[0], &byte, 1) != 1 || !byte)
		error = error_remedy(error_create(ERROR_UNSUPPORTED, "cannot create a user namespace"),
				     "allow user namespaces on this host (sysctl user.max_user_namespaces)");
	else
		error = map_and_open(pid, inside, outside, count, ret);
	close(ready[0]);
	close(hold[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return error;
}

struct error *userns_idmapped_mount(const char *path, int user_ns, uint64_t attributes, int *ret)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP | attributes,
		.propagation = MS_PRIVATE,
		.userns_fd = (uint64_t)user_ns,
	};
	_cleanup_(close_fd) int fd =
		open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);

	if (fd < 0)
		return error_system(errno, path, "cannot clone the mount");
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_remedy(error_system(errno, path, "cannot shift the owners of the mount"),
				    "use a file system with idmapped mounts: ext4, xfs or btrfs");
	*ret = take_fd(fd);
	return NULL;
}
