/* SPDX-License-Identifier: Apache-2.0 */
/* How long a guest keeps the files that an update replaced, as people write it. Private to the room. */
#ifndef UPDATE_KEEP_TIME_H
#define UPDATE_KEEP_TIME_H

#include <stdint.h>

#include "base/error.h"

#define KEEP_TIME_DEFAULT "7d"
#define KEEP_TIME_MAX_S   (10 * 366 * 86400ull)

/*
 * "none" (*ret_s is 0), or a number above 0 with s, min, h, d or w, or without one for seconds, up to KEEP_TIME_MAX_S.
 * ERROR_USAGE that says what is wanted, not where.
 */
struct error *keep_time_parse(const char *text, uint64_t *ret_s) _must_check_;

#endif
