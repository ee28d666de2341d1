/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name any more, as the kernel writes them in /proc/PID/maps. */
#ifndef BASE_DELETED_FILE_H
#define BASE_DELETED_FILE_H

#include <stdbool.h>

#define DELETED_FILE_SUFFIX " (deleted)"

/* Whether the path ends with it. */
bool is_deleted_file(const char *path);

/*
 * Deleted on purpose by those who use them, and no sign of an update (the places are those that needrestart leaves
 * out): temporary files, shared memory, and what just-in-time compilers and JNA make for themselves.
 */
bool is_made_to_be_deleted(const char *path);

#endif
