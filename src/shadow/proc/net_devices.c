/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{dev,if_inet6} (net/core/net-procfs.c, net/ipv6/addrconf.c). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

struct error *net_write_dev(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_device_list_deinit) struct guest_device_list devices = {0};
	struct error *error = PROC_LIST(guest_devices(facts->guest, task, &devices), devices);

	if (error)
		return error;
	fputs("Inter-|   Receive                                                |  Transmit\n"
	      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
	      "carrier compressed\n",
	      out);
	for (size_t i = 0; i < devices.n; i++) {
		const uint64_t *c = devices.items[i].counters;

		if (!devices.items[i].counted)
			continue;
		fprintf(out,
			"%6s: %7" PRIu64 " %7" PRIu64 " %4" PRIu64 " %4" PRIu64 " %4" PRIu64 " %5" PRIu64 " %10" PRIu64
			" %9" PRIu64 " ",
			devices.items[i].name, c[GUEST_RX_BYTES], c[GUEST_RX_PACKETS], c[GUEST_RX_ERRORS],
			c[GUEST_RX_DROPPED] + c[GUEST_RX_MISSED_ERRORS], c[GUEST_RX_FIFO_ERRORS],
			c[GUEST_RX_LENGTH_ERRORS] + c[GUEST_RX_OVER_ERRORS] + c[GUEST_RX_CRC_ERRORS] +
				c[GUEST_RX_FRAME_ERRORS],
			c[GUEST_RX_COMPRESSED], c[GUEST_MULTICAST]);
		fprintf(out,
			"%8" PRIu64 " %7" PRIu64 " %4" PRIu64 " %4" PRIu64 " %4" PRIu64 " %5" PRIu64 " %7" PRIu64
			" %10" PRIu64 "\n",
			c[GUEST_TX_BYTES], c[GUEST_TX_PACKETS], c[GUEST_TX_ERRORS], c[GUEST_TX_DROPPED],
			c[GUEST_TX_FIFO_ERRORS], c[GUEST_COLLISIONS],
			c[GUEST_TX_CARRIER_ERRORS] + c[GUEST_TX_ABORTED_ERRORS] + c[GUEST_TX_WINDOW_ERRORS] +
				c[GUEST_TX_HEARTBEAT_ERRORS],
			c[GUEST_TX_COMPRESSED]);
	}
	return NULL;
}

struct error *net_write_if_inet6(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_address6_list_deinit) struct guest_address6_list list = {0};
	struct error *error = PROC_LIST(guest_addresses6(facts->guest, task, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_address6 *address = &list.items[i];

		net_digits(out, address->address, sizeof(address->address));
		fprintf(out, " %02" PRIx32 " %02x %02x %02x %8s\n", address->index, address->prefix, address->scope,
			address->flags, address->interface);
	}
	return error;
}
