/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of D-Bus, as far as the socket of the guest's service manager needs one: strings and lists of them go out,
 * what comes in is read as it is asked for. libdbus and sd-bus are each larger than the helper may be, and not to be
 * had as static libraries for it. Source: D-Bus Specification 0.43, "Message Protocol" and "Authentication Protocol".
 * Of both byte orders only little-endian is known, which both machines that the helper is built for have.
 */
#ifndef APPLY_DBUS_H
#define APPLY_DBUS_H

#include <stdint.h>
#include <stdio.h>

#include "base/cursor.h"
#include "base/error.h"

#define DBUS_MESSAGE_MAX (1 << 20) /* bytes; the specification allows 128 times as many */

/* One connection: what was read of it and not yet taken. */
struct dbus {
	int fd;               /* -1: none */
	uint64_t deadline_ns; /* of the monotonic clock: nothing waits for longer */
	uint32_t serial;      /* of the last call */
	uint8_t *bytes;
	size_t have, taken; /* bytes: in the buffer, and the first of these, which were messages */
};

#define DBUS_INIT                                                                                                      \
	{                                                                                                              \
		.fd = -1,                                                                                              \
	}

enum dbus_type {
	DBUS_CALL = 1,
	DBUS_RETURN = 2,
	DBUS_ERROR = 3,
	DBUS_SIGNAL = 4,
};

/* A message that came. It is gone with the next one. */
struct dbus_message {
	uint8_t type;       /* enum dbus_type, or what may be passed over */
	uint32_t reply_to;  /* the call's serial; 0: of none */
	const char *member; /* these are "" where it has none */
	const char *error;  /* its name */
	const char *signature;
	struct cursor body;
};

/* A message on its way out. */
struct dbus_call {
	FILE *stream; /* NULL: there is no memory, which dbus_send() says */
	char *bytes;
	size_t size;
};

/* Connects to a socket, as this user. */
struct error *dbus_connect(const char *path, uint64_t deadline_ns, struct dbus *ret) _must_check_;
void dbus_close(struct dbus *bus);

/* Arguments follow as the signature names them. */
void dbus_call_begin(struct dbus_call *call);
void dbus_put_string(struct dbus_call *call, const char *string);
void dbus_put_strings(struct dbus_call *call, const char *const *strings, size_t n);
/* Sends it, and frees it in any case; nothing is waited for. */
struct error *dbus_send(struct dbus *bus, struct dbus_call *call, const char *path, const char *interface,
			const char *member, const char *signature, uint32_t *ret_serial) _must_check_;

/* The next message, whatever it is. After an error there is no further one: the connection is of no more use. */
struct error *dbus_receive(struct dbus *bus, struct dbus_message *ret) _must_check_;

/* The next value of a body, which the caller knows to be of that type; strings lie in the message. */
struct error *dbus_get_u32(struct cursor *body, uint32_t *ret) _must_check_;
struct error *dbus_get_string(struct cursor *body, const char **ret) _must_check_;
/* A variant that holds a string. */
struct error *dbus_get_variant(struct cursor *body, const char **ret) _must_check_;
/* The bytes of an array whose items begin at multiples of `alignment`. */
struct error *dbus_get_array(struct cursor *body, unsigned alignment, uint64_t *ret_end) _must_check_;
/* Where a structure begins. */
struct error *dbus_align(struct cursor *body, unsigned alignment) _must_check_;

#endif
