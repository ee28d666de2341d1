/* SPDX-License-Identifier: Apache-2.0 */
/* What surrounds a task: ids of its user namespace, clocks, scheduling groups, children. Included by guest/guest.h. */
#ifndef GUEST_TASK_SPACES_H
#define GUEST_TASK_SPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

enum guest_id_kind {
	GUEST_USERS,
	GUEST_GROUPS,
	GUEST_PROJECTS,
};

/* Ids first … first + count - 1 of the user namespace are lower … of the initial one. */
struct guest_id_range {
	uint32_t first, lower, count;
};
#define GUEST_ID_RANGES_MAX 340u /* UID_GID_MAP_MAX_EXTENTS */
struct guest_id_map {
	struct guest_id_range items[GUEST_ID_RANGES_MAX];
	uint32_t n;
};
/* Of the user namespace of the task (guest_task.address). */
struct error *guest_task_id_map(struct guest *guest, uint64_t task, enum guest_id_kind kind, struct guest_id_map *ret)
	_must_check_;
/* Whether processes there may call setgroups(2). */
struct error *guest_task_setgroups(struct guest *guest, uint64_t task, bool *ret) _must_check_;

/* Of the time namespace of its children, less the initial one. */
struct guest_clock_offsets {
	int64_t monotonic_s, boottime_s;
	int32_t monotonic_ns, boottime_ns;
};
/* ERROR_NOT_FOUND: it has ended, or the kernel has no time namespaces. */
struct error *guest_task_clock_offsets(struct guest *guest, uint64_t task, struct guest_clock_offsets *ret)
	_must_check_;

/* Its control group in the hierarchy of cpusets; malloc'd. ERROR_NOT_FOUND: the kernel has no such file. */
struct error *guest_task_cpuset(struct guest *guest, uint64_t task, char **ret) _must_check_;

/* The group of its session in the scheduler. ERROR_NOT_FOUND: the kernel groups no sessions. */
struct guest_autogroup {
	bool grouped; /* it is in a group of its session's */
	uint64_t id;
	int32_t nice;
};
struct error *guest_task_autogroup(struct guest *guest, uint64_t task, struct guest_autogroup *ret) _must_check_;

/* State of a live patch for the task (-1: no change under way). ERROR_NOT_FOUND: the kernel cannot be patched. */
struct error *guest_task_patch_state(struct guest *guest, uint64_t task, int32_t *ret) _must_check_;

struct guest_child_list {
	uint32_t *items; /* pids, in the kernel's order */
	size_t n;
	struct error *incomplete;
};
/* Processes that this thread has started and that still exist. ERROR_NOT_FOUND: the kernel has no such file. */
struct error *guest_task_children(struct guest *guest, uint64_t task, struct guest_child_list *ret) _must_check_;
void guest_child_list_deinit(struct guest_child_list *list);

#endif
