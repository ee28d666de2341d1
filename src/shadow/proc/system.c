/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/proc/proc.h"

const struct proc_file proc_system_files[] = {
	{0},
};
