/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHANGES_EXCLUDE_H
#define CHANGES_EXCLUDE_H

#include <stdbool.h>

#include "changes/changes.h"

/* Whether an absolute path of the guest is not carried: itself excluded, or below something excluded. */
bool path_excluded(const struct change_options *options, const char *path);

#endif
