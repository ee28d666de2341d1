/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the guest's helper: where on the guest's disk the metadata lie that applying the update will look at. Its check
 * asks for thousands of paths, which a guest that has just been woken has to read one after the other. Private to the
 * room.
 */
#ifndef UPDATE_READ_AHEAD_H
#define UPDATE_READ_AHEAD_H

#include <jansson.h>

#include "apply/report.h"
#include "changes/changes.h"
#include "disk/disk.h"

#define READ_AHEAD_MEMBER "read_ahead"

/*
 * [{"target": "/", "kib": [start, size, ...]}, ...] of the layers whose file systems tell. The caller owns it; NULL:
 * there is none.
 */
json_t *read_ahead_describe(const struct disk *disk, const struct change_layer *layers, size_t n_layers,
			    const struct change_list *changes);

/*
 * Of such a document, which may come from anywhere: the words for the helper (apply/report.h), up to
 * HELPER_READ_AHEAD_MAX; what is not as it should be is left out. Returns how many; the caller frees each.
 */
size_t read_ahead_words(const json_t *document, char *words[HELPER_READ_AHEAD_MAX]);

#endif
