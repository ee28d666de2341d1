/* SPDX-License-Identifier: Apache-2.0 */
/* Every walk over a guest's kernel that a verb can ask for, as a table: to fuzz, to damage, to time and to trim images.
 */
#ifndef TESTS_GUEST_WALKS_H
#define TESTS_GUEST_WALKS_H

#include <stddef.h>

#include "base/error.h"
#include "guest/guest.h"

struct walk {
	const char *name;
	/*
	 * Walks and throws the result away; *ret_items: how many things there were. A walk that stopped half-way is an
	 * error here too.
	 */
	struct error *(*run)(struct guest *guest, size_t *ret_items);
};

extern const struct walk walks[];
extern const size_t n_walks;

/* NULL: no such walk. */
const struct walk *walk_find(const char *name);

/* --- walks_machine.c --- */

struct error *walk_processors(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_counts(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_tables(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_disks(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_symbols(struct guest *guest, size_t *ret_items) _must_check_;

/* --- walks_trees.c --- */

struct error *walk_sysfs(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_cgroup_files(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_statfs(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_ipc(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_groups(struct guest *guest, size_t *ret_items) _must_check_;
struct error *walk_pressure(struct guest *guest, size_t *ret_items) _must_check_;

#endif
