/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes have which socket open. */
#ifndef CLI_SOCKET_OWNERS_H
#define CLI_SOCKET_OWNERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "guest/guest.h"

struct socket_owner {
	uint64_t inode; /* of the socket */
	uint32_t pid, fd;
	char comm[64];
};

struct socket_owners {
	struct socket_owner *items; /* by inode, pid and descriptor */
	size_t n, capacity;
};

/* Adds those of the process's descriptors that are sockets. */
struct error *socket_owners_add(struct socket_owners *owners, const struct guest_task *task,
				const struct guest_fd_list *fds) _must_check_;
/* To be called once all are added. */
void socket_owners_sort(struct socket_owners *owners);
/* The first of *ret_n owners; they lie together. */
const struct socket_owner *socket_owners_find(const struct socket_owners *owners, uint64_t inode, size_t *ret_n);
void socket_owners_deinit(struct socket_owners *owners);

#endif
