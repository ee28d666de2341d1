/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	static const struct {
		const char *word;
		enum gate_action action;
	} words[] = {{"show", GATE_SHOW}, {"open", GATE_OPEN}, {"closed", GATE_CLOSE}};

	if (!invocation->rest || invocation->rest[1])
		return error_create(ERROR_USAGE, "gate: one of open, closed or show must follow the VM");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].word, invocation->rest[0]))
			return update_gate(&invocation->settings, invocation->vm, words[i].action, ret);
	return error_create(ERROR_USAGE, "gate: \"%s\" is none of open, closed, show", invocation->rest[0]);
}

static void print(const json_t *document)
{
	output_member("vm", document, "vm");
	output_member("gate", document, "gate");
	output_member("by", document, "how");
}

const struct verb verb_gate = {
	.name = "gate",
	.arguments = "VM open|closed|show",
	.summary = "the VM's external network, by hand",
	.takes_rest = true,
	.run = run,
	.print = print,
};
