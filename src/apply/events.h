/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report: one JSON line an event, as report.h describes them, in printable ASCII.
 */
#ifndef APPLY_EVENTS_H
#define APPLY_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct event {
	char *text; /* what open_memstream() has collected */
	size_t size;
	FILE *stream; /* NULL without memory: the event is then lost, never half written */
};

/* Begins {"event":NAME,"t_ns":…; every event_begin() needs its event_write(). */
void event_begin(struct event *event, const char *name);
void event_number(struct event *event, const char *key, uint64_t value);
/* Any bytes; NULL is left out. */
void event_string(struct event *event, const char *key, const char *value);
/* A NULL-terminated list. */
void event_strings(struct event *event, const char *key, char *const *values);
/*
 * Closes the object and writes the line to `fd` at once; failure to write is nobody's concern. On a full disk it is
 * lost as a whole.
 */
void event_write(struct event *event, int fd);

/* {"event":"note"}: something that was done without. */
void event_note(int fd, const char *path, const char *format, ...) _printf_(3, 4);
/* {"event":"end"}: `error` (borrowed) may be NULL. */
void event_end(int fd, const char *result, const struct error *error);
/* The line of event_end() goes to `memory` (`size` bytes, all zeros; borrowed) as well, where no full disk matters. */
void event_end_to_memory(char *memory, size_t size);

#endif
