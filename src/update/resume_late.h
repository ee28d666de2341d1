/* SPDX-License-Identifier: Apache-2.0 */
/* The second of two chained updates, when the guest has the first. Private to the room; doc/urgency.md. */
#ifndef UPDATE_RESUME_LATE_H
#define UPDATE_RESUME_LATE_H

#include "update/session.h"

struct resume;

/* Where it is wanted so, or the guest is to reboot into what it brings, the second one comes before the gate opens. */
struct error *resume_late_early(struct resume *r) _must_check_;

/* State open-late: whatever comes of it, the guest has the first and its network. */
struct error *resume_late_step(struct resume *r) _must_check_;

/* Whether the session's report says that the guest has it. */
bool resume_late_is_applied(const struct session *session);

#endif
