/* SPDX-License-Identifier: Apache-2.0 */
/* What guest-dump's parts share: each adds the facts of one subject to a JSON document. */
#ifndef TESTS_GUEST_DUMP_H
#define TESTS_GUEST_DUMP_H

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "guest/guest.h"

/* NULL sets nothing. */
struct error *set_text(json_t *object, const char *key, const char *text);
struct error *set_bytes(json_t *object, const char *key, const struct guest_bytes *bytes);
void set_integer(json_t *object, const char *key, uint64_t value);
void set_signed(json_t *object, const char *key, int64_t value);
/* A new object at the end of the array. Both borrowed. */
json_t *add_object(json_t *array);
/* A new array in the object, borrowed; with `incomplete`, KEY_incomplete says why. */
json_t *add_list(json_t *object, const char *key, const struct error *incomplete);

struct error *dump_tasks(struct guest *guest, json_t *root);
struct error *dump_log(struct guest *guest, json_t *root);
struct error *dump_modules(struct guest *guest, json_t *root);
struct error *dump_apparmor(struct guest *guest, json_t *root);
struct error *dump_counters(struct guest *guest, json_t *root);
struct error *dump_sysctls(struct guest *guest, json_t *root);
struct error *dump_interfaces(struct guest *guest, json_t *root);
struct error *dump_sockets(struct guest *guest, json_t *root);
struct error *dump_run(struct guest *guest, json_t *root);
struct error *dump_dirty(struct guest *guest, json_t *root);

#endif
