/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>

#include "base/io.h"
#include "update/vmfile.h"

/* The host part of "http://user@host:port/…", lower part of a source line or proxy; owned, NULL if there is none. */
static char *host_of(const char *text)
{
	const char *start = strstr(text, "://"), *at;
	size_t length;

	if (!start)
		return NULL;
	start += 3;
	length = strcspn(start, "/ \t\n");
	at = memchr(start, '@', length);
	if (at) {
		length -= (size_t)(at + 1 - start);
		start = at + 1;
	}
	if (*start == '[')
		return strndup(start + 1, strcspn(start + 1, "]"));
	return strndup(start, strcspn(start, ":/ \t\n") < length ? strcspn(start, ":/ \t\n") : length);
}

#define SOURCES_MAX (1024 * 1024)

/* With none that says something a package manager finds nothing to do, and the guest would pass for up to date. */
static bool says_something(const char *text)
{
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t space = strspn(line, " \t\r");

		if (line[space] && line[space] != '\n' && line[space] != '#')
			return true;
	}
	return false;
}

struct error *vm_file_read_sources(const struct vm_file *file, size_t max, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size = 0;
	struct error *error = error_recode(io_read_file(file->sources, max, &text, &size), ERROR_USAGE);

	if (!error && strlen(text) != size)
		error = error_create(ERROR_USAGE, "%s: not a text", file->sources);
	if (!error && !says_something(text))
		error = error_create(ERROR_USAGE, "%s: it names no source", file->sources);
	if (error)
		return error_remedy(error, "correct it, or \"sources\" in %s", file->path);
	*ret = take_ptr(text);
	return NULL;
}

struct error *vm_file_hosts(const struct vm_file *file, GPtrArray *ret)
{
	_cleanup_(free_ptr) char *sources = NULL;
	struct error *error = NULL;

	if (file->proxy && host_of(file->proxy))
		g_ptr_array_add(ret, host_of(file->proxy));
	if (file->sources)
		error = vm_file_read_sources(file, SOURCES_MAX, &sources);
	for (const char *line = sources; !error && line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		_cleanup_(free_ptr) char *text = strndup(line, strcspn(line, "\n"));
		char *host = text ? host_of(text) : NULL;

		if (host)
			g_ptr_array_add(ret, host);
	}
	g_ptr_array_add(ret, NULL);
	return error;
}
