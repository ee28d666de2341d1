/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope-bound ownership: `_cleanup_(free_ptr) char *p = NULL;` frees p when it leaves scope,
 * `take_ptr(p)` and `take_fd(fd)` hand ownership on. Destructors take NULL (or -1).
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* Defines destroy_name_ptr(), for _cleanup_(), out of destroy_name(). */
#define DEFINE_CLEANUP(type, destroy)                                                                                  \
	static inline void destroy##_ptr(type *object)                                                                 \
	{                                                                                                              \
		if (*object)                                                                                           \
			destroy(*object);                                                                              \
	}

/* Yields the pointer and sets the variable to NULL. */
#define take_ptr(pointer)                                                                                              \
	({                                                                                                             \
		__typeof__(pointer) _taken = (pointer);                                                                \
		(pointer) = NULL;                                                                                      \
		_taken;                                                                                                \
	})

/* Yields the descriptor and sets the variable to -1. */
#define take_fd(fd)                                                                                                    \
	({                                                                                                             \
		int _taken = (fd);                                                                                     \
		(fd) = -1;                                                                                             \
		_taken;                                                                                                \
	})

static inline void free_ptr(void *pointer)
{
	free(*(void **)pointer);
}

/* Closes and keeps errno, so that it can stand between a failure and its report. */
static inline void close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
