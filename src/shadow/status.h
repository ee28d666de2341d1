/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the shadow room: /proc/PID/status of the host, proc_pid_status(5). */
#ifndef SHADOW_STATUS_H
#define SHADOW_STATUS_H

#include <stddef.h>

/*
 * The numbers behind `key`, "\nKEY:", of the NUL-terminated text; how many there are, at most `max`. `base`: as
 * strtoull(3) has it.
 */
size_t status_numbers(const char *text, const char *key, int base, unsigned long long *ret, size_t max);

#endif
