/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

/* Handed out when there is no memory for a real one; never freed. */
static char no_memory_text[] = "out of memory";
static struct error no_memory = {
	.code = ERROR_NO_MEMORY,
	.errnum = ENOMEM,
	.address = ERROR_NO_ADDRESS,
	.message = no_memory_text,
};

static struct error *error_vcreate(enum error_code code, const char *format, va_list arguments)
{
	struct error *error = calloc(1, sizeof(*error));

	if (!error)
		return &no_memory;
	error->code = code;
	error->address = ERROR_NO_ADDRESS;
	if (vasprintf(&error->message, format, arguments) < 0) {
		free(error);
		return &no_memory;
	}
	return error;
}

struct error *error_create(enum error_code code, const char *format, ...)
{
	struct error *error;
	va_list arguments;

	va_start(arguments, format);
	error = error_vcreate(code, format, arguments);
	va_end(arguments);
	return error;
}

/* Replaces the message by `text`, which it takes; NULL leaves the old one. */
static struct error *set_message(struct error *error, char *text)
{
	if (!text)
		return error;
	free(error->message);
	error->message = text;
	return error;
}

struct error *error_system(int errnum, const char *path, const char *format, ...)
{
	struct error *error;
	va_list arguments;

	va_start(arguments, format);
	error = error_vcreate(ERROR_SYSTEM, format, arguments);
	va_end(arguments);
	if (error == &no_memory)
		return error;
	error->errnum = errnum;
	if (errnum == ENOMEM)
		error->code = ERROR_NO_MEMORY;
	if (path)
		error->path = strdup(path);
	return set_message(error, string_format("%s%s%s: %s", error->message, path ? ": " : "", path ? path : "",
						strerror(errnum)));
}

struct error *error_format(const char *path, uint64_t offset, const char *format, ...)
{
	struct error *error;
	va_list arguments;

	va_start(arguments, format);
	error = error_vcreate(ERROR_FORMAT, format, arguments);
	va_end(arguments);
	if (error == &no_memory)
		return error;
	error->address = offset;
	if (path)
		error->path = strdup(path);
	if (offset == ERROR_NO_ADDRESS)
		return path ? set_message(error, string_format("%s: %s", path, error->message)) : error;
	return set_message(error, string_format("%s%soffset 0x%llx: %s", path ? path : "", path ? ": " : "",
						(unsigned long long)offset, error->message));
}

struct error *error_wrap(struct error *error, const char *format, ...)
{
	va_list arguments;
	char *context;
	int n;

	if (!error || error == &no_memory)
		return error;
	va_start(arguments, format);
	n = vasprintf(&context, format, arguments);
	va_end(arguments);
	if (n < 0)
		return error;
	set_message(error, string_format("%s: %s", context, error->message));
	free(context);
	return error;
}

struct error *error_remedy(struct error *error, const char *format, ...)
{
	va_list arguments;
	char *remedy;
	int n;

	if (!error || error == &no_memory)
		return error;
	va_start(arguments, format);
	n = vasprintf(&remedy, format, arguments);
	va_end(arguments);
	if (n < 0)
		return error;
	free(error->remedy);
	error->remedy = remedy;
	return error;
}

struct error *error_recode(struct error *error, enum error_code code)
{
	if (error && error != &no_memory)
		error->code = code;
	return error;
}

struct error *error_no_memory(void)
{
	return &no_memory;
}

int error_exit_status(enum error_code code)
{
	switch (code) {
	case ERROR_USAGE:
		return 2;
	case ERROR_UNSUPPORTED:
		return 3;
	case ERROR_CONFLICT:
		return 4;
	case ERROR_BUSY:
		return 5;
	case ERROR_NOTHING:
		return 6;
	default:
		return 1;
	}
}

void error_destroy(struct error *error)
{
	if (!error || error == &no_memory)
		return;
	free(error->path);
	free(error->message);
	free(error->remedy);
	free(error);
}
