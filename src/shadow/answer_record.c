/* SPDX-License-Identifier: Apache-2.0 */
/* What only the running guest can do is written down. */
#include "shadow/answer.h"
#include "shadow/record.h"

static int errno_of(struct error *error)
{
	int errnum = !error ? 0 : error->code == ERROR_NO_MEMORY ? ENOMEM : EPERM;

	error_destroy(error);
	return errnum;
}

int answer_record(struct answer_call *call, const char *const *argv, uint32_t guest_pid)
{
	return errno_of(record_command(call->shadow, call->request->pid, argv, guest_pid));
}

int answer_record_action(struct answer_call *call, const struct action *words)
{
	struct action action;
	struct error *error = action_copy(words, &action);

	return errno_of(error ? error : record_action(call->shadow, call->request->pid, action));
}
