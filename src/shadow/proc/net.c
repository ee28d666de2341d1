/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: which files there are, of the initial network namespace and of any other. */
#include <string.h>

#include "base/cleanup.h"

#include "shadow/proc/net.h"

#define NET_INITIAL(function, name, mode)                                                                              \
	static struct error *initial_##function(const struct proc_facts *facts, FILE *out)                             \
	{                                                                                                              \
		return net_write_##function(facts, 0, out);                                                            \
	}
NET_FILES(NET_INITIAL)

#define NET_FILE(function, name, mode) {"net/" name, mode, false, initial_##function},
const struct proc_file proc_net_files[] = {NET_FILES(NET_FILE){0}};

struct error *proc_net_write(const struct proc_facts *facts, uint64_t task, const char *name, FILE *out)
{
#define NET_ENTRY(function, name, mode) {name, net_write_##function},
	static const struct {
		const char *name;
		struct error *(*write)(const struct proc_facts *facts, uint64_t task, FILE *out);
	} files[] = {NET_FILES(NET_ENTRY)};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (strcmp(files[i].name, name) == 0)
			return files[i].write(facts, task, out);
	return error_create(ERROR_NOT_FOUND, "there is no /proc/net/%s", name);
}

void net_pad(FILE *out, int written, int width)
{
	if (written > 0 && written < width)
		fprintf(out, "%*s", width - written, "");
	fputc('\n', out);
}

void net_digits(FILE *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%02x", bytes[i]);
}
