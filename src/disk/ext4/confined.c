/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In this order: what it has inherited is closed, its root becomes an empty directory, its id one that owns nothing,
 * system calls are filtered. Only then the first byte of the file system is read.
 */
#include "disk/ext4/confined.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/io.h"
#include "base/limit.h"
#include "disk/ext4/server.h"

/*
 * Beside those of the shadow (shadow/internal.h): above every id that the guest's stand for, where no account of the
 * host is.
 */
#define ID_READER 0xC0000003u

/* Tables of groups, directories as a whole, buffers: far more than an honest file system takes. */
#define DATA_MAX  (UINT64_C(1) << 30)

/* The sanitizer's shadow memory counts. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum {
	FD_DISK = 3,
	FD_FUSE,
	FD_SOCKET,
	FD_ROOT,
	N_FDS
};

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)

static struct error *arrange_descriptors(const struct confined_options *options)
{
	const int from[] = {options->mount->disk_fd, options->fuse_fd, options->socket};
	_cleanup_(close_fd) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int copies[ARRAY_SIZE(from)];

	if (null_fd < 0)
		return error_system(errno, "/dev/null", "open");
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		copies[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
		if (copies[i] < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	}
	for (int fd = 0; fd < FD_DISK; fd++)
		if (dup2(null_fd, fd) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		if (dup2(copies[i], FD_DISK + (int)i) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	null_fd = -1; /* closed with the rest */
	if (close_range(FD_ROOT, ~0U, 0) < 0)
		return error_system(errno, NULL, "cannot close descriptors");
	return NULL;
}

/* An empty tmpfs that nobody can write to, in a mount namespace with nothing else. */
static struct error *leave_files(const char *directory)
{
	_cleanup_(close_fd) int context = -1, root = -1;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_system(errno, NULL, "cannot create a mount namespace");
	context = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
	    fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_system(errno, NULL, "cannot create an empty file system");
	root = fsmount(context, FSMOUNT_CLOEXEC,
		       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root < 0 || move_mount(root, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_system(errno, directory, "cannot mount an empty file system");
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return error_system(errno, NULL, "cannot change to an empty root");
	return NULL;
}

static struct error *limit_self(void)
{
	struct error *error = limit_set(RLIMIT_CORE, 0);

	if (!error)
		error = limit_set(RLIMIT_FSIZE, 0);
	/* Pipes of libfuse, two a thread. */
	if (!error)
		error = limit_set(RLIMIT_NOFILE, 32);
	return error;
}

static struct error *drop_rights(pid_t parent)
{
	if (setgroups(0, NULL) < 0 || setresgid(ID_READER, ID_READER, ID_READER) < 0 ||
	    setresuid(ID_READER, ID_READER, ID_READER) < 0)
		return error_remedy(error_system(errno, NULL, "cannot change to id %u", ID_READER),
				    "run as root outside of a user namespace");
	/* Forgotten at the change of ids. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return error_system(errno, NULL, "cannot tie the reader to its parent");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_system(errno, NULL, "cannot drop rights");
	return NULL;
}

/* Reading, answering, memory, threads. Nothing that names a file, a process or an address of a network. */
static const char *const allowed[] = {
	"brk",
	"clock_gettime",
	"clock_nanosleep",
	"dup",
	"close",
	"exit",
	"exit_group",
	"fcntl",
	"futex",
	"getpid",
	"getrandom",
	"gettid",
	"getuid",
	"madvise",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"pipe2",
	"poll",
	"ppoll",
	"pread64",
	"preadv",
	"read",
	"readv",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"sched_yield",
	"sendto",
	"set_robust_list",
	"splice",
	"vmsplice",
	"write",
	"writev",
	"sched_getaffinity",
	"sigaltstack",
	"getegid",
	"geteuid",
	"getgid",
	"tgkill",
};

static struct error *filter_calls(void)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = 0;

	if (!filter)
		return error_no_memory();
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(allowed); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		if (call >= 0)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	/* Threads, no processes. The arguments of clone3 cannot be seen: the C library then takes the older call. */
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* libfuse looks whether the first three descriptors are open, and goes on. */
	if (r >= 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 0);
	if (r >= 0)
		r = seccomp_load(filter);
	return r < 0 ? error_system(-r, NULL, "cannot load the system call filter") : NULL;
}

static struct error *prepare(const struct confined_options *options)
{
	uint64_t data = limit_data_now(); /* /proc goes with the root */
	struct error *error;
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < SIGRTMIN; number++)
		signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
	/* The terminal's ^C is the caller's to handle. */
	if (setsid() < 0)
		return error_system(errno, NULL, "cannot create a session");
	error = leave_files(options->mount->directory);
	if (!error)
		error = limit_self();
	if (!error && !SANITIZED)
		error = limit_set(RLIMIT_DATA, data + DATA_MAX);
	if (!error)
		error = drop_rights(options->parent);
	return error ? error : filter_calls();
}

static _Noreturn void report(struct error *error)
{
	struct confined_report report = {0};

	if (error) {
		report.code = (int)error->code;
		snprintf(report.text, sizeof(report.text), "%s", error->message);
	}
	(void)!send(FD_SOCKET, &report, sizeof(report), MSG_NOSIGNAL);
	_exit(1);
}

_Noreturn void confined_run(const struct confined_options *options)
{
	struct ext4_server_options server_options = {
		.disk_fd = FD_DISK,
		.start = options->mount->start,
		.size = options->mount->size,
		.shift = options->mount->shift,
		.fuse_fd = FD_FUSE,
		.threads = options->threads,
	};
	const struct confined_report ready = {0};
	struct ext4_server *server;
	struct error *error;
	char byte;

	/* Where to say so is not known before. */
	error = arrange_descriptors(options);
	if (error)
		_exit(1);
	error = prepare(options);
	if (!error)
		error = ext4_server_create(&server_options, &server);
	if (error)
		report(error);
	/* A descriptor of FUSE cannot be read before it is mounted. The end: it will not be. */
	if (send(FD_SOCKET, &ready, sizeof(ready), MSG_NOSIGNAL) < 0 || read(FD_SOCKET, &byte, 1) != 1)
		_exit(1);
	close(FD_SOCKET);
	error = ext4_server_serve(server);
	_exit(error ? 1 : 0);
}
