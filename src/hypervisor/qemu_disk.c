/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload as a hot-plugged disk. Where a machine takes one differs: i440fx on pci.0, q35 only
 * on a root port that is free, others (q35 without one, microvm) on a SCSI or USB controller they
 * may have, or as the medium of a CD drive. QEMU itself knows best: the places are tried in this
 * order, and its refusal means "not here".
 */
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/qemu.h"
#include "hypervisor/wire.h"

#define PLUG_ID          "ouassister-payload"
#define UNPLUG_MS        30000 /* the guest's kernel lets go of it */
#define UNPLUG_POLL_MS   1000
#define RELEASE_MS       10000
#define RELEASE_POLL_MS  20
#define PCI_CLASS_BRIDGE 0x0604
#define PORTS_MAX        64

static struct error *remove_node(struct qmp *qmp)
{
	return qmp_execute(qmp, "blockdev-del", json_pack("{s:s}", "node-name", PLUG_ID), NULL);
}

/* A device that has gone from QEMU's tree holds its node for a moment still (it is freed by RCU). */
static struct error *remove_released_node(struct qmp *qmp)
{
	static const struct timespec pause = {.tv_nsec = RELEASE_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(RELEASE_MS);

	for (;;) {
		struct error *error = remove_node(qmp);

		if (!error || clock_monotonic_ns() >= deadline_ns)
			return error;
		error_destroy(error);
		nanosleep(&pause, NULL);
	}
}

static struct error *add_node(struct qmp *qmp, const char *path)
{
	json_t *arguments = json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "node-name", PLUG_ID, "driver", "raw",
				      "read-only", 1, "file", "driver", "file", "filename", path);

	if (!arguments)
		return error_create(ERROR_USAGE, "%s: the path is not UTF-8, which QMP cannot take", path);
	return qmp_execute(qmp, "blockdev-add", arguments, NULL);
}

/* bus NULL: QEMU chooses. */
static struct error *add_device(struct qmp *qmp, const char *driver, const char *bus)
{
	json_t *arguments = json_pack("{s:s, s:s, s:s, s:s}", "driver", driver, "id", PLUG_ID, "drive", PLUG_ID,
				      "serial", PAYLOAD_SERIAL);

	if (arguments && bus && json_object_set_new(arguments, "bus", json_string(bus)) < 0) {
		json_decref(arguments);
		return error_no_memory();
	}
	if (!arguments)
		return error_no_memory();
	return qmp_execute(qmp, "device_add", arguments, NULL);
}

/* True if plugged; a refusal is logged and forgotten. */
static bool try_place(struct qmp *qmp, const char *driver, const char *bus)
{
	struct error *error = add_device(qmp, driver, bus);

	if (!error)
		return true;
	log_debug("no payload disk as %s%s%s: %s", driver, bus ? " on " : "", bus ? bus : "", error->message);
	error_destroy(error);
	return false;
}

/* Tries each bridge without devices that has a name; bridges behind bridges too. */
static bool try_ports(struct qmp *qmp, const json_t *devices, unsigned *tried)
{
	size_t i;
	json_t *device;

	json_array_foreach(devices, i, device)
	{
		const char *id = json_string_value(json_object_get(device, "qdev_id"));
		const json_t *class = json_object_get(json_object_get(device, "class_info"), "class");
		const json_t *below = json_object_get(json_object_get(device, "pci_bridge"), "devices");

		if (json_integer_value(class) != PCI_CLASS_BRIDGE || ++*tried > PORTS_MAX)
			continue;
		if (json_array_size(below) > 0 && try_ports(qmp, below, tried))
			return true;
		if (json_array_size(below) == 0 && id && *id && try_place(qmp, "virtio-blk-pci", id))
			return true;
	}
	return false;
}

static bool try_pci_ports(struct qmp *qmp)
{
	_cleanup_(json_decref_ptr) json_t *buses = NULL;
	struct error *error = qmp_execute(qmp, "query-pci", NULL, &buses);
	unsigned tried = 0;
	size_t i;
	json_t *bus;

	error_destroy(error);
	json_array_foreach(buses, i, bus)
	{
		if (try_ports(qmp, json_object_get(bus, "devices"), &tried))
			return true;
	}
	return false;
}

static bool plug_virtio(struct qmp *qmp)
{
	return try_place(qmp, "virtio-blk-pci", NULL);
}

static bool plug_scsi(struct qmp *qmp)
{
	return try_place(qmp, "scsi-hd", NULL);
}

static bool plug_usb(struct qmp *qmp)
{
	return try_place(qmp, "usb-storage", NULL);
}

static bool insert_cd(struct qmp *qmp)
{
	return qemu_cd_insert(qmp, PLUG_ID);
}

/* The best first: a virtio disk is the fastest, a CD the slowest, and somebody else's. */
static bool (*const places[])(struct qmp *) = {plug_virtio, try_pci_ports, plug_scsi, plug_usb, insert_cd};

bool qemu_has_device(struct qmp *qmp, const char *id)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	size_t i;
	json_t *device;

	error_destroy(qmp_execute(qmp, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), &answer));
	json_array_foreach(answer, i, device)
	{
		const char *name = json_string_value(json_object_get(device, "name"));

		if (name && strcmp(name, id) == 0)
			return true;
	}
	return false;
}

bool qemu_has_node(struct qmp *qmp, const char *wanted)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	size_t i;
	json_t *node;

	error_destroy(qmp_execute(qmp, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), &answer));
	json_array_foreach(answer, i, node)
	{
		const char *name = json_string_value(json_object_get(node, "node-name"));

		if (name && strcmp(name, wanted) == 0)
			return true;
	}
	return false;
}

/* Waits for DEVICE_DELETED; an event may be missed by an earlier connection, so it is also looked after. */
static struct error *await_unplugged(struct qmp *qmp)
{
	uint64_t deadline_ns = wire_deadline(UNPLUG_MS);

	while (qemu_has_device(qmp, PLUG_ID)) {
		struct error *error = qmp_wait_event(qmp, "DEVICE_DELETED", UNPLUG_POLL_MS, NULL);

		if (error && error->code != ERROR_TIMEOUT)
			return error;
		error_destroy(error);
		if (clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "the guest does not let go of the payload disk");
	}
	return NULL;
}

static struct error *detach(struct qmp *qmp)
{
	struct error *error = NULL;

	if (qemu_has_device(qmp, PLUG_ID)) {
		/* Refused while an earlier request is pending: then, too, the device goes. */
		error_destroy(qmp_execute(qmp, "device_del", json_pack("{s:s}", "id", PLUG_ID), NULL));
		error = await_unplugged(qmp);
	}
	if (!error)
		error = qemu_cd_eject(qmp, PLUG_ID, UNPLUG_MS);
	if (!error && qemu_has_node(qmp, PLUG_ID))
		error = remove_released_node(qmp);
	return error;
}

struct error *qemu_while_running(struct vm *vm, struct error *(*what)(struct qmp *))
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	return error ? error : what(qmp);
}

struct error *qemu_disk_detach(struct vm *vm)
{
	return qemu_while_running(vm, detach);
}

struct error *qemu_disk_attach(struct vm *vm, const char *path, unsigned *place)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (!error)
		error = detach(qmp);
	if (!error)
		error = add_node(qmp, path);
	if (error)
		return error;
	for (unsigned i = *place; i < ARRAY_SIZE(places); i++)
		if (places[i](qmp)) {
			*place = i;
			return NULL;
		}
	error_destroy(remove_node(qmp));
	*place = PLACE_NONE;
	return error_remedy(error_create(ERROR_UNSUPPORTED, "this machine has no free place to plug a disk in"),
			    "add a -device pcie-root-port,id=… (q35) or a virtio-scsi controller to its command");
}
