/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct disk_newer as bytes, all numbers le64: nine of its own; each unknown file as its inode, its path with a size
 * before it (UNKNOWN_PATH: none) and its reason likewise; the inodes.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cursor.h"
#include "disk/coherent_private.h"

#define UNKNOWN_PATH UINT64_MAX
/* Paths of the kernel end at a page; reasons are our own. */
#define TEXT_MAX     65536u

static void put(FILE *out, uint64_t value)
{
	value = htole64(value);
	fwrite(&value, sizeof(value), 1, out);
}

static void put_text(FILE *out, const char *text)
{
	size_t size = text ? strnlen(text, TEXT_MAX) : 0;

	put(out, text ? size : UNKNOWN_PATH);
	if (text)
		fwrite(text, 1, size, out);
}

void coherent_print(const struct disk_newer *newer, FILE *out)
{
	put(out, newer->blocks);
	put(out, newer->files);
	put(out, newer->bytes);
	put(out, newer->allocated);
	put(out, newer->compared);
	put(out, newer->open_changes);
	put(out, newer->kept);
	put(out, newer->n_unknown);
	put(out, newer->n_inodes);
	for (size_t i = 0; i < newer->n_unknown; i++) {
		put(out, newer->unknown[i].inode);
		put_text(out, newer->unknown[i].path);
		put_text(out, newer->unknown[i].why);
	}
	for (size_t i = 0; i < newer->n_inodes; i++)
		put(out, newer->inodes[i]);
}

static struct error *get_text(struct cursor *c, char **ret)
{
	const uint8_t *bytes;
	struct error *error;
	uint64_t size;

	error = cursor_le64(c, &size);
	if (error || size == UNKNOWN_PATH)
		return error;
	if (size > TEXT_MAX)
		return cursor_error(c, "a text of %llu bytes", (unsigned long long)size);
	error = cursor_bytes(c, (size_t)size, &bytes);
	if (error)
		return error;
	*ret = strndup((const char *)bytes, (size_t)size);
	return *ret ? NULL : error_no_memory();
}

static struct error *get_unknown(struct cursor *c, struct disk_newer *newer)
{
	struct disk_unknown *unknown;
	struct error *error = array_room(&newer->unknown, newer->n_unknown, sizeof(*newer->unknown));

	if (error)
		return error;
	unknown = &newer->unknown[newer->n_unknown++];
	*unknown = (struct disk_unknown){0};
	error = cursor_le64(c, &unknown->inode);
	if (!error)
		error = get_text(c, &unknown->path);
	if (!error)
		error = get_text(c, &unknown->why);
	if (!error && !unknown->why)
		error = cursor_error(c, "an unknown file without a reason");
	return error;
}

static struct error *get_inode(struct cursor *c, struct disk_newer *newer)
{
	struct error *error = array_room(&newer->inodes, newer->n_inodes, sizeof(*newer->inodes));

	if (!error)
		error = cursor_le64(c, &newer->inodes[newer->n_inodes]);
	newer->n_inodes += !error;
	return error;
}

static struct error *parse(struct cursor *c, struct disk_newer *newer)
{
	uint64_t *const numbers[] = {&newer->blocks,    &newer->files,    &newer->bytes,
				     &newer->allocated, &newer->compared, &newer->open_changes};
	uint64_t kept = 0, n_unknown = 0, n_inodes = 0;
	struct error *error = NULL;

	for (size_t i = 0; !error && i < ARRAY_SIZE(numbers); i++)
		error = cursor_le64(c, numbers[i]);
	if (!error)
		error = cursor_le64(c, &kept);
	newer->kept = kept != 0;
	if (!error)
		error = cursor_le64(c, &n_unknown);
	if (!error)
		error = cursor_le64(c, &n_inodes);
	/* Each turn takes bytes, which end. */
	for (uint64_t i = 0; !error && i < n_unknown; i++)
		error = get_unknown(c, newer);
	for (uint64_t i = 0; !error && i < n_inodes; i++)
		error = get_inode(c, newer);
	/* They are searched. */
	if (!error && newer->n_inodes)
		qsort(newer->inodes, newer->n_inodes, sizeof(*newer->inodes), array_compare_u64);
	return error;
}

struct error *coherent_parse(const char *bytes, size_t size, struct disk_newer *ret)
{
	struct cursor c = cursor_init((const uint8_t *)bytes, size, "what was laid over the disk");
	struct disk_newer newer = {0};
	struct error *error = parse(&c, &newer);

	if (error) {
		disk_newer_deinit(&newer);
		return error;
	}
	*ret = newer;
	return NULL;
}
