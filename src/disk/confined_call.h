/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A function that works on bytes which a guest made, in a process without rights (confine.h): what it knows is what its
 * caller knew, what it can reach the descriptors that it is given. Private to the room.
 */
#ifndef DISK_CONFINED_CALL_H
#define DISK_CONFINED_CALL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct confined_call {
	const char *directory; /* as confine_options has it */
	const int *keep;       /* descriptors that stay open under their own numbers; no other does */
	size_t n_keep;
	uint64_t file_max; /* as confine_options has it */
	/* What it writes to `out` is the caller's result. An error comes back with its code and text. */
	struct error *(*function)(void *context, FILE *out);
	void *context;
};

/* What a result may have, in bytes. */
#define CONFINED_RESULT_MAX (256u << 20)

/*
 * *ret, with a NUL behind it, is the caller's to free, and has been written by who may have been taken over: it is to
 * be read as bytes of the guest are. ERROR_FAILED: the process was ended, by its filter or for want of memory.
 */
struct error *confined_call(const struct confined_call *call, char **ret, size_t *ret_size) _must_check_;

#endif
