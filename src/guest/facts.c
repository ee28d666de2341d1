/* SPDX-License-Identifier: Apache-2.0 */
/* Single facts: names, clocks, boot id. */
#include <string.h>

#include "guest/guest.h"
#include "guest/internal.h"

#define NS_PER_S 1000000000u

static struct error *read_name(struct guest *guest, struct gva uts, const char *field, char ret[65])
{
	struct member member = types_find(guest->types, "new_utsname", field);

	if (!member.present || member.size > 65)
		return error_create(ERROR_UNSUPPORTED, "the guest's kernel has no member '%s' in struct new_utsname",
				    field);
	return memory_read_string(&guest->memory, (struct gva){uts.v + member.offset}, ret, member.size);
}

struct error *guest_uts(struct guest *guest, struct guest_uts *ret)
{
	struct guest_uts uts = {0};
	const struct {
		const char *field;
		char *ret;
	} names[] = {
		{"sysname", uts.sysname}, {"nodename", uts.nodename}, {"release", uts.release},
		{"version", uts.version}, {"machine", uts.machine},   {"domainname", uts.domainname},
	};
	struct member name = types_find(guest->types, "uts_namespace", "name");
	struct gva address;
	struct error *error = symbols_get(guest->symbols, "init_uts_ns", &address);

	if (!error && !name.present)
		error = error_create(ERROR_UNSUPPORTED, "the guest's kernel has no struct uts_namespace");
	address.v += name.offset;
	for (size_t i = 0; !error && i < ARRAY_SIZE(names); i++)
		error = read_name(guest, address, names[i].field, names[i].ret);
	if (error)
		return error_wrap(error, "host name and kernel release of the guest");
	*ret = uts;
	return NULL;
}

/* The kernel's timekeeper. 6.13 gave its wrapper a type, 7.2 made it an array with the system's first. */
static struct error *find_timekeeper(struct guest *guest, struct gva *ret)
{
	struct member inner = types_find(guest->types, "tk_data", "timekeeper");
	struct gva address;
	struct error *error = NULL;

	if (!symbols_find(guest->symbols, "tk_core", &address))
		error = symbols_get(guest->symbols, "timekeeper_data", &address);
	if (error)
		return error;
	/* Before, an anonymous structure: a sequence counter of 4 bytes, padded. */
	ret->v = address.v + (inner.present ? inner.offset : 8);
	return NULL;
}

/* HZ is a constant of the kernel's code; how long a tick is to be, stands in the timekeeper. */
struct error *guest_tick_rate(struct guest *guest, uint32_t *ret)
{
	struct member length;
	struct gva timekeeper;
	uint64_t value;
	struct error *error = types_need(guest->types, &(struct member_need){"timekeeper", "ntp_tick", &length}, 1);

	if (!error)
		error = find_timekeeper(guest, &timekeeper);
	if (!error)
		error = guest_read_member(guest, timekeeper, &length, &value);
	if (error)
		return error_wrap(error, "the guest's tick rate");
	value >>= 32; /* nanoseconds (NTP_SCALE_SHIFT), within the 500 ppm that NTP may ask for */
	if (value < NS_PER_S / 10000 || value > NS_PER_S / 10)
		return error_format(NULL, timekeeper.v, "the guest's tick takes %llu ns", (unsigned long long)value);
	*ret = (uint32_t)((NS_PER_S + value / 2) / value);
	return NULL;
}

/* How long after `now_ns` (CLOCK_MONOTONIC) the first CPU's clock event is due. */
static struct error *read_idle(struct guest *guest, uint64_t now_ns, uint64_t *ret)
{
	struct member device, due;
	const struct member_need needs[] = {{"tick_device", "evtdev", &device},
					    {"clock_event_device", "next_event", &due}};
	struct gva devices, tick;
	struct cpu_sets cpus;
	uint64_t first = INT64_MAX; /* KTIME_MAX: a CPU that waits for no timer */
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "tick_cpu_device", &devices);
	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.online_set) {
		uint64_t event, when;

		error = guest_percpu(guest, devices, cpu, &tick);
		if (!error)
			error = guest_read_member(guest, tick, &device, &event);
		if (!error && event)
			error = guest_read_member(guest, (struct gva){event}, &due, &when);
		if (error)
			return error;
		if (event && when < first)
			first = when;
	}
	*ret = first == INT64_MAX || first < now_ns ? 0 : first - now_ns;
	return NULL;
}

struct error *guest_clock(struct guest *guest, struct guest_clock *ret)
{
	struct member shift, nsec, base, sec, boot;
	const struct member_need needs[] = {
		{"timekeeper", "tkr_mono.shift", &shift}, {"timekeeper", "tkr_mono.xtime_nsec", &nsec},
		{"timekeeper", "tkr_mono.base", &base},   {"timekeeper", "xtime_sec", &sec},
		{"timekeeper", "offs_boot", &boot},
	};
	struct guest_clock clock;
	uint64_t shift_value, nsec_value, base_value, sec_value, boot_value, fraction;
	const struct member_read reads[] = {
		{&shift, &shift_value}, {&nsec, &nsec_value}, {&base, &base_value},
		{&sec, &sec_value},     {&boot, &boot_value},
	};
	struct gva timekeeper;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = find_timekeeper(guest, &timekeeper);
	if (!error)
		error = guest_read_members(guest, timekeeper, reads, ARRAY_SIZE(reads));
	if (error)
		return error_wrap(error, "the guest's clock");
	if (shift_value > 63 || sec_value > INT64_MAX / NS_PER_S - 60 || base_value > INT64_MAX ||
	    boot_value > INT64_MAX)
		return error_format(NULL, timekeeper.v, "the guest's clock holds nonsense");
	fraction = nsec_value >> shift_value;
	if (fraction > 60ull * NS_PER_S)
		return error_format(NULL, timekeeper.v, "the guest's clock holds nonsense");
	clock = (struct guest_clock){
		.realtime_ns = (int64_t)(sec_value * NS_PER_S + fraction),
		.monotonic_ns = base_value + fraction,
		.boottime_ns = base_value + boot_value + fraction,
	};
	error = read_idle(guest, clock.monotonic_ns, &clock.idle_ns);
	if (error)
		return error_wrap(error, "the guest's clock");
	*ret = clock;
	return NULL;
}

struct error *guest_boot_id(struct guest *guest, uint8_t ret[16])
{
	uint8_t id[16];
	struct gva address;
	struct error *error = symbols_get(guest->symbols, "sysctl_bootid", &address);

	if (!error)
		error = memory_read(&guest->memory, address, id, sizeof(id));
	if (error)
		return error_wrap(error, "the guest's boot id");
	memcpy(ret, id, sizeof(id));
	return NULL;
}
