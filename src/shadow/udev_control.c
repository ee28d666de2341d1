/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `udevadm control`: packets of a fixed structure (systemd's udev-ctrl.h; the same from 173 to 257). What was asked is
 * recorded as the caller's own words, and the caller, who waits for the end of the connection, sees it.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shadow/manager.h"
#include "shadow/record.h"

#define MAGIC       0xdead1deau
#define PACKETS_MAX 16

enum type {
	TYPE_END = 0, /* of what one program asks */
	TYPE_PING = 7,
};

struct packet {
	char version[16];
	uint32_t magic;
	uint32_t type;
	char value[256];
};

static int record_client(const struct manager *manager, int fd)
{
	struct manager_record record = {.kind = RECORD_CALLER, .depth = 1};
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	record.pid = (uint32_t)credentials.pid;
	return record_send(manager->options->record_fd, &record);
}

/* At most PACKETS_MAX that are there already or come at once: udevadm sends them together. */
static int on_udev(sd_event_source *source, int listener, uint32_t events, void *userdata)
{
	struct timeval timeout = {.tv_sec = 1};
	struct manager *manager = userdata;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	bool asked = false;

	if (fd < 0)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	for (unsigned i = 0; i < PACKETS_MAX; i++) {
		struct packet packet = {0};
		ssize_t n = recv(fd, &packet, sizeof(packet), 0);

		if (n < (ssize_t)offsetof(struct packet, value) || packet.magic != MAGIC || packet.type == TYPE_END)
			break;
		asked |= packet.type != TYPE_PING;
	}
	if (asked)
		(void)record_client(manager, fd);
	close(fd);
	return 0;
}

int udev_control_serve(struct manager *manager, int listener)
{
	return listener < 0 ? 0 : sd_event_add_io(manager->event, NULL, listener, EPOLLIN, on_udev, manager);
}
