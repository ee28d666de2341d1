/* SPDX-License-Identifier: Apache-2.0 */
/* What is below the guest's securityfs. Private to shadow/. */
#ifndef SHADOW_SYS_SECURITY_H
#define SHADOW_SYS_SECURITY_H

#include "base/error.h"

struct shadow;

/*
 * Makes apparmor/features in the directory `fd`, the place of the guest's securityfs: what apparmor_parser compiles
 * for, and names its cache after. Nothing else of AppArmor is there: who asks whether it is enabled is told no, and
 * loads nothing (doc/shadow.md). None are there where the kernel has none, or some that we do not know how to show.
 */
struct error *sys_security_make(struct shadow *shadow, int fd) _must_check_;

#endif
