/* SPDX-License-Identifier: Apache-2.0 */
/* The second of two chained bundles. Private to the room. */
#ifndef UPDATE_LATE_BUNDLE_H
#define UPDATE_LATE_BUNDLE_H

#include "bundle/bundle.h"
#include "update/session.h"

/* The one that follows `first`; *ret NULL: none does. What is there of another update is passed over. */
struct error *late_bundle_open(const struct session *session, const struct bundle *first, struct bundle **ret)
	_must_check_;

#endif
