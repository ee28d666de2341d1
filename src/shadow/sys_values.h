/* SPDX-License-Identifier: Apache-2.0 */
/* Private: what files of /sys say that the guest room tells elsewhere: interfaces, modules, CPUs, control groups. */
#ifndef SHADOW_SYS_VALUES_H
#define SHADOW_SYS_VALUES_H

#include "base/error.h"
#include "guest/guest.h"

struct shadow;
struct sys_values;

struct error *sys_values_create(const struct shadow *shadow, struct sys_values **ret) _must_check_;
void sys_values_destroy(struct sys_values *values);
DEFINE_CLEANUP(struct sys_values *, sys_values_destroy)

/* The values asked for from now on are those of this mount. */
struct error *sys_values_begin(struct sys_values *values, const struct guest_mount *mount) _must_check_;

/* The text of a file; malloc'd. `path` is below the mount, without a slash in front. ERROR_NOT_FOUND: not known. */
struct error *sys_value(struct sys_values *values, const struct guest_kernfs *tree, uint32_t index, const char *path,
			char **ret) _must_check_;
struct error *sys_cgroup_value(struct sys_values *values, const struct guest_kernfs *tree, uint32_t index,
			       const char *path, char **ret) _must_check_;

#endif
