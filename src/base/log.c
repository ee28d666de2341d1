/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static log_function sink;
static void *sink_data;

void log_set(log_function function, void *data)
{
	sink = function;
	sink_data = data;
}

void log_print(enum log_level level, const char *format, ...)
{
	_cleanup_(free_ptr) char *text = NULL;
	va_list arguments;
	int n;

	if (!sink)
		return;
	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0)
		text = NULL;
	else
		sink(sink_data, level, text);
}
