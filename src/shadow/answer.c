/* SPDX-License-Identifier: Apache-2.0 */
/* The table of answered system calls, and how one is received and answered. */
#include "shadow/refusals.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In <linux/seccomp.h> since 6.6. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1ULL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif

const struct answer_rule answer_rules[] = {
	{SYS_uname, .function = answer_uname},
	{SYS_sysinfo, .needs_guest = true, .function = answer_sysinfo},
	{SYS_sched_getaffinity, .needs_guest = true, .function = answer_sched_getaffinity},
	{SYS_sched_setaffinity, .needs_guest = true, .function = answer_sched_setaffinity},
	{SYS_statfs, .needs_guest = true, .function = answer_statfs},
	{SYS_fstatfs, .needs_guest = true, .function = answer_fstatfs},
	{SYS_ustat, .needs_guest = true, .function = answer_ustat},
	{SYS_mknod, ANSWER_DEVICE, 1, .function = answer_mknod},
	{SYS_mknodat, ANSWER_DEVICE, 2, .function = answer_mknodat},
	{SYS_socket, ANSWER_SOCKETS, .needs_guest = true, .notes = true, .function = answer_socket},
	{SYS_adjtimex, .notes = true, .only_notes = true, .function = answer_adjtimex},
	{SYS_clock_adjtime, .notes = true, .only_notes = true, .function = answer_adjtimex},
	{SYS_sethostname, .function = answer_sethostname},
	{SYS_setdomainname, .function = answer_setdomainname},
	{SYS_init_module, .function = answer_init_module},
	{SYS_finit_module, .function = answer_finit_module},
	{SYS_delete_module, .function = answer_delete_module},
	{SYS_mount, .function = answer_mount},
	{SYS_umount2, .function = answer_umount2},
	{SYS_swapon, .function = answer_swapon},
	{SYS_swapoff, .function = answer_swapoff},
	{SYS_reboot, .function = answer_reboot},
	{SYS_open, ANSWER_WRITER, 1, .needs_guest = true, .function = answer_open},
	{SYS_openat, ANSWER_WRITER, 2, .needs_guest = true, .function = answer_openat},
	{SYS_openat2, .needs_guest = true, .function = answer_openat2},
	{SYS_creat, .needs_guest = true, .function = answer_creat},
	{SYS_execve, .function = answer_execve},
	{SYS_unlink, .watch = true, .function = answer_unlink},
	{SYS_unlinkat, .watch = true, .function = answer_unlinkat},
	{SYS_rename, .watch = true, .function = answer_rename},
	{SYS_renameat, .watch = true, .function = answer_renameat},
	{SYS_renameat2, .watch = true, .function = answer_renameat},
	{SYS_link, .watch = true, .function = answer_link},
	{SYS_linkat, .watch = true, .function = answer_linkat},
	{SYS_truncate, .watch = true, .function = answer_truncate},
	{SYS_nanosleep, .needs_guest = true, .function = answer_sleep},
	{SYS_clock_nanosleep, .needs_guest = true, .function = answer_sleep},
	{SYS_syslog, .function = answer_syslog},
	{SYS_kill, ANSWER_TARGET, 0, .needs_guest = true, .function = answer_kill},
	{SYS_tkill, ANSWER_PID, 0, .needs_guest = true, .function = answer_tkill},
	{SYS_tgkill, ANSWER_PID, 0, .needs_guest = true, .function = answer_tgkill},
	{SYS_rt_sigqueueinfo, ANSWER_PID, 0, .needs_guest = true, .function = answer_rt_sigqueueinfo},
	{SYS_rt_tgsigqueueinfo, ANSWER_PID, 0, .needs_guest = true, .function = answer_rt_tgsigqueueinfo},
	{SYS_pidfd_open, ANSWER_PID, 0, .needs_guest = true, .function = answer_pidfd_open},
	{SYS_getpriority, ANSWER_WHO, .user = 2, .needs_guest = true, .function = answer_getpriority},
	{SYS_setpriority, ANSWER_WHO, .user = 2, .needs_guest = true, .function = answer_setpriority},
	{SYS_ioprio_get, ANSWER_WHO, .user = 3, .needs_guest = true, .function = answer_ioprio_get},
	{SYS_ioprio_set, ANSWER_WHO, .user = 3, .needs_guest = true, .function = answer_ioprio_set},
	{SYS_prlimit64, ANSWER_PID, 0, .needs_guest = true, .function = answer_prlimit64},
	{SYS_sched_getscheduler, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_getscheduler},
	{SYS_sched_setscheduler, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_setscheduler},
	{SYS_sched_getparam, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_getparam},
	{SYS_sched_setparam, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_setparam},
	{SYS_sched_getattr, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_getattr},
	{SYS_sched_setattr, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_setattr},
	{SYS_sched_rr_get_interval, ANSWER_PID, 0, .needs_guest = true, .function = answer_sched_rr_get_interval},
	{SYS_getpgid, ANSWER_PID, 0, .needs_guest = true, .function = answer_getpgid},
	{SYS_getsid, ANSWER_PID, 0, .needs_guest = true, .function = answer_getsid},
	{SYS_capget, .needs_guest = true, .function = answer_capget},
	{SYS_pidfd_send_signal, .needs_guest = true, .function = answer_pidfd_send_signal},
};
const size_t n_answer_rules = ARRAY_SIZE(answer_rules);

struct error *answers_create(struct shadow *shadow, int listener, struct answers **ret)
{
	struct answers *answers = calloc(1, sizeof(*answers));

	if (!answers)
		return error_no_memory();
	answers->shadow = shadow;
	answers->listener = listener;
	*shadow->names = (struct shadow_names){0};
	/* Caller and answerer take turns: the one who wakes the other up may give it its CPU. Older kernels refuse. */
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
	*ret = answers;
	return NULL;
}

void answers_destroy(struct answers *answers)
{
	if (!answers)
		return;
	answer_affinities_destroy(answers->affinities);
	answer_pidfds_destroy(answers->pidfds);
	answer_sleeps_destroy(answers->sleeps);
	answers_collect(answers);
	answer_writers_destroy(answers->writers);
	free(answers->log);
	free(answers);
}

static answer_function *find_function(int call)
{
	for (size_t i = 0; i < n_answer_rules; i++)
		if (answer_rules[i].call == call)
			return answer_rules[i].function;
	return NULL;
}

static struct error *respond(struct answer_call *call, int errnum)
{
	/* The kernel's structures may be longer than those this was compiled with. */
	union {
		struct seccomp_notif_resp response;
		char space[1024];
	} out = {.response = {.id = call->request->id}};

	if (call->proceed)
		out.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (errnum)
		out.response.error = -errnum;
	else
		out.response.val = call->value;
	/* ENOENT: the caller was killed meanwhile. */
	if (ioctl(call->answers->listener, SECCOMP_IOCTL_NOTIF_SEND, &out.response) < 0 && errno != ENOENT &&
	    errno != EINTR)
		return error_system(errno, NULL, "cannot answer a system call");
	return NULL;
}

struct error *answers_serve(struct answers *answers)
{
	union {
		struct seccomp_notif request;
		char space[1024];
	} in = {0};
	struct answer_call call = {.answers = answers,
				   .shadow = answers->shadow,
				   .request = &in.request,
				   .args = (const uint64_t *)in.request.data.args,
				   .memory = -1};
	answer_function *function;
	int errnum;

	if (ioctl(answers->listener, SECCOMP_IOCTL_NOTIF_RECV, &in.request) < 0) {
		if (errno == ENOENT || errno == EINTR || errno == EAGAIN)
			return NULL;
		return error_system(errno, NULL, "cannot receive a system call");
	}
	function = find_function(in.request.data.nr);
	if (function)
		errnum = function(&call);
	else if (!refusal_answer(&call, &errnum))
		errnum = ENOSYS;
	close_fd(&call.memory);
	return call.sent ? NULL : respond(&call, errnum);
}
