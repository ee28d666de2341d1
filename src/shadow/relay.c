/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"

/* Of one splice(): as much as a pipe may hold. */
#define SPLICE_MAX (1u << 20)

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

void stream_input(struct stream *stream, int user, int program)
{
	*stream = STREAM_NONE;
	stream->name = "standard input";
	stream->from = user;
	stream->borrows_from = true;
	stream->to = program;
	stream->to_program = true;
	stream->splices = is_pipe(program);
}

/*
 * The user's own descriptor, or one to the same terminal that does not wait for it: a write to a terminal that is
 * stopped (Ctrl-S) would stop us too. Files never wait long.
 */
static int reopen_output(int user)
{
	char path[64];
	int fd;

	/* No other device: one in the place of a closed descriptor must go on failing to be written to. */
	if (isatty(user) == 1) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", user);
		fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return fcntl(user, F_DUPFD_CLOEXEC, 3);
}

struct error *stream_output(struct stream *stream, const char *name, int program, int user)
{
	int type;
	socklen_t size = sizeof(type);

	*stream = STREAM_NONE;
	stream->name = name;
	stream->from = program;
	if (user <= 0)
		return NULL;
	stream->to = reopen_output(user);
	if (stream->to < 0)
		return error_system(errno, name, "cannot duplicate a descriptor");
	stream->is_socket = getsockopt(user, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
	stream->splices = is_pipe(user) && is_pipe(program);
	return NULL;
}

void stream_capture(struct stream *stream, int program, struct capture *capture)
{
	*stream = STREAM_NONE;
	stream->from = program;
	stream->capture = capture;
}

static void end_source(struct stream *stream)
{
	if (stream->borrows_from)
		stream->from = -1;
	close_fd(&stream->from);
}

void stream_close(struct stream *stream)
{
	end_source(stream);
	close_fd(&stream->to);
	free(take_ptr(stream->buffer));
	stream->begin = stream->end = 0;
	stream->blocked = false;
}

bool stream_ended(const struct stream *stream)
{
	return stream->from < 0 && stream->begin == stream->end;
}

void stream_poll(const struct stream *stream, struct pollfd ret[STREAM_POLLS])
{
	bool full = stream->blocked || stream->begin < stream->end;

	ret[0] = (struct pollfd){.fd = full ? -1 : stream->from, .events = POLLIN};
	/* Without an event to wait for, poll() still tells that nobody reads there any more. */
	ret[1] = (struct pollfd){.fd = stream->to, .events = full ? POLLOUT : 0};
}

static struct error *capture_add(struct capture *capture, const char *data, size_t size)
{
	size_t space = capture->space ? capture->space : 4096;
	char *grown;

	if (capture->overflow || capture->size + size > capture->max) {
		capture->overflow = true;
		return NULL;
	}
	while (space < capture->size + size + 1)
		space *= 2;
	if (space != capture->space) {
		grown = realloc(capture->data, space);
		if (!grown)
			return error_no_memory();
		capture->data = grown;
		capture->space = space;
	}
	memcpy(capture->data + capture->size, data, size);
	capture->size += size;
	capture->data[capture->size] = '\0';
	return NULL;
}

/* What the failed write to `to` means: later, nobody reads any more, or an error. */
static struct error *write_failed(struct stream *stream)
{
	if (errno == EAGAIN || errno == EINTR)
		return NULL;
	/* A program that does not read its input, or a reader who has seen enough: the other side learns it by its own
	 * next read or write. EIO: the terminal has gone. */
	if (stream->to_program || errno == EPIPE || errno == ECONNRESET || (errno == EIO && isatty(stream->to) != 0)) {
		stream_close(stream);
		return NULL;
	}
	return error_system(errno, NULL, "cannot write to %s", stream->name);
}

static struct error *flush(struct stream *stream)
{
	while (stream->begin < stream->end) {
		const char *data = stream->buffer + stream->begin;
		size_t size = stream->end - stream->begin;
		ssize_t n = stream->is_socket ? send(stream->to, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
					      : write(stream->to, data, size);

		if (n < 0)
			return write_failed(stream);
		stream->begin += (size_t)n;
	}
	stream->begin = stream->end = 0;
	return NULL;
}

/* A terminal has no end of file but the character for it, which ends what was typed in this line, or else the file. */
static struct error *end_terminal(struct stream *stream)
{
	struct termios modes;

	if (tcgetattr(stream->to, &modes) < 0 || !(modes.c_lflag & ICANON) || !stream->buffer)
		return NULL;
	stream->buffer[stream->end++] = (char)modes.c_cc[VEOF];
	if (!stream->ends_line)
		stream->buffer[stream->end++] = (char)modes.c_cc[VEOF];
	return flush(stream);
}

/* The source has ended, with errno if `failed`. */
static struct error *source_ended(struct stream *stream, bool failed)
{
	if (failed && stream->to_program && errno != EIO)
		log_warning("cannot read %s: %s", stream->name, strerror(errno));
	end_source(stream);
	/* One end of a terminal serves two streams: the program's terminal stays. */
	if (stream->to_program && isatty(stream->to) == 1)
		return end_terminal(stream);
	close_fd(&stream->to);
	return NULL;
}

static struct error *pull_bytes(struct stream *stream)
{
	ssize_t n;

	if (!stream->buffer) {
		stream->buffer = malloc(STREAM_BUFFER);
		if (!stream->buffer)
			return error_no_memory();
	}
	n = read(stream->from, stream->buffer, STREAM_BUFFER);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n <= 0)
		return source_ended(stream, n < 0);
	stream->passed += (uint64_t)n;
	stream->ends_line = stream->buffer[n - 1] == '\n';
	if (stream->capture)
		return capture_add(stream->capture, stream->buffer, (size_t)n);
	if (stream->to < 0)
		return NULL;
	stream->begin = 0;
	stream->end = (size_t)n;
	return flush(stream);
}

static struct error *pull(struct stream *stream)
{
	ssize_t n;

	if (!stream->splices)
		return pull_bytes(stream);
	n = splice(stream->from, NULL, stream->to, NULL, SPLICE_MAX, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n > 0)
		return NULL;
	if (n == 0)
		return source_ended(stream, false);
	if (errno == EINVAL) {
		stream->splices = false;
		return pull_bytes(stream);
	}
	if (errno == EAGAIN) {
		/* poll() says that there is something to read, so there is no room; or somebody else took it. */
		stream->blocked = true;
		return NULL;
	}
	if (errno == EINTR)
		return NULL;
	if (errno == EPIPE)
		return write_failed(stream);
	return source_ended(stream, true);
}

struct error *stream_serve(struct stream *stream, const struct pollfd polled[STREAM_POLLS])
{
	if (polled[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		stream_close(stream);
		return NULL;
	}
	if (polled[1].revents & POLLOUT) {
		stream->blocked = false;
		if (stream->begin < stream->end)
			return flush(stream);
	}
	return polled[0].revents ? pull(stream) : NULL;
}
