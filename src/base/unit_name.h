/* SPDX-License-Identifier: Apache-2.0 */
/* systemd's units, as its control groups name them. */
#ifndef BASE_UNIT_NAME_H
#define BASE_UNIT_NAME_H

#include <stdbool.h>

#define UNIT_NAME_MAX 256 /* with its NUL, as in systemd */

/*
 * The unit of the system's manager that the control group at `path` belongs to, as `systemctl status PID`
 * finds it: slices are passed over, the next directory is the unit ("user@1000.service", "session-3.scope",
 * "getty@tty1.service"), and what lies below it is its own affair (a user's manager, delegated groups,
 * containers). false: none, as for "/", a slice alone, and groups that systemd did not make.
 */
bool unit_of_cgroup(const char *path, char ret[UNIT_NAME_MAX]);

#endif
