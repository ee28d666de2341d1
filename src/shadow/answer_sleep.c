/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeps of a package's script that has signalled a process of the guest. That process sleeps as well: what the script
 * waits for, a new pid file or the end of the process, cannot come, and what it does then (nginx: a restart in place of
 * an upgrade) is as right at once as after ten rounds of `sleep 1`.
 */
#include <stdlib.h>

#include "shadow/answer.h"

/* Processes that signalled, or started who did; the oldest makes room. */
#define WAITERS_MAX 32u
/* Sleeps of one that are cut: who sleeps more often waits for something else, or has the number of one that ended. */
#define CUTS_MAX    120u

struct answer_sleeps {
	struct waiter {
		uint32_t pid; /* on the host */
		unsigned n;   /* sleeps that were cut */
	} items[WAITERS_MAX];
	size_t next;
};

void answer_sleeps_destroy(struct answer_sleeps *sleeps)
{
	free(sleeps);
}

static struct waiter *find(struct answer_sleeps *sleeps, uint32_t pid)
{
	for (size_t i = 0; i < WAITERS_MAX; i++)
		if (pid && sleeps->items[i].pid == pid)
			return &sleeps->items[i];
	return NULL;
}

static void add(struct answer_sleeps *sleeps, uint32_t pid)
{
	if (!find(sleeps, pid))
		sleeps->items[sleeps->next++ % WAITERS_MAX] = (struct waiter){.pid = pid};
}

void answer_sleeps_note(struct answer_call *call)
{
	const struct action_list *recorded = &call->shadow->actions;
	struct answers *answers = call->answers;
	struct answer_process process;

	if (!recorded->items[recorded->n - 1].script || !answer_process_of(call->request->pid, &process))
		return;
	if (!answers->sleeps)
		answers->sleeps = calloc(1, sizeof(*answers->sleeps));
	if (!answers->sleeps)
		return;
	add(answers->sleeps, call->request->pid);
	/* kill(1) and start-stop-daemon end; the one who sleeps is the script that called them. */
	if (answer_process_of(process.parent, &(struct answer_process){0}))
		add(answers->sleeps, process.parent);
}

int answer_sleep(struct answer_call *call)
{
	struct answer_sleeps *sleeps = call->answers->sleeps;
	struct answer_process process;
	struct waiter *waiter;

	call->proceed = true;
	if (!sleeps)
		return 0;
	waiter = find(sleeps, call->request->pid);
	if (!waiter && answer_process_of(call->request->pid, &process))
		waiter = find(sleeps, process.parent);
	if (waiter && waiter->n < CUTS_MAX) {
		waiter->n++;
		call->proceed = false;
	}
	return 0;
}
