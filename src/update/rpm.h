/* SPDX-License-Identifier: Apache-2.0 */
/* What dnf and zypper have in common: the packages of rpm's database. Private to the room. */
#ifndef UPDATE_RPM_H
#define UPDATE_RPM_H

#include "update/packages.h"

bool rpm_is_there(int root_fd);

/* "NAME.ARCH EPOCH:VERSION-RELEASE" */
struct error *rpm_list(const struct package_run *run, char **ret) _must_check_;

/*
 * ERROR_FAILED: a package is there twice that can only be once (a transaction that was cut leaves the old one beside
 * the new), or has a dependency that nothing provides.
 */
struct error *rpm_audit(const struct package_run *run) _must_check_;

/* The first package of the list that is there twice, "NAME.ARCH PROVIDES,…" a line; owned, NULL: none. */
char *rpm_find_double(const char *text);

#endif
