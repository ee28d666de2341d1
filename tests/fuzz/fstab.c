/* SPDX-License-Identifier: Apache-2.0 */
/* Every line is parsed, classified and looked up, as when a disk is opened. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "disk/fstab.h"

static struct partition items[] = {
	{.number = 1, .uuid = (char *)"ABCD-1234", .part_label = (char *)"esp"},
	{.number = 2, .uuid = (char *)"6140e352", .label = (char *)"root", .part_uuid = (char *)"0fdb60b1-02"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct fstab_entry *entry)
{
	const struct partition_list list = {items, ARRAY_SIZE(items)};
	const struct partition *found;
	struct error *error;
	char *value = NULL;

	fstab_skip_reason(entry);
	fstab_has_option(entry, "bind");
	fstab_find(entry, &list, &found);
	error = fstab_option_value(entry, "subvol", &value);
	if (error)
		error_destroy(error);
	free(value);
	/* what mount points are resolved by: absolute, and nothing that climbs */
	if (entry->target[0] == '/' && (strstr(entry->target, "/../") || strstr(entry->target, "//")))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fstab fstab;
	struct error *error = fstab_parse((const char *)data, size, &fstab);

	if (error) {
		error_destroy(error);
		return 0;
	}
	for (size_t i = 0; i < fstab.n; i++)
		use(&fstab.entries[i]);
	fstab_deinit(&fstab);
	return 0;
}
