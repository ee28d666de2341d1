/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the whole system: its devices. */
#include "shadow/proc/system.h"

const struct proc_file proc_device_files[] = {
	{"interrupts", 0444, false, proc_write_interrupts},
	{"partitions", 0444, false, proc_write_partitions},
	{"diskstats", 0444, false, proc_write_diskstats},
	{"swaps", 0444, false, proc_write_swaps},
	{"devices", 0444, false, proc_write_devices},
	{"misc", 0444, false, proc_write_misc},
	{"dma", 0444, false, proc_write_dma},
	{"consoles", 0444, false, proc_write_consoles},
	{"tty/drivers", 0444, false, proc_write_tty_drivers},
	{"iomem", 0444, false, proc_write_iomem},
	{"ioports", 0444, false, proc_write_ioports},
	{"fb", 0444, false, proc_write_fb},
	{0},
};
