/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/events.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

static char *end_memory;
static size_t end_memory_size;

/* Bytes outside printable ASCII become \u00XX: paths are bytes, not text. */
static void put_string(FILE *stream, const char *s)
{
	fputc('"', stream);
	for (; *s; s++) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			fprintf(stream, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			fprintf(stream, "\\u%04x", c);
		else
			fputc(c, stream);
	}
	fputc('"', stream);
}

void event_begin(struct event *event, const char *name)
{
	*event = (struct event){};
	event->stream = open_memstream(&event->text, &event->size);
	if (!event->stream)
		return;
	fputs("{\"event\":", event->stream);
	put_string(event->stream, name);
	event_number(event, "t_ns", clock_boottime_ns());
}

static void put_key(struct event *event, const char *key)
{
	fputc(',', event->stream);
	put_string(event->stream, key);
	fputc(':', event->stream);
}

void event_number(struct event *event, const char *key, uint64_t value)
{
	if (!event->stream)
		return;
	put_key(event, key);
	fprintf(event->stream, "%" PRIu64, value);
}

void event_string(struct event *event, const char *key, const char *value)
{
	if (!event->stream || !value)
		return;
	put_key(event, key);
	put_string(event->stream, value);
}

void event_strings(struct event *event, const char *key, char *const *values)
{
	if (!event->stream)
		return;
	put_key(event, key);
	fputc('[', event->stream);
	for (size_t i = 0; values[i]; i++) {
		if (i)
			fputc(',', event->stream);
		put_string(event->stream, values[i]);
	}
	fputc(']', event->stream);
}

/*
 * Where the line would begin on a file: room for all of it, or none of it is written. Whatever else has no such call
 * can take it or not.
 */
static bool has_room(int fd, size_t size)
{
	struct stat s;

	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode) || fallocate(fd, FALLOC_FL_KEEP_SIZE, s.st_size, (off_t)size) == 0)
		return true;
	return errno != ENOSPC && errno != EDQUOT;
}

void event_write(struct event *event, int fd)
{
	if (!event->stream)
		return;
	fputs("}\n", event->stream);
	if (fclose(event->stream) == 0 && has_room(fd, event->size))
		error_destroy(io_write(fd, event->text, event->size, NULL));
	free(event->text);
	*event = (struct event){};
}

void event_note(int fd, const char *path, const char *format, ...)
{
	_cleanup_(free_ptr) char *text = NULL;
	struct event event;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0) {
		text = NULL;
		return;
	}
	event_begin(&event, "note");
	event_string(&event, "path", path);
	event_string(&event, "message", text);
	event_write(&event, fd);
}

void event_end_to_memory(char *memory, size_t size)
{
	end_memory = memory;
	end_memory_size = memory ? size : 0;
}

void event_end(int fd, const char *result, const struct error *error)
{
	struct event event;

	event_begin(&event, "end");
	event_string(&event, "result", result);
	event_string(&event, "path", error ? error->path : NULL);
	event_string(&event, "message", error ? error->message : NULL);
	event_number(&event, "uptime_end_ns", clock_boottime_ns());
	if (event.stream && fflush(event.stream) == 0 && event.size + 3 < end_memory_size) {
		memcpy(end_memory, event.text, event.size);
		memcpy(end_memory + event.size, "}\n", 3);
	}
	event_write(&event, fd);
}
