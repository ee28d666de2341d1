/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the shadow room: what the filter refuses by itself, with which errno, and what a program wanted by it. In
 * a run where refusals are noted (shadow.note_refusals) the call waits for our answer instead: it is noted for whom,
 * and answered by the very same errno. Nothing of it ever reaches the kernel either way.
 */
#ifndef SHADOW_REFUSALS_H
#define SHADOW_REFUSALS_H

#include "shadow/answer.h"

struct refusal {
	const char *name; /* of the system call */
	int errnum;
	const char *why;   /* a script "enters another namespace" */
	unsigned argument; /* what is looked at, if anything: the argument's lower half */
	uint32_t mask;     /* refused where its bits of this mask are `value`; 0: whatever it is */
	uint32_t value;
};

/* Lines of one call stand together. Sockets are not in it: they are refused by what is not refused. */
extern const struct refusal refusals[];
extern const size_t n_refusals;

/* The number of the call; negative: neither this libseccomp nor the filter knows it, so that it does not exist. */
int refusal_call(const struct refusal *refusal);

/* Whether the line stands: always, but for the escape suite. */
bool refusal_stands(const struct refusal *refusal);

/*
 * Answers a call of the table, for whose arguments one of its lines is. False: none is; then the filter has not stopped
 * it for the table.
 */
bool refusal_answer(struct answer_call *call, int *ret_errnum);

#endif
