/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What files of sysfs would say. Each is a function of the running kernel; those below say a number or a text that lies
 * in its structures, and are written down as a table: the kind of directory, the file, where its value lies.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/internal.h"
#include "guest/sysfs.h"

#define NAME_SIZE 64u

/* ---- Devices ---- */

/* dev_t as the kernel has it. */
static unsigned major_of(uint64_t device)
{
	return (unsigned)(device >> 20) & 0xfff;
}

static unsigned minor_of(uint64_t device)
{
	return (unsigned)device & 0xfffff;
}

static struct error *unknown(void)
{
	return error_create(ERROR_NOT_FOUND, "memory does not tell it, or we do not know how");
}

/* The string that the member of `object` points to; "" for none. */
static struct error *read_text(struct guest *guest, uint64_t object, const struct member *member, char ret[NAME_SIZE])
{
	uint64_t address;
	struct error *error = guest_read_member(guest, (struct gva){object}, member, &address);

	ret[0] = '\0';
	if (error || !address)
		return error;
	return memory_read_string(&guest->memory, (struct gva){address}, ret, NAME_SIZE);
}

static struct error *read_device(struct guest *guest, const struct sysfs_layout *l, uint64_t object,
				 struct sysfs_device *ret)
{
	uint64_t kind, type = 0;
	struct error *error = guest_read_member(guest, (struct gva){object}, &l->kobject_type, &type);

	if (!error && type != l->device_type)
		return unknown();
	ret->address = object - l->device_object.offset;
	if (!error)
		error = guest_read_member(guest, (struct gva){ret->address}, &l->device_class, &ret->class);
	if (!error)
		error = guest_read_member(guest, (struct gva){ret->address}, &l->device_bus, &ret->bus);
	if (!error)
		error = guest_read_member(guest, (struct gva){ret->address}, &l->device_kind, &ret->kind);
	if (error)
		return error;
	kind = ret->bus ? ret->bus : ret->class;
	ret->subsystem[0] = '\0';
	if (!kind)
		return NULL;
	return read_text(guest, kind, ret->bus ? &l->bus_name : &l->class_name, ret->subsystem);
}

static struct error *show_dev(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
			      char **ret)
{
	uint64_t number;
	struct error *error = guest_read_member(guest, (struct gva){device->address}, &l->device_number, &number);

	if (error)
		return error;
	*ret = string_format("%u:%u\n", major_of(number), minor_of(number));
	return *ret ? NULL : error_no_memory();
}

/* ---- Members ---- */

enum form {
	DECIMAL,
	HEX2,
	HEX4,
	HEX6,
	HALF_KIB,
	SECTORS_AS_BYTES,
	BIT,
	NOT_BIT,
	PART
};

struct rule {
	const char *subsystem, *file;
	const char *structure, *device; /* what is around the struct device, and its member of that type */
	const char *member;
	enum form form;
	unsigned bit; /* BIT, NOT_BIT: which one */
};

static const struct rule rules[] = {
	{"block", "size", "block_device", "bd_device", "bd_nr_sectors", DECIMAL},
	{"block", "start", "block_device", "bd_device", "bd_start_sect", DECIMAL},
	{"block", "partition", "block_device", "bd_device", "bd_partno", DECIMAL},
	{"block", "partition", "block_device", "bd_device", "__bd_flags", PART}, /* 6.10 and later */
	{"block", "ro", "block_device", "bd_device", "bd_read_only", DECIMAL},
	{"block", "ro", "block_device", "bd_device", "__bd_flags", BIT, 8},
	/* Before 5.11. */
	{"block", "size", "hd_struct", "__dev", "nr_sects", DECIMAL},
	{"block", "start", "hd_struct", "__dev", "start_sect", DECIMAL},
	{"block", "partition", "hd_struct", "__dev", "partno", DECIMAL},
	{"block", "ro", "hd_struct", "__dev", "policy", DECIMAL},
	{"pci", "vendor", "pci_dev", "dev", "vendor", HEX4},
	{"pci", "device", "pci_dev", "dev", "device", HEX4},
	{"pci", "subsystem_vendor", "pci_dev", "dev", "subsystem_vendor", HEX4},
	{"pci", "subsystem_device", "pci_dev", "dev", "subsystem_device", HEX4},
	{"pci", "class", "pci_dev", "dev", "class", HEX6},
	{"pci", "revision", "pci_dev", "dev", "revision", HEX2},
	{"virtio", "vendor", "virtio_device", "dev", "id.vendor", HEX4},
	{"virtio", "device", "virtio_device", "dev", "id.device", HEX4},
};

/* Of a disk's queue. */
static const struct rule queue_rules[] = {
	{"", "logical_block_size", "request_queue", NULL, "limits.logical_block_size", DECIMAL},
	{"", "hw_sector_size", "request_queue", NULL, "limits.logical_block_size", DECIMAL},
	{"", "physical_block_size", "request_queue", NULL, "limits.physical_block_size", DECIMAL},
	{"", "minimum_io_size", "request_queue", NULL, "limits.io_min", DECIMAL},
	{"", "optimal_io_size", "request_queue", NULL, "limits.io_opt", DECIMAL},
	{"", "chunk_sectors", "request_queue", NULL, "limits.chunk_sectors", DECIMAL},
	{"", "discard_granularity", "request_queue", NULL, "limits.discard_granularity", DECIMAL},
	{"", "discard_max_bytes", "request_queue", NULL, "limits.max_discard_sectors", SECTORS_AS_BYTES},
	{"", "discard_max_hw_bytes", "request_queue", NULL, "limits.max_hw_discard_sectors", SECTORS_AS_BYTES},
	{"", "max_sectors_kb", "request_queue", NULL, "limits.max_sectors", HALF_KIB},
	{"", "max_hw_sectors_kb", "request_queue", NULL, "limits.max_hw_sectors", HALF_KIB},
	{"", "max_segments", "request_queue", NULL, "limits.max_segments", DECIMAL},
	{"", "max_segment_size", "request_queue", NULL, "limits.max_segment_size", DECIMAL},
	{"", "nr_requests", "request_queue", NULL, "nr_requests", DECIMAL},
	/* BLK_FEAT_ROTATIONAL (6.11 and later). */
	{"", "rotational", "request_queue", NULL, "limits.features", BIT, 2},
	{"", "rotational", "request_queue", NULL, "queue_flags", NOT_BIT, 6}, /* QUEUE_FLAG_NONROT before */
};

static struct error *write_form(const struct rule *rule, uint64_t value, char **ret)
{
	switch (rule->form) {
	case DECIMAL:
		*ret = string_format("%" PRIu64 "\n", value);
		break;
	case HEX2:
		*ret = string_format("0x%02" PRIx64 "\n", value);
		break;
	case HEX4:
		*ret = string_format("0x%04" PRIx64 "\n", value);
		break;
	case HEX6:
		*ret = string_format("0x%06" PRIx64 "\n", value);
		break;
	case HALF_KIB:
		*ret = string_format("%" PRIu64 "\n", value >> 1);
		break;
	case SECTORS_AS_BYTES:
		*ret = string_format("%" PRIu64 "\n", value << 9);
		break;
	case BIT:
		*ret = string_format("%u\n", (unsigned)(value >> rule->bit & 1));
		break;
	case NOT_BIT:
		*ret = string_format("%u\n", (unsigned)(~value >> rule->bit & 1));
		break;
	case PART:
		*ret = string_format("%u\n", (unsigned)(value & 0xff));
		break;
	}
	return *ret ? NULL : error_no_memory();
}

/* Types of drivers are in their module's own, where they are one. */
static struct error *types_of(struct guest *guest, const char *structure, const struct types **ret)
{
	if (strcmp(structure, "virtio_device") == 0)
		return guest_module_types(guest, "virtio", ret);
	*ret = guest->types;
	return NULL;
}

static struct error *show_rule(struct guest *guest, const struct rule *rule, uint64_t object, char **ret)
{
	struct member device = {0}, member;
	const struct types *types;
	uint64_t value;
	struct error *error = types_of(guest, rule->structure, &types);

	if (error)
		return error;
	member = types_find(types, rule->structure, rule->member);
	if (rule->device)
		device = types_find(types, rule->structure, rule->device);
	if (!member.present || (rule->device && !device.present))
		return unknown();
	error = guest_read_member(guest, (struct gva){object - device.offset}, &member, &value);
	return error ? error : write_form(rule, value, ret);
}

static struct error *show_by(struct guest *guest, const struct rule *table, size_t n, const char *subsystem,
			     const char *file, uint64_t object, char **ret)
{
	for (size_t i = 0; i < n; i++) {
		struct error *error;

		if (strcmp(table[i].file, file) != 0 || strcmp(table[i].subsystem, subsystem) != 0)
			continue;
		error = show_rule(guest, &table[i], object, ret);
		if (!error || error->code != ERROR_NOT_FOUND)
			return error;
		error_destroy(error);
	}
	return unknown();
}

/* ---- Disks ---- */

/* The struct gendisk of a disk or a partition. */
static struct error *disk_of(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
			     uint64_t *ret)
{
	if (!l->bdev_device.present || !l->bdev_disk.present)
		return unknown();
	return guest_read_member(guest, (struct gva){device->address - l->bdev_device.offset}, &l->bdev_disk, ret);
}

/* Read-only by itself, or because all of the disk is. */
static struct error *show_read_only(struct guest *guest, const struct sysfs_layout *l,
				    const struct sysfs_device *device, char **ret)
{
	_cleanup_(free_ptr) char *own = NULL;
	uint64_t disk, state = 0;
	struct error *error = show_by(guest, rules, ARRAY_SIZE(rules), "block", "ro", device->address, &own);

	if (!error && l->bdev_device.present) {
		error = disk_of(guest, l, device, &disk);
		if (!error)
			error = guest_read_member(guest, (struct gva){disk}, &l->disk_state, &state);
	}
	if (error)
		return error;
	*ret = strdup(state & 2 ? "1\n" : own); /* GD_READ_ONLY is bit 1 */
	return *ret ? NULL : error_no_memory();
}

static struct error *show_removable(struct guest *guest, const struct sysfs_layout *l,
				    const struct sysfs_device *device, char **ret)
{
	uint64_t disk, flags;
	struct error *error = disk_of(guest, l, device, &disk);

	if (!error)
		error = guest_read_member(guest, (struct gva){disk}, &l->disk_flags, &flags);
	if (error)
		return error;
	*ret = strdup(flags & 1 ? "1\n" : "0\n"); /* GENHD_FL_REMOVABLE */
	return *ret ? NULL : error_no_memory();
}

static struct error *queue_of(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *disk,
			      uint64_t *ret)
{
	if (l->bdev_device.present && l->bdev_queue.present)
		return guest_read_member(guest, (struct gva){disk->address - l->bdev_device.offset}, &l->bdev_queue,
					 ret);
	/* Before 5.11 the disk's own partition is in the middle of it. */
	if (l->part_device.present && l->disk_part.present)
		return guest_read_member(guest,
					 (struct gva){disk->address - l->part_device.offset - l->disk_part.offset},
					 &l->disk_queue, ret);
	return unknown();
}

static struct error *show_queue(struct guest *guest, const struct sysfs_layout *l, const struct guest_kernfs *tree,
				uint32_t directory, const char *file, char **ret)
{
	uint64_t disk_object = tree->items[tree->items[directory].parent].object, queue;
	struct sysfs_device disk;
	struct error *error = read_device(guest, l, disk_object, &disk);

	if (!error && strcmp(disk.subsystem, "block") != 0)
		error = unknown();
	if (!error)
		error = queue_of(guest, l, &disk, &queue);
	return error ? error : show_by(guest, queue_rules, ARRAY_SIZE(queue_rules), "", file, queue, ret);
}

/* ---- uevent ---- */

/* No function adds to what every device says. */
static struct error *has_no_more(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				 bool *ret)
{
	uint64_t of_class = 0, of_bus = 0, of_kind = 0;
	struct error *error = NULL;

	if (device->class)
		error = guest_read_member(guest, (struct gva){device->class}, &l->class_uevent, &of_class);
	if (!error && device->bus)
		error = guest_read_member(guest, (struct gva){device->bus}, &l->bus_uevent, &of_bus);
	if (!error && device->kind)
		error = guest_read_member(guest, (struct gva){device->kind}, &l->kind_uevent, &of_kind);
	*ret = !of_class && !of_bus && !of_kind;
	return error;
}

/* A function that chooses a name for the node. */
static struct error *has_own_name(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				  bool *ret)
{
	uint64_t of_class = 0, of_kind = 0;
	struct error *error = NULL;

	if (device->class)
		error = guest_read_member(guest, (struct gva){device->class}, &l->class_devnode, &of_class);
	if (!error && device->kind)
		error = guest_read_member(guest, (struct gva){device->kind}, &l->kind_devnode, &of_kind);
	*ret = of_class || of_kind;
	return error;
}

static struct error *write_number(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				  const char *name, FILE *out)
{
	bool block = strcmp(device->subsystem, "block") == 0, own_name = false;
	uint64_t number;
	struct error *error = guest_read_member(guest, (struct gva){device->address}, &l->device_number, &number);

	if (error || !number)
		return error;
	/* Of disks only very old drivers have such a function. */
	if (!block)
		error = has_own_name(guest, l, device, &own_name);
	if (!error && own_name)
		error = unknown();
	if (error)
		return error;
	fprintf(out, "MAJOR=%u\nMINOR=%u\nDEVNAME=", major_of(number), minor_of(number));
	for (const char *p = name; *p; p++)
		fputc(*p == '!' ? '/' : *p, out);
	fputc('\n', out);
	return NULL;
}

static struct error *write_pci(struct guest *guest, const struct sysfs_device *device, const char *name, FILE *out)
{
	static const char *const names[] = {"class", "vendor", "device", "subsystem_vendor", "subsystem_device"};
	uint64_t values[ARRAY_SIZE(names)];
	struct member around = types_find(guest->types, "pci_dev", "dev");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct member member = types_find(guest->types, "pci_dev", names[i]);
		struct error *error;

		if (!member.present || !around.present)
			return unknown();
		error = guest_read_member(guest, (struct gva){device->address - around.offset}, &member, &values[i]);
		if (error)
			return error;
	}
	fprintf(out,
		"PCI_CLASS=%04" PRIX64 "\nPCI_ID=%04" PRIX64 ":%04" PRIX64 "\nPCI_SUBSYS_ID=%04" PRIX64 ":%04" PRIX64
		"\nPCI_SLOT_NAME=%s\n",
		values[0], values[1], values[2], values[3], values[4], name);
	fprintf(out,
		"MODALIAS=pci:v%08" PRIX64 "d%08" PRIX64 "sv%08" PRIX64 "sd%08" PRIX64 "bc%02X"
		"sc%02X"
		"i%02X\n",
		values[1], values[2], values[3], values[4], (unsigned)(values[0] >> 16) & 0xff,
		(unsigned)(values[0] >> 8) & 0xff, (unsigned)values[0] & 0xff);
	return NULL;
}

static struct error *write_virtio(struct guest *guest, const struct sysfs_device *device, FILE *out)
{
	const struct types *types;
	uint64_t vendor, id;
	struct member around, vendor_member, id_member;
	struct error *error = guest_module_types(guest, "virtio", &types);

	if (error)
		return error;
	around = types_find(types, "virtio_device", "dev");
	vendor_member = types_find(types, "virtio_device", "id.vendor");
	id_member = types_find(types, "virtio_device", "id.device");
	if (!around.present || !vendor_member.present || !id_member.present)
		return unknown();
	error = guest_read_member(guest, (struct gva){device->address - around.offset}, &vendor_member, &vendor);
	if (!error)
		error = guest_read_member(guest, (struct gva){device->address - around.offset}, &id_member, &id);
	if (!error)
		fprintf(out, "MODALIAS=virtio:d%08" PRIX64 "v%08" PRIX64 "\n", id, vendor);
	return error;
}

/* What disk_uevent() and part_uevent() add. */
static struct error *write_block(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				 FILE *out)
{
	_cleanup_(free_ptr) char *number = NULL;
	uint64_t disk, sequence;
	struct error *error;

	if (l->bdev_device.present && l->bdev_disk.present && l->disk_sequence.present) {
		error = guest_read_member(guest, (struct gva){device->address - l->bdev_device.offset}, &l->bdev_disk,
					  &disk);
		if (!error)
			error = guest_read_member(guest, (struct gva){disk}, &l->disk_sequence, &sequence);
		if (error)
			return error;
		fprintf(out, "DISKSEQ=%" PRIu64 "\n", sequence);
	}
	error = show_by(guest, rules, ARRAY_SIZE(rules), "block", "partition", device->address, &number);
	if (!error && strcmp(number, "0\n") != 0)
		fprintf(out, "PARTN=%s", number);
	return error;
}

static struct error *write_more(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				const char *name, FILE *out)
{
	bool nothing;
	struct error *error;

	if (strcmp(device->subsystem, "pci") == 0)
		return write_pci(guest, device, name, out);
	if (strcmp(device->subsystem, "virtio") == 0)
		return write_virtio(guest, device, out);
	if (strcmp(device->subsystem, "block") == 0)
		return write_block(guest, l, device, out);
	error = has_no_more(guest, l, device, &nothing);
	return error || nothing ? error : unknown();
}

static struct error *write_uevent(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				  const char *name, FILE *out)
{
	char text[NAME_SIZE] = "";
	uint64_t driver;
	struct error *error = write_number(guest, l, device, name, out);

	if (!error && device->kind)
		error = read_text(guest, device->kind, &l->kind_name, text);
	if (!error && text[0])
		fprintf(out, "DEVTYPE=%s\n", text);
	if (!error)
		error = guest_read_member(guest, (struct gva){device->address}, &l->device_driver, &driver);
	if (!error && driver) {
		error = read_text(guest, driver, &l->driver_name, text);
		if (!error)
			fprintf(out, "DRIVER=%s\n", text);
	}
	return error ? error : write_more(guest, l, device, name, out);
}

static struct error *show_uevent(struct guest *guest, const struct sysfs_layout *l, const struct sysfs_device *device,
				 const char *name, char **ret)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct error *error;

	if (!out)
		return error_no_memory();
	error = write_uevent(guest, l, device, name, out);
	if (fclose(out) != 0 && !error)
		error = error_no_memory();
	if (!error)
		*ret = take_ptr(text);
	return error;
}

/* ---- All of them ---- */

static struct error *load_layout(struct guest *guest, struct sysfs_layout *l)
{
	const struct member_need needs[] = {
		{"kobject", "ktype", &l->kobject_type},
		{"device", "kobj", &l->device_object},
		{"device", "devt", &l->device_number},
		{"device", "class", &l->device_class},
		{"device", "bus", &l->device_bus},
		{"device", "type", &l->device_kind},
		{"device", "driver", &l->device_driver},
		{"class", "name", &l->class_name},
		{"class", "dev_uevent", &l->class_uevent},
		{"class", "devnode", &l->class_devnode},
		{"bus_type", "name", &l->bus_name},
		{"bus_type", "uevent", &l->bus_uevent},
		{"device_type", "name", &l->kind_name},
		{"device_type", "uevent", &l->kind_uevent},
		{"device_type", "devnode", &l->kind_devnode},
		{"device_driver", "name", &l->driver_name},
		{"block_device", "bd_device", &l->bdev_device, .optional = true},
		{"block_device", "bd_queue", &l->bdev_queue, .optional = true},
		{"block_device", "bd_disk", &l->bdev_disk, .optional = true},
		{"hd_struct", "__dev", &l->part_device, .optional = true},
		{"gendisk", "part0", &l->disk_part, .optional = true},
		{"gendisk", "queue", &l->disk_queue, .optional = true},
		{"gendisk", "state", &l->disk_state},
		{"gendisk", "flags", &l->disk_flags},
		{"gendisk", "diskseq", &l->disk_sequence, .optional = true},
	};
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));
	struct gva type;

	if (!error)
		error = symbols_get(guest->symbols, "device_ktype", &type);
	if (!error)
		l->device_type = type.v;
	return error;
}

DEFINE_LAYOUT_GET(static, layout_get, sysfs_layout, sysfs, load_layout)

struct error *guest_sysfs_value(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
{
	const struct guest_kernfs_node *node = &tree->items[index], *directory = &tree->items[node->parent];
	const struct sysfs_layout *l = NULL;
	struct sysfs_device device;
	struct error *error = layout_get(guest, &l);

	if (!error)
		error = sysfs_text(guest, tree, index, ret);
	if (!error || error->code != ERROR_NOT_FOUND)
		return error;
	error_destroy(error);
	if (!directory->object)
		return unknown();
	if (strcmp(directory->name, "queue") == 0)
		return show_queue(guest, l, tree, node->parent, node->name, ret);
	error = read_device(guest, l, directory->object, &device);
	if (error)
		return error;
	if (strcmp(node->name, "dev") == 0)
		return show_dev(guest, l, &device, ret);
	if (strcmp(node->name, "uevent") == 0)
		return show_uevent(guest, l, &device, directory->name, ret);
	if (strcmp(device.subsystem, "block") == 0 && strcmp(node->name, "ro") == 0)
		return show_read_only(guest, l, &device, ret);
	if (strcmp(device.subsystem, "block") == 0 && strcmp(node->name, "removable") == 0)
		return show_removable(guest, l, &device, ret);
	return show_by(guest, rules, ARRAY_SIZE(rules), device.subsystem, node->name, device.address, ret);
}
