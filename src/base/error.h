/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values.
 *
 * A function that can fail returns struct error *: NULL is success, anything else is owned by
 * the caller, who returns it, wraps it or destroys it. Out parameters are untouched on failure.
 * Rooms never print; the command line prints an error once.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdint.h>

#include "base/cleanup.h"

/* What kind of failure it is. Tests look at this, never at the text. */
enum error_code {
	ERROR_FAILED = 1, /* nothing more specific */
	ERROR_USAGE,      /* the caller's own words: options, VM file */
	ERROR_SYSTEM,     /* a system call failed; struct error.errnum says how */
	ERROR_NO_MEMORY,
	ERROR_FORMAT,      /* bytes that are not what they should be */
	ERROR_NOT_FOUND,   /* the thing named does not exist */
	ERROR_UNSUPPORTED, /* a guest, disk or format we know we cannot handle */
	ERROR_CONFLICT,    /* the guest is not as the bundle expects, or did not verify */
	ERROR_BUSY,        /* somebody else uses the VM */
	ERROR_NOTHING,     /* nothing to do */
	ERROR_TIMEOUT,
	ERROR_CANCELLED, /* a signal asked us to stop */
	ERROR_CODE_MAX,
};

struct error {
	enum error_code code;
	int errnum;       /* errno of the failed call, or 0 */
	uint64_t address; /* guest address or file offset it happened at, ERROR_NO_ADDRESS if none */
	char *path;       /* file it happened on, or NULL */
	char *message;    /* what failed, outermost context first; never NULL */
	char *remedy;     /* what the user can do, or NULL */
};

#define ERROR_NO_ADDRESS UINT64_MAX

#define _must_check_     __attribute__((warn_unused_result))
#define _printf_(f, a)   __attribute__((format(printf, f, a)))
/* The compiler then knows that who got no error got a value. */
#define _never_null_     __attribute__((returns_nonnull))

/* A new error with the formatted text. Never NULL: without memory it is a static object. */
struct error *error_create(enum error_code code, const char *format, ...) _printf_(2, 3) _never_null_ _must_check_;

/*
 * A failed system call: `errnum` (pass errno) on `path` (may be NULL). The text becomes
 * "TEXT: PATH: strerror".
 */
struct error *error_system(int errnum, const char *path, const char *format, ...) _printf_(3, 4) _never_null_
	_must_check_;

/* Malformed bytes in `path` (may be NULL) at `offset` (or ERROR_NO_ADDRESS). */
struct error *error_format(const char *path, uint64_t offset, const char *format, ...) _printf_(3, 4) _never_null_
	_must_check_;

/* Puts "TEXT: " before the message; takes and returns `error`. NULL stays NULL. */
struct error *error_wrap(struct error *error, const char *format, ...) _printf_(2, 3) _must_check_;

/* Says what the user can do about it, replacing an earlier remedy; takes and returns `error`. NULL stays NULL. */
struct error *error_remedy(struct error *error, const char *format, ...) _printf_(2, 3) _must_check_;

/* Changes the code, for a caller that knows better what a failure means. NULL stays NULL. */
struct error *error_recode(struct error *error, enum error_code code) _must_check_;

struct error *error_no_memory(void) _never_null_ _must_check_;

/* The documented exit status for a code: 1 failed, 2 usage, 3 unsupported, 4 conflict, 5 busy, 6 nothing. */
int error_exit_status(enum error_code code);

void error_destroy(struct error *error);
DEFINE_CLEANUP(struct error *, error_destroy)

#endif
