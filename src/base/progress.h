/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress of a long step, reported to whoever listens: a bar on a terminal, JSON lines for a
 * machine, or nobody. Rooms call progress_step() and progress_update() and know no more.
 */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdint.h>

struct progress_ops {
	/* A new step begins; `step` is a short stable word ("download", "stage"), `text` is for people. */
	void (*step)(void *data, const char *step, const char *text);
	/* `done` of `total` units; total 0: unknown. */
	void (*update)(void *data, uint64_t done, uint64_t total);
	/* No step is under way any more: erase the bar. */
	void (*end)(void *data);
};

/* Process-wide; NULL: nobody listens (the default). */
void progress_set(const struct progress_ops *ops, void *data);
void progress_step(const char *step, const char *text);
void progress_update(uint64_t done, uint64_t total);
void progress_end(void);

#endif
