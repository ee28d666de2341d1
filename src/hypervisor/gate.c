/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: which mechanism for which card. Closing stops at the first failure and leaves closed
 * what is closed; opening takes the filter away last. What is shown is read back from the kernel
 * and the hypervisor each time.
 */
#include <string.h>

#include "hypervisor/gate.h"

static struct error *of_gate(const struct vm *vm, const char *what, struct error *error)
{
	return error_wrap(error, "cannot %s the gate of %s", what, vm->settings.name);
}

static struct error *ssh_needs_tap(void)
{
	return error_remedy(error_create(ERROR_UNSUPPORTED,
					 "channel ssh needs a network card on a tap device of this host: only there "
					 "can everything but the host's own connection be kept out"),
			    "connect the VM to a tap (-netdev tap or bridge), or use the channel agent");
}

static struct error *close_network(struct vm *vm, const struct nic_list *list)
{
	const struct vm_settings *settings = &vm->settings;
	bool ssh = settings->channel == CHANNEL_SSH;
	struct ssh_endpoint endpoint;
	struct error *error = NULL;

	if (ssh && list->n_taps == 0)
		return ssh_needs_tap();
	if (ssh)
		error = ssh_endpoint(vm, &endpoint);
	if (!error && list->n_taps > 0)
		error = gate_nft_close(settings->name, list->taps, list->n_taps, ssh ? &endpoint : NULL);
	return error ? error : gate_link_set(vm, list, false);
}

struct error *vm_gate_close(struct vm *vm)
{
	_cleanup_(nic_list_deinit) struct nic_list list = {};
	struct error *error;

	if (vm->settings.gate == GATE_NONE)
		return NULL;
	error = vm->hypervisor->network(vm, &list);
	if (!error)
		error = close_network(vm, &list);
	return of_gate(vm, "close", error);
}

struct error *vm_gate_open(struct vm *vm)
{
	_cleanup_(nic_list_deinit) struct nic_list list = {};
	struct error *error;

	if (vm->settings.gate == GATE_NONE)
		return NULL;
	error = vm->hypervisor->network(vm, &list);
	/* Without a process there is no link; a filter may have been left on the host. */
	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		error = NULL;
	}
	if (!error)
		error = gate_link_set(vm, &list, true);
	if (!error)
		error = gate_nft_open(vm->settings.name);
	return of_gate(vm, "open", error);
}

/* "nftables on tap0, tap1 open, link of net0 down" */
static struct error *describe(const struct nic_list *list, const bool *filtered, struct gate_status *ret)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const char *separator = "";
	bool closed = true;

	if (!out)
		return error_no_memory();
	for (size_t i = 0; i < list->n_taps; i++) {
		fprintf(out, filtered[i] ? "%snftables on %s" : "%s%s open", separator, list->taps[i]);
		closed = closed && filtered[i];
		separator = ", ";
	}
	for (size_t i = 0; i < list->n; i++) {
		if (list->nics[i].tap)
			continue;
		fprintf(out, "%slink of %s %s", separator, list->nics[i].name, list->nics[i].down ? "down" : "up");
		closed = closed && list->nics[i].down;
		separator = ", ";
	}
	if (list->n_taps == 0 && list->n == 0)
		fputs("no network card", out);
	if (fclose(out) != 0) {
		free(text);
		return error_no_memory();
	}
	*ret = (struct gate_status){.closed = closed, .how = text};
	return NULL;
}

struct error *vm_gate_show(struct vm *vm, struct gate_status *ret)
{
	_cleanup_(nic_list_deinit) struct nic_list list = {};
	_cleanup_(free_ptr) bool *filtered = NULL;
	struct error *error;

	if (vm->settings.gate == GATE_NONE) {
		char *how = strdup("none");

		if (!how)
			return error_no_memory();
		*ret = (struct gate_status){.how = how};
		return NULL;
	}
	error = vm->hypervisor->network(vm, &list);
	if (error)
		return of_gate(vm, "read", error);
	filtered = calloc(list.n_taps + 1, sizeof(*filtered));
	if (!filtered)
		return error_no_memory();
	if (list.n_taps > 0)
		error = gate_nft_show(vm->settings.name, list.taps, list.n_taps, filtered);
	return of_gate(vm, "read", error ? error : describe(&list, filtered, ret));
}
