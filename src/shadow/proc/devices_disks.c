/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/partitions and /proc/diskstats. */
#include "shadow/proc/system.h"

#define NS_PER_MS 1000000u

struct error *proc_write_partitions(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_block_device_list_deinit) struct guest_block_device_list list = {0};
	struct error *error = PROC_LIST(guest_block_devices(facts->guest, &list), list);
	bool shown = true, any = false;

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_block_device *device = &list.items[i];

		/* A disk without a medium has no line, and neither have its partitions. */
		if (!device->partition)
			shown = !device->hidden && device->sectors;
		if (!any)
			fputs("major minor  #blocks  name\n\n", out);
		any = true;
		if (shown)
			fprintf(out, "%4u  %7u %10llu %s\n", device->major, device->minor,
				(unsigned long long)device->sectors / 2, device->name);
	}
	return error;
}

static unsigned milliseconds(uint64_t ns)
{
	return (unsigned)(ns / NS_PER_MS);
}

static void write_transfers(const struct guest_block_device *device, enum guest_transfer kind, FILE *out)
{
	fprintf(out, " %llu %llu %llu %u", (unsigned long long)device->transfers[kind].requests,
		(unsigned long long)device->transfers[kind].merges, (unsigned long long)device->transfers[kind].sectors,
		milliseconds(device->transfers[kind].time_ns));
}

struct error *proc_write_diskstats(const struct proc_facts *facts, FILE *out)
{
	_cleanup_(guest_block_device_list_deinit) struct guest_block_device_list list = {0};
	struct error *error = PROC_LIST(guest_block_devices(facts->guest, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_block_device *device = &list.items[i];
		uint64_t time_ns = 0;

		for (size_t kind = 0; kind < GUEST_TRANSFERS; kind++)
			time_ns += device->transfers[kind].time_ns;
		fprintf(out, "%4u %7u %s", device->major, device->minor, device->name);
		write_transfers(device, GUEST_READ, out);
		write_transfers(device, GUEST_WRITE, out);
		fprintf(out, " %u %u %u", device->in_flight, (unsigned)(device->busy_ticks * 1000 / list.tick_rate),
			milliseconds(time_ns));
		write_transfers(device, GUEST_DISCARD, out);
		fprintf(out, " %llu %u\n", (unsigned long long)device->transfers[GUEST_FLUSH].requests,
			milliseconds(device->transfers[GUEST_FLUSH].time_ns));
	}
	return error;
}
