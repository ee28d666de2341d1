/* SPDX-License-Identifier: Apache-2.0 */
#include "update/pack_stream.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"

#define PIPE_SIZE (1 << 20) /* what the kernel allows without privilege */

static void *pack(void *data)
{
	struct pack_stream *stream = data;

	stream->error = payload_pack(stream->payload_path, stream->deltas_path, stream->out, &stream->totals);
	close_fd(&stream->out);
	return NULL;
}

/* A thread begins with the signals of who makes it: blocked there, a reader that goes away is an error code in it. */
static int start(struct pack_stream *stream)
{
	sigset_t all, before;
	int errnum;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errnum = pthread_create(&stream->thread, NULL, pack, stream);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return errnum;
}

void deltas_remove(const char *directory, const char *name)
{
	_cleanup_(free_ptr) char *path = string_format("%s/%s", directory, name);

	if (path)
		unlink(path);
}

static char *deltas_path(const char *payload_path)
{
	const char *slash = strrchr(payload_path, '/'), *name = slash ? slash + 1 : payload_path;
	size_t n = strlen(PAYLOAD_NAME);

	return string_format("%.*s" DELTAS_NAME "%s", (int)(name - payload_path), payload_path,
			     strncmp(name, PAYLOAD_NAME, n) ? "" : name + n);
}

struct error *pack_stream_open(struct pack_stream *stream, const char *payload_path, int *ret)
{
	_cleanup_(free_ptr) char *deltas = deltas_path(payload_path);
	int fds[2], errnum;

	if (!deltas)
		return error_no_memory();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	/* The agent sends what one read gives, and each sending takes a while; a smaller pipe would do as well. */
	fcntl(fds[1], F_SETPIPE_SZ, PIPE_SIZE);
	*stream = (struct pack_stream){.out = fds[1], .payload_path = payload_path, .deltas_path = deltas};
	errnum = start(stream);
	if (errnum) {
		close(fds[0]);
		close(fds[1]);
		return error_system(errnum, NULL, "cannot start a thread");
	}
	stream->open = true;
	deltas = NULL;
	*ret = fds[0];
	return NULL;
}

struct error *pack_stream_close(struct pack_stream *stream)
{
	if (!stream->open)
		return NULL;
	pthread_join(stream->thread, NULL);
	stream->open = false;
	free(stream->deltas_path);
	if (!stream->error)
		log_debug("%llu bytes of payload went as %llu, %llu of them as differences",
			  (unsigned long long)stream->totals.size, (unsigned long long)stream->totals.packed_size,
			  (unsigned long long)stream->totals.delta_size);
	if (!stream->error || stream->error->errnum != EPIPE)
		return stream->error;
	error_destroy(stream->error);
	return NULL;
}
