/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the hook of libvirt's (tools/libvirt-hook): while `virsh start` goes on, nothing may call libvirt, so the hook
 * can neither load the image itself nor stop the guest. It notes which file is about to be loaded, and cuts the
 * network.
 */
#include "update/resume_adopt.h"

#include <inttypes.h>
#include <string.h>

#include "base/io.h"

static json_int_t number_of(const json_t *memory, const char *member)
{
	return json_integer_value(json_object_get(memory, member));
}

static struct error *check_image(const struct resume *r)
{
	const json_t *fingerprint = json_object_get(bundle_manifest(r->bundle)->info, "fingerprint");
	const json_t *memory = json_object_get(fingerprint, "memory");
	_cleanup_(free_ptr) char *expected = string_format("%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT
							   ":%" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT,
							   number_of(memory, "device"), number_of(memory, "inode"),
							   number_of(memory, "size"), number_of(memory, "mtime_ns"));

	if (!expected)
		return error_no_memory();
	if (json_is_object(memory) && !strcmp(expected, r->options->running))
		return NULL;
	return error_remedy(
		error_create(ERROR_CONFLICT,
			     "%s: the VM was woken from another memory image than the one its bundle is for",
			     r->session->file.name),
		"suspend it and run update again");
}

struct error *resume_adopt(struct resume *r)
{
	struct session *session = r->session;
	enum vm_state state;
	struct error *error;

	if (!r->bundle)
		return error_create(ERROR_USAGE, "--running is for a bundle that waits");
	error = check_image(r);
	if (!error)
		error = vm_state(session->vm, &state);
	if (error)
		return error;
	if (state == VM_OFF || session_has_memory(session))
		return error_create(ERROR_CONFLICT, "%s: the VM was not woken from its memory image",
				    session->file.name);
	error = vm_gate_close(session->vm);
	if (error)
		return error;
	session->state.loading = false;
	session->state.resumed_ns = 0;
	return state_enter(&session->state, session->directory, STATE_LOADED);
}
