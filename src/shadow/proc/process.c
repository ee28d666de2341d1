/* SPDX-License-Identifier: Apache-2.0 */
#include "shadow/proc/proc.h"

const struct proc_task_file proc_task_files[] = {
	{0},
};

const struct proc_task_link proc_task_links[] = {
	{0},
};
