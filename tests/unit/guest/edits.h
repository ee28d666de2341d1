/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between guest/ and image/: what programs linked with -Wl,--wrap=image_read read of an image goes through here, where
 * it is noted and altered. The file stays as it is: damage is copy-on-write, in one process, and cheap.
 */
#ifndef TESTS_GUEST_EDITS_H
#define TESTS_GUEST_EDITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on notes which pages are read (true), or no longer (false). What was noted before is kept. */
void edits_record(bool on);
void edits_forget(void);
/* Addresses of the pages noted, ascending; valid until the next call of this file. */
size_t edits_pages(const uint64_t **ret);

struct edit {
	uint64_t address; /* guest-physical, of one byte */
	uint8_t flip;     /* these bits of it are turned over */
};

/* What is altered from now on, in place of what was before; copied. */
void edits_set(const struct edit *edits, size_t n);

#endif
