/* SPDX-License-Identifier: Apache-2.0 */
/* The driver on a real QEMU without a guest: it saves, loads, plugs and dies like any other. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sched.h>

#include "base/io.h"
#include "hypervisor/ops.h"
#include "hypervisor/qemu.h"
#include "qemu_fixture.h"

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
	use(fixture, qemu_pc);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_ok(vm_continue(fixture->vm, &ns));
	assert_error(vm_suspend(fixture->vm), ERROR_FAILED);
	assert_int_equal(state_of(fixture), VM_RUNNING);
	assert_only(fixture, memory, false);
	assert_ok(vm_quit(fixture->vm));
	assert_int_equal(umount(small), 0);
	fixture->settings.memory = fixture->memory;
	use(fixture, qemu_pc);
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
	use(fixture, qemu_pc);
	assert_ok(vm_boot_paused(fixture->vm));
	assert_int_equal(state_of(fixture), VM_PAUSED);
	assert_ok(vm_quit(fixture->vm));
	fixture->settings.directory = fixture->directory;
	fixture->settings.qmp = fixture->qmp;
	use(fixture, qemu_pc);
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
		with_fixture(test_link_gate),
		with_fixture(test_gate_none),
		with_fixture(test_tap_gate),
	};

	return cmocka_run_group_tests_name("qemu", tests, NULL, NULL);
}
