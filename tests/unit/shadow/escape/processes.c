/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts on processes of the host, and to get namespaces. CANARY_PID is a process of the host. */
#include "tests/unit/shadow/escape/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t victim(void)
{
	return (pid_t)given_number("CANARY_PID");
}

static int open_proc(const char *name, int flags)
{
	char path[1024];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)victim(), name);
	return open(path, flags);
}

static int proc_root(void)
{
	char name[512];
	int fd;

	snprintf(name, sizeof(name), "root%s", given("CANARY_PATH"));
	fd = open_proc(name, O_RDONLY);
	return fd < 0 ? -1 : read_secret_of(fd);
}

static int proc_cwd(void)
{
	int fd = open_proc("cwd/secret", O_RDONLY);

	return fd < 0 ? -1 : read_secret_of(fd);
}

static int proc_memory(void)
{
	const char *secret = given("CANARY_SECRET");
	off_t address = (off_t)given_number("CANARY_ADDRESS");
	int fd = open_proc("mem", O_RDWR);

	return fd < 0 || pwrite(fd, secret, strlen(secret), address) != (ssize_t)strlen(secret) ? -1 : 0;
}

static int proc_environment(void)
{
	char buffer[4096];
	int fd = open_proc("environ", O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));

	return n > 0 ? 0 : -1;
}

static int kill_process(void)
{
	return kill(victim(), 0);
}

static int pidfd_kill(void)
{
	int fd = (int)syscall(SYS_pidfd_open, victim(), 0);

	return fd < 0 ? -1 : (int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
}

static int pidfd_file(void)
{
	int fd = (int)syscall(SYS_pidfd_open, victim(), 0);

	fd = fd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, fd, given_number("CANARY_FILE"), 0);
	return fd < 0 ? -1 : read_secret_of(fd);
}

static int trace(void)
{
	return (int)ptrace(PTRACE_SEIZE, victim(), 0, 0);
}

/* Reads the secret out of its memory, or writes it there, where it is already. */
static int move_secret(long call)
{
	char buffer[64] = "";
	size_t size = strlen(given("CANARY_SECRET"));
	struct iovec ours = {buffer, size}, theirs = {(void *)given_number("CANARY_ADDRESS"), size};

	memcpy(buffer, given("CANARY_SECRET"), call == SYS_process_vm_writev ? size : 0);
	return (int)syscall(call, victim(), &ours, 1, &theirs, 1, 0);
}

static int memory_read(void)
{
	return move_secret(SYS_process_vm_readv);
}

static int memory_write(void)
{
	return move_secret(SYS_process_vm_writev);
}

static int limit_process(void)
{
	struct rlimit limit;

	if (prlimit(victim(), RLIMIT_NOFILE, NULL, &limit) < 0)
		return -1;
	return prlimit(victim(), RLIMIT_NOFILE, &limit, NULL);
}

static int enter_namespace(const char *name)
{
	int fd = open_proc(name, O_RDONLY);

	return fd < 0 ? -1 : setns(fd, 0);
}

static int enter_mounts(void)
{
	return enter_namespace("ns/mnt") < 0 ? -1 : read_secret(given("CANARY_PATH"));
}

static int enter_network(void)
{
	return enter_namespace("ns/net");
}

static int unshare_user(void)
{
	return unshare(CLONE_NEWUSER);
}

static int unshare_mounts(void)
{
	return unshare(CLONE_NEWNS);
}

static int unshare_network(void)
{
	return unshare(CLONE_NEWNET);
}

static int cloned(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid < 0 ? -1 : 0;
}

static int clone_user(void)
{
	return cloned(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

/* Its flags are in memory, where no filter sees them. */
static int clone3_user(void)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};

	return cloned(syscall(SYS_clone3, &args, sizeof(args)));
}

const struct attempt process_attempts[] = {
	{"proc-root", proc_root},
	{"proc-cwd", proc_cwd},
	{"proc-memory", proc_memory},
	{"proc-environment", proc_environment},
	{"kill", kill_process},
	{"pidfd-kill", pidfd_kill},
	{"pidfd-file", pidfd_file},
	{"trace", trace},
	{"memory-read", memory_read},
	{"memory-write", memory_write},
	{"limit-process", limit_process},
	{"enter-mounts", enter_mounts},
	{"enter-network", enter_network},
	{"unshare-user", unshare_user},
	{"unshare-mounts", unshare_mounts},
	{"unshare-network", unshare_network},
	{"clone-user", clone_user},
	{"clone3-user", clone3_user},
	{0},
};
