/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which memory and which disk an update was computed from. Old memory on another disk, or on a
 * later state of the same disk, is corruption; so is an update computed from either.
 *
 *   {"memory": FILE, "disk": [FILE, backing FILE, …],
 *    "guest": {"boot_id": HEX, "uptime_ns": N}}
 *   FILE = {"path","device","inode","size","mtime_ns"}
 *
 * Of a VM that was shut down "memory" is null, and there is no "guest".
 */
#ifndef UPDATE_FINGERPRINT_H
#define UPDATE_FINGERPRINT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "guest/guest.h"
#include "update/vmfile.h"

/* Of the files as they are now; without "guest". */
struct error *fingerprint_files(const struct vm_file *file, json_t **ret) _must_check_;

/* False: the VM was shut down. */
bool fingerprint_has_memory(const json_t *fingerprint);

/* Adds "guest". All borrowed. */
struct error *fingerprint_add_guest(json_t *fingerprint, const uint8_t boot_id[16], const struct guest_clock *clock)
	_must_check_;

/* ERROR_CONFLICT naming the file that is not as `expected` has it, and how it differs. "guest" is not compared. */
struct error *fingerprint_compare(const json_t *expected, const json_t *now) _must_check_;

#endif
