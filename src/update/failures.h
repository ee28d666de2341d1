/* SPDX-License-Identifier: Apache-2.0 */
/* What dpkg said about packages that it could not install or configure. */
#ifndef UPDATE_FAILURES_H
#define UPDATE_FAILURES_H

#include <jansson.h>

#include "base/error.h"

/* Of one package's output, its end; and packages of one update. */
#define FAILURE_OUTPUT_MAX 4096
#define FAILURES_MAX       200

/*
 * Out of what apt and dpkg printed: [{"package", "phase" ("configure", "unpack", …), "why", "output"}], in order. An
 * empty array where dpkg named none.
 */
struct error *failures_find(const char *output, json_t **ret) _must_check_;

#endif
