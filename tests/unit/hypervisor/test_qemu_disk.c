/* SPDX-License-Identifier: Apache-2.0 */
/* Where a payload is plugged into a real QEMU without a guest, and what becomes of the disc that was in the drive. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qemu.h"
#include "qemu_fixture.h"

/* *place: where from, and then where. */
static struct error *plug(struct fixture *fixture, const char *const *command, unsigned *place)
{
	_cleanup_(free_ptr) char *path = string_format("%s/payload", fixture->directory);

	assert_ok(io_replace_file(path, "payload", 7, 0600));
	use(fixture, command);
	assert_ok(vm_boot_paused(fixture->vm));
	return hypervisor_qemu.disk_attach(fixture->vm, path, place);
}

static void test_plug_places(void **state)
{
	static const char *const with_port[] = {MACHINE("q35"), QMP, "-device", "pcie-root-port,id=port1,chassis=1",
						NULL};
	static const char *const with_usb[] = {MACHINE("q35"), QMP, "-device", "qemu-xhci", NULL};
	static const char *const bare[] = {MACHINE("q35"), QMP, NULL};
	static const char *const micro[] = {MACHINE("microvm"), QMP, NULL};
	static const char *const micro_scsi[] = {MACHINE("microvm"), QMP, "-device", "virtio-scsi-device", NULL};
	static const char *const with_cd[] = {MACHINE("q35"), QMP, "-device", "ide-cd", NULL};
	static const char *const all[] = {MACHINE("q35"),
					  QMP,
					  "-device",
					  "pcie-root-port,id=port1,chassis=1",
					  "-device",
					  "virtio-scsi-pci",
					  "-device",
					  "qemu-xhci",
					  "-device",
					  "ide-cd",
					  NULL};
	/* 0 virtio, 1 on a port, 2 SCSI, 3 USB, 4 CD. */
	static const struct {
		const char *const *command;
		unsigned from, place;
	} places[] = {{qemu_pc, 0, 0},
		      {with_port, 0, 1},
		      {with_usb, 0, 3},
		      {with_cd, 0, 4},
		      {micro_scsi, 0, 2},
		      {all, 0, 1},
		      {all, 2, 2},
		      {all, 3, 3},
		      {all, 4, 4},
		      {all, 5, PLACE_NONE},
		      {with_usb, 4, PLACE_NONE},
		      {bare, 0, PLACE_NONE},
		      {micro, 0, PLACE_NONE}};
	struct fixture *fixture = *state;

	need_qemu();
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		unsigned place = places[i].from;

		if (places[i].place != PLACE_NONE)
			assert_ok(plug(fixture, places[i].command, &place));
		else
			assert_error(plug(fixture, places[i].command, &place), ERROR_UNSUPPORTED);
		assert_int_equal(place, places[i].place);
		assert_ok(vm_quit(fixture->vm));
	}
}

/* The node of the drive's medium, "" if it is empty. */
static void medium_of(struct fixture *fixture, char ret[64])
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	_cleanup_(json_decref_ptr) json_t *devices = NULL;
	const json_t *inserted;
	const char *node;

	assert_ok(qmp_open(fixture->qmp, &qmp));
	assert_ok(qmp_execute(qmp, "query-block", NULL, &devices));
	assert_int_equal(json_array_size(devices), 1);
	assert_false(json_is_true(json_object_get(json_array_get(devices, 0), "tray_open")));
	inserted = json_object_get(json_array_get(devices, 0), "inserted");
	node = json_string_value(json_object_get(inserted, "node-name"));
	snprintf(ret, 64, "%s%s", node ? node : "",
		 node && *node == '#' ? json_string_value(json_object_get(inserted, "file")) : "");
}

/* What was in the drive comes back: nothing, a medium of the command line, one with a node of its own. */
static void test_cd_comes_back(void **state)
{
	static const char *const empty[] = {MACHINE("q35"), QMP, "-device", "ide-cd,id=cd0", NULL};
	static const char *const plain[] = {MACHINE("q35"), QMP, "-cdrom", "disc", NULL};
	static const char *const named[] = {MACHINE("q35"),
					    QMP,
					    "-blockdev",
					    "raw,node-name=mine,read-only=on,file.driver=file,file.filename=disc",
					    "-device",
					    "ide-cd,drive=mine",
					    NULL};
	static const struct {
		const char *const *command;
		const char *after;
	} drives[] = {{empty, ""}, {plain, "ouassister-medium"}, {named, "ouassister-medium"}};
	struct fixture *fixture = *state;
	_cleanup_(free_ptr) char *disc = string_format("%s/disc", fixture->directory);
	_cleanup_(free_ptr) char *path = string_format("%s/payload", fixture->directory);
	char medium[64], sectors[4096] = "disc";

	need_qemu();
	assert_ok(io_replace_file(disc, sectors, sizeof(sectors), 0600));
	for (size_t i = 0; i < ARRAY_SIZE(drives); i++) {
		unsigned place = 0;

		assert_ok(plug(fixture, drives[i].command, &place));
		assert_int_equal(place, 4);
		medium_of(fixture, medium);
		assert_string_equal(medium, "ouassister-payload");
		/* Again, as after a process that was killed; and it goes by asking QEMU, not by our memory. */
		for (int round = 0; round < 2; round++) {
			place = 0;
			assert_ok(hypervisor_qemu.disk_attach(fixture->vm, path, &place));
			medium_of(fixture, medium);
			assert_string_equal(medium, "ouassister-payload");
			assert_ok(vm_payload_detach(fixture->vm));
			assert_ok(vm_payload_detach(fixture->vm));
			medium_of(fixture, medium);
			assert_string_equal(medium, drives[i].after);
		}
		assert_ok(vm_quit(fixture->vm));
	}
}

/* --- a guest that locks its CD drive: QEMU's qtest speaks to the drive, at the second IDE channel --- */

#define IDE_DATA   0x170
#define IDE_COUNT  0x175 /* how many bytes at a time, the upper half */
#define IDE_DEVICE 0x176
#define IDE_STATUS 0x177
#define IDE_DRQ    0x08
#define IDE_PACKET 0xa0 /* the command, and the first drive */

/* One command of qtest; what it answers, or 0. */
static unsigned long qtest(FILE *stream, const char *command, unsigned port, unsigned value)
{
	char answer[64] = "";

	if (strncmp(command, "in", 2) == 0)
		fprintf(stream, "%s %#x\n", command, port);
	else
		fprintf(stream, "%s %#x %#x\n", command, port, value);
	fflush(stream);
	assert_non_null(fgets(answer, sizeof(answer), stream));
	assert_memory_equal(answer, "OK", 2);
	return strtoul(answer + 2, NULL, 16);
}

/* A packet of four bytes and eight zeros; what the drive has to say is passed over. */
static void atapi(FILE *stream, unsigned first, unsigned last)
{
	const unsigned words[6] = {first, 0, last};

	qtest(stream, "outb", IDE_DEVICE, IDE_PACKET);
	qtest(stream, "outb", IDE_COUNT, 0x08);
	qtest(stream, "outb", IDE_STATUS, IDE_PACKET);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		qtest(stream, "outw", IDE_DATA, words[i]);
	while (qtest(stream, "inb", IDE_STATUS, 0) & IDE_DRQ)
		qtest(stream, "inw", IDE_DATA, 0);
}

/* REQUEST SENSE first, and again: of a new medium the drive tells twice before it does anything else. */
static void set_lock(struct fixture *fixture, bool locked)
{
	_cleanup_(free_ptr) char *path = string_format("%s/qtest", fixture->directory);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *stream;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	stream = fdopen(fd, "r+");
	assert_non_null(stream);
	for (int round = 0; round < 3; round++) {
		atapi(stream, 0x03, 18);
		atapi(stream, 0x1e, locked);
	}
	fclose(stream);
}

static bool is_locked(struct fixture *fixture)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	_cleanup_(json_decref_ptr) json_t *devices = NULL;

	assert_ok(qmp_open(fixture->qmp, &qmp));
	assert_ok(qmp_execute(qmp, "query-block", NULL, &devices));
	return json_is_true(json_object_get(json_array_get(devices, 0), "locked"));
}

/* What the guest holds is left alone, and not asked for; the payload's disc is waited for until the guest lets it go.
 */
static void test_cd_locked(void **state)
{
	static const char *const command[] = {
		MACHINE("pc"), QMP, "-qtest", "unix:qtest,server=on,wait=off", "-device", "ide-cd,bus=ide.1", NULL};
	struct fixture *fixture = *state;
	_cleanup_(free_ptr) char *path = string_format("%s/payload", fixture->directory);
	char medium[64];
	unsigned place = 4;
	pid_t child;
	int status;

	need_qemu();
	assert_ok(io_replace_file(path, "payload", 7, 0600));
	use(fixture, command);
	assert_ok(vm_boot_paused(fixture->vm));
	set_lock(fixture, true);
	assert_true(is_locked(fixture));
	assert_error(hypervisor_qemu.disk_attach(fixture->vm, path, &place), ERROR_UNSUPPORTED);
	medium_of(fixture, medium);
	assert_string_equal(medium, "");

	set_lock(fixture, false);
	place = 4;
	assert_ok(hypervisor_qemu.disk_attach(fixture->vm, path, &place));
	set_lock(fixture, true);
	assert_true(is_locked(fixture));
	child = fork();
	if (child == 0) {
		usleep(700000);
		set_lock(fixture, false);
		_exit(0);
	}
	assert_ok(vm_payload_detach(fixture->vm));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	medium_of(fixture, medium);
	assert_string_equal(medium, "");
}

/* A SCSI disk goes without the guest's consent: plug, plug again (replaces), unplug, unplug again. */
static void test_plug_again(void **state)
{
	static const char *const command[] = {MACHINE("q35"), QMP, "-device", "virtio-scsi-pci", NULL};
	struct fixture *fixture = *state;
	_cleanup_(free_ptr) char *path = string_format("%s/payload", fixture->directory);

	need_qemu();
	assert_ok(io_replace_file(path, "payload", 7, 0600));
	use(fixture, command);
	assert_ok(vm_boot_paused(fixture->vm));
	for (unsigned round = 0, place = 0; round < 2; round++, place = 0) {
		assert_ok(hypervisor_qemu.disk_attach(fixture->vm, path, &place));
		assert_int_equal(place, 2);
	}
	assert_ok(vm_payload_detach(fixture->vm));
	assert_ok(vm_payload_detach(fixture->vm));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(test_plug_places),
		with_fixture(test_plug_again),
		with_fixture(test_cd_comes_back),
		with_fixture(test_cd_locked),
	};

	return cmocka_run_group_tests_name("qemu-disk", tests, NULL, NULL);
}
