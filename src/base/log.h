/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics for the user's log, not results and not errors: where they go is set once by the
 * command line (standard error by default), so that rooms never print by themselves.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

enum log_level {
	LOG_WARNING, /* something the user should know, shown always */
	LOG_INFO,    /* one line a step */
	LOG_DEBUG,   /* with --verbose */
};

typedef void (*log_function)(void *data, enum log_level level, const char *text);

/* Process-wide; `function` NULL drops everything (the default). */
void log_set(log_function function, void *data);
void log_print(enum log_level level, const char *format, ...) _printf_(2, 3);

#define log_warning(...) log_print(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_print(LOG_DEBUG, __VA_ARGS__)

#endif
