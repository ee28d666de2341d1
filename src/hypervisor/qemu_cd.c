/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload as the medium of a CD drive that the machine has. The drive is somebody else's: only one whose tray the
 * guest has not locked is taken, and what was in it comes back. For that its medium gets a block node of ours in QEMU
 * itself, where whoever ejects the payload finds it, be it after this process was killed.
 */
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/log.h"
#include "hypervisor/qemu.h"
#include "hypervisor/wire.h"

#define MEDIUM_ID     "ouassister-medium" /* what was in the drive before */
#define EJECT_POLL_MS 200

/* A CD drive; borrowed from the answer of query-block. */
struct drive {
	const char *id;     /* its name, or its path in QEMU's tree */
	const char *node;   /* of its medium; NULL: it is empty */
	const char *format; /* of the medium, and where QEMU has it from; NULL if unknown */
	const char *file;
	bool locked;  /* by the guest, which has mounted the disc or holds the drive open */
	bool is_open; /* the tray */
};

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* query-block also has floppy drives and card readers, which have media but no place for this one. */
static bool is_cd(struct qmp *qmp, const char *id)
{
	_cleanup_(free_ptr) char *path = *id == '/' ? strdup(id) : string_format("/machine/peripheral/%s", id);
	_cleanup_(json_decref_ptr) json_t *type = NULL;
	const char *word;

	if (!path)
		return false;
	error_destroy(qmp_execute(qmp, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "type"), &type));
	word = json_string_value(type);
	return word && (!strcmp(word, "ide-cd") || !strcmp(word, "scsi-cd"));
}

static struct drive drive_of(const json_t *device)
{
	const json_t *inserted = json_object_get(device, "inserted");

	return (struct drive){
		.id = json_is_true(json_object_get(device, "removable")) ? text_of(device, "qdev") : NULL,
		.node = text_of(inserted, "node-name"),
		.format = text_of(inserted, "drv"),
		.file = text_of(inserted, "file"),
		.locked = json_is_true(json_object_get(device, "locked")),
		.is_open = json_is_true(json_object_get(device, "tray_open")),
	};
}

static bool succeeds(struct qmp *qmp, const char *command, json_t *arguments)
{
	struct error *error = arguments ? qmp_execute(qmp, command, arguments, NULL) : error_no_memory();

	if (!error)
		return true;
	log_debug("no payload as a CD: %s: %s", command, error->message);
	error_destroy(error);
	return false;
}

/* A medium that was named on QEMU's command line has no node that outlives its removal: it is opened once more. */
static bool keep_medium(struct qmp *qmp, const struct drive *drive)
{
	if (drive->node && !strcmp(drive->node, MEDIUM_ID))
		return true;
	/* Of an earlier time. If it is in another drive it cannot go, and this one must do without. */
	if (qemu_has_node(qmp, MEDIUM_ID) && !succeeds(qmp, "blockdev-del", json_pack("{s:s}", "node-name", MEDIUM_ID)))
		return false;
	if (!drive->node)
		return true;
	if (*drive->node != '#')
		return succeeds(qmp, "blockdev-add",
				json_pack("{s:s, s:s, s:b, s:s}", "node-name", MEDIUM_ID, "driver", "raw", "read-only",
					  1, "file", drive->node));
	/* Not what comes over a network, or is put together of several. */
	if (!drive->file || !drive->format || strchr(drive->file, ':'))
		return false;
	return succeeds(qmp, "blockdev-add",
			json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "node-name", MEDIUM_ID, "driver", drive->format,
				  "read-only", 1, "file", "driver", "file", "filename", drive->file));
}

static json_t *of_drive(const char *id)
{
	return json_pack("{s:s}", "id", id);
}

static bool insert(struct qmp *qmp, const char *id, const char *node)
{
	return succeeds(qmp, "blockdev-insert-medium", json_pack("{s:s, s:s}", "id", id, "node-name", node));
}

static bool exchange(struct qmp *qmp, const struct drive *drive, const char *node)
{
	bool inserted;

	/* Without force: where the guest has locked the tray since, what follows is refused. */
	if (!succeeds(qmp, "blockdev-open-tray", of_drive(drive->id)))
		return false;
	inserted = (!drive->node || succeeds(qmp, "blockdev-remove-medium", of_drive(drive->id))) &&
		   insert(qmp, drive->id, node);
	if (!inserted && drive->node)
		error_destroy(qmp_execute(qmp, "blockdev-insert-medium",
					  json_pack("{s:s, s:s}", "id", drive->id, "node-name", MEDIUM_ID), NULL));
	return succeeds(qmp, "blockdev-close-tray", of_drive(drive->id)) && inserted;
}

bool qemu_cd_insert(struct qmp *qmp, const char *node)
{
	_cleanup_(json_decref_ptr) json_t *devices = NULL;
	size_t i;
	json_t *device;

	error_destroy(qmp_execute(qmp, "query-block", NULL, &devices));
	json_array_foreach(devices, i, device)
	{
		struct drive drive = drive_of(device);

		/* QEMU would ask the guest to open a locked one, and udev does so, whoever has the disc mounted. */
		if (drive.id && !drive.locked && is_cd(qmp, drive.id) && keep_medium(qmp, &drive) &&
		    exchange(qmp, &drive, node))
			return true;
	}
	return false;
}

/* The drive of that id, or in which that node is; without an id if there is none. It borrows from `devices`. */
static struct drive find_drive(const json_t *devices, const char *id, const char *node)
{
	size_t i;
	json_t *device;

	json_array_foreach(devices, i, device)
	{
		struct drive drive = drive_of(device);

		if (drive.id && (id ? !strcmp(drive.id, id) : drive.node && !strcmp(drive.node, node)))
			return drive;
	}
	return (struct drive){};
}

/* How the tray of a drive is now; neither where there is no such drive. */
static struct error *look_at_tray(struct qmp *qmp, const char *id, bool *locked, bool *is_open)
{
	_cleanup_(json_decref_ptr) json_t *devices = NULL;
	struct error *error = qmp_execute(qmp, "query-block", NULL, &devices);
	struct drive drive = find_drive(devices, id, NULL);

	*locked = drive.locked;
	*is_open = drive.is_open;
	return error;
}

/*
 * Until the tray is open. Of a locked one QEMU says that it was opened when it has asked the guest for that. The guest
 * is asked once: whatever it opened for a second time would be the user's.
 */
static struct error *open_tray(struct qmp *qmp, const char *id, uint64_t timeout_ms)
{
	static const struct timespec pause = {.tv_nsec = EJECT_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(timeout_ms);
	bool asked = false, locked, is_open;

	for (;;) {
		struct error *error = look_at_tray(qmp, id, &locked, &is_open);

		if (error || is_open)
			return error;
		if (clock_monotonic_ns() >= deadline_ns)
			return error_create(ERROR_TIMEOUT, "the guest does not let go of the payload's disc");
		if (!locked || !asked)
			error = qmp_execute(qmp, "blockdev-open-tray", of_drive(id), NULL);
		if (error)
			return error;
		if (locked) {
			asked = true;
			nanosleep(&pause, NULL);
		}
	}
}

static struct error *give_back(struct qmp *qmp, const char *id, uint64_t timeout_ms)
{
	struct error *error = open_tray(qmp, id, timeout_ms);

	if (!error)
		error = qmp_execute(qmp, "blockdev-remove-medium", of_drive(id), NULL);
	if (error)
		return error;
	if (qemu_has_node(qmp, MEDIUM_ID) && !insert(qmp, id, MEDIUM_ID))
		log_warning("what was in the CD drive %s could not be put back", id);
	return qmp_execute(qmp, "blockdev-close-tray", of_drive(id), NULL);
}

struct error *qemu_cd_eject(struct qmp *qmp, const char *node, uint64_t timeout_ms)
{
	_cleanup_(json_decref_ptr) json_t *devices = NULL;
	struct error *error = qmp_execute(qmp, "query-block", NULL, &devices);
	struct drive drive = find_drive(devices, NULL, node);

	return error || !drive.id ? error : give_back(qmp, drive.id, timeout_ms);
}
