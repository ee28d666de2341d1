/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/print.h"
#include "cli/source.h"
#include "cli/verb.h"

static struct error *show(const struct invocation *invocation)
{
	_cleanup_(source_close) struct source source = {0};
	_cleanup_(guest_module_list_deinit) struct guest_module_list list = {0};
	struct error *error = source_open(invocation, &source);

	if (!error)
		error = guest_modules(source.guest, &list);
	if (error)
		return error;
	(invocation->json ? print_modules_json : print_modules)(stdout, &list);
	return source_conclude(&source, list.incomplete);
}

const struct verb verb_modules = {
	.name = "modules",
	.arguments = "VM",
	.summary = "list the kernel's modules as lsmod does",
	.reads_memory = true,
	.show = show,
};
