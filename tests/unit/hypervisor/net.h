/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small network for the gate's tests, all of it gone when the test process ends:
 *
 *   guest ns (eth0) == tap0 -+
 *                            +- br0 (host: this process's own ns) -- vout -- outside ns
 *   neighbour ns ---- vnb ---+
 *
 * The guest is a network namespace of its own behind a real tap: a thread carries the frames
 * between tap0 and the guest's eth0, and counts those that hold MARKER.
 */
#ifndef TESTS_UNIT_HYPERVISOR_NET_H
#define TESTS_UNIT_HYPERVISOR_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARKER        "ouassister-probe"

#define HOST4         "10.9.0.1"
#define GUEST4        "10.9.0.2"
#define NEIGHBOUR4    "10.9.0.3"
#define OUTSIDE4      "10.8.0.2"
#define HOST6         "fd00:9::1"
#define GUEST6        "fd00:9::2"
#define GUEST6_LINK   "fe80::2"
#define HOST_MAC      "02:00:00:00:00:01"
#define GUEST_MAC     "02:00:00:00:00:02"
#define NEIGHBOUR_MAC "02:00:00:00:00:03"

#define SSH_PORT      22
#define WEB_PORT      80

enum place {
	HOST,
	GUEST,
	NEIGHBOUR,
	OUTSIDE,
	PLACE_MAX,
};

/* Moves this process into a network of its own and builds all of it. False: not possible here. */
bool net_build(void);

/* Runs a shell command in a place; true if it exits 0. */
bool net_run(enum place place, const char *command);

/*
 * Connects over TCP within a quarter of a second, from source port `from_port` (0: any) and as user `uid`.
 * True if the connection stood and the listener's word came; `ret_word` (16 bytes) may be NULL.
 */
bool net_connect(enum place place, const char *address, uint16_t port, uint16_t from_port, unsigned uid,
		 char *ret_word);

/* Sends a frame out of the place's device; MARKER is appended to it. */
bool net_send(enum place place, const char *device, const void *frame, size_t size);

/* Starts over, lets `send` be done by the caller, then: frames with MARKER that came out of tap0 so far. */
void net_reset_count(void);
unsigned net_count_to_guest(void);

/* True if a frame with MARKER arrives at the place's device while `send` runs. */
bool net_sees(enum place place, const char *device, bool (*send)(void));

#endif
