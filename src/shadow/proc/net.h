/* SPDX-License-Identifier: Apache-2.0 */
/* Private to shadow/proc: the files of /proc/net, each of the network namespace of a task. */
#ifndef SHADOW_PROC_NET_H
#define SHADOW_PROC_NET_H

#include "shadow/proc/proc.h"

/*
 * Every file: X(function, name below /proc/net, permissions). `struct error *net_write_FUNCTION(facts, task, out)`
 * writes it for the namespace of a task (guest_task.address), 0: for the initial one. A list that a bad pointer cut
 * short is written as far as it goes: what is in it is there.
 */
#define NET_FILES(X)                                                                                                   \
	X(tcp, "tcp", 0444)                                                                                            \
	X(tcp6, "tcp6", 0444)                                                                                          \
	X(udp, "udp", 0444)                                                                                            \
	X(udp6, "udp6", 0444)                                                                                          \
	X(udplite, "udplite", 0444)                                                                                    \
	X(udplite6, "udplite6", 0444)                                                                                  \
	X(raw, "raw", 0444)                                                                                            \
	X(raw6, "raw6", 0444)                                                                                          \
	X(icmp, "icmp", 0444)                                                                                          \
	X(icmp6, "icmp6", 0444)                                                                                        \
	X(unix, "unix", 0444)                                                                                          \
	X(dev, "dev", 0444)                                                                                            \
	X(if_inet6, "if_inet6", 0444)                                                                                  \
	X(route, "route", 0444)                                                                                        \
	X(ipv6_route, "ipv6_route", 0444)                                                                              \
	X(igmp, "igmp", 0444)                                                                                          \
	X(igmp6, "igmp6", 0444)                                                                                        \
	X(dev_mcast, "dev_mcast", 0444)                                                                                \
	X(arp, "arp", 0444)                                                                                            \
	X(packet, "packet", 0444)                                                                                      \
	X(netlink, "netlink", 0444)                                                                                    \
	X(snmp, "snmp", 0444)                                                                                          \
	X(netstat, "netstat", 0444)                                                                                    \
	X(snmp6, "snmp6", 0444)                                                                                        \
	X(sockstat, "sockstat", 0444)                                                                                  \
	X(sockstat6, "sockstat6", 0444)                                                                                \
	X(protocols, "protocols", 0444)                                                                                \
	X(xfrm_stat, "xfrm_stat", 0444)

#define NET_DECLARE(function, name, mode)                                                                              \
	struct error *net_write_##function(const struct proc_facts *facts, uint64_t task, FILE *out) _must_check_;
NET_FILES(NET_DECLARE)

/* Blanks up to `width` bytes behind `written` of them, and a newline, as the kernel's seq_pad() does. */
void net_pad(FILE *out, int written, int width);

/* An IPv6 address as 32 digits. */
void net_digits(FILE *out, const uint8_t *bytes, size_t n);

#endif
