/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/verb.h"

static struct error *run(const struct invocation *invocation, json_t **ret)
{
	return update_diff_disk(&invocation->settings, invocation->vm, ret);
}

static char letter(const char *how)
{
	return strcmp(how, "added") == 0        ? '+'
	       : strcmp(how, "removed") == 0    ? '-'
	       : strcmp(how, "unreadable") == 0 ? '?'
						: 'M';
}

static void print(const json_t *document)
{
	json_t *item, *word;
	size_t i, k;

	json_array_foreach(json_object_get(document, "differences"), i, item)
	{
		printf("%c ", letter(json_string_value(json_object_get(item, "how"))));
		output_text(json_string_value(json_object_get(item, "path")));
		json_array_foreach(json_object_get(item, "what"), k, word)
			printf("%s%s", k ? ", " : "  (", json_string_value(word));
		printf("%s\n", json_array_size(json_object_get(item, "what")) ? ")" : "");
	}
	if (json_integer_value(json_object_get(document, "more")))
		printf("and %lld more\n", (long long)json_integer_value(json_object_get(document, "more")));
}

const struct verb verb_diff_disk = {
	.name = "diff-disk",
	.arguments = "VM",
	.summary = "say where what the sleeping guest sees differs from its disk alone",
	.supervised = true,
	.run = run,
	.print = print,
};
