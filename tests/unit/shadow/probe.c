/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static program that runs as the guest in the shadow and tries one thing: `probe [as-user] NAME`. Exit status 0: it
 * could; 1: it could not (with errno on standard output); 2: no such probe.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/loop.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/shadow/spawn.h"

static int try_connect(const char *address, unsigned short port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to));
}

/* Also where a route would not stop it: the socket is bound to the device. */
static int try_device(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "tap0", 5) < 0)
		return -1;
	return connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static int try_clone(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid < 0 ? -1 : 0;
}

static int print_uts(void)
{
	struct utsname uts;

	if (uname(&uts) < 0)
		return -1;
	printf("%s|%s|%s|%s|%s\n", uts.sysname, uts.nodename, uts.release, uts.version, uts.machine);
	return 0;
}

/* Ends and closes all that it has of somebody else's, but its output, and asks. */
static int try_without_descriptors(void)
{
	for (int fd = 0; fd < 65536; fd++)
		if (fd != STDOUT_FILENO && shutdown(fd, SHUT_RDWR) + close(fd) > -2)
			errno = 0;
	return print_uts();
}

static int print_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		return -1;
	printf("%lld\n", (long long)now.tv_sec);
	return 0;
}

static int try_write(const char *path)
{
	int fd = open(path, O_WRONLY);

	return fd < 0 ? -1 : (int)write(fd, "1", 1);
}

/* Prints how many processes can be had, but at most `max`. */
static int try_spawn(int max)
{
	int n = spawn_users(max);

	if (n < 0)
		return -1;
	printf("%d\n", n);
	return 0;
}

/* Uses up so many MiB, and says so if it is still there. */
static int try_memory(int mib)
{
	for (int i = 0; i < mib; i++) {
		char *p = malloc(1 << 20);

		if (!p)
			return -1;
		memset(p, i + 1, 1 << 20);
	}
	return 0;
}

/* Files that one process may have open. */
static int try_files(int max)
{
	int n = 0;

	while (n < max && dup(0) >= 0)
		n++;
	printf("%d\n", n);
	return 0;
}

/* Kernel objects of one kind until one is refused, in as many processes as it takes; prints how many. */
static int try_watches(int max)
{
	int n = 0;

	while (n < max && inotify_init1(IN_CLOEXEC) >= 0)
		n++;
	printf("%d\n", n);
	return 0;
}

/* Every process has children for as long as it lives. */
static _Noreturn void bomb(void)
{
	for (;;)
		if (fork() < 0)
			usleep(10000);
}

/* A descriptor of a process, and a signal through it; prints how open(2) or kill(2) would end. */
static int try_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		printf("%d\n", errno);
	else
		printf("%ld\n", syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0));
	return 0;
}

/* As killall does it. */
static int try_directory(const char *pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%s", pid);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return -1;
	printf("%d\n", syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0) < 0 ? errno : 0);
	return 0;
}

static int try_ask(int n)
{
	struct utsname uts;

	for (int i = 0; i < n; i++)
		if (uname(&uts) < 0)
			return -1;
	return 0;
}

/* A socket for questions about sockets opens, but is not the kernel's, and nobody takes the question. */
static int try_diag(void)
{
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	struct nlmsghdr question = {.nlmsg_len = sizeof(question), .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
	int protocol = -1;
	socklen_t size = sizeof(protocol);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0)
		return -1;
	errno = 0;
	if (protocol != NETLINK_USERSOCK || fcntl(fd, F_GETFD) != FD_CLOEXEC || !(fcntl(fd, F_GETFL) & O_NONBLOCK) ||
	    sendto(fd, &question, sizeof(question), 0, (struct sockaddr *)&address, sizeof(address)) >= 0 ||
	    errno != ECONNREFUSED)
		return -1;
	errno = 0;
	return 0;
}

static int try_listener(void)
{
	struct sock_filter allow = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	struct sock_fprog code = {1, &allow};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &code);
}

/* A terminal of its own, whose driver takes its time; read by its name and by /dev/tty. */
static int try_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), status;
	char buffer[16];

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		return -1;
	if (fork() == 0) {
		setsid();
		for (int i = 0; i < 2; i++)
			if (read(open(i ? "/dev/tty" : ptsname(master), O_RDWR), buffer, sizeof(buffer)) <= 0)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		sleep(2);
		if (write(master, "x\n", 2) != 2)
			return -1;
	}
	return wait(&status) < 0 || status ? -1 : 0;
}

/* To read ("r"), to write, or ("root") to write with the directory that `path` is in taken for the root. */
static int try_openat2(const char *mode, const char *path)
{
	struct open_how how = {.flags = !strcmp(mode, "r") ? O_RDONLY : O_RDWR | O_CLOEXEC};
	int directory = AT_FDCWD;
	char parent[256];

	if (!strcmp(mode, "root")) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
		directory = open(parent, O_PATH | O_DIRECTORY);
		path = strrchr(path, '/');
		how.resolve = RESOLVE_IN_ROOT;
	}
	return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

/* What ends or suspends the caller, or waits, or keeps it from going on, if it is called with nothing but zeros. */
static int is_left_out(long call)
{
	static const long calls[] = {SYS_exit,   SYS_exit_group, SYS_fork,     SYS_vfork,   SYS_clone,
				     SYS_pause,  SYS_select,     SYS_pselect6, SYS_ppoll,   SYS_seccomp,
				     SYS_read,   SYS_kill,       SYS_readv,    SYS_pread64, SYS_rt_sigreturn,
				     SYS_accept, SYS_vhangup,    SYS_recvfrom, SYS_accept4, SYS_sync};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == call)
			return 1;
	return 0;
}

/*
 * A process of its own for each: what it does ends with it. A call that waits would have to be left out; one that ends
 * its caller is told, so that no line is missing.
 */
static void print_errno(long call, long first, long second, long third)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		long result = syscall(call, first, second, third, 0, 0, 0);

		if (call == SYS_clone && result == 0)
			_exit(0);
		printf("%ld(%#lx, %#lx, %#lx): %d\n", call, first, second, third, result < 0 ? errno : 0);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		printf("%ld(%#lx, %#lx, %#lx): ended with %#x\n", call, first, second, third, (unsigned)status);
}

/* The errno of every system call, and of arguments that are refused, and of some that are not. */
static int print_errnos(void)
{
	static const unsigned long flags[] = {0,
					      CLONE_NEWNS,
					      CLONE_NEWCGROUP,
					      CLONE_NEWUTS,
					      CLONE_NEWIPC,
					      CLONE_NEWUSER,
					      CLONE_NEWPID,
					      CLONE_NEWNET,
					      0x80 /* CLONE_NEWTIME */};
	static const unsigned long ioctls[] = {TIOCSTI,     TIOCLINUX,   TIOCSETD,          TIOCCONS, TCGETS,
					       LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE, FIONREAD};

	for (long call = 0; call < 470; call++)
		if (!is_left_out(call))
			print_errno(call, 0, 0, 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		print_errno(SYS_unshare, (long)flags[i], 0, 0);
		print_errno(SYS_unshare, (long)(flags[i] | 1UL << 40), 0, 0);
		print_errno(SYS_clone, (long)(flags[i] | SIGCHLD), 0, 0);
		print_errno(SYS_clone, (long)(flags[i] | SIGCHLD | 1UL << 40), 0, 0);
	}
	for (size_t i = 0; i < sizeof(ioctls) / sizeof(ioctls[0]); i++) {
		print_errno(SYS_ioctl, open("/dev/null", O_RDWR), (long)ioctls[i], 0);
		print_errno(SYS_ioctl, open("/dev/null", O_RDWR), (long)(ioctls[i] | 1UL << 32), 0);
	}
	for (long family = -1; family < 140; family++)
		for (long type = 1; type < 4; type++)
			print_errno(SYS_socket, family, type, 0);
	for (long protocol = -1; protocol < 70; protocol++)
		print_errno(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	print_errno(SYS_socket, AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	print_errno(SYS_socket, AF_INET | 1L << 32, SOCK_STREAM, 0);
	print_errno(SYS_socket, AF_VSOCK | 1L << 32, SOCK_STREAM, 0);
	print_errno(SYS_getpid | 0x40000000, 0, 0, 0);
	print_errno(SYS_ptrace | 0x40000000, 0, 0, 0);
	return 0;
}

/* The same over and over, by one process and by many. */
static int flood(int n)
{
	for (int i = 0; i < n; i++)
		(void)!syscall(SYS_keyctl, i, 0, 0);
	for (int i = 0; i < n / 10; i++)
		if (fork() == 0)
			_exit(socket(i % 4096, SOCK_RAW, 0) < 0 ? 0 : 1);
	while (wait(NULL) > 0)
		;
	return 0;
}

static int try_names(const char *name, const char *argument)
{
	if (!strcmp(name, "open"))
		return open(argument, O_RDONLY);
	if (!strcmp(name, "write"))
		return try_write(argument);
	if (!strcmp(name, "write-exclusive"))
		return (int)write(open(argument, O_WRONLY | O_EXCL), "1", 1);
	if (!strcmp(name, "write-creat"))
		return (int)write((int)syscall(SYS_creat, argument, 0600), "2", 1);
	if (!strcmp(name, "connect"))
		return try_connect(argument, 80);
	if (!strcmp(name, "connect-device"))
		return try_device(argument);
	if (!strcmp(name, "kill"))
		return kill(atoi(argument), 0);
	if (!strcmp(name, "socket"))
		return socket(atoi(argument), SOCK_RAW, 0);
	if (!strcmp(name, "netlink"))
		return socket(AF_NETLINK, SOCK_RAW, atoi(argument));
	if (!strcmp(name, "diag"))
		return try_diag();
	if (!strcmp(name, "ptrace"))
		return (int)ptrace(PTRACE_SEIZE, atoi(argument), 0, 0);
	if (!strcmp(name, "spawn"))
		return try_spawn(atoi(argument));
	if (!strcmp(name, "memory"))
		return try_memory(atoi(argument));
	if (!strcmp(name, "files"))
		return try_files(atoi(argument));
	if (!strcmp(name, "watches"))
		return try_watches(atoi(argument));
	if (!strcmp(name, "bomb"))
		bomb();
	if (!strcmp(name, "pidfd"))
		return try_pidfd(atoi(argument));
	if (!strcmp(name, "directory"))
		return try_directory(argument);
	if (!strcmp(name, "ask"))
		return try_ask(atoi(argument));
	if (!strcmp(name, "load"))
		return (int)syscall(SYS_finit_module, open(argument, O_RDONLY), "", 0);
	if (!strcmp(name, "flood"))
		return flood(atoi(argument));
	if (!strcmp(name, "chown"))
		return chown(argument, 3000000, 4000000);
	errno = 0;
	exit(2);
}

static int try_fixed(const char *name)
{
	static const struct {
		const char *name;
		long call;
	} calls[] = {
		{"init_module", SYS_init_module},
		{"finit_module", SYS_finit_module},
		{"bpf", SYS_bpf},
		{"keyctl", SYS_keyctl},
		{"add_key", SYS_add_key},
		{"userfaultfd", SYS_userfaultfd},
		{"perf_event_open", SYS_perf_event_open},
		{"io_uring_setup", SYS_io_uring_setup},
		{"swapon", SYS_swapon},
		{"reboot", SYS_reboot},
		{"syslog", SYS_syslog},
		{"kexec_load", SYS_kexec_load},
		{"clone3", SYS_clone3},
		{"setns", SYS_setns},
		{"pivot_root", SYS_pivot_root},
		{"open_by_handle_at", SYS_open_by_handle_at},
		{"fsopen", SYS_fsopen},
		{"process_vm_readv", SYS_process_vm_readv},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(name, calls[i].name))
			return (int)syscall(calls[i].call, 0, 0, 0, 0, 0, 0);
	if (!strcmp(name, "mount"))
		return mount("none", "/tmp", "tmpfs", 0, NULL);
	if (!strcmp(name, "remount"))
		return mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
	if (!strcmp(name, "umount"))
		return umount("/proc/sys");
	if (!strcmp(name, "device"))
		return mknod("/disk", S_IFBLK | 0600, makedev(8, 0));
	if (!strcmp(name, "fifo"))
		return mknod("/fifo", S_IFIFO | 0600, 0);
	if (!strcmp(name, "unshare"))
		return unshare(CLONE_NEWUSER);
	if (!strcmp(name, "clone"))
		return try_clone(CLONE_NEWUSER);
	if (!strcmp(name, "sethostname"))
		return sethostname("x", 1);
	if (!strcmp(name, "settime"))
		return clock_settime(CLOCK_REALTIME, &(struct timespec){1, 0});
	if (!strcmp(name, "tiocsti"))
		return ioctl(open("/dev/ptmx", O_RDWR), TIOCSTI, "x");
	if (!strcmp(name, "loop-clear"))
		return ioctl(open("/dev/null", O_RDONLY), LOOP_CLR_FD, 0);
	if (!strcmp(name, "errnos"))
		return print_errnos();
	if (!strcmp(name, "terminal"))
		return try_terminal();
	if (!strcmp(name, "listener"))
		return try_listener();
	if (!strcmp(name, "ram")) {
		struct sysinfo info;

		return sysinfo(&info) < 0 ? -1 : printf("%llu\n", (unsigned long long)info.totalram * info.mem_unit);
	}
	if (!strcmp(name, "uname"))
		return print_uts();
	if (!strcmp(name, "closed"))
		return try_without_descriptors();
	if (!strcmp(name, "monotonic"))
		return print_clock(CLOCK_MONOTONIC);
	if (!strcmp(name, "boottime"))
		return print_clock(CLOCK_BOOTTIME);
	exit(2);
}

int main(int argc, char *argv[])
{
	if (argc > 2 && !strcmp(argv[1], "as-user")) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			return 2;
		argc--;
		argv++;
	}
	if (argc < 2)
		return 2;
	if (argc > 3 && !strcmp(argv[1], "openat2"))
		return try_openat2(argv[2], argv[3]) < 0;
	if ((argc > 2 ? try_names(argv[1], argv[2]) : try_fixed(argv[1])) >= 0)
		return 0;
	printf("errno %d\n", errno);
	return 1;
}
