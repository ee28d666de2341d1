/* SPDX-License-Identifier: Apache-2.0 */
#include "apply/order.h"

#include <string.h>

static bool starts_with(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

/* What every program of the guest loads together and checks against each other at its start. */
static bool is_c_library(const char *path)
{
	static const char *const prefixes[] = {"ld-linux", "ld-musl",   "ld-2.",          "libc.so.", "libc-2.",
					       "libm.so.", "libdl.so.", "libpthread.so.", "librt.so."};
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; slash && i < ARRAY_SIZE(prefixes); i++)
		if (starts_with(slash + 1, prefixes[i]))
			return true;
	return false;
}

enum pass order_pass(const struct change *change)
{
	if (change->kind == CHANGE_ATTRIBUTES)
		return PASS_NEVER;
	if (starts_with(change->path, "var/lib/dpkg/"))
		return PASS_PACKAGES;
	/* Only an exchange can wait: what is new or goes away has its place among its directory's entries. */
	if (change->kind != CHANGE_DELETE && change->kind != CHANGE_DIRECTORY && change->before.exists &&
	    is_c_library(change->path))
		return PASS_C_LIBRARY;
	return PASS_MOST;
}

size_t order_loaders(const struct transaction *t, uint64_t *ret, size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < t->payload.header.n_entries && n + 1 < max; i++) {
		const struct change *change = entry_change(t, i);
		const char *slash = strrchr(change->path, '/');

		if (change->kind != CHANGE_WRITE || order_pass(change) != PASS_C_LIBRARY ||
		    !starts_with(slash + 1, "ld-"))
			continue;
		ret[n++] = t->slots[i].old;
		ret[n++] = t->slots[i].staged;
	}
	return n;
}
