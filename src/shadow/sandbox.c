/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of one run. shadow/theory.h tells the stages; nothing here runs in the caller's
 * process but sandbox_start().
 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/interfaces.h"
#include "shadow/limits.h"
#include "shadow/run.h"

void sandbox_send_report(int control, const struct report *report, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} space = {0};
	struct iovec iov = {(void *)report, sizeof(*report)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &space;
		message.msg_controllen = sizeof(space);
		space.header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&space.header), &fd, sizeof(fd));
	}
	(void)!sendmsg(control, &message, MSG_NOSIGNAL);
}

_Noreturn void sandbox_fail(int control, struct error *error)
{
	struct report report = {.kind = REPORT_ERROR, .code = (int)error->code, .errnum = error->errnum};

	snprintf(report.text, sizeof(report.text), "%s", error->message);
	sandbox_send_report(control, &report, -1);
	_exit(125);
}

/* The kernel kills us when our parent has died; it forgets that at a change of ids. */
struct error *sandbox_die_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_system(errno, NULL, "cannot tie the sandbox to its parent");
	return NULL;
}

/* Whether our parent died before the kernel knew that it should tell us: the other end of `control` is gone. */
static bool is_orphan(int control)
{
	struct pollfd fd = {.fd = control};

	return poll(&fd, 1, 0) > 0 && fd.revents & (POLLHUP | POLLERR);
}

struct error *sandbox_become(uint32_t id)
{
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
		return error_system(errno, NULL, "cannot change to id %u", id);
	return sandbox_die_with_parent();
}

struct error *sandbox_arrange_descriptors(const int *fds, int n)
{
	int copies[8];

	for (int i = 0; i < n; i++) {
		copies[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
		if (fds[i] >= 0 && copies[i] < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	}
	for (int i = 0; i < n; i++) {
		if (copies[i] >= 0 && dup2(copies[i], i) < 0)
			return error_system(errno, NULL, "cannot duplicate a descriptor");
	}
	if (DEFENCE("descriptors") && close_range((unsigned)n, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot close descriptors");
	return NULL;
}

struct children {
	pid_t manager, server, init, holder; /* server, holder -1: no memory image */
};

/* The process that answers as the guest's service manager: no rights, the guest's root, no new files. */
static _Noreturn void run_manager(const struct sandbox *sandbox, const struct sandbox_links *links)
{
	struct manager_options options = {
		.processes = sandbox->shadow->processes, .listeners = {0, 3, 4, 5, 6}, .record_fd = 1, .runner_fd = 2};
	int fds[] = {links->sockets[SOCKET_PRIVATE], sandbox->record_fd,          links->runner[0],
		     links->sockets[SOCKET_BUS],     links->sockets[SOCKET_UDEV], links->sockets[SOCKET_SYSLOG],
		     links->sockets[SOCKET_JOURNAL]};
	struct error *error = sandbox_die_with_parent();
	char byte;

	if (error)
		_exit(1);
	/* The root changes under our feet before this comes; the end means that there will be nothing to do. */
	if (read(links->ready[0], &byte, 1) != 1 || chdir("/") < 0)
		_exit(0);
	error = sandbox_arrange_descriptors(fds, ARRAY_SIZE(fds));
	if (!error && close_range(ARRAY_SIZE(fds), ~0U, 0) < 0)
		error = error_system(errno, NULL, "cannot close descriptors");
	if (!error)
		error = sandbox_become(SHADOW_ID_MANAGER);
	if (!error)
		error = filter_load_helper();
	if (!error)
		error = manager_serve(&options);
	_exit(error ? 1 : 0);
}

static struct error *set_clock(const struct shadow *shadow)
{
	static const int64_t second = 1000000000;
	int64_t mono = shadow->monotonic_offset_ns, boot = shadow->boottime_offset_ns;
	_cleanup_(free_ptr) char *text = NULL;
	_cleanup_(close_fd) int fd = -1;

	if (!shadow->has_clock)
		return NULL;
	if (unshare(CLONE_NEWTIME) < 0)
		return error_system(errno, NULL, "cannot create a time namespace");
	/* The kernel wants nanoseconds from 0 to 1e9 - 1: round the seconds down. */
	text = string_format(
		"monotonic %lld %lld\nboottime %lld %lld\n", (long long)(mono / second - (mono % second < 0)),
		(long long)((mono % second + second) % second), (long long)(boot / second - (boot % second < 0)),
		(long long)((boot % second + second) % second));
	if (!text)
		return error_no_memory();
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, "/proc/self/timens_offsets", "cannot set the clock");
	return io_write(fd, text, strlen(text), "/proc/self/timens_offsets");
}

/*
 * Ports below 1024 are for whoever has a capability in the network namespace, which is the host's: root's in the guest
 * counts for nothing there. `nginx -t` binds them.
 */
static struct error *open_ports(void)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
	_cleanup_(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, "0", 1) != 1 ? error_system(errno, path, "cannot set") : NULL;
}

static struct error *leave_host(const struct sandbox *sandbox)
{
	struct error *error;

	if (unshare(CLONE_NEWNS) < 0)
		return error_system(errno, NULL, "cannot create a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_system(errno, NULL, "cannot make the mounts private");
	if (!DEFENCE("network namespace"))
		return NULL;
	if (sandbox->network_ns >= 0 ? setns(sandbox->network_ns, CLONE_NEWNET) < 0 : unshare(CLONE_NEWNET) < 0)
		return error_system(errno, NULL, "cannot create a network namespace");
	error = open_ports();
	if (error || !sandbox->shadow->guest)
		return error;
	return interfaces_make(sandbox->shadow->guest, sandbox->network_ns >= 0);
}

/*
 * When the host runs short of processes or memory, it is the guest that pays. It cannot leave the group; that it
 * cannot lower the score takes CAP_SYS_RESOURCE, which root lacks in some containers.
 */
static struct error *be_first_to_go(const struct shadow *shadow)
{
	_cleanup_(close_fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1000", 4) != 4)
		return error_system(errno, "/proc/self/oom_score_adj", "cannot set");
	return cgroup_enter(&shadow->cgroup);
}

static struct error *links_init(const struct shadow *shadow, struct sandbox_links *links)
{
	static const int types[SHADOW_SOCKETS] = {[SOCKET_PRIVATE] = SOCK_STREAM,
						  [SOCKET_BUS] = SOCK_STREAM,
						  [SOCKET_UDEV] = SOCK_SEQPACKET,
						  [SOCKET_SYSLOG] = SOCK_DGRAM,
						  [SOCKET_JOURNAL] = SOCK_DGRAM};

	links->fuse_fd = -1;
	for (size_t i = 0; i < SHADOW_SOCKETS; i++) {
		links->sockets[i] = socket(AF_UNIX, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (links->sockets[i] < 0)
			return error_system(errno, NULL, "cannot create sockets");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links->runner) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, links->proc) < 0 ||
	    pipe2(links->ready, O_CLOEXEC) < 0 || pipe2(links->held, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create sockets");
	if (shadow->guest) {
		links->fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
		if (links->fuse_fd < 0)
			return error_remedy(error_system(errno, "/dev/fuse", "cannot open"), "load the module fuse");
	}
	return NULL;
}

/* What only the two children need. */
static void links_close(struct sandbox_links *links)
{
	int fds[] = {links->runner[0], links->runner[1], links->ready[0], links->ready[1], links->proc[0],
		     links->proc[1],   links->fuse_fd,   links->held[0],  links->held[1]};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(&fds[i]);
	for (size_t i = 0; i < SHADOW_SOCKETS; i++)
		close_fd(&links->sockets[i]);
}

static struct error *fork_child(pid_t *ret)
{
	*ret = fork();
	return *ret < 0 ? error_system(errno, NULL, "cannot fork") : NULL;
}

/* Those that the guest does not see, for they are made before its pid namespace; the server has its clock. */
static struct error *start_helpers(const struct sandbox *sandbox, struct sandbox_links *links,
				   struct children *children)
{
	struct error *error = fork_child(&children->manager);

	if (!error && children->manager == 0) {
		close(links->ready[1]);
		close(links->runner[1]);
		run_manager(sandbox, links);
	}
	if (!error)
		error = set_clock(sandbox->shadow);
	if (error || links->fuse_fd < 0)
		return error;
	error = fork_child(&children->server);
	if (!error && children->server == 0)
		sandbox_serve_proc(sandbox, links->fuse_fd, links->proc[1]);
	return error;
}

/* The process that keeps the guest's numbers from being used; nobody in the guest may end it. */
static _Noreturn void run_holder(const struct sandbox *sandbox, const struct sandbox_links *links)
{
	const struct shadow *shadow = sandbox->shadow;
	int keep[] = {sandbox->control, links->held[1]};
	bool needed = false;
	struct error *error = sandbox_die_with_parent();

	if (!error)
		error = sandbox_close_others(keep, ARRAY_SIZE(keep), 0);
	if (!error)
		error = pids_hold(&shadow->threads, shadow->highest_pid, &needed);
	if (!error && (setsid() < 0 || chdir("/") < 0))
		error = error_system(errno, NULL, "cannot create a session");
	if (!error)
		error = sandbox_become(SHADOW_ID_WARDEN);
	if (!error && prctl(PR_SET_DUMPABLE, 0) < 0)
		error = error_system(errno, NULL, "cannot protect a process");
	if (!error && write(links->held[1], "", 1) != 1)
		error = error_system(errno, NULL, "cannot reach init");
	if (error)
		sandbox_fail(sandbox->control, error_wrap(error, "the guest's process numbers"));
	if (!needed)
		_exit(0);
	close(sandbox->control);
	close(links->held[1]);
	for (;;)
		pause();
}

/* After init, which is the first process of its namespace and waits for the byte. */
static struct error *start_holder(const struct sandbox *sandbox, const struct sandbox_links *links, pid_t *ret)
{
	pid_t pid = pids_fork_holder(&sandbox->shadow->threads);

	if (pid == 0)
		run_holder(sandbox, links);
	*ret = pid;
	if (pid > 0)
		return NULL;
	if (errno != ENOENT)
		return error_system(errno, NULL, "cannot hold the guest's process numbers");
	return write(links->held[1], "", 1) == 1 ? NULL : error_system(errno, NULL, "cannot reach init");
}

/* Descriptors need no closing on failure: the process ends then. */
static struct error *start_children(const struct sandbox *sandbox, struct children *ret)
{
	struct sandbox_links links;
	struct error *error = links_init(sandbox->shadow, &links);

	if (!error)
		error = start_helpers(sandbox, &links, ret);
	if (error)
		return error;
	if (DEFENCE("pid namespaces") && unshare(CLONE_NEWPID) < 0)
		return error_system(errno, NULL, "cannot create a pid namespace");
	error = fork_child(&ret->init);
	if (!error && ret->init == 0)
		sandbox_run_init(sandbox, &links);
	if (!error)
		error = start_holder(sandbox, &links, &ret->holder);
	links_close(&links);
	return error;
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

struct error *sandbox_close_others(int *keep, size_t n, unsigned first)
{
	qsort(keep, n, sizeof(keep[0]), compare_fds);
	for (size_t i = 0; i <= n; i++) {
		unsigned next = i < n ? (unsigned)keep[i] : ~0U;

		if (i < n && (keep[i] < 0 || next < first))
			continue;
		if (DEFENCE("descriptors") && next > first && close_range(first, i < n ? next - 1 : next, 0) < 0)
			return error_system(errno, NULL, "cannot close descriptors");
		first = next + 1;
	}
	return NULL;
}

/*
 * Closes what the caller has open and the sandbox does not need: our own ends of its pipes, whose end it would
 * not see otherwise, and whatever else a hostile program must not find.
 */
static struct error *close_others(const struct sandbox *sandbox)
{
	const struct shadow *shadow = sandbox->shadow;
	int keep[] = {2,
		      sandbox->control,
		      sandbox->input,
		      sandbox->output,
		      sandbox->errors,
		      sandbox->record_fd,
		      sandbox->value_fd,
		      sandbox->network_ns,
		      shadow->user_ns,
		      shadow->init_fd,
		      shadow->guest ? guest_descriptor(shadow->guest) : -1};

	return sandbox_close_others(keep, ARRAY_SIZE(keep), 3);
}

/* Waits for the end of init; *ret is its status. Without the server of /proc nothing goes on in the shadow. */
static struct error *await_end(const struct children *children, int *ret)
{
	for (;;) {
		pid_t pid = waitpid(-1, ret, 0);

		if (pid == children->init)
			return NULL;
		if (pid < 0 && errno != EINTR)
			return error_system(errno, NULL, "cannot wait for init");
		/* It is killed with the rest of the namespace when init ends, and init's end waits for that of it. */
		if (pid > 0 && pid == children->holder && WIFEXITED(*ret) && WEXITSTATUS(*ret) != 0)
			return error_create(ERROR_FAILED, "the process that holds the guest's numbers ended");
		/* Init may have ended with it, and because of it. */
		if (pid > 0 && pid == children->server)
			return error_create(ERROR_FAILED, "the process that serves /proc ended: %s %d",
					    WIFSIGNALED(*ret) ? "signal" : "status",
					    WIFSIGNALED(*ret) ? WTERMSIG(*ret) : WEXITSTATUS(*ret));
	}
}

/*
 * Pid 1 of the outer pid namespace, which the guest cannot see or touch: when it dies, by our
 * death or by SIGKILL, the kernel kills everything within.
 */
static _Noreturn void run_warden(const struct sandbox *sandbox)
{
	struct report report = {.kind = REPORT_STATUS};
	struct children children = {.manager = -1, .server = -1, .init = -1, .holder = -1};
	struct error *error;
	int status = 0;

	error = sandbox_die_with_parent();
	if (!error)
		error = close_others(sandbox);
	if (!error && prctl(PR_SET_DUMPABLE, 0) < 0)
		error = error_system(errno, NULL, "cannot protect the warden");
	if (!error)
		error = be_first_to_go(sandbox->shadow);
	if (!error)
		error = leave_host(sandbox);
	if (!error)
		error = start_children(sandbox, &children);
	if (!error) {
		/* Their readers see an end when the program's side has closed them. -1: none, which does no harm. */
		close(sandbox->input);
		close(sandbox->output);
		close(sandbox->errors);
		close(sandbox->record_fd);
		close(sandbox->value_fd);
		if (sandbox->shadow->guest)
			close(guest_descriptor(sandbox->shadow->guest));
		/* Without its pid namespace it must have the right to end what it started. */
		error = DEFENCE("pid namespaces") ? sandbox_become(SHADOW_ID_WARDEN) : NULL;
	}
	if (error)
		sandbox_fail(sandbox->control, error);
	if (is_orphan(sandbox->control))
		_exit(125);
	error = await_end(&children, &status);
	if (error)
		sandbox_fail(sandbox->control, error);
	report.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	sandbox_send_report(sandbox->control, &report, -1);
	_exit(0);
}

struct error *sandbox_start(const struct sandbox *sandbox, pid_t *ret)
{
	pid_t pid = (pid_t)syscall(SYS_clone, (DEFENCE("pid namespaces") ? CLONE_NEWPID : 0) | SIGCHLD, 0, 0, 0, 0);

	if (pid < 0)
		return error_remedy(error_system(errno, NULL, "cannot start the sandbox"), "run as root");
	if (pid == 0)
		run_warden(sandbox);
	*ret = pid;
	return NULL;
}
