/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{arp,packet,netlink} (net/ipv4/arp.c, net/packet/af_packet.c, net/netlink/af_netlink.c). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

/* NUD_*, ATF_* */
#define STATE_PERMANENT 0x80u
#define STATE_VALID     0xdeu /* permanent, no ARP, reachable, probed, stale, delayed */
#define FLAG_COMPLETE   0x2u
#define FLAG_PERMANENT  0x4u

#define HARDWARE_SHOWN  9u /* bytes of an address that fit into 30 characters as the kernel cuts them */

static unsigned arp_flags(uint16_t state)
{
	if (state & STATE_PERMANENT)
		return FLAG_PERMANENT | FLAG_COMPLETE;
	return state & STATE_VALID ? FLAG_COMPLETE : 0;
}

struct error *net_write_arp(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_neighbour_list_deinit) struct guest_neighbour_list neighbours = {0};
	struct error *error = PROC_LIST(guest_neighbours(facts->guest, task, &neighbours), neighbours);

	if (error)
		return error;
	fputs("IP address       HW type     Flags       HW address            Mask     Device\n", out);
	for (size_t i = 0; i < neighbours.n; i++) {
		const struct guest_neighbour *neighbour = &neighbours.items[i];
		char address[16], hardware[3 * HARDWARE_SHOWN + 1] = "";

		snprintf(address, sizeof(address), "%u.%u.%u.%u", neighbour->address[0], neighbour->address[1],
			 neighbour->address[2], neighbour->address[3]);
		for (unsigned j = 0; j < neighbour->hardware_size && j < HARDWARE_SHOWN; j++)
			snprintf(hardware + (j ? 3 * j - 1 : 0), 4, "%s%02x", j ? ":" : "", neighbour->hardware[j]);
		fprintf(out, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", address, neighbour->type,
			arp_flags(neighbour->state), hardware, neighbour->interface);
	}
	return NULL;
}

/* Until 5.18 the first column's name was made for 32 bits. */
#define PACKET_OLD "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"

struct error *net_write_packet(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_other_socket_list_deinit) struct guest_other_socket_list sockets = {0};
	struct guest_pointers pointers;
	struct error *error = guest_pointers(facts->guest, &pointers);

	if (!error)
		error = PROC_LIST(guest_packet_sockets(facts->guest, task, &sockets), sockets);
	if (error)
		return error;
	fputs(guest_has_text(facts->guest, PACKET_OLD)
		      ? PACKET_OLD
		      : "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n",
	      out);
	for (size_t i = 0; i < sockets.n; i++) {
		const struct guest_other_socket *socket = &sockets.items[i];
		char pointer[GUEST_POINTER_SIZE];

		guest_pointer_text(&pointers, socket->address, pointer);
		fprintf(out,
			"%s %-6" PRIu32 " %-4u %04x   %-5" PRIu32 " %1d %-6" PRIu32 " %-6" PRIu32 " %-6" PRIu64 "\n",
			pointer, socket->references, socket->type, socket->protocol, socket->interface, socket->running,
			socket->receive_memory, socket->uid, socket->inode);
	}
	return NULL;
}

struct error *net_write_netlink(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_other_socket_list_deinit) struct guest_other_socket_list sockets = {0};
	struct guest_pointers pointers;
	struct error *error = guest_pointers(facts->guest, &pointers);

	if (!error)
		error = PROC_LIST(guest_netlink_sockets(facts->guest, task, &sockets), sockets);
	if (error)
		return error;
	fputs("sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n", out);
	for (size_t i = 0; i < sockets.n; i++) {
		const struct guest_other_socket *socket = &sockets.items[i];
		char pointer[GUEST_POINTER_SIZE];

		guest_pointer_text(&pointers, socket->address, pointer);
		fprintf(out,
			"%s %-3u %-10" PRIu32 " %08" PRIx32 " %-8" PRIu32 " %-8" PRIu32 " %-5d %-8" PRIu32 " %-8" PRIu32
			" %-8" PRIu64 "\n",
			pointer, socket->protocol, socket->port, socket->groups, socket->receive_memory,
			socket->send_memory, socket->running, socket->references, socket->drops, socket->inode);
	}
	return NULL;
}
