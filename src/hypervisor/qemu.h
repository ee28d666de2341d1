/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the QEMU driver. Each opens its own QMP connection, so that none is held in between. */
#ifndef HYPERVISOR_QEMU_H
#define HYPERVISOR_QEMU_H

#include "hypervisor/ops.h"
#include "hypervisor/qmp.h"

/* launch.c */
struct error *qemu_load(struct vm *vm) _must_check_;
struct error *qemu_boot_paused(struct vm *vm) _must_check_;

/* save.c */
struct error *qemu_suspend(struct vm *vm) _must_check_;

/* qemu_network.c */
struct error *qemu_network(struct vm *vm, struct nic_list *ret) _must_check_;
struct error *qemu_set_link(struct vm *vm, const char *nic, bool up) _must_check_;
/* Adds every tap that a QEMU process holds, if it is in our network namespace. Needs no QMP: libvirt's driver, too. */
struct error *qemu_list_taps(pid_t pid, struct nic_list *list) _must_check_;
/*
 * Takes the text of `info network` of process `pid` apart, adding the cards to a list that holds
 * the process's taps already. Here for the tests.
 */
struct error *qemu_parse_network(const char *text, pid_t pid, struct nic_list *list) _must_check_;

/* qemu_disk.c */
struct error *qemu_disk_attach(struct vm *vm, const char *path, unsigned *place) _must_check_;
struct error *qemu_disk_detach(struct vm *vm) _must_check_;

/* Whether the device, or the block node, is there. */
bool qemu_has_device(struct qmp *qmp, const char *id);
bool qemu_has_node(struct qmp *qmp, const char *node);
/* Does it to the QEMU of the VM; where none runs any more there is nothing to do. */
struct error *qemu_while_running(struct vm *vm, struct error *(*what)(struct qmp *)) _must_check_;

/* qemu_port.c */
struct error *qemu_port_attach(struct vm *vm, const char *path) _must_check_;
struct error *qemu_port_detach(struct vm *vm) _must_check_;

/* qemu_cd.c */
/* Puts the block node into a CD drive that the guest does not use; false if there is none. What was in it is kept. */
bool qemu_cd_insert(struct qmp *qmp, const char *node);
/* Takes the node out of the drive that has it, if one has, and puts back what was there before. Waits for the guest. */
struct error *qemu_cd_eject(struct qmp *qmp, const char *node, uint64_t timeout_ms) _must_check_;

/* qemu.c */

/* A descriptor that becomes readable when the process behind the connection has ended. */
struct error *qemu_pidfd(struct qmp *qmp, int *ret) _must_check_;
/* Sends `quit` and waits for the end of the process. */
struct error *qemu_quit_and_wait(struct vm *vm, struct qmp *qmp) _must_check_;
/* Reaps the process we have started, if it has ended. */
void qemu_reap(struct vm *vm);

#endif
