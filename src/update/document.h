/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents that more than one operation gives out. Private to the room. */
#ifndef UPDATE_DOCUMENT_H
#define UPDATE_DOCUMENT_H

#include <jansson.h>

#include "base/error.h"
#include "bundle/bundle.h"
#include "update/session.h"

/* What `update` and `show` print: the bundle that waits, read back from its file. */
struct error *document_of_bundle(const struct session *session, json_t **ret) _must_check_;

/* What `update` prints where nothing was bundled because somebody must decide first; NULL without memory. */
json_t *document_of_decisions(const struct session *session, json_t *undecided);

/* [{"kind","verb","unit"} or {"kind","argv"}] */
struct error *document_of_actions(const struct action_list *actions, json_t **ret) _must_check_;

/* Makes it one that is printed, and is a failure none the less: so many files could not be read. */
struct error *document_incomplete(json_t *document, uint64_t files) _must_check_;

/* Counts of a change list: files that are written (or their attributes set), and deleted. */
struct change_counts {
	size_t written, deleted;
	uint64_t bytes; /* content of the files written */
};
struct change_counts count_changes(const struct change_list *changes);

#endif
