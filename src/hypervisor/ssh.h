/* SPDX-License-Identifier: Apache-2.0 */
/* Where the ssh channel leads: the gate lets exactly this connection pass, and ssh takes exactly this one. */
#ifndef HYPERVISOR_SSH_H
#define HYPERVISOR_SSH_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

#include "hypervisor/ops.h"

struct ssh_endpoint {
	int family; /* AF_INET or AF_INET6 */
	uint16_t port;
	/* As numbers; the guest's without zone. */
	char guest[INET6_ADDRSTRLEN];
	char host[INET6_ADDRSTRLEN];         /* the address of this host that the connection comes from */
	char connect[INET6_ADDRSTRLEN + 20]; /* the guest's with its zone, for ssh */
};

/* Resolves the VM file's user@host and asks the kernel which of our addresses leads there. */
struct error *ssh_endpoint(const struct vm *vm, struct ssh_endpoint *ret) _must_check_;

#endif
