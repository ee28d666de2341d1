/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupts of the processor itself. Private to guest/. */
#ifndef GUEST_INTERRUPTS_H
#define GUEST_INTERRUPTS_H

#include "guest/internal.h"

/*
 * Appends to *list those that the kernel counts apart (NMI, local timer, …). With an empty list: for sums, without
 * those that others contain or that are no interrupts.
 */
struct error *interrupts_read_own(struct guest *guest, struct guest_interrupt_list *list) _must_check_;

/* The same for the lines of /proc/interrupts. */
struct error *interrupts_append_own(struct guest *guest, struct guest_interrupt_list *list) _must_check_;

/* Fills list->cpus. */
struct error *interrupts_load_cpus(struct guest *guest, struct guest_interrupt_list *list) _must_check_;

#endif
