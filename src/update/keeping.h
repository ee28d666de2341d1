/* SPDX-License-Identifier: Apache-2.0 */
/* The user's directory for what `exec` changed: made and tried before anything runs, gone if nothing comes of it. */
#ifndef UPDATE_KEEPING_H
#define UPDATE_KEEPING_H

#include <stdbool.h>

#include "base/error.h"

struct keeping {
	const char *path; /* borrowed */
	int fd;           /* -1: nothing is kept */
	bool made;        /* by us */
	bool started;     /* what is in it is ours */
	bool done;        /* all is in it */
};

/* `path` NULL: nothing is kept. It must be absent or an empty directory, which becomes 0700. */
struct error *keeping_begin(const char *path, struct keeping *ret) _must_check_;

/* Unless all is done, the directory is as it was. */
void keeping_end(struct keeping *keeping);

#endif
