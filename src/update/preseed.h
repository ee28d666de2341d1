/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to debconf's questions, given before packages are installed. */
#ifndef UPDATE_PRESEED_H
#define UPDATE_PRESEED_H

#include "update/packages.h"

/* Whether there is such a file, before anything is begun; NULL: none is wanted. */
struct error *preseed_check(const char *path) _must_check_;

/*
 * Gives the user's file, if there is one, to the guest's own debconf-set-selections in the shadow. What that refuses is
 * ERROR_USAGE; a guest without it is ERROR_UNSUPPORTED.
 */
struct error *preseed(const struct package_run *run) _must_check_;

#endif
