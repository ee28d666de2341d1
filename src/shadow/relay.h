/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: one standard stream of the program, relayed. The program never gets a descriptor of the
 * host's: bytes go through a pipe, or a pseudo terminal of the shadow's own.
 *
 * Nothing here waits: what cannot be written yet stays where it is, and so the program waits for its reader, as it
 * would without us. Flags of the user's descriptors are not touched, for other processes share them.
 */
#ifndef SHADOW_RELAY_H
#define SHADOW_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Bytes that are on their way; one write of a program to a pipe is seldom more. */
#define STREAM_BUFFER 65536

/* What poll() has to watch for one stream: its source and its destination. */
#define STREAM_POLLS  2

struct stream {
	const char *name; /* for errors: "standard output" */
	int from, to;     /* -1: ended. `to` -1 with `from` open: dropped, or collected */
	bool borrows_from;
	bool is_socket;  /* `to` */
	bool splices;    /* one of the two is a pipe: the kernel moves the bytes */
	bool blocked;    /* the kernel could not: `to` has no room */
	bool ends_line;  /* what went through last was a newline, or nothing has yet */
	bool to_program; /* from the user; else the other way */
	char *buffer;    /* STREAM_BUFFER bytes, of which begin .. end - 1 still go to `to`; NULL: not needed yet */
	size_t begin, end;
	uint64_t passed; /* bytes that came through the buffer */
	/* Collects instead of writing: at most `max` bytes, NUL-terminated. */
	struct capture *capture;
};

struct capture {
	size_t max;
	char *data; /* owned by whoever has the struct; NULL: nothing came */
	size_t size, space;
	bool overflow; /* more than `max` came; the rest was dropped */
};

#define STREAM_NONE                                                                                                    \
	(struct stream)                                                                                                \
	{                                                                                                              \
		.from = -1, .to = -1, .ends_line = true                                                                \
	}

/* From the user's descriptor, which is borrowed, to our end of the program's pipe or terminal, which is taken. */
void stream_input(struct stream *stream, int user, int program);

/* From our end of the program's pipe or terminal, taken, to the user's, borrowed; 0: dropped. */
struct error *stream_output(struct stream *stream, const char *name, int program, int user) _must_check_;

/* Into memory. */
void stream_capture(struct stream *stream, int program, struct capture *capture);

/* Whether there is nothing more to do. */
bool stream_ended(const struct stream *stream);

void stream_poll(const struct stream *stream, struct pollfd ret[STREAM_POLLS]);

/* Moves what poll() found. A reader who has gone ends the stream and is no error. */
struct error *stream_serve(struct stream *stream, const struct pollfd polled[STREAM_POLLS]) _must_check_;

void stream_close(struct stream *stream);

#endif
