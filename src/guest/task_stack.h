/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the kernel a task is: its stack and its system call. Included by guest/guest.h. */
#ifndef GUEST_TASK_STACK_H
#define GUEST_TASK_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct guest;

#define GUEST_FRAMES_MAX 64u /* as /proc/PID/stack */

struct guest_frame {
	uint64_t address;      /* to which the function at hand will return */
	char name[512];        /* of the function there */
	uint64_t offset, size; /* of the address in it, and of the function; bytes */
	char module[64];       /* "": of the kernel itself */
};

/* The functions that a task sleeps in, inner ones first, without those of the scheduler; n 0: it runs. */
struct guest_stack {
	struct guest_frame *items;
	size_t n;
};
struct error *guest_task_stack(struct guest *guest, uint64_t task, struct guest_stack *ret) _must_check_;
void guest_stack_deinit(struct guest_stack *stack);

/* As /proc/PID/wchan: the function that the task waits in; "0": none that the kernel can tell. */
struct error *guest_task_wchan(struct guest *guest, uint64_t task, char ret[512]) _must_check_;

/* As /proc/PID/syscall: the system call that a task is in. */
struct guest_task_syscall {
	bool running;   /* it runs, or is about to: then nothing else is known */
	int32_t number; /* -1: none, interrupted in its own code */
	uint64_t arguments[6];
	uint64_t stack_pointer, instruction_pointer;
};
struct error *guest_task_syscall(struct guest *guest, uint64_t task, struct guest_task_syscall *ret) _must_check_;

#endif
