/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed dumps in makedumpfile's format, plain ("KDUMP   ") or as a stream of records that are put together
 * later (flattened, "makedumpfile"): `dump-guest-memory -z`, `-l`, `-s`, `virsh dump --format kdump-zlib`. They are
 * not read; they are known so that the user learns what to do.
 */
#include <string.h>

#include "image/ops.h"

static bool kdump_probe(const uint8_t *head, size_t size)
{
	return (size >= 8 && (memcmp(head, "KDUMP   ", 8) == 0 || memcmp(head, "DISKDUMP", 8) == 0)) ||
	       (size >= 16 && memcmp(head, "makedumpfile\0\0\0\0", 16) == 0);
}

static struct error *kdump_open(struct image_file *file, struct image_map *map)
{
	struct error *error =
		error_create(ERROR_UNSUPPORTED, "%s: a compressed dump (kdump), which cannot be read", file->path);

	return error_remedy(error, "Dump the guest as ELF: virsh dump --memory-only --format elf, or dump-guest-memory "
				   "without -z, -l and -s");
}

const struct image_ops kdump_ops = {
	.name = "kdump",
	.probe = kdump_probe,
	.open = kdump_open,
};
