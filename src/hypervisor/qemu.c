/* SPDX-License-Identifier: Apache-2.0 */
/* The QEMU driver: state, continue, quit, and the table of its parts. */
#include "hypervisor/qemu.h"

#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "hypervisor/wire.h"

#define ENDING_MS      2000
#define ENDING_POLL_MS 20
#define QUIT_MS        60000 /* QEMU flushes its disks before it ends */

static struct error *ask_state(struct vm *vm, enum vm_state *ret)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	char status[QMP_STATUS_SIZE];
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		*ret = VM_OFF;
		return NULL;
	}
	if (!error)
		error = qmp_status(qmp, status);
	if (error)
		return error;
	*ret = strcmp(status, "running") == 0 ? VM_RUNNING : VM_PAUSED;
	return NULL;
}

/* A process that ends while it is asked hangs up; a moment later its socket tells that it is off. */
static struct error *qemu_state(struct vm *vm, enum vm_state *ret)
{
	static const struct timespec pause = {.tv_nsec = ENDING_POLL_MS * 1000000};
	uint64_t deadline_ns = wire_deadline(ENDING_MS);

	for (;;) {
		struct error *error = ask_state(vm, ret);

		if (!error || error->code != ERROR_FAILED || clock_monotonic_ns() >= deadline_ns)
			return error;
		error_destroy(error);
		nanosleep(&pause, NULL);
	}
}

static struct error *qemu_resume(struct vm *vm, uint64_t *ret_ns)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	char status[QMP_STATUS_SIZE];
	uint64_t before_ns;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (!error)
		error = qmp_status(qmp, status);
	if (error)
		return error;
	if (strcmp(status, "inmigrate") == 0)
		return error_create(ERROR_BUSY, "its memory image is still being loaded");
	/* Taken before the command: the guest may run before its answer is read. */
	before_ns = clock_monotonic_ns();
	error = qmp_execute(qmp, "cont", NULL, NULL);
	if (!error)
		error = qmp_status(qmp, status);
	if (error)
		return error;
	if (strcmp(status, "running") != 0)
		return error_create(ERROR_FAILED, "QEMU says \"%s\" after cont", status);
	*ret_ns = before_ns;
	return NULL;
}

struct error *qemu_pidfd(struct qmp *qmp, int *ret)
{
	pid_t pid;
	int fd;
	struct error *error = qmp_pid(qmp, &pid);

	if (error)
		return error;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return error_system(errno, NULL, "cannot watch process %d", (int)pid);
	*ret = fd;
	return NULL;
}

void qemu_reap(struct vm *vm)
{
	if (vm->child > 0 && waitpid(vm->child, NULL, WNOHANG) != 0)
		vm->child = 0;
}

struct error *qemu_quit_and_wait(struct vm *vm, struct qmp *qmp)
{
	_cleanup_(close_fd) int pidfd = -1;
	struct pollfd fd = {.events = POLLIN};
	uint64_t deadline_ns = clock_monotonic_ns() + QUIT_MS * 1000000ull;
	struct error *error = qemu_pidfd(qmp, &pidfd);

	if (error)
		return error;
	/* It may be gone before its answer has been read: what counts is that it ends. */
	error = qmp_execute(qmp, "quit", NULL, NULL);
	fd.fd = pidfd;
	while (clock_monotonic_ns() < deadline_ns) {
		if (poll(&fd, 1, 100) > 0) {
			error_destroy(error);
			qemu_reap(vm);
			return NULL;
		}
		if (error)
			return error;
	}
	error_destroy(error);
	return error_create(ERROR_TIMEOUT, "QEMU does not end");
}

static struct error *qemu_quit(struct vm *vm)
{
	_cleanup_(qmp_close_ptr) struct qmp *qmp = NULL;
	struct error *error = qmp_open(vm->settings.qmp, &qmp);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	return error ? error : qemu_quit_and_wait(vm, qmp);
}

const struct hypervisor_ops hypervisor_qemu = {
	.name = "qemu",
	.state = qemu_state,
	.suspend = qemu_suspend,
	.load = qemu_load,
	.boot_paused = qemu_boot_paused,
	.resume = qemu_resume,
	.quit = qemu_quit,
	.network = qemu_network,
	.set_link = qemu_set_link,
	.disk_attach = qemu_disk_attach,
	.disk_detach = qemu_disk_detach,
	.port_attach = qemu_port_attach,
	.port_detach = qemu_port_detach,
};
