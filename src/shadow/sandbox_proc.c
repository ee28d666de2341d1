/* SPDX-License-Identifier: Apache-2.0 */
/* The process that serves /proc: what it gives away before it hears the guest. See shadow/theory.h. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/limit.h"
#include "shadow/proc/server.h"
#include "shadow/run.h"

/* What it may allocate beyond what it has inherited, and the files that it holds open for the guest. */
#define DATA_MAX (UINT64_C(1) << 30)
#define OPEN_MAX 65536
/* Of one memory file: types of a module are read through one. */
#define FILE_MAX (64u << 20)

/*
 * In the guest's user namespace: to see what a process of another user of the guest is doing, and to read the files
 * of its directory.
 */
static const cap_value_t kept[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};

static struct error *make_mount(const char *type, const char *key, const char *value, int *ret)
{
	_cleanup_(close_fd) int fs = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0) < 0 ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, NULL, "cannot create a file system %s", type);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (fd < 0)
		return error_system(errno, NULL, "cannot mount a file system %s", type);
	*ret = fd;
	return NULL;
}

/*
 * A root with nothing in it but the process's own entries in a procfs, in a mount namespace with nothing else. Older
 * releases of libbpf read the types of a module from nothing but a path: that of a memory file, /proc/self/fd/N.
 */
static struct error *leave_files(const struct shadow *shadow)
{
	_cleanup_(free_ptr) char *path = string_format("%s/stage", shadow->run_dir);
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	_cleanup_(close_fd) int root = -1, proc = -1;
	struct error *error;

	if (!path)
		return error_no_memory();
	if (unshare(CLONE_NEWNS) < 0)
		return error_system(errno, NULL, "cannot create a mount namespace");
	error = make_mount("tmpfs", "size", "4k", &root);
	if (!error)
		error = make_mount("proc", "subset", "pid", &proc);
	if (error)
		return error;
	if (mkdirat(root, "proc", 0555) < 0 || move_mount(root, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    move_mount(proc, "", root, "proc", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    mount_setattr(root, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0)
		return error_system(errno, path, "cannot mount an empty file system");
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_system(errno, NULL, "cannot change to an empty root");
	return NULL;
}

static struct error *receive_descriptor(int socket, int *ret)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} space;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
	struct cmsghdr *header;
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);

	header = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return error_create(ERROR_FAILED, "the shadow has no process file system to show");
	memcpy(ret, CMSG_DATA(header), sizeof(int));
	return NULL;
}

static struct error *limit_self(uint64_t data)
{
	struct error *error = limit_set(RLIMIT_CORE, 0);

	if (!error)
		error = limit_set(RLIMIT_FSIZE, FILE_MAX);
	if (!error)
		error = limit_set(RLIMIT_NOFILE, OPEN_MAX);
#ifndef __SANITIZE_ADDRESS__
	if (!error)
		error = limit_set(RLIMIT_DATA, data + DATA_MAX);
#endif
	return error;
}

static struct error *enter_guest(int user_ns)
{
	struct error *error;
	cap_t caps;
	int r;

	if (setns(user_ns, CLONE_NEWUSER) < 0)
		return error_system(errno, NULL, "cannot enter the guest's user namespace");
	error = sandbox_become(0);
	if (error)
		return error;
	caps = cap_init();
	if (!caps)
		return error_no_memory();
	r = cap_set_flag(caps, CAP_PERMITTED, ARRAY_SIZE(kept), kept, CAP_SET);
	if (r == 0)
		r = cap_set_flag(caps, CAP_EFFECTIVE, ARRAY_SIZE(kept), kept, CAP_SET);
	if (r == 0)
		r = cap_set_proc(caps);
	cap_free(caps);
	if (r < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_system(errno, NULL, "cannot drop capabilities");
	return filter_load_helper();
}

static struct error *prepare(const struct sandbox *sandbox, int fuse_fd, int socket, struct server **ret)
{
	const struct shadow *shadow = sandbox->shadow;
	struct proc_server_options options = {
		.guest = shadow->guest,
		.tasks = &shadow->threads,
		/* Our clock is the guest's: we are in its time namespace. */
		.boottime_offset_ns = 0,
		.fuse_fd = fuse_fd,
		.record_fd = sandbox->value_fd,
		.names = shadow->names,
	};
	int keep[] = {sandbox->control,  fuse_fd,         socket,
		      sandbox->value_fd, shadow->user_ns, guest_descriptor(shadow->guest)};
	uint64_t data = limit_data_now();
	struct error *error;

	error = sandbox_die_with_parent();
	if (!error)
		error = sandbox_close_others(keep, ARRAY_SIZE(keep), 0);
	if (!error)
		error = leave_files(shadow);
	if (!error)
		error = receive_descriptor(socket, &options.own_fd);
	if (!error)
		error = proc_server_create(&options, ret);
	if (!error)
		error = limit_self(data);
	return error ? error : enter_guest(shadow->user_ns);
}

_Noreturn void sandbox_serve_proc(const struct sandbox *sandbox, int fuse_fd, int socket)
{
	struct server *server = NULL;
	struct error *error = prepare(sandbox, fuse_fd, socket, &server);

	if (error)
		sandbox_fail(sandbox->control, error_wrap(error, "/proc"));
	close(sandbox->control);
	close(sandbox->shadow->user_ns);
	close(socket);
	error = proc_server_serve(server);
	_exit(error ? 1 : 0);
}
