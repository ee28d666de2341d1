/* SPDX-License-Identifier: Apache-2.0 */
/* A file system of any bytes: everything that its reader answers is asked of every inode that the tree leads to. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk/ext4/reader.h"
#include "disk/ext4/shift.h"

/* A hostile directory leads anywhere, also in circles. */
#define ENTRIES_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_attributes(struct reader *reader, uint32_t inode)
{
	static const struct shift shift = {.base = 0x80000000u, .count = 0x40000000u};
	char *names = NULL;
	size_t n = 0, value_size;
	void *value;

	if (reader_list_attributes(reader, inode, &names, &n))
		return;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		if (reader_get_attribute(reader, inode, name, &value, &value_size))
			continue;
		if (shift_attribute(shift, name, &value, &value_size) == 0)
			free(value);
	}
	free(names);
}

static void use_contents(struct reader *reader, uint32_t inode, uint64_t size)
{
	static const uint64_t at[] = {0, 4095, 1 << 20, UINT64_C(1) << 40};
	static char buffer[65536];
	uint64_t found;
	size_t n;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		/* As promised: not more than there is room for, nor than the file has. */
		if (reader_read(reader, inode, at[i], buffer, sizeof(buffer), &n) == 0 &&
		    (n > sizeof(buffer) || (n > 0 && at[i] + n > size)))
			abort();
		if (reader_seek(reader, inode, at[i], SEEK_DATA, &found) == 0 && found < at[i])
			abort();
		if (reader_seek(reader, inode, at[i], SEEK_HOLE, &found) == 0 && found < at[i])
			abort();
	}
}

static void use(struct reader *reader, uint32_t inode)
{
	char target[4096];
	uint32_t flags;
	struct stat st;

	if (reader_stat(reader, inode, &st))
		return;
	(void)reader_flags(reader, inode, &flags);
	(void)reader_readlink(reader, inode, target, sizeof(target));
	use_contents(reader, inode, (uint64_t)st.st_size);
	use_attributes(reader, inode);
}

static void walk(struct reader *reader, uint32_t directory, unsigned *left)
{
	struct listing *listing;
	uint32_t found;

	if (reader_list(reader, directory, &listing))
		return;
	for (uint32_t i = 0; i<listing->n && * left> 0; i++) {
		const struct listed *entry = &listing->entries[i];

		--*left;
		/* Every name that is listed is found. */
		if (reader_lookup(reader, directory, listing->names + entry->name, &found))
			abort();
		use(reader, entry->inode);
		walk(reader, entry->inode, left);
	}
	reader_unlist(reader, listing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(listings_destroy_ptr) struct listings *listings = NULL;
	_cleanup_(reader_destroy_ptr) struct reader *reader = NULL;
	_cleanup_(image_destroy_ptr) struct image *image = NULL;
	_cleanup_(close_fd) int fd = memfd_create("ext4", MFD_CLOEXEC);
	unsigned left = ENTRIES_MAX;
	struct error *error;
	struct statvfs st;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	error = image_create(fd, 0, size, &image);
	if (!error)
		error = listings_create(&listings);
	if (!error)
		error = reader_create(image, listings, &reader);
	if (error) {
		error_destroy(error);
		return 0;
	}
	reader_statfs(reader, &st);
	use(reader, EXT2_ROOT_INO);
	walk(reader, EXT2_ROOT_INO, &left);
	return 0;
}
