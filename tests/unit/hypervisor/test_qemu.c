/* SPDX-License-Identifier: Apache-2.0 */
/* The driver on a real QEMU without a guest: it saves, loads, plugs and dies like any other. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sched.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qemu.h"
#include "test.h"

#define QEMU             "qemu-system-x86_64"
#define MACHINE(machine) QEMU, "-accel", "tcg", "-M", machine, "-m", "32", "-nodefaults", "-display", "none"
#define QMP              "-qmp", "unix:q's 1.qmp,server=on,wait=off"

static const char *const pc[] = {MACHINE("pc"), QMP, NULL};

struct fixture {
	char directory[64];
	char *memory, *qmp, *log;
	struct vm_settings settings;
	struct vm *vm;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/ouassister-qemu-XXXXXX");
	if (!mkdtemp(fixture->directory))
		return -1;
	/* Names that a shell would take apart. */
	fixture->memory = string_format("%s/a 'b\" $c;d.mig", fixture->directory);
	fixture->qmp = string_format("%s/q's 1.qmp", fixture->directory);
	fixture->log = string_format("%s/log", fixture->directory);
	fixture->settings = (struct vm_settings){
		.name = "test",
		.directory = fixture->directory,
		.memory = fixture->memory,
		.qmp = fixture->qmp,
		.log_path = fixture->log,
		.command = pc,
	};
	if (vm_create("qemu", &fixture->settings, &fixture->vm))
		return -1;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	error_destroy(vm_quit(fixture->vm));
	vm_destroy(fixture->vm);
	error_destroy(io_remove_tree(fixture->directory));
	free(fixture->memory);
	free(fixture->qmp);
	free(fixture->log);
	free(fixture);
	return 0;
}

static bool have_qemu(void)
{
	return system(QEMU " --version >/dev/null 2>&1") == 0;
}

#define need_qemu()                                                                                                    \
	do {                                                                                                           \
		if (!have_qemu()) {                                                                                    \
			print_message("skipped: no " QEMU " here\n");                                                  \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static void use(struct fixture *fixture, const char *const *command)
{
	vm_destroy(fixture->vm);
	fixture->settings.command = command;
	assert_ok(vm_create("qemu", &fixture->settings, &fixture->vm));
}

static enum vm_state state_of(struct fixture *fixture)
{
	enum vm_state state;

	assert_ok(vm_state(fixture->vm, &state));
	return state;
}

static pid_t pid_of(struct fixture *fixture)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	pid_t pid;

	assert_ok(qmp_open(fixture->qmp, &qmp));
	assert_ok(qmp_pid(qmp, &pid));
	return pid;
}

/* No file of a save that failed is left. */
static void assert_only(const struct fixture *fixture, const char *path, bool exists)
{
	_cleanup_(free_ptr) char *partial = string_format("%s.partial", fixture->memory);
	_cleanup_(free_ptr) char *complete = string_format("%s.complete", fixture->memory);

	assert_int_equal(access(path, F_OK) == 0, exists);
	assert_int_not_equal(access(partial, F_OK), 0);
	assert_int_not_equal(access(complete, F_OK), 0);
}

static void run_and_suspend(struct fixture *fixture)
{
	uint64_t ns;

	assert_ok(vm_boot_paused(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
	assert_ok(vm_continue(fixture->vm, &ns));
	assert_int_equal(state_of(fixture), VM_RUNNING);
	assert_ok(vm_suspend(fixture->vm));
	assert_int_equal(state_of(fixture), VM_OFF);
}

static void test_suspend_and_load(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	uint64_t ns = 0, before;

	need_qemu();
	assert_int_equal(state_of(fixture), VM_OFF);
	run_and_suspend(fixture);
	assert_only(fixture, fixture->memory, true);
	assert_int_equal(stat(fixture->memory, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_ok(vm_load(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
	before = clock_monotonic_ns();
	assert_ok(vm_continue(fixture->vm, &ns));
	assert_true(ns >= before && ns <= clock_monotonic_ns());
	assert_int_equal(state_of(fixture), VM_RUNNING);
	/* The image of before is still there: never overwritten. */
	assert_error(vm_suspend(fixture->vm), ERROR_USAGE);
	assert_int_equal(state_of(fixture), VM_RUNNING);
}

static void test_suspend_without_process(void **state)
{
	struct fixture *fixture = *state;

	assert_error(vm_suspend(fixture->vm), ERROR_NOT_FOUND);
	assert_ok(vm_quit(fixture->vm));
}

/* A paused guest stays paused when its save fails, a running one runs on. */
static void test_disk_full(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free_ptr) char *small = string_format("%s/small", fixture->directory);
	_cleanup_(free_ptr) char *memory = string_format("%s/m", small);
	uint64_t ns;

	need_qemu();
	need_root();
	assert_int_equal(mkdir(small, 0700), 0);
	assert_int_equal(mount("none", small, "tmpfs", 0, "size=64k"), 0);
	fixture->settings.memory = memory;
	use(fixture, pc);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_ok(vm_continue(fixture->vm, &ns));
	assert_error(vm_suspend(fixture->vm), ERROR_FAILED);
	assert_int_equal(state_of(fixture), VM_RUNNING);
	assert_only(fixture, memory, false);
	assert_ok(vm_quit(fixture->vm));
	assert_int_equal(umount(small), 0);
	fixture->settings.memory = fixture->memory;
	use(fixture, pc);
}

static void test_daemonized(void **state)
{
	static const char *const command[] = {MACHINE("q35"), QMP, "-daemonize", NULL};
	struct fixture *fixture = *state;

	need_qemu();
	use(fixture, command);
	run_and_suspend(fixture);
	assert_ok(vm_load(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
	assert_error(vm_load(fixture->vm), ERROR_BUSY);
	assert_int_equal(state_of(fixture), VM_PAUSED);
}

/* It must outlive us: a session of its own. */
static void test_detached(void **state)
{
	struct fixture *fixture = *state;
	pid_t pid;

	need_qemu();
	assert_ok(vm_boot_paused(fixture->vm));
	pid = pid_of(fixture);
	assert_int_equal(getsid(pid), pid);
}

static void test_truncated_image(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	struct error *error;

	need_qemu();
	run_and_suspend(fixture);
	assert_int_equal(stat(fixture->memory, &status), 0);
	assert_int_equal(truncate(fixture->memory, status.st_size / 2), 0);
	error = vm_load(fixture->vm);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FAILED);
	assert_non_null(error->remedy); /* what QEMU said */
	error_destroy(error);
	assert_int_equal(state_of(fixture), VM_OFF);
}

static void test_not_an_image(void **state)
{
	struct fixture *fixture = *state;

	need_qemu();
	assert_error(vm_load(fixture->vm), ERROR_NOT_FOUND);
	assert_ok(io_replace_file(fixture->memory, "hello", 5, 0600));
	assert_error(vm_load(fixture->vm), ERROR_FAILED);
	assert_int_equal(state_of(fixture), VM_OFF);
	/* QEMU would wait for these for minutes. */
	assert_ok(io_replace_file(fixture->memory, "", 0, 0600));
	assert_error(vm_load(fixture->vm), ERROR_FORMAT);
	assert_int_equal(unlink(fixture->memory), 0);
	assert_int_equal(mkfifo(fixture->memory, 0600), 0);
	assert_error(vm_load(fixture->vm), ERROR_USAGE);
	assert_int_equal(unlink(fixture->memory), 0);
	assert_int_equal(mkdir(fixture->memory, 0700), 0);
	assert_error(vm_load(fixture->vm), ERROR_USAGE);
	assert_int_equal(state_of(fixture), VM_OFF);
}

static void test_wrong_command(void **state)
{
	static const char *const refused[] = {MACHINE("pc"), QMP, "-no-such-option", NULL};
	static const char *const absent[] = {"/nonexistent/qemu", NULL};
	struct fixture *fixture = *state;
	struct error *error;

	need_qemu();
	use(fixture, refused);
	error = vm_boot_paused(fixture->vm);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_FAILED);
	assert_non_null(strstr(error->remedy, "no-such-option"));
	error_destroy(error);
	use(fixture, absent);
	assert_error(vm_boot_paused(fixture->vm), ERROR_SYSTEM);
}

/* Whoever holds the only QMP connection makes us say so, not wait for ever. */
static void test_busy(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(qmp_close_ptr) struct qmp *other = NULL;
	enum vm_state ignored;

	need_qemu();
	assert_ok(vm_boot_paused(fixture->vm));
	assert_ok(qmp_open(fixture->qmp, &other));
	assert_error(vm_state(fixture->vm, &ignored), ERROR_BUSY);
}

/* A socket file without a process behind it, as a killed QEMU leaves it. */
static void test_killed(void **state)
{
	struct fixture *fixture = *state;
	uint64_t ns;

	need_qemu();
	assert_ok(vm_boot_paused(fixture->vm));
	kill(pid_of(fixture), SIGKILL);
	for (int i = 0; i < 100 && state_of(fixture) != VM_OFF; i++)
		usleep(10000);
	assert_int_equal(access(fixture->qmp, F_OK), 0);
	assert_int_equal(state_of(fixture), VM_OFF);
	assert_error(vm_continue(fixture->vm, &ns), ERROR_NOT_FOUND);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
}

/* A directory too deep for sun_path. */
static void test_long_socket_path(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_(free_ptr) char *deep = string_format("%s/%0100d/%0100d", fixture->directory, 1, 2);
	_cleanup_(free_ptr) char *qmp = string_format("%s/q's 1.qmp", deep);

	need_qemu();
	assert_ok(io_mkdirs(deep, 0700));
	fixture->settings.directory = deep; /* QEMU itself gets by with a relative path */
	fixture->settings.qmp = qmp;
	use(fixture, pc);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
	assert_ok(vm_quit(fixture->vm));
	fixture->settings.directory = fixture->directory;
	fixture->settings.qmp = fixture->qmp;
	use(fixture, pc);
}

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
	} places[] = {{pc, 0, 0},
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

static void test_link_gate(void **state)
{
	static const char *const command[] = {MACHINE("pc"), QMP,
					      "-netdev",     "user,id=n0",
					      "-device",     "virtio-net-pci,netdev=n0,romfile=",
					      "-net",        "nic,model=rtl8139",
					      "-net",        "user",
					      NULL};
	struct fixture *fixture = *state;
	struct gate_status status;
	struct error *error;

	need_qemu();
	use(fixture, command);
	assert_ok(vm_boot_paused(fixture->vm));
	for (int round = 0; round < 2; round++) {
		assert_ok(vm_gate_show(fixture->vm, &status));
		assert_false(status.closed);
		free(status.how);
		assert_ok(vm_gate_close(fixture->vm));
		assert_ok(vm_gate_close(fixture->vm));
		assert_ok(vm_gate_show(fixture->vm, &status));
		assert_true(status.closed);
		assert_non_null(strstr(status.how, "virtio-net-pci.0"));
		assert_non_null(strstr(status.how, "rtl8139.0"));
		free(status.how);
		assert_ok(vm_gate_open(fixture->vm));
		assert_ok(vm_gate_open(fixture->vm));
	}
	/* Nothing on this side could let ssh alone through a user-mode network. */
	vm_destroy(fixture->vm);
	fixture->settings.channel = CHANNEL_SSH;
	fixture->settings.ssh_target = "root@127.0.0.1";
	assert_ok(vm_create("qemu", &fixture->settings, &fixture->vm));
	error = vm_gate_close(fixture->vm);
	assert_non_null(error);
	assert_int_equal(error->code, ERROR_UNSUPPORTED);
	assert_non_null(error->remedy);
	error_destroy(error);
}

static void test_gate_none(void **state)
{
	struct fixture *fixture = *state;
	struct gate_status status;

	vm_destroy(fixture->vm);
	fixture->settings.gate = GATE_NONE;
	assert_ok(vm_create("qemu", &fixture->settings, &fixture->vm));
	assert_ok(vm_gate_close(fixture->vm));
	assert_ok(vm_gate_show(fixture->vm, &status));
	assert_false(status.closed);
	assert_string_equal(status.how, "none");
	free(status.how);
}

/* One card on a tap, one without. */
static void test_tap_gate(void **state)
{
	static const char *const command[] = {MACHINE("pc"), QMP,
					      "-netdev",     "tap,id=n0,ifname=gtap0,script=no,downscript=no",
					      "-device",     "virtio-net-pci,netdev=n0,romfile=",
					      "-netdev",     "user,id=n1",
					      "-device",     "e1000,netdev=n1,romfile=,id=second",
					      NULL};
	struct fixture *fixture = *state;
	struct gate_status status;

	need_qemu();
	need_root();
	if (unshare(CLONE_NEWNET) < 0) {
		print_message("skipped: no network namespaces here\n");
		skip();
	}
	use(fixture, command);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_ok(vm_gate_close(fixture->vm));
	assert_ok(vm_gate_show(fixture->vm, &status));
	assert_string_equal(status.how, "nftables on gtap0, link of second down");
	assert_true(status.closed);
	free(status.how);
	/* By another hand: the kernel is asked, not remembered. */
	assert_int_equal(system("nft delete table netdev ouassister-test"), 0);
	assert_ok(vm_gate_show(fixture->vm, &status));
	assert_false(status.closed);
	free(status.how);
	assert_ok(vm_gate_close(fixture->vm));
	assert_ok(vm_gate_open(fixture->vm));
	assert_ok(vm_gate_show(fixture->vm, &status));
	assert_string_equal(status.how, "gtap0 open, link of second up");
	free(status.how);
	/* Without a process, what may be left on the host still goes. */
	assert_ok(vm_gate_close(fixture->vm));
	assert_ok(vm_quit(fixture->vm));
	assert_ok(vm_gate_open(fixture->vm));
	assert_int_not_equal(system("nft list tables | grep -q ouassister"), 0);
}

/* `info network` is QEMU's text with the user's ids in it. */
static void test_network_text(void **state)
{
	static const char text[] = "hub 0\r\n"
				   " \\ hub0port1: #net257: index=0,type=user,net=10.0.2.0,restrict=off\r\n"
				   " \\ hub0port0: rtl8139.0: index=0,type=nic,model=rtl8139,macaddr=x\r\n"
				   "net2: index=0,type=user,net=10.0.2.0,restrict=off\r\n"
				   "lonely: index=0,type=nic,model=e1000,macaddr=x\r\n"
				   "card: index=0,type=nic,model=e1000,macaddr=x\r\n"
				   " \\ net0: index=0,type=tap,ifname=tapA,script=no\r\n"
				   "filters:\r\n  - f: type=filter-dump\r\n"
				   "card: index=1,type=nic,model=e1000,macaddr=x\r\n"
				   " \\ net0: index=1,type=tap,ifname=tapA,script=no\r\n"
				   "helped: index=0,type=nic,model=e1000,macaddr=x\r\n"
				   " \\ net1: index=0,type=tap,helper=/usr/lib/qemu/qemu-bridge-helper,br=br0\r\n"
				   "lost: index=0,type=nic,model=e1000,macaddr=x\r\n"
				   " \\ net3: index=0,type=tap,fd=999\r\n"
				   " \\ \r\n: index=\r\n \\ : index=0,type=nic";
	_cleanup_(nic_list_deinit) struct nic_list list = {};

	assert_ok(nic_list_add_tap(&list, "tapA"));
	assert_ok(nic_list_add_tap(&list, "tapB"));
	assert_ok(qemu_parse_network(text, getpid(), &list));
	assert_int_equal(list.n, 4);
	assert_string_equal(list.nics[0].name, "rtl8139.0");
	assert_null(list.nics[0].tap);
	assert_string_equal(list.nics[1].name, "card");
	assert_string_equal(list.nics[1].tap, "tapA");
	assert_string_equal(list.nics[2].name, "helped");
	assert_string_equal(list.nics[2].tap, "tapB");
	assert_string_equal(list.nics[3].name, "lost");
	assert_null(list.nics[3].tap);
}

static void test_settings(void **state)
{
	struct vm_settings settings = {.name = "a/b", .qmp = "/q"};
	struct vm *vm = NULL;

	assert_error(vm_create("qemu", &settings, &vm), ERROR_USAGE);
	settings.name = "-x";
	assert_error(vm_create("qemu", &settings, &vm), ERROR_USAGE);
	settings.name = "x";
	assert_error(vm_create("bochs", &settings, &vm), ERROR_USAGE);
	settings.channel = CHANNEL_AGENT;
	assert_error(vm_create("qemu", &settings, &vm), ERROR_USAGE);
	settings.channel = CHANNEL_SSH;
	assert_error(vm_create("qemu", &settings, &vm), ERROR_USAGE);
	settings.channel = CHANNEL_NONE;
	assert_ok(vm_create("qemu", &settings, &vm));
	assert_error(vm_channel_wait(vm, 10), ERROR_UNSUPPORTED);
	vm_destroy(vm);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_network_text),
		with_fixture(test_suspend_and_load),
		with_fixture(test_suspend_without_process),
		with_fixture(test_disk_full),
		with_fixture(test_daemonized),
		with_fixture(test_detached),
		with_fixture(test_truncated_image),
		with_fixture(test_not_an_image),
		with_fixture(test_wrong_command),
		with_fixture(test_busy),
		with_fixture(test_killed),
		with_fixture(test_long_socket_path),
		with_fixture(test_plug_places),
		with_fixture(test_plug_again),
		with_fixture(test_cd_comes_back),
		with_fixture(test_cd_locked),
		with_fixture(test_link_gate),
		with_fixture(test_gate_none),
		with_fixture(test_tap_gate),
	};

	return cmocka_run_group_tests_name("qemu", tests, NULL, NULL);
}
