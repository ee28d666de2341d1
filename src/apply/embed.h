/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest helper as the host carries it: one static program, put into a guest at HELPER_PATH.
 */
#ifndef APPLY_EMBED_H
#define APPLY_EMBED_H

#include <stddef.h>

extern const unsigned char apply_helper[];
extern const size_t apply_helper_size; /* bytes, below 512 KiB */

#endif
