/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream into the guest through a new port of its virtio-serial controller. QEMU itself reads the file, so that the
 * stream goes on without us. Both the port and what feeds it are found again by their names, also by who comes after a
 * process of ours that was killed.
 */
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "hypervisor/qemu.h"
#include "hypervisor/wire.h"

#define PORT_ID         "ouassister-port"
#define RELEASE_MS      10000
#define RELEASE_POLL_MS 20

static bool has_source(struct qmp *qmp)
{
	_cleanup_(json_decref_ptr) json_t *answer = NULL;
	size_t i;
	json_t *chardev;

	error_destroy(qmp_execute(qmp, "query-chardev", NULL, &answer));
	json_array_foreach(answer, i, chardev)
	{
		const char *label = json_string_value(json_object_get(chardev, "label"));

		if (label && !strcmp(label, PORT_ID))
			return true;
	}
	return false;
}

static struct error *add_source(struct qmp *qmp, const char *path)
{
	json_t *arguments = json_pack("{s:s, s:{s:s, s:{s:s, s:s}}}", "id", PORT_ID, "backend", "type", "file", "data",
				      "in", path, "out", "/dev/null");

	if (!arguments)
		return error_create(ERROR_USAGE, "%s: the path is not UTF-8, which QMP cannot take", path);
	return qmp_execute(qmp, "chardev-add", arguments, NULL);
}

static struct error *remove_source(struct qmp *qmp)
{
	return qmp_execute(qmp, "chardev-remove", json_pack("{s:s}", "id", PORT_ID), NULL);
}

struct error *qemu_port_attach(struct vm *vm, const char *path)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (error)
		return error;
	/* Somebody in the guest may still read what an earlier process of ours has begun to send. */
	if (qemu_has_device(qmp, PORT_ID))
		return error_create(ERROR_UNSUPPORTED, "an earlier stream is still there");
	if (has_source(qmp))
		error = remove_source(qmp);
	if (!error)
		error = add_source(qmp, path);
	if (error)
		return error_recode(error, ERROR_UNSUPPORTED);
	error = qmp_execute(qmp, "device_add",
			    json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtserialport", "id", PORT_ID, "chardev",
				      PORT_ID, "name", PORT_NAME),
			    NULL);
	if (!error)
		return NULL;
	error_destroy(remove_source(qmp));
	return error_recode(error, ERROR_UNSUPPORTED);
}

/* The port goes without the guest's consent; QEMU may hold its source for a moment still. */
static struct error *detach(struct qmp *qmp)
{
	static const struct timespec pause = {.tv_nsec = RELEASE_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(RELEASE_MS);

	if (qemu_has_device(qmp, PORT_ID))
		error_destroy(qmp_execute(qmp, "device_del", json_pack("{s:s}", "id", PORT_ID), NULL));
	while (has_source(qmp)) {
		struct error *error = remove_source(qmp);

		if (error && clock_monotonic_ns() >= deadline_ns)
			return error;
		if (error)
			nanosleep(&pause, NULL);
		error_destroy(error);
	}
	return NULL;
}

struct error *qemu_port_detach(struct vm *vm)
{
	return qemu_while_running(vm, detach);
}
