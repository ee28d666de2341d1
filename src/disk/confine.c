/* SPDX-License-Identifier: Apache-2.0 */
#include "disk/confine.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limit.h"

/*
 * Beside those of the shadow (shadow/internal.h): above every id that the guest's stand for, where no account of the
 * host is.
 */
#define ID_READER 0xC0000003u

/* The sanitizer's shadow memory counts. */
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)

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

static struct error *limit_self(uint64_t file_max)
{
	struct error *error = limit_set(RLIMIT_CORE, 0);

	if (!error)
		error = limit_set(RLIMIT_FSIZE, file_max);
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
	"sysinfo", /* qsort(3) of much */
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

/* Of who works on the disk. */
static const char *const allowed_to_write[] = {"pwrite64", "fsync"};

static int allow(scmp_filter_ctx filter, const char *const *names, size_t n)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++) {
		int call = seccomp_syscall_resolve_name(names[i]);

		if (call >= 0)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	return r;
}

static struct error *filter_calls(bool writes)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return error_no_memory();
	r = allow(filter, allowed, ARRAY_SIZE(allowed));
	if (r >= 0 && writes)
		r = allow(filter, allowed_to_write, ARRAY_SIZE(allowed_to_write));
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

struct error *confine(const struct confine_options *options)
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
	error = leave_files(options->directory);
	if (!error)
		error = limit_self(options->file_max);
	if (!error && !SANITIZED)
		error = limit_set(RLIMIT_DATA, data + options->data_max);
	if (!error)
		error = drop_rights(options->parent);
	return error ? error : filter_calls(options->writes);
}
