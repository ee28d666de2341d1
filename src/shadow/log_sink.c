/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs log (/dev/log, the journal's own socket). With nobody there logger fails, and with it a script that
 * ends at the first failure; the sleeping journal takes nothing.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "shadow/manager.h"

/* At a time, so that one who logs without end does not keep others from being answered. */
#define MESSAGES_MAX 64

/* Descriptors that come with a message (the journal's long ones) are closed by the kernel: nobody asks for them. */
static int on_message(sd_event_source *source, int socket, uint32_t events, void *userdata)
{
	char byte;

	for (unsigned i = 0; i < MESSAGES_MAX && recv(socket, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0; i++)
		;
	return 0;
}

int log_sink_serve(struct manager *manager, int socket)
{
	return socket < 0 ? 0 : sd_event_add_io(manager->event, NULL, socket, EPOLLIN, on_message, manager);
}
