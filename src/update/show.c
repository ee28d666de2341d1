/* SPDX-License-Identifier: Apache-2.0 */
/* `show`: the bundle that waits. */
#include "update/document.h"
#include "update/session.h"

struct error *update_show(const struct update_settings *settings, const char *vm, json_t **ret)
{
	struct session session;
	struct error *error = session_open(settings, vm, SESSION_READ, &session);

	if (error)
		return error;
	error = document_of_bundle(&session, ret);
	session_close(&session);
	return error;
}
