/* SPDX-License-Identifier: Apache-2.0 */
/* adjtimex(2): asking is free, setting is the host's root's alone. The kernel says so; who tried it is noted. */
#include <sys/syscall.h>
#include <sys/timex.h>

#include "shadow/answer.h"
#include "shadow/need.h"

int answer_adjtimex(struct answer_call *call)
{
	uint64_t address = call->args[call->request->data.nr == SYS_clock_adjtime ? 1 : 0];
	uint32_t modes;

	call->proceed = true;
	/* The structure begins with it. */
	if (answer_read(call, address, &modes, sizeof(modes)) == 0 && modes != 0 && modes != ADJ_OFFSET_SS_READ)
		need_note(call->shadow, call->request->pid, SHADOW_NEED_REFUSED, NULL, "sets the clock");
	return 0;
}
