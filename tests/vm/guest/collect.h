/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUEST_COLLECT_H
#define GUEST_COLLECT_H

#include <stdbool.h>

/* Says what failed, with errno, and ends the process. */
void die(const char *what) __attribute__((noreturn));

/* Puts the page where the arguments of a process (a number) begin to swap; whether it went there. */
bool page_out_arguments(const char *process);

#endif
