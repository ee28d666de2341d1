/* SPDX-License-Identifier: Apache-2.0 */
/* Devices behind sysfs. Private to guest/. */
#ifndef GUEST_SYSFS_H
#define GUEST_SYSFS_H

#include "guest/internal.h"
#include "guest/kernfs.h"

struct sysfs_layout {
	uint64_t device_type; /* address of device_ktype, which every struct device has */
	struct member kobject_type;
	struct member device_object, device_number, device_class, device_bus, device_kind, device_driver;
	struct member class_name, class_uevent, class_devnode, bus_name, bus_uevent;
	struct member kind_name, kind_uevent, kind_devnode; /* of struct device_type */
	struct member driver_name;
	struct member bdev_device, bdev_queue, bdev_disk; /* 5.11 and later */
	struct member part_device, disk_part, disk_queue; /* before */
	struct member disk_state, disk_flags;
	struct member disk_sequence; /* 5.15 and later */
};

/* A struct device; addresses, 0 for none. */
struct sysfs_device {
	uint64_t address, class, bus, kind;
	char subsystem[64]; /* name of its bus, or else of its class */
};

/* A file that is no device's, as guest_sysfs_value(). */
struct error *sysfs_text(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret) _must_check_;

/* The same for files about processors. */
struct error *sysfs_cpu_text(struct guest *guest, const struct guest_kernfs *tree, uint32_t index, char **ret)
	_must_check_;

#endif
