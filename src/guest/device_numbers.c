/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of devices and who has them: fs/char_dev.c, block/genhd.c, drivers/char/misc.c, kernel/dma.c. */
#include <stdlib.h>

#include "guest/containers.h"

#define SLOTS    255u /* CHRDEV_MAJOR_HASH_SIZE, BLKDEV_MAJOR_HASH_SIZE */
#define MAJORS   512u /* CHRDEV_MAJOR_MAX, BLKDEV_MAJOR_MAX */
#define LIST_MAX 65536u

static struct error *append(struct guest_numbered_list *list, uint32_t number, struct guest_numbered one)
{
	struct error *error = list->n == LIST_MAX ? error_create(ERROR_FORMAT, "the guest has too many devices")
						  : array_room(&list->items, list->n, sizeof(*list->items));

	if (error)
		return error;
	one.number = number;
	list->items[list->n++] = one;
	return NULL;
}

/* Ends a list that was read: what stopped it is noted, *ret gets it. */
static struct error *finish(struct guest_numbered_list *list, struct error *error, const char *what,
			    struct guest_numbered_list *ret)
{
	error = walk_note(&list->incomplete, error_wrap(error, "%s", what));
	if (error) {
		guest_numbered_list_deinit(list);
		return error;
	}
	*ret = *list;
	return NULL;
}

/* ---- Major numbers ---- */

struct major_layout {
	struct member next, major, name;
};

/* Those of one chain that have this number, in order. */
static struct error *read_chain(struct guest *guest, const struct major_layout *layout, uint64_t entry, uint32_t major,
				struct guest_numbered_list *list)
{
	struct loop_guard guard = {0};

	while (entry) {
		uint64_t next, number;
		const struct member_read reads[] = {{&layout->next, &next}, {&layout->major, &number}};
		struct guest_numbered one = {0};
		struct error *error = guest_read_members(guest, (struct gva){entry}, reads, ARRAY_SIZE(reads));

		if (!error && !loop_guard_step(&guard, entry))
			error = error_format(NULL, entry, "a chain of the guest's devices does not end");
		if (!error && number == major) {
			error = memory_read_string(&guest->memory, (struct gva){entry + layout->name.offset}, one.name,
						   layout->name.size < sizeof(one.name) ? layout->name.size
											: sizeof(one.name));
			if (!error)
				error = append(list, major, one);
		}
		if (error)
			return error;
		entry = next;
	}
	return NULL;
}

static struct error *read_majors(struct guest *guest, const char *type, const char *variable,
				 struct guest_numbered_list *list)
{
	struct major_layout layout;
	const struct member_need needs[] = {
		{type, "next", &layout.next}, {type, "major", &layout.major}, {type, "name", &layout.name}};
	uint64_t chains[SLOTS];
	struct gva symbol;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, variable, &symbol);
	if (!error)
		error = memory_read(&guest->memory, symbol, chains, sizeof(chains));
	for (uint32_t major = 0; !error && major < MAJORS; major++)
		error = read_chain(guest, &layout, chains[major % SLOTS], major, list);
	return error;
}

struct error *guest_character_majors(struct guest *guest, struct guest_numbered_list *ret)
{
	struct guest_numbered_list list = {0};

	return finish(&list, read_majors(guest, "char_device_struct", "chrdevs", &list),
		      "the guest's character devices", ret);
}

struct error *guest_block_majors(struct guest *guest, struct guest_numbered_list *ret)
{
	struct guest_numbered_list list = {0};

	return finish(&list, read_majors(guest, "blk_major_name", "major_names", &list), "the guest's block devices",
		      ret);
}

/* ---- Others ---- */

struct misc {
	struct member minor, name, link;
	struct guest_numbered_list *list;
};

static struct error *visit_misc(struct guest *guest, struct gva device, void *context)
{
	struct misc *misc = context;
	struct guest_numbered one = {0};
	uint64_t minor, name;
	const struct member_read reads[] = {{&misc->minor, &minor}, {&misc->name, &name}};
	struct error *error = guest_read_members(guest, device, reads, ARRAY_SIZE(reads));

	if (!error && name)
		error = memory_read_string(&guest->memory, (struct gva){name}, one.name, sizeof(one.name));
	return error ? error : append(misc->list, (uint32_t)minor, one);
}

struct error *guest_misc_devices(struct guest *guest, struct guest_numbered_list *ret)
{
	struct guest_numbered_list list = {0};
	struct misc misc = {.list = &list};
	const struct member_need needs[] = {{"miscdevice", "minor", &misc.minor},
					    {"miscdevice", "name", &misc.name},
					    {"miscdevice", "list", &misc.link}};
	struct gva head;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "misc_list", &head);
	if (!error)
		error = list_walk(guest, head, misc.link.offset, visit_misc, &misc);
	return finish(&list, error, "the guest's other devices", ret);
}

/* Two structures of the kernel have that name, so that its types do not tell; this one is as old as the controller. */
struct dma_channel {
	uint32_t lock, padding;
	uint64_t name;
};

static struct error *read_dma(struct guest *guest, struct guest_numbered_list *list)
{
	struct dma_channel channels[8]; /* MAX_DMA_CHANNELS */
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "dma_chan_busy", &symbol);

	if (!error)
		error = memory_read(&guest->memory, symbol, channels, sizeof(channels));
	for (uint32_t i = 0; !error && i < ARRAY_SIZE(channels); i++) {
		struct guest_numbered one = {0};

		if (!channels[i].lock)
			continue;
		error = memory_read_string(&guest->memory, (struct gva){channels[i].name}, one.name, sizeof(one.name));
		if (!error)
			error = append(list, i, one);
	}
	return error;
}

struct error *guest_dma_channels(struct guest *guest, struct guest_numbered_list *ret)
{
	struct guest_numbered_list list = {0};

	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "dma_chan_busy", &symbol);

	if (error)
		return error; /* CONFIG_ISA_DMA_API=n */
	return finish(&list, read_dma(guest, &list), "the guest's DMA channels", ret);
}

#define FRAME_BUFFERS 32u /* FB_MAX */

static struct error *read_frame_buffers(struct guest *guest, struct gva symbol, struct guest_numbered_list *list)
{
	struct member node, name;
	const struct member_need needs[] = {{"fb_info", "node", &node}, {"fb_info", "fix.id", &name}};
	uint64_t buffers[FRAME_BUFFERS], number;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = memory_read(&guest->memory, symbol, buffers, sizeof(buffers));
	for (size_t i = 0; !error && i < FRAME_BUFFERS; i++) {
		struct guest_numbered one = {0};

		if (!buffers[i])
			continue;
		error = guest_read_member(guest, (struct gva){buffers[i]}, &node, &number);
		if (!error)
			error = memory_read_string(&guest->memory, (struct gva){buffers[i] + name.offset}, one.name,
						   name.size < sizeof(one.name) ? name.size + 1 : sizeof(one.name));
		if (!error)
			error = append(list, (uint32_t)number, one);
	}
	return error;
}

struct error *guest_frame_buffers(struct guest *guest, struct guest_numbered_list *ret)
{
	struct guest_numbered_list list = {0};
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "registered_fb", &symbol);

	if (error)
		return error; /* not in the kernel itself */
	return finish(&list, read_frame_buffers(guest, symbol, &list), "the guest's frame buffers", ret);
}

void guest_numbered_list_deinit(struct guest_numbered_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_numbered_list){0};
}
