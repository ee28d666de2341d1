/* SPDX-License-Identifier: Apache-2.0 */
/* The process that becomes init, the first of the guest's own pid namespace: what it gives away before. See
 * shadow/theory.h. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "shadow/limits.h"
#include "shadow/run.h"

/*
 * What guest root may do to guest processes and files. Everything else is gone from its bounding set,
 * though it would count in the guest's user namespace only: no mounts, no network administration.
 */
static const cap_value_t kept_capabilities[] = {
	CAP_AUDIT_WRITE, CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,           CAP_FSETID,
	CAP_IPC_OWNER,   CAP_KILL,    CAP_LEASE,        CAP_MKNOD,           CAP_NET_BIND_SERVICE, CAP_SETFCAP,
	CAP_SETGID,      CAP_SETPCAP, CAP_SETUID,       CAP_SYS_CHROOT,      CAP_SYS_PTRACE,
};

static struct error *limit_capabilities(void)
{
	for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bool keep = !DEFENCE("capabilities");

		for (size_t i = 0; i < ARRAY_SIZE(kept_capabilities); i++)
			keep = keep || kept_capabilities[i] == cap;
		if (!keep && prctl(PR_CAPBSET_DROP, cap) < 0 && errno != EINVAL)
			return error_system(errno, NULL, "cannot drop capability %d", cap);
	}
	return NULL;
}

static struct error *name_host(const struct shadow *shadow)
{
	const struct guest_uts *uts = &shadow->uts;
	const char *name = shadow->has_uts ? uts->nodename : "localhost";
	const char *domain = shadow->has_uts ? uts->domainname : "(none)";

	if ((DEFENCE("cgroup namespace") && unshare(CLONE_NEWCGROUP) < 0) ||
	    (DEFENCE("uts namespace") && unshare(CLONE_NEWUTS) < 0) ||
	    (DEFENCE("ipc namespace") && unshare(CLONE_NEWIPC) < 0))
		return error_system(errno, NULL, "cannot create namespaces");
	if (sethostname(name, strnlen(name, 64)) < 0 || setdomainname(domain, strnlen(domain, 64)) < 0)
		return error_system(errno, NULL, "cannot set the host name");
	return limits_apply_to_ipc(&shadow->limits);
}

/*
 * A terminal of the shadow's own devpts, of the guest's root: our side of it goes to our caller. Nothing of the guest
 * has run yet, so /dev is as setup.c made it.
 */
static struct error *open_terminal(int control, int *ret)
{
	_cleanup_(close_fd) int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct report report = {.kind = REPORT_TERMINAL};
	int unlock = 0, slave;

	if (master < 0)
		return error_system(errno, "/dev/pts/ptmx", "cannot open");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return error_system(errno, NULL, "cannot unlock a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_system(errno, NULL, "cannot open a terminal");
	*ret = slave;
	sandbox_send_report(control, &report, master);
	return NULL;
}

static struct error *await_numbers(const struct sandbox_links *links)
{
	char byte;

	close(links->held[1]);
	if (read(links->held[0], &byte, 1) != 1)
		return error_create(ERROR_FAILED, "the guest's process numbers are not held");
	return NULL;
}

/* Everything init may still be refused; on success only the start of the program is left. */
static struct error *prepare_init(const struct sandbox *sandbox, const struct sandbox_links *links, int *ret_listener)
{
	const struct shadow *shadow = sandbox->shadow;
	struct setup setup = {.shadow = shadow,
			      .network = sandbox->network_ns >= 0,
			      .sockets = links->sockets,
			      .fuse_fd = links->fuse_fd,
			      .proc_socket = links->proc[0]};
	/* Descriptor 3 of init is its way to the manager; see init/init.c. */
	int fds[] = {sandbox->input, sandbox->output, sandbox->errors < 0 ? sandbox->output : sandbox->errors,
		     links->runner[1], -1};
	struct error *error;

	error = sandbox_die_with_parent();
	if (!error)
		error = await_numbers(links);
	if (!error)
		error = name_host(shadow);
	if (!error)
		error = setup_root(&setup);
	if (!error)
		error = limits_apply(&shadow->limits);
	if (error)
		return error;
	if (write(links->ready[1], "", 1) != 1)
		return error_system(errno, NULL, "cannot reach the manager process");
	if (setsid() < 0)
		return error_system(errno, NULL, "cannot create a session");
	if (DEFENCE("user namespace") && setns(shadow->user_ns, CLONE_NEWUSER) < 0)
		return error_system(errno, NULL, "cannot enter the guest's user namespace");
	error = sandbox_become(0);
	/* systemctl checks that root listens; the kernel notes who does at this call. */
	for (size_t i = 0; !error && i < SHADOW_SOCKETS; i++)
		/* A socket of datagrams has no connections. */
		if (listen(links->sockets[i], 64) < 0 && errno != EOPNOTSUPP)
			error = error_system(errno, NULL, "cannot listen to the guest's requests");
	if (!error && (sandbox->options->terminal || sandbox->options->attendant))
		error = open_terminal(sandbox->control, &fds[4]);
	if (sandbox->options->terminal)
		fds[0] = fds[1] = fds[2] = fds[4];
	if (!error)
		error = limit_capabilities();
	if (!error)
		error = sandbox_arrange_descriptors(fds, sandbox->options->attendant ? 5 : 4);
	if (error)
		return error;
	umask(022);
	return filter_load(shadow, ret_listener);
}

static size_t count_strings(const char *const *strings)
{
	size_t n = 0;

	while (strings[n])
		n++;
	return n;
}

/* "UID:GID,GROUP,…" as init/init.c reads it; NULL without memory. */
static char *user_text(const struct shadow_user *user)
{
	char *text = string_format("%u:%u", user->uid, user->gid);

	for (size_t i = 0; text && i < user->n_groups; i++) {
		char *longer = string_format("%s,%u", text, user->groups[i]);

		free(text);
		text = longer;
	}
	return text;
}

/* What init is called with; the strings live as long as the process, which it is about to become. */
static const char **init_arguments(const struct shadow_run_options *options)
{
	const char *const *program = options->argv;
	size_t n = 0, n_program = count_strings(program);
	const char **argv = calloc(n_program + 8, sizeof(*argv));

	if (!argv)
		return NULL;
	argv[n++] = "init";
	if (options->attendant)
		argv[n++] = "-c";
	if (options->user) {
		argv[n++] = "-u";
		argv[n++] = user_text(options->user);
		if (!argv[n - 1]) {
			free(argv);
			return NULL;
		}
	}
	if (options->directory) {
		argv[n++] = "-d";
		argv[n++] = options->directory;
	}
	argv[n++] = "--";
	memcpy(argv + n, program, n_program * sizeof(*argv));
	return argv;
}

_Noreturn void sandbox_run_init(const struct sandbox *sandbox, const struct sandbox_links *links)
{
	_cleanup_(free_ptr) const char **argv = init_arguments(sandbox->options);
	/* Out of the way of the descriptors that are put in order. */
	int program_fd = fcntl(sandbox->shadow->init_fd, F_DUPFD_CLOEXEC, 64);
	int control = fcntl(sandbox->control, F_DUPFD_CLOEXEC, 64);
	struct report report = {.kind = REPORT_LISTENER};
	struct error *error;
	sigset_t none;
	int listener = -1;

	if (!argv || program_fd < 0 || control < 0)
		sandbox_fail(sandbox->control, error_no_memory());
	error = prepare_init(sandbox, links, &listener);
	if (error)
		sandbox_fail(control, error);
	sandbox_send_report(control, &report, listener);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fexecve(program_fd, (char *const *)argv, (char *const *)sandbox->options->env);
	sandbox_fail(control, error_system(errno, NULL, "cannot start init"));
}
