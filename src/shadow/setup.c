/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of one run, as a table of operations that one function executes in order.
 *
 * Everything here happens on top of the guest's hostile tree: a mount point is found with
 * openat2 beneath the new root without following any link, and mounts are attached by descriptor.
 * What the shadow adds lives on tmpfs of its own, so that nothing of it reaches the layers.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "shadow/internal.h"
#include "shadow/setup.h"

enum setup_kind {
	SETUP_PROC,  /* the guest's; without a memory image the real one of the calling process's pid namespace */
	SETUP_TMPFS, /* mode; argument: size */
	SETUP_DEVPTS,
	SETUP_DIRECTORY, /* on a tmpfs of ours: mode */
	SETUP_SYMLINK,   /* argument: target */
	SETUP_DEVICE,    /* character device: mode, major, minor */
	SETUP_TEXT,      /* the file shows the text that argument names (see setup_text()) */
	SETUP_MASK,      /* an empty file or directory in place of what is there; absent is well */
	SETUP_READ_ONLY, /* what is mounted there cannot be written any more */
	SETUP_DISK,      /* the guest's disk, in /dev and /sys */
	SETUP_SOCKET,    /* the manager's */
	SETUP_MEMORY,    /* the guest's own tmpfs below it */
	SETUP_DEV,       /* the guest's own names in /dev, over it */
	SETUP_SYS,       /* the guest's /sys, or an empty one */
	SETUP_RUN,       /* where memory tells no mounts: what all runs share */
};

#define HARMLESS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

struct setup_op {
	enum setup_kind kind;
	const char *path;
	const char *argument;
	unsigned mode;       /* permissions */
	uint64_t attributes; /* TMPFS: MOUNT_ATTR_* */
	unsigned major, minor;
	bool without_memory; /* only where the guest's memory does not tell what is there */
};

#define WITHOUT_MEMORY .without_memory = true

static const struct setup_op table[] = {
	{SETUP_PROC, "/proc"},
	{SETUP_TEXT, "/proc/version", "version"},
	{SETUP_TEXT, "/proc/sys/kernel/osrelease", "osrelease"},
	{SETUP_TEXT, "/proc/sys/kernel/version", "osversion"},
	{SETUP_READ_ONLY, "/proc/sys"},
	{SETUP_MASK, "/proc/acpi"},
	{SETUP_MASK, "/proc/asound"},
	{SETUP_MASK, "/proc/bus"},
	{SETUP_MASK, "/proc/config.gz"},
	{SETUP_MASK, "/proc/driver"},
	{SETUP_MASK, "/proc/fs"},
	{SETUP_MASK, "/proc/irq"},
	{SETUP_MASK, "/proc/kallsyms"},
	{SETUP_MASK, "/proc/kcore"},
	{SETUP_MASK, "/proc/key-users"},
	{SETUP_MASK, "/proc/keys"},
	{SETUP_MASK, "/proc/kmsg"},
	{SETUP_MASK, "/proc/kpagecgroup"},
	{SETUP_MASK, "/proc/kpagecount"},
	{SETUP_MASK, "/proc/kpageflags"},
	{SETUP_MASK, "/proc/latency_stats"},
	{SETUP_MASK, "/proc/modules"},
	{SETUP_MASK, "/proc/sched_debug"},
	{SETUP_MASK, "/proc/scsi"},
	{SETUP_MASK, "/proc/slabinfo"},
	{SETUP_MASK, "/proc/swaps"},
	{SETUP_MASK, "/proc/sysrq-trigger"},
	{SETUP_MASK, "/proc/timer_list"},
	{SETUP_MASK, "/proc/vmallocinfo"},

	{SETUP_SYS, "/sys"},
	{SETUP_DIRECTORY, "/sys/block", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/bus", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/class", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/devices", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/firmware", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/fs", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/fs/cgroup", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/kernel", NULL, 0755},
	{SETUP_DIRECTORY, "/sys/module", NULL, 0755},

	{SETUP_TMPFS, "/dev", "1m", 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC},
	{SETUP_DEVICE, "/dev/null", NULL, 0666, 0, 1, 3},
	{SETUP_DEVICE, "/dev/zero", NULL, 0666, 0, 1, 5},
	{SETUP_DEVICE, "/dev/full", NULL, 0666, 0, 1, 7},
	{SETUP_DEVICE, "/dev/random", NULL, 0666, 0, 1, 8},
	{SETUP_DEVICE, "/dev/urandom", NULL, 0666, 0, 1, 9},
	{SETUP_DEVICE, "/dev/tty", NULL, 0666, 0, 5, 0},
	{SETUP_DIRECTORY, "/dev/pts", NULL, 0755},
	{SETUP_DEVPTS, "/dev/pts"},
	{SETUP_SYMLINK, "/dev/ptmx", "pts/ptmx"},
	{SETUP_SYMLINK, "/dev/fd", "/proc/self/fd"},
	{SETUP_SYMLINK, "/dev/stdin", "/proc/self/fd/0"},
	{SETUP_SYMLINK, "/dev/stdout", "/proc/self/fd/1"},
	{SETUP_SYMLINK, "/dev/stderr", "/proc/self/fd/2"},
	{SETUP_DISK, "/dev"},
	{SETUP_READ_ONLY, "/sys"},
	{SETUP_DIRECTORY, "/dev/mqueue", NULL, 01777},
	{SETUP_DIRECTORY, "/dev/shm", NULL, 0755},
	{SETUP_TMPFS, "/dev/shm", "1g", 01777, HARMLESS, WITHOUT_MEMORY},
	{SETUP_DEV, "/dev"},
	{SETUP_MEMORY, "/dev"},

	{SETUP_RUN, "/run", WITHOUT_MEMORY},
	{SETUP_SOCKET, "/run/systemd/private", .major = SOCKET_PRIVATE},
	{SETUP_SOCKET, "/run/dbus/system_bus_socket", .major = SOCKET_BUS},
	{SETUP_SOCKET, "/run/udev/control", .major = SOCKET_UDEV},
	{SETUP_SOCKET, "/run/systemd/journal/dev-log", .major = SOCKET_SYSLOG},
	{SETUP_SOCKET, "/run/systemd/journal/socket", .major = SOCKET_JOURNAL},
	{SETUP_TMPFS, "/tmp", "4g", 01777, HARMLESS, WITHOUT_MEMORY},
};

struct error *setup_open(int root, const char *path, int flags, int *ret)
{
	int fd = !DEFENCE("no links")
			 ? openat(root, path + strspn(path, "/"), flags | O_CLOEXEC)
			 : io_openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return error_recode(error_system(errno, path, "cannot open in the guest's tree"),
				    errno == ENOENT ? ERROR_NOT_FOUND : ERROR_SYSTEM);
	*ret = fd;
	return NULL;
}

/* The directory that holds `path`; *ret_name is its last component, within `path`. */
static struct error *open_parent(int root, const char *path, int *ret, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[256];

	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	*ret_name = slash + 1;
	return setup_open(root, parent[0] ? parent : "/", O_PATH | O_DIRECTORY, ret);
}

struct error *setup_mount_at(int mount, const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_system(errno, path, "cannot create the directory");
	if (move_mount(mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, path, "cannot mount");
	return NULL;
}

static struct error *attach_at(int target, int mount, const char *path)
{
	if (move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return error_system(errno, path, "cannot mount");
	return NULL;
}

struct error *setup_attach(int root, int mount, const char *path)
{
	_cleanup_(close_fd) int target = -1;
	struct error *error = setup_open(root, path, O_PATH, &target);

	return error ? error : attach_at(target, mount, path);
}

static struct error *set_option(int fs, const char *key, const char *format, unsigned value)
{
	char text[32];

	snprintf(text, sizeof(text), format, value);
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0) < 0)
		return error_system(errno, NULL, "cannot set mount option %s=%s", key, text);
	return NULL;
}

static struct error *make_mount(int fs, uint64_t attributes, int *ret)
{
	int fd;

	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, NULL, "cannot create a file system");
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
	if (fd < 0)
		return error_system(errno, NULL, "cannot mount a file system");
	*ret = fd;
	return NULL;
}

/* `inodes` NULL: as many as the kernel likes. */
static struct error *make_tmpfs(const char *size, const char *inodes, unsigned mode, uint64_t attributes, int *ret)
{
	_cleanup_(close_fd) int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	struct error *error;

	if (fs < 0)
		return error_system(errno, NULL, "cannot use tmpfs");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
	    (inodes && fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", inodes, 0) < 0))
		return error_system(errno, NULL, "cannot set the size of a tmpfs");
	error = set_option(fs, "mode", "%o", mode);
	if (!error)
		error = set_option(fs, "uid", "%u", SHADOW_ID_BASE);
	if (!error)
		error = set_option(fs, "gid", "%u", SHADOW_ID_BASE);
	return error ? error : make_mount(fs, attributes, ret);
}

struct error *setup_tmpfs(const char *size, unsigned mode, uint64_t attributes, int *ret)
{
	return make_tmpfs(size, NULL, mode, attributes, ret);
}

struct error *setup_ramfs(int *ret)
{
	_cleanup_(close_fd) int fs = fsopen("ramfs", FSOPEN_CLOEXEC);

	if (fs < 0)
		return error_system(errno, NULL, "cannot use ramfs");
	return make_mount(fs, HARMLESS | MOUNT_ATTR_NOEXEC, ret);
}

struct error *setup_tmpfs_sized(const char *size, const char *inodes, int *ret)
{
	return make_tmpfs(size, inodes, 0755, HARMLESS | MOUNT_ATTR_NOEXEC, ret);
}

static struct error *do_tmpfs(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(close_fd) int mount = -1;
	struct error *error = setup_tmpfs(op->argument, op->mode, op->attributes, &mount);

	return error ? error : setup_attach(state->root, mount, op->path);
}

/* A copy of the mount: every run has the same. */
static struct error *do_sys(struct setup_state *state, const struct setup_op *op)
{
	const char *path = state->setup->shadow->sys;
	_cleanup_(close_fd) int mount = -1;
	struct error *error;

	if (path) {
		mount = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (mount < 0)
			return error_system(errno, path, "cannot clone the mount");
	} else {
		error = setup_tmpfs("1m", 0755, HARMLESS | MOUNT_ATTR_NOEXEC, &mount);
		if (error)
			return error;
	}
	return setup_attach(state->root, mount, op->path);
}

static struct error *do_run(struct setup_state *state, const struct setup_op *op)
{
	const char *path = state->setup->shadow->own_run;
	_cleanup_(close_fd) int mount = path ? open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC) : -1;

	if (mount < 0)
		return error_system(path ? errno : ENOENT, op->path, "cannot clone the mount");
	return setup_attach(state->root, mount, op->path);
}

static struct error *do_proc(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(close_fd) int fs = fsopen("proc", FSOPEN_CLOEXEC), mount = -1;
	struct error *error;

	if (fs < 0)
		return error_system(errno, NULL, "cannot use procfs");
	error = make_mount(fs, HARMLESS | MOUNT_ATTR_NOEXEC, &mount);
	return error ? error : setup_attach(state->root, mount, op->path);
}

static struct error *make_devpts(const char *gid, int *ret)
{
	_cleanup_(close_fd) int fs = fsopen("devpts", FSOPEN_CLOEXEC);
	struct error *error = NULL;

	if (fs < 0)
		return error_system(errno, NULL, "cannot use devpts");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "gid", gid, 0) < 0)
		error = error_system(errno, NULL, "cannot set mount option gid=%s", gid);
	if (!error)
		error = set_option(fs, "mode", "%o", 0620);
	if (!error)
		error = set_option(fs, "ptmxmode", "%o", 0666);
	/* All instances share what the host has. */
	if (!error)
		error = set_option(fs, "max", "%u", 256);
	return error ? error : make_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, ret);
}

/*
 * Group tty is 5 in every distribution. A kernel that has devpts still read its options by match_int() (lib/parser.c;
 * Linux 6.1 does) reads 64 bits and then wants an int, which our ids are not: there it gets the 64 bits of that int.
 */
static struct error *do_devpts(struct setup_state *state, const struct setup_op *op)
{
	const uint32_t tty = SHADOW_ID_BASE + 5;
	_cleanup_(close_fd) int mount = -1;
	struct error *error;
	char gid[32];

	snprintf(gid, sizeof(gid), "%" PRIu32, tty);
	error = make_devpts(gid, &mount);
	if (error && error->errnum == EINVAL) {
		error_destroy(error);
		snprintf(gid, sizeof(gid), "%" PRIu64, (uint64_t)(int64_t)(int32_t)tty);
		error = make_devpts(gid, &mount);
	}
	if (!error && (fchownat(mount, "", SHADOW_ID_BASE, SHADOW_ID_BASE, AT_EMPTY_PATH) < 0 ||
		       fchownat(mount, "ptmx", SHADOW_ID_BASE, tty, 0) < 0))
		error = error_system(errno, op->path, "cannot set the owner");
	return error ? error : setup_attach(state->root, mount, op->path);
}

/* Gives what was just made to the guest's root. */
static struct error *own(int parent, const char *name, const struct setup_op *op, bool link)
{
	if (fchownat(parent, name, SHADOW_ID_BASE, SHADOW_ID_BASE, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (!link && fchmodat(parent, name, op->mode, 0) < 0))
		return error_system(errno, op->path, "cannot set owner and mode");
	return NULL;
}

static struct error *do_make(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(close_fd) int parent = -1;
	const char *name;
	struct error *error = open_parent(state->root, op->path, &parent, &name);
	int r;

	if (error)
		return error;
	if (op->kind == SETUP_DIRECTORY) {
		r = mkdirat(parent, name, op->mode);
		/* What the guest has stays as it is. */
		if (r < 0 && errno == EEXIST && state->setup->shadow->guest)
			return NULL;
	} else if (op->kind == SETUP_SYMLINK) {
		r = symlinkat(op->argument, parent, name);
	} else {
		r = mknodat(parent, name, S_IFCHR | op->mode, makedev(op->major, op->minor));
	}
	if (r < 0)
		return error_system(errno, op->path, "cannot create");
	return own(parent, name, op, op->kind == SETUP_SYMLINK);
}

struct socket_times {
	bool known;
	struct timespec socket[2], directory[2]; /* as utimensat() takes them */
	mode_t mode;
};

/* The guest's own manager listens on the one that is there, or the run before did: ours looks like it. */
static struct error *remove_socket(int parent, const char *name, struct socket_times *ret)
{
	struct stat st, directory;

	ret->known = false;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(parent, "", &directory, AT_EMPTY_PATH) < 0)
		return NULL;
	if (unlinkat(parent, name, 0) < 0)
		return error_system(errno, name, "cannot remove the guest's socket");
	*ret = (struct socket_times){
		true, {st.st_atim, st.st_mtim}, {directory.st_atim, directory.st_mtim}, st.st_mode & 07777};
	return NULL;
}

static struct error *bind_at(int socket, int directory, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, name);
	if (bind(socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_system(errno, name, "cannot bind the socket");
	return NULL;
}

static bool has_socket(int parent, const char *name)
{
	struct stat st;

	return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode);
}

/* It listens where nobody can. */
static struct error *hide_socket(struct setup_state *state, const struct setup_op *op, int socket)
{
	char name[32];

	snprintf(name, sizeof(name), "socket-%u", op->major);
	return bind_at(socket, state->stage, name);
}

static struct error *do_socket(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(close_fd) int parent = -1;
	int socket = state->setup->sockets[op->major];
	struct socket_times times;
	const char *name;
	struct error *error;

	if (socket < 0)
		return NULL;
	error = open_parent(state->root, op->path, &parent, &name);
	/* A guest without systemd, D-Bus, udev: nobody looks for it. */
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return hide_socket(state, op, socket);
	}
	if (!error && op->major != SOCKET_PRIVATE && !has_socket(parent, name))
		return hide_socket(state, op, socket);
	if (!error)
		error = remove_socket(parent, name, &times);
	/* A script of an earlier run has put a directory there. */
	if (error && error->errnum == EISDIR) {
		error_destroy(error);
		return hide_socket(state, op, socket);
	}
	if (!error)
		error = bind_at(socket, parent, name);
	if (error)
		return error;
	if (times.known && (fchmodat(parent, name, times.mode, 0) < 0 ||
			    utimensat(parent, name, times.socket, AT_SYMLINK_NOFOLLOW) < 0 ||
			    utimensat(parent, ".", times.directory, 0) < 0))
		return error_system(errno, op->path, "cannot set the times");
	return own(parent, name, op, true);
}

/* The text behind a name of the table; NULL: no such text here, leave the host's. */
static char *setup_text(const struct shadow *shadow, const char *name)
{
	const struct guest_uts *uts = &shadow->uts;

	if (!shadow->has_uts)
		return NULL;
	if (strcmp(name, "version") == 0)
		return string_format("%.64s version %.64s %.64s\n", uts->sysname, uts->release, uts->version);
	return string_format("%.64s\n", strcmp(name, "osrelease") == 0 ? uts->release : uts->version);
}

/* Where texts are kept until they are bound: a tmpfs outside the new root, gone after the change of root. */
static struct error *open_stage(const struct shadow *shadow, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("%s/stage", shadow->run_dir);
	_cleanup_(close_fd) int mount = -1;
	struct error *error;

	if (!path)
		return error_no_memory();
	error = setup_tmpfs("1m", 0755, HARMLESS, &mount);
	if (error)
		return error;
	if (move_mount(mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, path, "cannot mount");
	*ret = take_fd(mount);
	return NULL;
}

struct error *setup_bind_text(struct setup_state *state, int target, const char *path, const char *text)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	_cleanup_(close_fd) int fd = -1, file = -1;
	struct error *error;
	char name[32];

	snprintf(name, sizeof(name), "%u", state->n_texts++);
	fd = openat(state->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_system(errno, path, "cannot create the text for");
	error = io_write(fd, text, strlen(text), path);
	if (error)
		return error;
	file = open_tree(state->stage, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (file < 0 || mount_setattr(file, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return error_system(errno, path, "cannot bind the text for");
	return attach_at(target, file, path);
}

static struct error *show_text(struct setup_state *state, const char *path, const char *text)
{
	_cleanup_(close_fd) int target = -1;
	struct error *error = setup_open(state->root, path, O_PATH, &target);

	return error ? error : setup_bind_text(state, target, path, text);
}

static struct error *do_text(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(free_ptr) char *text = setup_text(state->setup->shadow, op->argument);

	return text ? show_text(state, op->path, text) : NULL;
}

static struct error *do_mask(struct setup_state *state, const struct setup_op *op)
{
	_cleanup_(close_fd) int target = -1, mount = -1;
	struct error *error = setup_open(state->root, op->path, O_PATH, &target);
	struct stat st;

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	if (fstat(target, &st) < 0)
		return error_system(errno, op->path, "cannot stat");
	if (!S_ISDIR(st.st_mode))
		return setup_bind_text(state, target, op->path, "");
	error = setup_tmpfs("4k", 0555, HARMLESS | MOUNT_ATTR_RDONLY, &mount);
	return error ? error : setup_attach(state->root, mount, op->path);
}

static struct error *do_read_only(struct setup_state *state, const struct setup_op *op)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	_cleanup_(close_fd) int target = -1, mount = -1;
	struct error *error = setup_open(state->root, op->path, O_PATH, &target);

	if (error)
		return error;
	/* With the mounts below it (texts already there), bound over itself. */
	mount = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
	if (mount < 0 || mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return error_system(errno, op->path, "cannot make it read-only");
	return setup_attach(state->root, mount, op->path);
}

static struct error *execute(struct setup_state *state, const struct setup_op *op)
{
	/* What the server shows needs no mask. */
	if (state->setup->fuse_fd >= 0 && strncmp(op->path, "/proc/", 6) == 0)
		return NULL;
	switch (op->kind) {
	case SETUP_PROC:
		return state->setup->fuse_fd >= 0 ? setup_proc(state, op->path) : do_proc(state, op);
	case SETUP_TMPFS:
		return do_tmpfs(state, op);
	case SETUP_DEVPTS:
		return do_devpts(state, op);
	case SETUP_DIRECTORY:
	case SETUP_SYMLINK:
	case SETUP_DEVICE:
		return do_make(state, op);
	case SETUP_TEXT:
		return do_text(state, op);
	case SETUP_MASK:
		return DEFENCE("masks") ? do_mask(state, op) : NULL;
	case SETUP_READ_ONLY:
		return DEFENCE("masks") ? do_read_only(state, op) : NULL;
	case SETUP_DISK:
		return nodes_show(state);
	case SETUP_SOCKET:
		return do_socket(state, op);
	case SETUP_DEV:
		return dev_show(state);
	case SETUP_SYS:
		return do_sys(state, op);
	case SETUP_RUN:
		return do_run(state, op);
	case SETUP_MEMORY:
		return mounts_attach_dev(state->setup->shadow, state->root);
	}
	return error_create(ERROR_FAILED, "%s: unknown setup operation", op->path);
}

/* What other programs call a sandbox: for the escape suite alone. */
static struct error *chroot_only(int root)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", root);
	return chroot(path) < 0 ? error_system(errno, path, "cannot change the root") : NULL;
}

/* Makes the tree the root of every process in this mount namespace, and forgets the host's. */
static struct error *enter_root(int root)
{
	if (!DEFENCE("root"))
		return chroot_only(root);
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return error_system(errno, NULL, "cannot change the root");
	/* The old root lies over the new one; "." is still the new one's mount point below it. */
	if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_system(errno, NULL, "cannot detach the host's root");
	return NULL;
}

struct error *setup_root(const struct setup *setup)
{
	_cleanup_(close_fd) int root = open(setup->shadow->root, O_PATH | O_DIRECTORY | O_CLOEXEC), stage = -1;
	struct setup_state state = {.setup = setup, .root = root};
	struct error *error;

	if (root < 0)
		return error_system(errno, setup->shadow->root, "cannot open");
	error = open_stage(setup->shadow, &stage);
	if (error)
		return error;
	state.stage = stage;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].without_memory && setup->shadow->guest && setup->shadow->mounts.n)
			continue;
		error = execute(&state, &table[i]);
		if (error)
			return error_wrap(error, "setting up %s", table[i].path);
	}
	if (setup->network) {
		error = resolver_show(&state);
		if (error)
			return error;
	}
	return enter_root(root);
}
