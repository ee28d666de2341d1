/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private: what programs of the shadow change below the guest's /run, as actions. The tree is noted when the shadow is
 * made and compared at the end; while a program runs nothing is looked at but who opens a file there for writing.
 */
#ifndef SHADOW_RUNTIME_H
#define SHADOW_RUNTIME_H

#include "shadow/internal.h"

/* Of what is looked at: a guest has some hundred. With more of them nothing travels. */
#define RUNTIME_ENTRIES_MAX 20000u
#define RUNTIME_DEPTH_MAX   16u
/* Contents that are read of the guest's own files; of the others a change does not travel. */
#define RUNTIME_HASHED_MAX  (UINT64_C(16) << 20)
/* Of what travels. */
#define RUNTIME_ACTIONS_MAX 1000u
#define RUNTIME_DATA_MAX    (UINT64_C(1) << 20)

struct runtime;

/*
 * Notes what is below the shadow's /run; shadow->runtime stays NULL where that is no tmpfs of ours. Not of what the
 * shadow puts there itself for each run.
 */
struct error *runtime_begin(struct shadow *shadow) _must_check_;
void runtime_destroy(struct runtime *runtime);

/* A process, by the host's number, is about to open a file for writing; `path` is what it calls it. */
void runtime_note_writer(struct shadow *shadow, uint32_t host_pid, const char *path);
/* It was left behind and is started anew in the guest: what it wrote is its own. */
void runtime_note_daemon(struct shadow *shadow, uint32_t host_pid);

/* --- runtime_rules.c --- */

enum runtime_fate {
	RUNTIME_TRAVELS,
	RUNTIME_STAYS,
	RUNTIME_HOLDS, /* stays, but something below it may travel */
};

/* What becomes of a path relative to /run; *ret_why: the reason, a literal, if it stays. */
enum runtime_fate runtime_fate(const char *path, const char **ret_why);

/*
 * Whether a file is one that says which process of the shadow's own does something: its name says so, and it begins
 * with a number above `highest_pid`.
 */
bool runtime_names_process(const char *path, const uint8_t *content, size_t size, uint32_t highest_pid);

#endif
