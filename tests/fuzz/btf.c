/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a kernel's type information: parsed by libbpf, indexed and searched, alone and as a module's. */
#include <stdint.h>

#include "guest/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const struct types *types)
{
	static const char *const paths[] = {"a", "in.b", "next", "name", "x", "deep.b", "name[3]", "row[1].x"};
	static const char *const structures[] = {"outer", "inner", "module_thing", "endless"};

	uint64_t value;

	(void)types_enum(types, NULL, "RED", &value);
	for (size_t i = 0; i < ARRAY_SIZE(structures); i++) {
		(void)types_enum(types, structures[i], "RED", &value);
		(void)types_size(types, structures[i]);
		for (size_t k = 0; k < ARRAY_SIZE(paths); k++)
			(void)types_find(types, structures[i], paths[k]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(types_destroy_ptr) struct types *types = NULL;
	_cleanup_(types_destroy_ptr) struct types *module = NULL;
	struct error *error = types_create(data, size, NULL, &types);

	if (error) {
		error_destroy(error);
		return 0;
	}
	search(types);
	error = types_create(data, size, types, &module);
	if (error)
		error_destroy(error);
	else
		search(module);
	return 0;
}
