/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing in the shadow reboots anything. By this call init says that the program has ended and others have not:
 * daemons that a script started by itself, which are killed now and belong into the running guest.
 */
#include "base/log.h"
#include "shadow/answer.h"
#include "shadow/record.h"

int answer_reboot(struct answer_call *call)
{
	struct answer_process process;
	struct error *error;

	/* Init has the first number above the guest's; another that asks so would only have its own children noted. */
	if (call->args[0] != ANSWER_REBOOT_LEFT || !call->shadow->guest ||
	    !answer_process_of(call->request->pid, &process))
		return EPERM;
	answers_collect(call->answers);
	error = record_left(call->shadow, call->request->pid);
	if (error)
		log_debug("not recorded: %s", error->message);
	error_destroy(error);
	return EPERM;
}
