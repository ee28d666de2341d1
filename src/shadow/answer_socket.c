/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that are refused, where who wanted them is noted. And a netlink socket for questions about sockets
 * (sock_diag), which the kernel would answer with the run's own. ss and its like read /proc/net, silently, where they
 * get such a socket and the kernel does not take the question. So they get one of a kind with which the kernel has
 * nothing to do: what is sent to it is refused (ECONNREFUSED).
 */
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "shadow/answer.h"
#include "shadow/need.h"

struct request {
	int namespace; /* of the network */
	int type;
	int socket; /* the result, or -1 and errnum */
	int errnum;
};

/* A thread of its own, which ends in the namespace that it went to: nobody has to find the way back. */
static void *open_socket(void *context)
{
	struct request *request = context;

	if (setns(request->namespace, CLONE_NEWNET) == 0)
		request->socket = socket(AF_NETLINK, request->type, NETLINK_USERSOCK);
	request->errnum = request->socket < 0 ? errno : 0;
	return NULL;
}

static int give_dummy(struct answer_call *call)
{
	const int type = (int)call->args[1], kind = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	_cleanup_(close_fd) int namespace = -1, fd = -1;
	struct request request = {.type = type | SOCK_CLOEXEC, .socket = -1};
	struct seccomp_notif_addfd add = {.id = call->request->id,
					  .flags = SECCOMP_ADDFD_FLAG_SEND,
					  .newfd_flags = type & SOCK_CLOEXEC ? O_CLOEXEC : 0};
	pthread_t thread;

	if (kind != SOCK_RAW && kind != SOCK_DGRAM)
		return ESOCKTNOSUPPORT;
	namespace = answer_open_proc(call, "ns/net", O_RDONLY);
	if (namespace < 0)
		return ESRCH;
	request.namespace = namespace;
	if (pthread_create(&thread, NULL, open_socket, &request) != 0)
		return ENOMEM;
	(void)pthread_join(thread, NULL);
	fd = request.socket;
	if (fd < 0)
		return request.errnum;
	add.srcfd = (uint32_t)fd;
	if (ioctl(call->answers->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		return errno == ENOENT ? ESRCH : errno;
	call->sent = true;
	return 0;
}

/*
 * Whatever changes users or logs them in asks for the audit's socket, and does without where a kernel has none: that is
 * no sign of anything.
 */
static int refuse_netlink(struct answer_call *call, int protocol)
{
	if (protocol != NETLINK_AUDIT)
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL,
			  "asks the kernel by netlink, protocol %d", protocol);
	return EPROTONOSUPPORT;
}

int answer_socket(struct answer_call *call)
{
	int family = (int)call->args[0], protocol = (int)call->args[2];

	if (family == AF_NETLINK && protocol == NETLINK_SOCK_DIAG && call->shadow->guest)
		return give_dummy(call);
	if (family == AF_NETLINK)
		return refuse_netlink(call, protocol);
	if (family == AF_INET || family == AF_INET6) {
		/* The kernel refuses it, or there is something else wrong with it. */
		call->proceed = true;
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL, "opens a raw socket");
		return 0;
	}
	need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL, "opens a socket of the family %d",
		  family);
	return EAFNOSUPPORT;
}
