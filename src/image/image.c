/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "image/cloud_hypervisor.h"
#include "image/find.h"
#include "image/map.h"
#include "image/ops.h"
#include "image/read.h"
#include "image/unpack.h"

static const struct image_ops *const formats[] = {
	&qemu_stream_ops, &libvirt_save_ops, &elf_core_ops, &kdump_ops, &qcow2_snapshot_ops, &lime_ops, &xen_save_ops,
};

#define WORK_BYTES  4096u

/*
 * Pages that were read lately. Structures are read member by member and objects lie close together: of the hundred
 * thousand reads that a guest's /sys takes, nine of ten need no system call.
 */
#define CACHE_PAGE  4096u
#define CACHE_PAGES 1024u /* a power of 2 */

struct page_cache {
	uint64_t pages[CACHE_PAGES]; /* number of the page, plus 1; 0: none */
	uint8_t bytes[CACHE_PAGES][CACHE_PAGE];
};

struct image {
	struct image_options options; /* while it is opened; the strings are the caller's */
	struct image_file file;
	const struct image_ops *ops;
	struct image_map map;
	uint64_t work;            /* image_work() */
	struct page_cache *cache; /* NULL: nothing was read yet, or no memory for it */
};

/* Files that are often taken for memory images; says what they are. */
static const struct {
	const char *magic;
	size_t size;
	const char *what;
} others[] = {
	{"\xd2\xbe\xd2\xbe", 4, "a VMware snapshot (.vmss)"},
	{"\xd0\xbe\xd2\xbe", 4, "a VMware snapshot (.vmss)"},
	{"\xd3\xbe\xd3\xbe", 4, "a VMware snapshot (.vmss)"},
	{"\xd1\xba\xd1\xba", 4, "a VMware snapshot (.vmss)"},
	{"AVML", 4, "a compressed AVML dump"},
	{"\x7fVirtualBox SavedState V", 24, "a VirtualBox saved state (.sav)"},
	{"LibxlFmt", 8, "a stream of libxl without xl's header"},
	{"libvirt-xml\n \0 \r", 16, "a save file of libvirt's driver for Xen"},
	{"LinuxGuestRecord", 16, "a save file of Xen before 4.2"},
	{"hibr", 4, "a Windows hibernation file"},
	{"PAGEDU64", 8, "a Windows crash dump"},
	{"vhdxfile", 8, "a Hyper-V disk image"},
};

/* What is known by its beginning, or NULL. */
static const char *name_other(const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (size >= others[i].size && memcmp(head, others[i].magic, others[i].size) == 0)
			return others[i].what;
	}
	return NULL;
}

/* Fails with what was found instead of a memory image. */
static struct error *unknown_format(const struct image_file *file, const uint8_t *head, size_t size)
{
	const char *what = name_other(head, size);
	char bytes[3 * 8 + 1] = "";

	if (what)
		return error_remedy(error_format(file->path, 0, "%s, which cannot be read", what),
				    "Memory can be read from QEMU migration streams, libvirt and Xen save files, qcow2 "
				    "snapshots, ELF cores, LiME files and, with --layout, raw dumps");
	for (size_t i = 0; i < size && i < 8; i++)
		snprintf(bytes + 3 * i, 4, " %02x", head[i]);
	if (size == 0)
		return error_remedy(error_format(file->path, 0, "the file is empty, not a memory image"),
				    "Save the VM again, or copy the file again");
	return error_remedy(
		error_format(file->path, 0, "not a memory image of any known format (it begins with%s)", bytes),
		"If it is a raw dump of memory, say where its bytes lie: --layout firecracker, --layout "
		"cloud-hypervisor, or pieces such as --layout 0-0xc0000000,0x100000000+1G");
}

/*
 * A directory may be a snapshot of Cloud Hypervisor: then the file in it that has the memory is
 * opened, whose layout is known by what lies beside it.
 */
static struct error *choose_file(const char *path, struct image *image)
{
	_cleanup_(free_ptr) char *memory = string_format("%s/" CLOUD_HYPERVISOR_MEMORY, path);
	bool is_directory;

	if (!memory)
		return error_no_memory();
	is_directory = access(memory, F_OK) == 0;
	image->file.path = is_directory ? take_ptr(memory) : strdup(path);
	if (!image->file.path)
		return error_no_memory();
	if (is_directory && !image->options.layout)
		image->options.layout = CLOUD_HYPERVISOR_LAYOUT;
	return NULL;
}

static struct error *open_file(struct image_file *file)
{
	const char *path = file->path;
	struct stat st;

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

/* The format by the file's beginning, or raw where there is none but a layout is given. */
static struct error *choose_format(const struct image_file *file, const uint8_t *head, size_t size,
				   const struct image_ops **ret)
{
	const struct image_options *options = file->options;
	const struct image_ops *ops = find_format(head, size);
	struct error *error = NULL;

	if (!ops && (!options->layout || name_other(head, size)))
		return unknown_format(file, head, size);
	if (!ops)
		ops = &raw_ops;
	if (options->layout && ops != &raw_ops)
		error = error_create(ERROR_USAGE, "%s: it is of the format %s, which says itself where its memory lies",
				     file->path, ops->name);
	if (error)
		return error_remedy(error, "Leave out --layout");
	if (options->snapshot && ops != &qcow2_snapshot_ops)
		error = error_create(ERROR_USAGE, "%s: it is of the format %s, which has no snapshots", file->path,
				     ops->name);
	if (error)
		return error_remedy(error, "Leave out --snapshot, or name the disk image that has it");
	*ret = ops;
	return NULL;
}

/* Whether a compressed file holds memory is seen at the beginning of what is unpacked. */
static struct error *inspect_unpacked(const void *data, const uint8_t *head, size_t size)
{
	const struct image_ops *ops;

	return choose_format(data, head, size, &ops);
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
	return error ? error : choose_format(&image->file, head, size, &image->ops);
}

struct error *image_open(const char *path, const struct image_options *options, struct image **ret)
{
	_cleanup_(image_close_ptr) struct image *image = calloc(1, sizeof(*image));
	struct error *error;

	if (!image)
		return error_no_memory();
	image->file.fd = -1;
	if (options)
		image->options = *options;
	image->file.options = &image->options;
	error = choose_file(path, image);
	if (!error)
		error = open_file(&image->file);
	if (!error)
		error = detect(image);
	if (!error)
		error = image->ops->open(&image->file, &image->map);
	if (!error)
		error = image_map_finish(&image->map, image->file.path);
	if (error)
		return error;
	image->file.options = NULL;
	image->options = (struct image_options){0};
	*ret = take_ptr(image);
	return NULL;
}

const char *image_format(const struct image *image)
{
	return image->ops->name;
}

int image_descriptor(const struct image *image)
{
	return image->file.fd;
}

uint64_t image_ram_size(const struct image *image)
{
	uint64_t size = 0;

	for (size_t i = 0; i < image->map.n_regions; i++)
		size += image->map.regions[i].size;
	return size - image->map.given_back;
}

/* The page that `address` is on; NULL: it cannot be read as a whole. */
static const uint8_t *read_page(struct image *image, uint64_t address)
{
	struct page_cache *cache = image->cache;
	uint64_t page = address / CACHE_PAGE;
	size_t slot = page % CACHE_PAGES;
	struct error *error;

	if (!cache)
		cache = image->cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	if (cache->pages[slot] == page + 1)
		return cache->bytes[slot];
	cache->pages[slot] = 0;
	error = read_memory(&image->file, &image->map, page * CACHE_PAGE, cache->bytes[slot], CACHE_PAGE);
	if (error) {
		error_destroy(error);
		return NULL;
	}
	cache->pages[slot] = page + 1;
	return cache->bytes[slot];
}

struct error *image_read(struct image *image, struct gpa address, void *buffer, size_t size)
{
	uint64_t within = address.v % CACHE_PAGE;
	const uint8_t *page;

	image->work += 1 + size / WORK_BYTES;
	/* A page that is wanted whole is seldom wanted again. */
	page = size < CACHE_PAGE && within + size <= CACHE_PAGE ? read_page(image, address.v) : NULL;
	if (page) {
		memcpy(buffer, page + within, size);
		return NULL;
	}
	return read_memory(&image->file, &image->map, address.v, buffer, size);
}

uint64_t image_work(const struct image *image)
{
	return image->work;
}

struct image_range image_next_range(const struct image *image, struct gpa address)
{
	const struct image_region *region = image_map_find(&image->map, address.v);

	if (!region)
		return (struct image_range){0};
	return (struct image_range){.start = {region->start}, .size = region->size};
}

struct image_range image_next_data(const struct image *image, struct gpa address)
{
	struct image_range range = {0};

	if (!find_data(&image->file, &image->map, address.v, &range.start.v, &range.size))
		return (struct image_range){0};
	return range;
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
	free(image->cache);
	free(image);
}
