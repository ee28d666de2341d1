/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A payload that is packed while a channel reads it: a thread packs, its output is a pipe. So packing takes no time of
 * the guest's, who waits for the channel anyway.
 */
#ifndef UPDATE_PACK_STREAM_H
#define UPDATE_PACK_STREAM_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "bundle/bundle.h"

/*
 * Names in the directory of the VM's state: of the payloads while they travel, and of the differences (deltas_write()),
 * which belong to the payload with the same ending.
 */
#define PAYLOAD_NAME      "payload"
#define STREAM_NAME       "stream"
#define DELTAS_NAME       "deltas"
#define LATE_ENDING       ".late"
#define PAYLOAD_LATE_NAME PAYLOAD_NAME LATE_ENDING
#define DELTAS_LATE_NAME  DELTAS_NAME LATE_ENDING

/* Harmless where there are none. */
void deltas_remove(const char *directory, const char *name);

/* Zeroed: not open. It stays where it is while it is open. */
struct pack_stream {
	bool open;
	pthread_t thread;
	int out; /* the pipe's other end; the thread's */
	const char *payload_path;
	char *deltas_path;   /* owned */
	struct error *error; /* the thread's, as what follows */
	struct pack_totals totals;
};

/*
 * `payload_path` is borrowed until the end; the differences that go into it lie beside it under the name above, if
 * there are any. *ret is what to read, the caller's.
 */
struct error *pack_stream_open(struct pack_stream *stream, const char *payload_path, int *ret) _must_check_;

/*
 * After the caller has closed its end: waits for the thread. A reader that went away early is no error here. Of a
 * stream that is not open: nothing.
 */
struct error *pack_stream_close(struct pack_stream *stream) _must_check_;

#endif
