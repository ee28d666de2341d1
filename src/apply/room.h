/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what grows with the number of entries. Where it is much it is mapped from a file without a name, so that
 * the kernel can put it on the disk when a small guest needs its memory; its blocks are taken beforehand, as a page
 * that finds none when it is written out would kill us. Where no such file can be made it is plain memory.
 */
#ifndef APPLY_ROOM_H
#define APPLY_ROOM_H

#include <stddef.h>

/* Zeroed, aligned to 64 bytes; NULL: there is none. `directory`: where the file is made. To be given to room_destroy().
 */
void *room_create(const char *directory, size_t size);
/* Nothing changes what is in it from here on. */
void room_seal(void *room);
void room_destroy(void *room);
static inline void room_destroy_ptr(void *room)
{
	room_destroy(*(void **)room);
}

#endif
