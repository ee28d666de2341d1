/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of pages by their names, as /proc/meminfo adds them together. Private to guest/. */
#ifndef GUEST_COUNTERS_H
#define GUEST_COUNTERS_H

#include "guest/internal.h"

#define COUNTER_UNKNOWN UINT64_MAX /* this kernel does not have it */

/* In bytes, the counter `name` of one of the two enumerations (enum node_stat_item, zone_stat_item). */
struct error *counter_read(struct guest *guest, const char *name, uint64_t *ret) _must_check_;

/* In bytes, the variable `name` of 8 bytes that counts pages. */
struct error *counter_read_variable(struct guest *guest, const char *name, uint64_t *ret) _must_check_;

#endif
