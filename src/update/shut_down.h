/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM that was shut down: there is no memory, so nothing runs, and its disk is all there is. It is updated in the same
 * way as a sleeping one. `resume` boots it behind the closed gate, with the old files; the helper puts the new ones in
 * their places, and what then runs old code is found in the running guest itself. Private to the room.
 */
#ifndef UPDATE_SHUT_DOWN_H
#define UPDATE_SHUT_DOWN_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "guest/guest.h"
#include "hypervisor/hypervisor.h"
#include "update/helper.h"
#include "update/update.h"

/*
 * What uname(2) will say after the next boot: the newest kernel of /boot by its own header, and /etc/hostname.
 * *ret_known is false where there is no such kernel (of an architecture that is looked into: x86).
 */
struct error *shut_down_uts(int root_fd, struct guest_uts *ret, bool *ret_known) _must_check_;

/* Waits, for a while, until a guest that was booted says that its boot is over: what it still starts would be missed.
 */
void shut_down_settle(struct vm *vm);

/*
 * Restarts the services whose processes the report names as users of old files, but those in `held`
 * (restart_held_make()), and looks again: the report has the second look, and an action for each unit that failed.
 */
struct error *shut_down_restart(struct vm *vm, const json_t *held, enum restart_mode mode, struct helper_report *report)
	_must_check_;

#endif
