/* SPDX-License-Identifier: Apache-2.0 */
/* The words of the user's own apt command: what it is to install besides what is left to the guest. It runs nothing. */
#ifndef UPDATE_DEFERRAL_COMMAND_H
#define UPDATE_DEFERRAL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Whether the command is an `install`: of another, nothing can be left out without making it something else. */
bool command_installs(const char *const *command);

/*
 * Whether a word of it names a package to be installed, "NAME", "NAME:ARCH", "NAME=VERSION", "NAME/RELEASE", "NAME+";
 * *ret_n: how long the name is. An option, its value, a file, a package to be removed ("NAME-") is none.
 */
bool command_names_package(const char *const *command, size_t word, size_t *ret_n);

/* The command without the words for which `leave` is true, in one block to be freed; NULL: no memory. */
const char **command_without(const char *const *command, const bool *leave);

/* The same with no package but the one word. */
const char **command_with_only(const char *const *command, size_t word);

#endif
