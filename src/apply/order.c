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
	static const char *const prefixes[] = {"libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.",
					       "libc-2.",  "libm-2.",  "libdl-2.",  "libpthread-2.",  "librt-2."};
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; slash && i < ARRAY_SIZE(prefixes); i++)
		if (starts_with(slash + 1, prefixes[i]))
			return true;
	return order_is_loader(path) || (slash && starts_with(slash + 1, "ld-musl"));
}

/*
 * glibc's, of all machines and before 2.34, when the names everybody knows were links to ld-2.31.so. musl's is its C
 * library as well: nobody can have one of each, and everybody is inside it all the time.
 */
bool order_is_loader(const char *path)
{
	static const char *const prefixes[] = {"ld-linux", "ld-2.", "ld64.so.", "ld.so.1"};
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

		if (change->kind != CHANGE_WRITE || order_pass(change) != PASS_C_LIBRARY ||
		    !order_is_loader(change->path))
			continue;
		ret[n++] = t->slots[i].old;
		ret[n++] = t->slots[i].staged;
	}
	return n;
}
