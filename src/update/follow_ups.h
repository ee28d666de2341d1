/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What files of an update ask of the running guest although no request could be recorded: systemd-tmpfiles does more
 * than make what travels of the shadow's /run, and a script that finds no AppArmor there loads no profile.
 */
#ifndef UPDATE_FOLLOW_UPS_H
#define UPDATE_FOLLOW_UPS_H

#include <stdbool.h>

#include "changes/changes.h"
#include "shadow/shadow.h"

/*
 * Where profiles are among the changes (`*ret_ran`; the changes are then to be read again), has the guest's own parser
 * compile them in the shadow, for its kernel as memory tells of it: in the guest, that takes a second a profile, and
 * loading what is compiled some milliseconds. *ret_cache: where the parser keeps that
 * ("/var/cache/apparmor/201d1af9.0"), to be freed; untouched where nothing could be compiled, which is no error. What
 * the parser complains of goes to `log_fd`.
 */
struct error *follow_ups_compile(struct shadow *shadow, const struct change_list *changes, int log_fd, bool *ret_ran,
				 char **ret_cache) _must_check_;

/*
 * Puts commands before everything else that is done after the files: systemd-tmpfiles --create for the files of
 * tmpfiles.d that are written, apparmor_parser -r for the profiles. `cache`: of follow_ups_compile(), may be NULL; if
 * it is among the changes, and the guest still runs the kernel of that build (guest_uts.version, "": not known) or its
 * parser names the same directory, it is loaded from; else all is compiled there.
 */
struct error *follow_ups_add(const struct change_list *changes, const char *cache, const char *kernel,
			     struct action_list *actions) _must_check_;

#endif
