/* SPDX-License-Identifier: Apache-2.0 */
/* Disks and partitions with what was read and written: /proc/partitions, /proc/diskstats (block/genhd.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/classes.h"
#include "guest/object.h"

#define DEVICES_MAX    65536u
#define PARTITIONS_MAX 256u /* DISK_MAX_PARTS */
#define MINOR_BITS     20u
#define SECTOR         512u
/* Flags of a disk up to 5.16 (430cc5d3ab4d), which are no constants that the kernel's types name. */
#define OLD_REMOVABLE  (1u << 0)
#define OLD_SUPPRESS   (1u << 5)
#define OLD_EXTENDED   (1u << 6)

struct block_layout {
	bool old; /* up to 5.10 a partition is a struct hd_struct, then a struct block_device (0d02129e76ed) */
	struct member device_type;
	struct member disk_name, disk_flags, disk_first, disk_minors, disk_major, disk_part0, disk_table;
	struct member part_device, part_disk; /* of block_device */
	struct member part_id, part_sectors, part_size, part_start, part_number, part_stats;
	struct member table_n, table_items; /* of disk_part_tbl */
	struct member inode_size;
	struct member times, sectors, requests, merges, ticks, in_flight;
	uint32_t hidden; /* flag of a disk */
	struct gva disk_type;
	struct cpu_sets cpus;
};

/* ---- Members ---- */

static struct error *load_disk(struct guest *guest, struct block_layout *ret)
{
	const struct member_need needs[] = {
		{"device", "type", &ret->device_type},    {"gendisk", "disk_name", &ret->disk_name},
		{"gendisk", "flags", &ret->disk_flags},   {"gendisk", "first_minor", &ret->disk_first},
		{"gendisk", "minors", &ret->disk_minors}, {"gendisk", "major", &ret->disk_major},
		{"gendisk", "part0", &ret->disk_part0},   {"gendisk", "part_tbl", &ret->disk_table},
		{"disk_stats", "nsecs", &ret->times},     {"disk_stats", "sectors", &ret->sectors},
		{"disk_stats", "ios", &ret->requests},    {"disk_stats", "merges", &ret->merges},
		{"disk_stats", "io_ticks", &ret->ticks},  {"disk_stats", "in_flight", &ret->in_flight},
	};
	uint64_t hidden;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && types_enum(guest->types, NULL, "GENHD_FL_HIDDEN", &hidden))
		ret->hidden = (uint32_t)hidden;
	if (!error && (ret->times.count < GUEST_TRANSFERS || ret->merges.count < GUEST_TRANSFERS))
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel counts other kinds of transfers");
	return error;
}

static struct error *load_old(struct guest *guest, struct block_layout *ret)
{
	const struct member_need needs[] = {
		{"hd_struct", "__dev", &ret->part_device},     {"hd_struct", "__dev.devt", &ret->part_id},
		{"hd_struct", "nr_sects", &ret->part_sectors}, {"hd_struct", "start_sect", &ret->part_start},
		{"hd_struct", "partno", &ret->part_number},    {"hd_struct", "dkstats", &ret->part_stats},
		{"disk_part_tbl", "len", &ret->table_n},       {"disk_part_tbl", "part", &ret->table_items},
	};

	return types_need(guest->types, needs, ARRAY_SIZE(needs));
}

static struct error *load_new(struct guest *guest, struct block_layout *ret)
{
	/* A byte of its own until 6.10 (1116b9fa15c0), then the lowest one of the flags. */
	bool apart = types_find(guest->types, "block_device", "bd_partno").present;
	const struct member_need needs[] = {
		{"block_device", "bd_device", &ret->part_device},
		{"block_device", "bd_disk", &ret->part_disk},
		{"block_device", "bd_dev", &ret->part_id},
		/* At first (5.11, a782483cc1f8) the size of the inode. */
		{"block_device", "bd_nr_sectors", &ret->part_sectors, .optional = true},
		{"block_device", "bd_inode", &ret->part_size, .optional = true},
		{"inode", "i_size", &ret->inode_size},
		{"block_device", "bd_start_sect", &ret->part_start, .optional = true},
		{"block_device", apart ? "bd_partno" : "__bd_flags", &ret->part_number},
		{"block_device", "bd_stats", &ret->part_stats},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && !ret->part_sectors.present && !ret->part_size.present)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel does not say how large a disk is");
	return error;
}

static struct error *load_layout(struct guest *guest, struct block_layout *ret)
{
	struct error *error = load_disk(guest, ret);

	ret->old = types_size(guest->types, "hd_struct") != 0;
	if (!error)
		error = ret->old ? load_old(guest, ret) : load_new(guest, ret);
	if (!error)
		error = symbols_get(guest->symbols, "disk_type", &ret->disk_type);
	if (!error)
		error = cpu_sets_load(guest, &ret->cpus);
	return error;
}

/* ---- Counters ---- */

static uint64_t word_at(const struct object *stats, const struct member *member, size_t i)
{
	uint64_t value;

	memcpy(&value, stats->bytes + member->offset + i * sizeof(value), sizeof(value));
	return value;
}

static struct error *add_stats(struct guest *guest, const struct block_layout *layout, uint64_t variable, uint32_t cpu,
			       struct guest_block_device *ret)
{
	struct object_span span = {types_size(guest->types, "disk_stats")};
	struct object stats;
	struct gva address;
	struct error *error = span.size <= OBJECT_MAX ? guest_percpu(guest, (struct gva){variable}, cpu, &address)
						      : error_create(ERROR_UNSUPPORTED, "absurd struct disk_stats");

	if (!error)
		error = object_load(guest, span, address.v, &stats);
	if (error)
		return error;
	for (size_t i = 0; i < GUEST_TRANSFERS; i++) {
		ret->transfers[i].requests += word_at(&stats, &layout->requests, i);
		ret->transfers[i].merges += word_at(&stats, &layout->merges, i);
		ret->transfers[i].sectors += word_at(&stats, &layout->sectors, i);
		ret->transfers[i].time_ns += word_at(&stats, &layout->times, i);
	}
	ret->busy_ticks += object_get(&stats, &layout->ticks);
	/* Of one CPU it can be below zero: a request may end on another. */
	ret->in_flight += (uint32_t)word_at(&stats, &layout->in_flight, 0);
	ret->in_flight += (uint32_t)word_at(&stats, &layout->in_flight, 1);
	return NULL;
}

static struct error *read_stats(struct guest *guest, const struct block_layout *layout, uint64_t variable,
				struct guest_block_device *ret)
{
	struct error *error = NULL;

	for_each_cpu(cpu, layout->cpus.possible_set) {
		error = guest_effort(guest, 1, variable);
		if (!error)
			error = add_stats(guest, layout, variable, cpu, ret);
		if (error)
			break;
	}
	if ((int32_t)ret->in_flight < 0)
		ret->in_flight = 0;
	return error;
}

/* ---- Partitions ---- */

struct walk {
	struct block_layout *layout;
	struct guest_block_device_list *list;
	struct gva disk;
	char name[32]; /* of the disk */
	bool hidden;
};

static void set_name(const char *disk, struct guest_block_device *ret)
{
	size_t n = strlen(disk);
	bool digit = n && disk[n - 1] >= '0' && disk[n - 1] <= '9';

	if (ret->partition)
		snprintf(ret->name, sizeof(ret->name), "%s%s%u", disk, digit ? "p" : "", ret->partition);
	else
		snprintf(ret->name, sizeof(ret->name), "%s", disk);
}

static struct error *read_size(struct guest *guest, const struct block_layout *layout, struct gva part,
			       struct guest_block_device *ret)
{
	uint64_t inode, size;
	struct error *error;

	if (layout->part_sectors.present)
		return guest_read_member(guest, part, &layout->part_sectors, &ret->sectors);
	error = guest_read_member(guest, part, &layout->part_size, &inode);
	if (!error)
		error = guest_read_member(guest, (struct gva){inode}, &layout->inode_size, &size);
	if (!error)
		ret->sectors = size / SECTOR;
	return error;
}

static struct error *add_part(struct guest *guest, struct walk *walk, struct gva part)
{
	const struct block_layout *layout = walk->layout;
	struct guest_block_device_list *list = walk->list;
	struct guest_block_device device = {.hidden = walk->hidden};
	uint64_t id, number, stats;
	const struct member_read reads[] = {
		{&layout->part_id, &id}, {&layout->part_number, &number}, {&layout->part_stats, &stats}};
	struct error *error = guest_read_members(guest, part, reads, ARRAY_SIZE(reads));

	if (!error && list->n == DEVICES_MAX)
		error = error_format(NULL, part.v, "the guest has more than %u disks", DEVICES_MAX);
	if (!error)
		error = read_size(guest, layout, part, &device);
	if (!error && layout->part_start.present)
		error = guest_read_member(guest, part, &layout->part_start, &device.start);
	if (error)
		return error;
	device.major = (uint32_t)id >> MINOR_BITS;
	device.minor = (uint32_t)id & ((1u << MINOR_BITS) - 1);
	device.partition = number & 0xff;
	/* One that is being taken away. */
	if (device.partition && !device.sectors)
		return NULL;
	set_name(walk->name, &device);
	error = read_stats(guest, layout, stats, &device);
	if (!error)
		error = array_room(&list->items, list->n, sizeof(*list->items));
	if (!error)
		list->items[list->n++] = device;
	return error;
}

static struct error *visit_part(struct guest *guest, uint64_t first, uint64_t last, uint64_t entry, void *context)
{
	struct walk *walk = context;

	return walk_note(&walk->list->incomplete, add_part(guest, walk, (struct gva){entry}));
}

/* The table's first entry is the disk itself. */
static struct error *walk_old_table(struct guest *guest, struct walk *walk)
{
	const struct block_layout *layout = walk->layout;
	uint64_t table, n, parts[PARTITIONS_MAX];
	struct error *error = guest_read_member(guest, walk->disk, &layout->disk_table, &table);

	if (!error)
		error = guest_read_member(guest, (struct gva){table}, &layout->table_n, &n);
	if (!error && n > PARTITIONS_MAX)
		error = error_format(NULL, table, "a disk of the guest has %llu partitions", (unsigned long long)n);
	if (!error)
		error = memory_read(&guest->memory, (struct gva){table + layout->table_items.offset}, parts, n * 8);
	for (uint64_t i = 0; !error && i < n; i++)
		if (parts[i])
			error = visit_part(guest, i, i, parts[i], walk);
	return error;
}

/* ---- Disks ---- */

static struct error *is_hidden(struct guest *guest, const struct block_layout *layout, struct gva disk, bool *ret)
{
	uint64_t flags, minors;
	const struct member_read reads[] = {{&layout->disk_flags, &flags}, {&layout->disk_minors, &minors}};
	struct error *error = guest_read_members(guest, disk, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	if (layout->hidden)
		*ret = flags & layout->hidden;
	else
		*ret = flags & OLD_SUPPRESS ||
		       (flags & OLD_REMOVABLE && !(flags & OLD_EXTENDED) && (uint32_t)minors <= 1);
	return NULL;
}

/* The disk that a device of the class belongs to. */
static struct error *disk_of(struct guest *guest, const struct block_layout *layout, struct gva device, struct gva *ret)
{
	if (!layout->old)
		return guest_read_member(guest, (struct gva){device.v - layout->part_device.offset}, &layout->part_disk,
					 &ret->v);
	ret->v = device.v - layout->disk_part0.offset - layout->part_device.offset;
	return NULL;
}

static struct error *add_disk(struct guest *guest, struct walk *walk, struct gva device)
{
	const struct block_layout *layout = walk->layout;
	struct error *error = disk_of(guest, layout, device, &walk->disk);

	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){walk->disk.v + layout->disk_name.offset},
					   walk->name, sizeof(walk->name));
	if (!error)
		error = is_hidden(guest, layout, walk->disk, &walk->hidden);
	if (error)
		return error;
	return layout->old
		       ? walk_old_table(guest, walk)
		       : xarray_walk(guest, (struct gva){walk->disk.v + layout->disk_table.offset}, visit_part, walk);
}

/* Partitions are devices of the class, too. */
static struct error *visit_device(struct guest *guest, struct gva device, void *context)
{
	struct walk *walk = context;
	uint64_t type;
	struct error *error = guest_read_member(guest, device, &walk->layout->device_type, &type);

	if (!error && type == walk->layout->disk_type.v)
		error = add_disk(guest, walk, device);
	return walk_note(&walk->list->incomplete, error);
}

struct error *guest_block_devices(struct guest *guest, struct guest_block_device_list *ret)
{
	_cleanup_(free_ptr) struct block_layout *layout = calloc(1, sizeof(*layout));
	struct guest_block_device_list list = {0};
	struct walk walk = {.layout = layout, .list = &list};
	struct error *error = layout ? load_layout(guest, layout) : error_no_memory();

	guest_effort_begin(guest);
	if (!error)
		error = guest_tick_rate(guest, &list.tick_rate);
	if (!error)
		error = walk_note(&list.incomplete, class_walk(guest, "block_class", visit_device, &walk));
	if (error) {
		guest_block_device_list_deinit(&list);
		return error_wrap(error, "the guest's disks");
	}
	*ret = list;
	return NULL;
}

void guest_block_device_list_deinit(struct guest_block_device_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_block_device_list){0};
}
