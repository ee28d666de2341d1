/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw dumps: guest memory and nothing else. Where its bytes lie the file cannot say; the user does
 * by a layout:
 *
 *   layout = "firecracker" | "cloud-hypervisor" | piece ("," piece)*
 *   piece  = START "-" END ["@" OFFSET] | START "+" SIZE ["@" OFFSET]
 *
 * START and END (the first address after the piece) are guest-physical, OFFSET is in the file;
 * without one, the piece follows the one before it. Numbers are decimal or begin with 0x, and may
 * end in K, M or G.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/cloud_hypervisor.h"
#include "image/ops.h"

#define GIB              (UINT64_C(1) << 30)

/*
 * Where Firecracker's x86 guests have no memory (src/vmm/src/arch/x86_64/layout.rs): below 4 GiB, from 0xd0000000 on
 * before its commit 7c623e89b4da (2025), from 3 GiB on since; since then also at 256 GiB.
 */
#define FIRECRACKER_GAP  (3 * GIB)
#define FIRECRACKER_HIGH (4 * GIB)
#define FIRECRACKER_MAX  (255 * GIB)
#define FIRECRACKER_BOOT UINT64_C(0x7000) /* the kernel's boot parameters ("zero page") */

/* struct boot_params of the kernel's boot protocol. */
#define BOOT_SIZE        4096u
#define BOOT_E820_COUNT  0x1e8u
#define BOOT_MAGIC       0x202u /* "HdrS" */
#define BOOT_E820        0x2d0u
#define BOOT_E820_ENTRY  20u
#define BOOT_E820_MAX    128u
#define E820_RAM         1u

static struct error *usage(const struct image_file *file, const char *format, ...) _printf_(2, 3);

static struct error *usage(const struct image_file *file, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_remedy(error_create(ERROR_USAGE, "%s: --layout: %s", file->path, text),
			    "A layout is 'firecracker', 'cloud-hypervisor' or START-END@OFFSET pieces separated by "
			    "commas, such as 0-0xc0000000,0x100000000+1G@0xc0000000");
}

/* Adds `size` bytes at `start` that lie at `offset` of the file. */
static struct error *add_piece(const struct image_file *file, uint64_t start, uint64_t size, uint64_t offset,
			       struct image_map *map)
{
	struct image_region region = {.start = start, .size = size, .position = offset};

	if (size == 0 || (start | size) % IMAGE_PAGE_SIZE)
		return usage(file,
			     "0x%llx bytes at 0x%llx are not whole pages of 4096 bytes (END is the first address after "
			     "the piece)",
			     (unsigned long long)size, (unsigned long long)start);
	if (offset > file->size || size > file->size - offset)
		return usage(file, "0x%llx bytes at byte %llu are more than the file has, %llu bytes",
			     (unsigned long long)size, (unsigned long long)offset, (unsigned long long)file->size);
	return image_map_add(map, &region);
}

/* A number with its unit; *text moves behind it. False where none is, or it is too large. */
static bool take_number(const char **text, uint64_t *ret)
{
	static const char units[] = "KMG";
	bool hex = (*text)[0] == '0' && ((*text)[1] == 'x' || (*text)[1] == 'X');
	const char *unit;
	char *end;
	uint64_t value;

	if (!isdigit((unsigned char)**text) || (hex && !isxdigit((unsigned char)(*text)[2])))
		return false;
	errno = 0;
	value = strtoull(*text, &end, hex ? 16 : 10);
	if (errno)
		return false;
	unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit) {
		unsigned shift = 10 * (unsigned)(unit - units + 1);

		if (value << shift >> shift != value)
			return false;
		value <<= shift;
		end++;
	}
	*text = end;
	*ret = value;
	return true;
}

struct piece {
	uint64_t start, size, offset;
};

/* Parses one piece; `piece->offset` is where it lies unless the text says so. */
static bool take_piece(const char **text, struct piece *piece)
{
	char separator;

	if (!take_number(text, &piece->start))
		return false;
	separator = **text;
	if (separator != '-' && separator != '+')
		return false;
	++*text;
	if (!take_number(text, &piece->size))
		return false;
	if (separator == '-' && piece->size < piece->start)
		return false;
	if (separator == '-')
		piece->size -= piece->start;
	if (**text != '@')
		return true;
	++*text;
	return take_number(text, &piece->offset);
}

static struct error *add_pieces(const struct image_file *file, const char *layout, struct image_map *map)
{
	const char *text = layout;
	struct piece piece = {0};

	for (;;) {
		struct error *error;

		if (!take_piece(&text, &piece) || (*text && *text != ','))
			return usage(file, "'%.100s' cannot be understood from its character %zu on", layout,
				     (size_t)(text - layout) + 1);
		error = add_piece(file, piece.start, piece.size, piece.offset, map);
		if (error || !*text)
			return error;
		piece.offset += piece.size;
		text++;
	}
}

/*
 * Where memory ends below 4 GiB, by the table that Firecracker gave to the kernel: its versions
 * differ. A guest that wrote over it, or was booted otherwise, has today's gap.
 */
static uint64_t firecracker_gap(const struct image_file *file)
{
	uint8_t boot[BOOT_SIZE];
	_cleanup_(error_destroy_ptr) struct error *error = NULL;

	if (file->size < FIRECRACKER_BOOT + sizeof(boot))
		return FIRECRACKER_GAP;
	error = image_file_read(file, boot, sizeof(boot), FIRECRACKER_BOOT);
	if (error || memcmp(boot + BOOT_MAGIC, "HdrS", 4) != 0)
		return FIRECRACKER_GAP;
	for (unsigned i = 0; i < boot[BOOT_E820_COUNT] && i < BOOT_E820_MAX; i++) {
		const uint8_t *entry = boot + BOOT_E820 + (size_t)i * BOOT_E820_ENTRY;
		uint64_t start, size;
		uint32_t type;

		memcpy(&start, entry, sizeof(start));
		memcpy(&size, entry + 8, sizeof(size));
		memcpy(&type, entry + 16, sizeof(type));
		if (type == E820_RAM && start == UINT64_C(0x100000) && size % IMAGE_PAGE_SIZE == 0 &&
		    size < FIRECRACKER_HIGH - start && start + size >= 2 * GIB)
			return start + size;
	}
	return FIRECRACKER_GAP;
}

static struct error *firecracker(const struct image_file *file, struct image_map *map)
{
	uint64_t gap = firecracker_gap(file), low = file->size < gap ? file->size : gap;
	struct error *error;

	if (file->size > FIRECRACKER_MAX)
		return usage(file, "Firecracker's layout of that much memory is not known: give the pieces");
	error = add_piece(file, 0, low, 0, map);
	if (error || low == file->size)
		return error;
	return add_piece(file, FIRECRACKER_HIGH, file->size - low, low, map);
}

/* Ranges of state.json, one after the other in the file. */
static struct error *cloud_hypervisor(const struct image_file *file, struct image_map *map)
{
	_cleanup_(cloud_hypervisor_ranges_deinit) struct cloud_hypervisor_ranges ranges = {0};
	struct error *error = cloud_hypervisor_ranges_load(file->path, &ranges);
	uint64_t offset = 0;

	for (size_t i = 0; !error && i < ranges.n; i++) {
		error = add_piece(file, ranges.items[i].start, ranges.items[i].size, offset, map);
		offset += ranges.items[i].size;
	}
	return error;
}

static struct error *raw_open(struct image_file *file, struct image_map *map)
{
	const char *layout = file->options->layout;

	if (strcmp(layout, "firecracker") == 0)
		return firecracker(file, map);
	if (strcmp(layout, CLOUD_HYPERVISOR_LAYOUT) == 0)
		return cloud_hypervisor(file, map);
	return add_pieces(file, layout, map);
}

/* Any bytes are; it is taken only where a layout is given. */
static bool raw_probe(const uint8_t *head, size_t size)
{
	return false;
}

const struct image_ops raw_ops = {
	.name = "raw",
	.probe = raw_probe,
	.open = raw_open,
};
