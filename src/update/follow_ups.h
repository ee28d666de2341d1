/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What files of an update ask of the running guest although no request could be recorded: a script that calls
 * systemd-tmpfiles makes in the shadow's /run what does not travel, and one that finds no AppArmor there loads no
 * profile.
 */
#ifndef UPDATE_FOLLOW_UPS_H
#define UPDATE_FOLLOW_UPS_H

#include "changes/changes.h"

/*
 * Puts commands before everything else that is done after the files: systemd-tmpfiles --create for the files of
 * tmpfiles.d that are written, apparmor_parser -r for the profiles.
 */
struct error *follow_ups_add(const struct change_list *changes, struct action_list *actions) _must_check_;

#endif
