/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/find.h"
#include "image/map.h"
#include "image/ops.h"
#include "image/unpack.h"

static const struct image_ops *const formats[] = {
	&qemu_stream_ops,
	&libvirt_save_ops,
	&elf_core_ops,
};

struct image {
	struct image_file file;
	const struct image_ops *ops;
	struct image_map map;
};

/* Files that are often taken for memory images; says what they are. */
static const struct {
	const char *magic;
	size_t size;
	const char *what;
} others[] = {
	{"QFI\xfb", 4, "a qcow2 disk image"},
	{"Xen saved domain", 16, "a Xen save file"},
	{"KDMP", 4, "a compressed kdump file"},
	{"\xd2\xbe\xd2\xbe", 4, "a VMware snapshot (.vmss)"},
	{"\xd0\xbe\xd2\xbe", 4, "a VMware snapshot (.vmss)"},
	{"\xd1\xba\xd1\xba", 4, "a VMware snapshot (.vmss)"},
	{"\x7fVirtualBox SavedState V", 24, "a VirtualBox saved state (.sav)"},
	{"LIBXLFMT", 8, "a Xen save file"},
	{"hibr", 4, "a Windows hibernation file"},
	{"PAGEDU64", 8, "a Windows crash dump"},
	{"vhdxfile", 8, "a Hyper-V disk image"},
};

/* Fails with what was found instead of a memory image. */
static struct error *unknown_format(const struct image_file *file, const uint8_t *head, size_t size)
{
	const char *what = "one of no known format";
	char bytes[3 * 8 + 1] = "";
	struct error *error;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (size >= others[i].size && memcmp(head, others[i].magic, others[i].size) == 0)
			what = others[i].what;
	}
	if (size == 0)
		error = error_format(file->path, 0, "the file is empty, not a memory image");
	else {
		for (size_t i = 0; i < size && i < 8; i++)
			snprintf(bytes + 3 * i, 4, " %02x", head[i]);
		error = error_format(file->path, 0, "not a memory image that can be read, but %s (it begins with%s)",
				     what, bytes);
	}
	return error_remedy(error, "Memory can be read from QEMU migration streams, libvirt save files and ELF cores");
}

static struct error *open_file(const char *path, struct image_file *file)
{
	struct stat st;

	file->path = strdup(path);
	if (!file->path)
		return error_no_memory();
	/* O_NONBLOCK: a fifo under this name must not make us wait; regular files ignore it. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0 && errno == ENOENT)
		return error_recode(error_system(errno, path, "cannot open the memory image"), ERROR_NOT_FOUND);
	if (file->fd < 0)
		return error_system(errno, path, "cannot open the memory image");
	if (fstat(file->fd, &st) < 0)
		return error_system(errno, path, "cannot examine the memory image");
	if (!S_ISREG(st.st_mode))
		return error_format(path, ERROR_NO_ADDRESS, "the memory image is not a regular file");
	file->size = (uint64_t)st.st_size;
	return NULL;
}

static const struct image_ops *find_format(const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (formats[i]->probe(head, size))
			return formats[i];
	}
	return NULL;
}

/* Whether a compressed file holds memory is seen at the beginning of what is unpacked. */
static struct error *inspect_unpacked(const void *data, const uint8_t *head, size_t size)
{
	return find_format(head, size) ? NULL : unknown_format(data, head, size);
}

/* Unpacks a file that was compressed as a whole, by what its beginning shows. */
static struct error *unpack_whole(struct image_file *file, uint8_t *head, size_t *size)
{
	const struct unpack_method *method = unpack_detect(head, *size);
	struct error *error;

	if (!method)
		return NULL;
	error = unpack_file(file, 0, method, inspect_unpacked, file);
	if (error)
		return error;
	*size = file->size < IMAGE_PROBE_SIZE ? file->size : IMAGE_PROBE_SIZE;
	return image_file_read(file, head, *size, 0);
}

static struct error *detect(struct image *image)
{
	uint8_t head[IMAGE_PROBE_SIZE];
	size_t size = image->file.size < sizeof(head) ? image->file.size : sizeof(head);
	struct error *error = image_file_read(&image->file, head, size, 0);

	if (!error)
		error = unpack_whole(&image->file, head, &size);
	if (error)
		return error;
	image->ops = find_format(head, size);
	return image->ops ? NULL : unknown_format(&image->file, head, size);
}

struct error *image_open(const char *path, const struct image_options *options, struct image **ret)
{
	static const struct image_options defaults;
	_cleanup_(image_close_ptr) struct image *image = calloc(1, sizeof(*image));
	struct error *error;

	if (!image)
		return error_no_memory();
	image->file.fd = -1;
	image->file.options = options ? options : &defaults;
	error = open_file(path, &image->file);
	if (!error)
		error = detect(image);
	if (!error)
		error = image->ops->open(&image->file, &image->map);
	if (!error)
		error = image_map_finish(&image->map, image->file.path);
	if (error)
		return error;
	image->file.options = NULL;
	*ret = take_ptr(image);
	return NULL;
}

const char *image_format(const struct image *image)
{
	return image->ops->name;
}

uint64_t image_ram_size(const struct image *image)
{
	uint64_t size = 0;

	for (size_t i = 0; i < image->map.n_regions; i++)
		size += image->map.regions[i].size;
	return size;
}

static struct error *not_held(const struct image *image, uint64_t address)
{
	struct error *error = error_create(ERROR_NOT_FOUND, "%s: it does not hold guest-physical address 0x%llx",
					   image->file.path, (unsigned long long)address);

	error->address = address;
	if (image->map.unplaced)
		error = error_remedy(error,
				     "The guest has plugged memory (%s), and a migration stream does not say where; an "
				     "ELF core does: dump-guest-memory",
				     image->map.unplaced);
	return error;
}

struct error *image_read(struct image *image, struct gpa address, void *buffer, size_t size)
{
	uint8_t *out = buffer;
	uint64_t at = address.v;

	while (size > 0) {
		const struct image_region *region = image_map_find(&image->map, at);
		uint64_t place, n;
		struct error *error = NULL;

		if (!region || at < region->start)
			return not_held(image, at);
		place = image_map_place(&image->map, region, at);
		if (place == PAGE_PLACE_ABSENT)
			return not_held(image, at);
		n = image_map_run(region, at);
		if (n > size)
			n = size;
		if (place & PAGE_PLACE_FILL)
			memset(out, (int)(place & 0xff), n);
		else
			error = image_file_read(&image->file, out, n, place);
		if (error)
			return error;
		out += n;
		size -= n;
		at += n;
		if (at == 0 && size > 0)
			return not_held(image, UINT64_MAX);
	}
	return NULL;
}

struct image_range image_next_range(const struct image *image, struct gpa address)
{
	const struct image_region *region = image_map_find(&image->map, address.v);

	if (!region)
		return (struct image_range){0};
	return (struct image_range){.start = {region->start}, .size = region->size};
}

bool image_find_page(struct image *image, struct gpa from, const void *bytes, size_t size, struct gpa *ret)
{
	return size <= IMAGE_FIND_MAX && find_page(&image->file, &image->map, from.v, bytes, size, &ret->v);
}

void image_close(struct image *image)
{
	if (!image)
		return;
	image_map_deinit(&image->map);
	image_file_deinit(&image->file);
	free(image);
}
