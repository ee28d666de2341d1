/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shadow/proc/serve.h"

/* What a text takes beside its bytes. */
#define TEXT_OVERHEAD 256

/* A stream that takes PROC_TEXT_MAX bytes and no more, whatever is written to it. */
struct sink {
	char *data;
	size_t size, space;
};

static ssize_t sink_write(void *cookie, const char *bytes, size_t n)
{
	struct sink *sink = cookie;
	size_t space = sink->space ? sink->space : 1024;
	char *grown;

	if (n > PROC_TEXT_MAX - sink->size)
		return 0;
	while (space < sink->size + n)
		space *= 2;
	if (space != sink->space) {
		grown = realloc(sink->data, space);
		if (!grown)
			return 0;
		sink->data = grown;
		sink->space = space;
	}
	memcpy(sink->data + sink->size, bytes, n);
	sink->size += n;
	return (ssize_t)n;
}

static struct text **bucket_of(struct texts *texts, uint64_t id)
{
	uint64_t hash = id * UINT64_C(0x9e3779b97f4a7c15);

	return &texts->buckets[hash >> 52];
}

static void unlink_age(struct texts *texts, struct text *text)
{
	*(text->older ? &text->older->newer : &texts->oldest) = text->newer;
	*(text->newer ? &text->newer->older : &texts->newest) = text->older;
	text->older = text->newer = NULL;
}

static void link_newest(struct texts *texts, struct text *text)
{
	text->older = texts->newest;
	*(texts->newest ? &texts->newest->newer : &texts->oldest) = text;
	texts->newest = text;
}

static void destroy(struct texts *texts, struct text *text)
{
	texts->bytes -= text->size + TEXT_OVERHEAD;
	free(text->data);
	free(text);
}

static void drop(struct texts *texts, struct text *text)
{
	struct text **place = bucket_of(texts, text->id);

	while (*place != text)
		place = &(*place)->next;
	*place = text->next;
	unlink_age(texts, text);
	text->cached = false;
	if (text->refs == 0)
		destroy(texts, text);
}

/* Forgets what was not read for longest until there is room for so many bytes. */
static bool make_room(struct texts *texts, size_t size)
{
	struct text *text = texts->oldest, *newer;

	for (; text && texts->bytes + size > TEXTS_MAX; text = newer) {
		newer = text->newer;
		if (text->refs == 0)
			drop(texts, text);
	}
	return texts->bytes + size <= TEXTS_MAX;
}

struct text *texts_find(struct texts *texts, uint64_t id)
{
	struct text *text = *bucket_of(texts, id);

	while (text && text->id != id)
		text = text->next;
	if (!text)
		return NULL;
	unlink_age(texts, text);
	link_newest(texts, text);
	text->refs++;
	return text;
}

struct text *texts_write(struct texts *texts, struct error *(*write)(void *data, FILE *out), void *data)
{
	static const cookie_io_functions_t functions = {.write = sink_write};
	struct sink sink = {0};
	struct text *text = NULL;
	struct error *error;
	FILE *out = fopencookie(&sink, "w", functions);

	if (!out)
		return NULL;
	error = write(data, out);
	(void)!fclose(out);
	if (!error || error->code != ERROR_NO_MEMORY)
		text = calloc(1, sizeof(*text));
	if (error)
		sink.size = 0;
	if (!text || !make_room(texts, sink.size + TEXT_OVERHEAD)) {
		free(text);
		free(sink.data);
		error_destroy(error);
		return NULL;
	}
	text->absent = error != NULL;
	error_destroy(error);
	/* Most texts are far smaller than what they were written into. */
	text->data = sink.size > 0 ? realloc(sink.data, sink.size) : NULL;
	if (!text->data) {
		text->data = sink.size > 0 ? sink.data : NULL;
		if (sink.size == 0)
			free(sink.data);
	}
	text->size = sink.size;
	text->refs = 1;
	texts->bytes += text->size + TEXT_OVERHEAD;
	return text;
}

void texts_keep(struct texts *texts, struct text *text, uint64_t id)
{
	struct text **bucket = bucket_of(texts, id);

	text->id = id;
	text->cached = true;
	text->next = *bucket;
	*bucket = text;
	link_newest(texts, text);
}

int texts_get(struct texts *texts, uint64_t id, bool live, struct error *(*write)(void *data, FILE *out), void *data,
	      struct text **ret)
{
	struct text *text = texts_find(texts, id);

	if (!text) {
		text = texts_write(texts, write, data);
		if (!text)
			return ENOMEM;
		if (!live || text->absent)
			texts_keep(texts, text, id);
	}
	if (text->absent) {
		texts_unref(texts, text);
		return ENOENT;
	}
	*ret = text;
	return 0;
}

void texts_unref(struct texts *texts, struct text *text)
{
	if (text && --text->refs == 0 && !text->cached)
		destroy(texts, text);
}

void texts_deinit(struct texts *texts)
{
	while (texts->oldest) {
		texts->oldest->refs = 0;
		drop(texts, texts->oldest);
	}
}
