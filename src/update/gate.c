/* SPDX-License-Identifier: Apache-2.0 */
/* `gate`: the external network, by hand. */
#include "base/json.h"
#include "update/session.h"

static struct error *move_gate(const struct session *session, enum gate_action action)
{
	enum vm_state state;
	struct error *error = vm_state(session->vm, &state);

	if (error)
		return error;
	if (state == VM_OFF)
		return error_remedy(
			error_create(ERROR_FAILED, "%s: the VM does not run, it has no network", session->file.name),
			"run: ouassister resume %s", session->file.path);
	if (action == GATE_OPEN)
		return vm_gate_open(session->vm);
	if (action == GATE_CLOSE)
		return vm_gate_close(session->vm);
	return NULL;
}

static struct error *describe(const struct session *session, json_t **ret)
{
	_cleanup_(json_decref_ptr) json_t *document = session_document(session);
	struct gate_status gate = {0};
	struct error *error = vm_gate_show(session->vm, &gate);

	if (error)
		return error;
	if (!document || json_object_set_new(document, "gate", json_string(gate.closed ? "closed" : "open")) < 0 ||
	    json_object_set_new(document, "how", gate.how ? json_string(gate.how) : json_null()) < 0)
		error = error_no_memory();
	free(gate.how);
	if (!error)
		*ret = take_ptr(document);
	return error;
}

struct error *update_gate(const struct update_settings *settings, const char *vm, enum gate_action action, json_t **ret)
{
	struct session session;
	struct error *error = session_open(settings, vm, action == GATE_SHOW ? SESSION_READ : SESSION_WORK, &session);

	if (error)
		return error;
	error = move_gate(&session, action);
	if (!error)
		error = describe(&session, ret);
	session_close(&session);
	return error;
}
