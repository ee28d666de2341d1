/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls a guest's program may make. Three filters, of which the kernel takes the
 * strictest answer: the first is the list of allowed calls, everything else does not exist
 * (ENOSYS) or is refused (EPERM) where programs expect to be refused; the second looks at arguments; the third
 * (filter_answers.c) hands calls to us that the guest's memory answers.
 */
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>

#include "shadow/refusals.h"

DEFINE_CLEANUP(scmp_filter_ctx, seccomp_release)

static const char *const allowed[] = {
	/* files */
	"access",
	"chdir",
	"chmod",
	"chown",
	"close",
	"close_range",
	"copy_file_range",
	"creat",
	"dup",
	"dup2",
	"dup3",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fchdir",
	"fchmod",
	"fchmodat",
	"fchmodat2",
	"fchown",
	"fchownat",
	"fcntl",
	"fdatasync",
	"fgetxattr",
	"flistxattr",
	"flock",
	"fremovexattr",
	"fsetxattr",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"futimesat",
	"getcwd",
	"getdents",
	"getdents64",
	"getxattr",
	"inotify_add_watch",
	"inotify_init",
	"inotify_init1",
	"inotify_rm_watch",
	"ioctl",
	"lchown",
	"lgetxattr",
	"link",
	"linkat",
	"listxattr",
	"llistxattr",
	"lremovexattr",
	"lseek",
	"lsetxattr",
	"lstat",
	"mkdir",
	"mkdirat",
	"mknod",
	"mknodat",
	"name_to_handle_at",
	"newfstatat",
	"open",
	"openat",
	"openat2",
	"pipe",
	"pipe2",
	"pread64",
	"preadv",
	"preadv2",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readahead",
	"readlink",
	"readlinkat",
	"readv",
	"removexattr",
	"rename",
	"renameat",
	"renameat2",
	"rmdir",
	"sendfile",
	"setxattr",
	"splice",
	"stat",
	"statfs",
	"statx",
	"symlink",
	"symlinkat",
	"sync",
	"sync_file_range",
	"syncfs",
	"tee",
	"truncate",
	"umask",
	"unlink",
	"unlinkat",
	"ustat",
	"utime",
	"utimensat",
	"utimes",
	"vmsplice",
	"write",
	"writev",
	"chroot",
	"memfd_create",
	"cachestat",
	/* memory */
	"brk",
	"madvise",
	"membarrier",
	"mincore",
	"mlock",
	"mlock2",
	"mlockall",
	"mmap",
	"mprotect",
	"mremap",
	"msync",
	"munlock",
	"munlockall",
	"munmap",
	"pkey_alloc",
	"pkey_free",
	"pkey_mprotect",
	"mbind",
	"get_mempolicy",
	"set_mempolicy",
	"map_shadow_stack",
	"mseal",
	/* processes */
	"arch_prctl",
	"capget",
	"capset",
	"clone",
	"execve",
	"execveat",
	"exit",
	"exit_group",
	"fork",
	"futex",
	"futex_wait",
	"futex_waitv",
	"futex_wake",
	"futex_requeue",
	"get_robust_list",
	"get_thread_area",
	"getcpu",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgid",
	"getpgrp",
	"getpid",
	"getppid",
	"getpriority",
	"getrandom",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"getsid",
	"gettid",
	"getuid",
	"ioprio_get",
	"ioprio_set",
	"kill",
	"landlock_add_rule",
	"landlock_create_ruleset",
	"landlock_restrict_self",
	"modify_ldt",
	"personality",
	"pidfd_open",
	"pidfd_send_signal",
	"prctl",
	"prlimit64",
	"rseq",
	"sched_get_priority_max",
	"sched_get_priority_min",
	"sched_getaffinity",
	"sched_getattr",
	"sched_getparam",
	"sched_getscheduler",
	"sched_rr_get_interval",
	"sched_setaffinity",
	"sched_setattr",
	"sched_setparam",
	"sched_setscheduler",
	"sched_yield",
	"seccomp",
	"set_robust_list",
	"set_thread_area",
	"set_tid_address",
	"setfsgid",
	"setfsuid",
	"setgid",
	"setgroups",
	"setpgid",
	"setpriority",
	"setregid",
	"setresgid",
	"setresuid",
	"setreuid",
	"setrlimit",
	"setsid",
	"setuid",
	"sysinfo",
	"tgkill",
	"time",
	"times",
	"tkill",
	"uname",
	"unshare",
	"vfork",
	"wait4",
	"waitid",
	/* signals and time */
	"adjtimex",
	"alarm",
	"clock_adjtime",
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"getitimer",
	"gettimeofday",
	"nanosleep",
	"pause",
	"restart_syscall",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigqueueinfo",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"rt_tgsigqueueinfo",
	"setitimer",
	"sigaltstack",
	"signalfd",
	"signalfd4",
	"timer_create",
	"timer_delete",
	"timer_getoverrun",
	"timer_gettime",
	"timer_settime",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	/* waiting, sockets, System V and POSIX messages */
	"accept",
	"accept4",
	"bind",
	"connect",
	"epoll_create",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd",
	"eventfd2",
	"getpeername",
	"getsockname",
	"getsockopt",
	"listen",
	"mq_getsetattr",
	"mq_notify",
	"mq_open",
	"mq_timedreceive",
	"mq_timedsend",
	"mq_unlink",
	"msgctl",
	"msgget",
	"msgrcv",
	"msgsnd",
	"poll",
	"ppoll",
	"pselect6",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"select",
	"semctl",
	"semget",
	"semop",
	"semtimedop",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shmat",
	"shmctl",
	"shmdt",
	"shmget",
	"shutdown",
	"socket",
	"socketpair",
};

/* Requests to the running system that are answered: see answer_rules[]. For our own helpers they are refused. */
static const char *const requests[] = {
	"mount",        "reboot",      "swapoff",       "swapon",      "umount2", "delete_module",
	"finit_module", "init_module", "setdomainname", "sethostname", "syslog",
};

/* What the escape suite lets through: nothing in the program. */
static struct error *add_left_out(scmp_filter_ctx filter, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int call = seccomp_syscall_resolve_name(names[i]);

		if (call >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) < 0)
			return error_create(ERROR_FAILED, "cannot let %s through", names[i]);
	}
	return NULL;
}

/* A call this libseccomp or architecture does not know cannot be listed, and so stays denied. */
static struct error *add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int call = seccomp_syscall_resolve_name(names[i]);
		int r;

		if (call == __NR_SCMP_ERROR || call < 0 || !DEFENCE(names[i]))
			continue;
		r = seccomp_rule_add(filter, action, call, 0);
		if (r < 0)
			return error_system(-r, NULL, "cannot filter the system call %s", names[i]);
	}
	return NULL;
}

static struct error *deny_argument(scmp_filter_ctx filter, int call, unsigned argument, uint64_t mask, uint64_t value,
				   int errnum)
{
	int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)errnum), call, 1,
				 SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, mask, value));

	return r < 0 ? error_system(-r, NULL, "cannot filter an argument") : NULL;
}

/*
 * What the table refuses by itself, of calls as a whole or by an argument. Where it is noted the filter of answers
 * stops it, and an errno from here would outrank that. libseccomp wants no rule that says what the filter does anyhow.
 */
static struct error *add_refusals(scmp_filter_ctx filter, bool noted, bool by_argument)
{
	struct error *error = NULL;
	uint32_t anyhow;

	if (seccomp_attr_get(filter, SCMP_FLTATR_ACT_DEFAULT, &anyhow) < 0)
		return error_create(ERROR_FAILED, "cannot set up the system call filter");
	for (size_t i = 0; !error && i < n_refusals; i++) {
		const struct refusal *refusal = &refusals[i];
		int call = refusal_call(refusal), r = 0;

		if (call < 0 || !refusal_stands(refusal) || (refusal->mask != 0) != by_argument)
			continue;
		if (noted && !by_argument)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
		else if (!noted && by_argument)
			error = deny_argument(filter, call, refusal->argument, refusal->mask, refusal->value,
					      refusal->errnum);
		else if (!noted && anyhow != SCMP_ACT_ERRNO((uint32_t)refusal->errnum))
			r = seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)refusal->errnum), call, 0);
		if (r < 0)
			error = error_system(-r, NULL, "cannot filter the system call %s", refusal->name);
	}
	return error;
}

/*
 * Socket families: local, IP, and netlink for routes alone (of the others, many are new and seldom reviewed). That for
 * questions about sockets is answered with a dummy where there is a guest to ask about: answer_socket().
 */
static struct error *deny_sockets(scmp_filter_ctx filter, bool answered)
{
	struct error *error = NULL;
	int r;

	for (unsigned family = 0; !error && family <= 63; family++)
		if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK)
			error = deny_argument(filter, SCMP_SYS(socket), 0, UINT32_MAX, family, EAFNOSUPPORT);
	for (uint64_t bit = 64; !error && bit <= 0x80000000u; bit <<= 1)
		error = deny_argument(filter, SCMP_SYS(socket), 0, bit, bit, EAFNOSUPPORT);
	for (unsigned protocol = NETLINK_ROUTE + 1; !error && protocol < 32; protocol++) {
		if (answered && protocol == NETLINK_SOCK_DIAG)
			continue;
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2,
				     SCMP_CMP64(0, SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK),
				     SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, UINT32_MAX, protocol));
		if (r < 0)
			error = error_system(-r, NULL, "cannot filter netlink sockets");
	}
	return error;
}

static struct error *new_filter(uint32_t action, scmp_filter_ctx *ret)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = seccomp_init(action);

	if (!filter)
		return error_no_memory();
	/* Programs for other ABIs (i386, x32) find no system call at all. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) < 0 ||
	    /* The guest's set-user-id programs work as in the guest; they gain ids of the guest only. */
	    seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) < 0 ||
	    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		return error_create(ERROR_FAILED, "cannot set up the system call filter");
	*ret = take_ptr(filter);
	return NULL;
}

static struct error *load(scmp_filter_ctx filter)
{
	int r = seccomp_load(filter);

	return r < 0 ? error_system(-r, NULL, "cannot load the system call filter") : NULL;
}

static struct error *load_arguments(const struct shadow *shadow)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = NULL;
	struct error *error;

	error = new_filter(SCMP_ACT_ALLOW, &filter);
	if (!error)
		error = add_refusals(filter, shadow->note_refusals, true);
	/* Huge pages are the host's, reserved for its own; a listener of the guest's could let through what is
	 * answered. */
	if (!error)
		error = deny_argument(filter, SCMP_SYS(mmap), 3, MAP_HUGETLB, MAP_HUGETLB, ENOMEM);
	if (!error)
		error = deny_argument(filter, SCMP_SYS(memfd_create), 1, MFD_HUGETLB, MFD_HUGETLB, EINVAL);
	if (!error)
		error = deny_argument(filter, SCMP_SYS(shmget), 2, SHM_HUGETLB, SHM_HUGETLB, EPERM);
	if (!error)
		error = deny_argument(filter, SCMP_SYS(seccomp), 1, SECCOMP_FILTER_FLAG_NEW_LISTENER,
				      SECCOMP_FILTER_FLAG_NEW_LISTENER, EINVAL);
	if (!error && !shadow->note_refusals)
		error = deny_sockets(filter, shadow->guest);
	/* A file of FUSE that says it is empty, as those of /proc do, ends for it at once. Who hears that it does not
	 * work reads instead. */
	if (!error && shadow->guest && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(sendfile), 0) < 0)
		error = error_create(ERROR_FAILED, "cannot filter sendfile");
	return error ? error : load(filter);
}

struct error *filter_load(const struct shadow *shadow, int *ret_listener)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = NULL;
	_cleanup_(close_fd) int listener = -1;
	struct error *error;

	/* First, for the others refuse a filter with a listener. */
	error = filter_load_answers(shadow, &listener);
	if (!error && DEFENCE("arguments"))
		error = load_arguments(shadow);
	if (!error)
		error = new_filter(SCMP_ACT_ERRNO(ENOSYS), &filter);
	if (!error)
		error = add_names(filter, SCMP_ACT_ALLOW, allowed, ARRAY_SIZE(allowed));
	if (!error)
		error = add_names(filter, SCMP_ACT_ALLOW, requests, ARRAY_SIZE(requests));
	if (!error)
		error = add_refusals(filter, shadow->note_refusals, false);
	if (!error)
		error = add_left_out(filter, WEAKENED_CALLS);
	if (!error)
		error = load(filter);
	if (!error)
		*ret_listener = take_fd(listener);
	return error;
}

struct error *filter_load_helper(void)
{
	_cleanup_(seccomp_release_ptr) scmp_filter_ctx filter = NULL;
	static const char *const none[] = {"execve",  "execveat", "socket", "mknod",
					   "mknodat", "chroot",   "unlink", "rename"};
	struct error *error;

	error = new_filter(SCMP_ACT_ALLOW, &filter);
	if (!error)
		error = add_refusals(filter, false, false);
	if (!error)
		error = add_names(filter, SCMP_ACT_ERRNO(EPERM), requests, ARRAY_SIZE(requests));
	if (!error)
		error = add_names(filter, SCMP_ACT_ERRNO(EPERM), none, ARRAY_SIZE(none));
	if (error)
		return error;
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1) < 0)
		return error_create(ERROR_FAILED, "cannot set up the system call filter");
	return load(filter);
}
