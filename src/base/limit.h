/* SPDX-License-Identifier: Apache-2.0 */
/* Limits that a process sets itself before it reads what hostile bytes say. */
#ifndef BASE_LIMIT_H
#define BASE_LIMIT_H

#include <stdint.h>
#include <sys/resource.h>

#include "base/error.h"

/* Soft and hard, and never above what it has already. */
struct error *limit_set(__rlimit_resource_t resource, rlim_t value) _must_check_;

/* Bytes of private memory that this process has, which RLIMIT_DATA counts in; 0: not known. */
uint64_t limit_data_now(void);

#endif
