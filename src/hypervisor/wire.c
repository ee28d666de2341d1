/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/wire.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/io.h"

#define WIRE_CHUNK    65536u
#define WIRE_RETRY_MS 20

struct wire {
	int fd;
	char *path;
	char *buffer;    /* malloc'd, `capacity` bytes */
	size_t capacity; /* bytes */
	size_t start;    /* first byte not handed out yet */
	size_t end;      /* end of what was received */
};

uint64_t wire_deadline(uint64_t timeout_ms)
{
	return clock_monotonic_ns() + timeout_ms * 1000000;
}

static struct error *timed_out(const struct wire *wire)
{
	return error_create(ERROR_TIMEOUT, "no answer on socket %s", wire->path);
}

/* Waits for `events`; a hang-up counts as readable, so that the read reports it. */
static struct error *wire_poll(const struct wire *wire, short events, uint64_t deadline_ns)
{
	struct pollfd fd = {.fd = wire->fd, .events = events};

	for (;;) {
		uint64_t now = clock_monotonic_ns();
		uint64_t left_ms = now >= deadline_ns ? 0 : (deadline_ns - now) / 1000000 + 1;
		int n;

		if (now >= deadline_ns)
			return timed_out(wire);
		n = poll(&fd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
		if (n > 0)
			return NULL;
		if (n < 0 && errno != EINTR)
			return error_system(errno, wire->path, "cannot wait for socket");
	}
}

/* sun_path holds 107 bytes: the directory is opened, and the socket named through it. */
static struct error *socket_address(const char *path, int *ret_directory, struct sockaddr_un *ret)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	_cleanup_(free_ptr) char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	_cleanup_(close_fd) int fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n;

	if (!directory)
		return error_no_memory();
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return error_create(ERROR_NOT_FOUND, "%s: no such directory", directory);
	if (fd < 0)
		return error_system(errno, directory, "cannot open directory");
	n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", fd, name);
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return error_create(ERROR_USAGE, "%s: the name of the socket is too long", path);
	*ret = address;
	*ret_directory = take_fd(fd);
	return NULL;
}

static struct error *connect_failure(const char *path)
{
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
		return error_create(ERROR_NOT_FOUND, "%s: nobody listens on this socket", path);
	case EAGAIN:
		return error_create(ERROR_BUSY, "%s: too many clients wait on this socket", path);
	default:
		return error_system(errno, path, "cannot connect to socket");
	}
}

struct error *wire_connect(const char *path, uint64_t deadline_ns, struct wire **ret)
{
	static const struct timespec pause = {.tv_nsec = WIRE_RETRY_MS * 1000000};
	_cleanup_(wire_destroy_ptr) struct wire *wire = calloc(1, sizeof(*wire));
	_cleanup_(close_fd) int directory = -1;
	struct sockaddr_un address;
	struct error *error;

	if (!wire)
		return error_no_memory();
	wire->fd = -1;
	wire->path = strdup(path);
	if (!wire->path)
		return error_no_memory();
	error = socket_address(path, &directory, &address);
	if (error)
		return error;
	wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (wire->fd < 0)
		return error_system(errno, NULL, "cannot create a socket");
	while (connect(wire->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if ((errno != EAGAIN && errno != EINTR) || clock_monotonic_ns() >= deadline_ns)
			return connect_failure(path);
		nanosleep(&pause, NULL);
	}
	*ret = take_ptr(wire);
	return NULL;
}

void wire_destroy(struct wire *wire)
{
	if (!wire)
		return;
	close_fd(&wire->fd);
	free(wire->path);
	free(wire->buffer);
	free(wire);
}

static struct error *hung_up(const struct wire *wire)
{
	return error_create(ERROR_FAILED, "%s: the other side has closed the connection", wire->path);
}

struct error *wire_send(struct wire *wire, const void *data, size_t size, uint64_t deadline_ns)
{
	const char *bytes = data;

	while (size > 0) {
		struct error *error = wire_poll(wire, POLLOUT, deadline_ns);
		ssize_t n;

		if (error)
			return error;
		n = send(wire->fd, bytes, size, MSG_NOSIGNAL);
		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return hung_up(wire);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_system(errno, wire->path, "cannot write to socket");
		if (n > 0) {
			bytes += n;
			size -= (size_t)n;
		}
	}
	return NULL;
}

/* Makes room for more, first by dropping what was handed out. */
static struct error *wire_reserve(struct wire *wire)
{
	size_t capacity;
	char *buffer;

	if (wire->start > 0) {
		memmove(wire->buffer, wire->buffer + wire->start, wire->end - wire->start);
		wire->end -= wire->start;
		wire->start = 0;
	}
	if (wire->end < wire->capacity)
		return NULL;
	capacity = wire->capacity ? wire->capacity * 2 : WIRE_CHUNK;
	buffer = realloc(wire->buffer, capacity);
	if (!buffer)
		return error_no_memory();
	wire->buffer = buffer;
	wire->capacity = capacity;
	return NULL;
}

static struct error *wire_receive(struct wire *wire, uint64_t deadline_ns)
{
	struct error *error = wire_reserve(wire);
	ssize_t n;

	if (!error)
		error = wire_poll(wire, POLLIN, deadline_ns);
	if (error)
		return error;
	n = recv(wire->fd, wire->buffer + wire->end, wire->capacity - wire->end, 0);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return hung_up(wire);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return error_system(errno, wire->path, "cannot read from socket");
	if (n > 0)
		wire->end += (size_t)n;
	return NULL;
}

struct error *wire_line(struct wire *wire, size_t max, uint64_t deadline_ns, const char **ret, size_t *ret_size)
{
	size_t searched = 0; /* bytes from start known to hold no newline */

	for (;;) {
		size_t have = wire->end - wire->start;
		const char *line = have ? wire->buffer + wire->start : NULL;
		const char *newline = line ? memchr(line + searched, '\n', have - searched) : NULL;
		size_t size = newline ? (size_t)(newline - line) : have;
		struct error *error;

		if (size > max)
			return error_format(wire->path, ERROR_NO_ADDRESS, "an answer of more than %zu bytes", max);
		if (newline) {
			wire->start += size + 1;
			*ret = line;
			*ret_size = size;
			return NULL;
		}
		searched = have;
		error = wire_receive(wire, deadline_ns);
		if (error)
			return error;
	}
}

struct error *wire_peer(const struct wire *wire, pid_t *ret)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(wire->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return error_system(errno, wire->path, "cannot ask who listens on socket");
	if (peer.pid <= 0)
		return error_create(ERROR_UNSUPPORTED,
				    "%s: the process behind this socket is not in this PID namespace", wire->path);
	*ret = peer.pid;
	return NULL;
}

const char *wire_path(const struct wire *wire)
{
	return wire->path;
}
