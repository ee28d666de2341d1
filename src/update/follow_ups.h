/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What files of an update ask of the running guest although no request could be recorded: systemd-tmpfiles does more
 * than make what travels of the shadow's /run, and a script that finds no AppArmor there loads no profile.
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
