/* SPDX-License-Identifier: Apache-2.0 */
/* What the memory alone says of a sleeping guest, for `inspect`. Private to the room. */
#ifndef UPDATE_MEMORY_FACTS_H
#define UPDATE_MEMORY_FACTS_H

#include <jansson.h>

#include "base/error.h"
#include "guest/guest.h"

/*
 * Adds the members to the document. What this kernel's memory cannot tell is null. What is damaged is
 * null or a part, and "incomplete" says why. The same memory gives the same members in every format.
 */
struct error *memory_facts_describe(struct guest *guest, json_t *document) _must_check_;

#endif
