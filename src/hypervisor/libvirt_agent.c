/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's agent through libvirt, which holds the only connection there is. It brings the agent in step before each
 * command by itself (src/qemu/qemu_agent.c, qemuAgentGuestSync).
 */
#include <string.h>

#include "base/io.h"
#include "hypervisor/libvirt_api.h"

/*
 * libvirt 9.0 loses a part of a longer command, after which the agent is out of step: seen from 200 KiB on, the size of
 * its socket's buffer.
 */
#define TEXT_MAX (128u << 10)

/* A refusal of the agent's own words comes as an internal error (qemuAgentCheckError). */
static bool is_refusal(const virError *error)
{
	return error && error->code == VIR_ERR_INTERNAL_ERROR && error->message &&
	       strstr(error->message, "unable to execute QEMU agent command");
}

static struct error *refusal_of(const virError *error, char **ret)
{
	const char *text = strstr(error->message, "': ");

	*ret = strdup(text ? text + 3 : error->message);
	return *ret ? NULL : error_no_memory();
}

struct error *libvirt_agent(struct vm *vm, const char *command, uint64_t timeout_ms, char **ret_answer,
			    char **ret_refusal)
{
	struct libvirt *libvirt;
	int timeout_s = timeout_ms / 1000 > 3600 ? 3600 : timeout_ms < 1000 ? 1 : (int)(timeout_ms / 1000);
	struct error *error = libvirt_of_active(vm, &libvirt);
	char *answer;

	if (error)
		return error;
	if (strlen(command) > TEXT_MAX)
		return error_create(ERROR_UNSUPPORTED, "%zu bytes are more than libvirt hands on to an agent at once",
				    strlen(command));
	answer = libvirt->api->virDomainQemuAgentCommand(libvirt->domain, command, timeout_s, 0);
	if (answer) {
		*ret_answer = answer;
		return NULL;
	}
	if (is_refusal(libvirt->api->virGetLastError()))
		return refusal_of(libvirt->api->virGetLastError(), ret_refusal);
	return libvirt_error(libvirt->api, "ask the agent");
}
