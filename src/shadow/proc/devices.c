/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the whole system: its devices. */
#include "shadow/proc/system.h"

const struct proc_file proc_device_files[] = {
	{"interrupts", 0444, false, proc_write_interrupts},
	{"partitions", 0444, false, proc_write_partitions},
	{"diskstats", 0444, false, proc_write_diskstats},
	{0},
};
