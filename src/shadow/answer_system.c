/* SPDX-License-Identifier: Apache-2.0 */
/* The system as a whole: names, uptime, memory. */
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "shadow/answer.h"

/* NUL-terminated in any case: the strings come out of guest memory. */
static void set_field(char field[65], const char value[65])
{
	memcpy(field, value, 64);
	field[64] = '\0';
}

int answer_uname(struct answer_call *call)
{
	const struct shadow *shadow = call->shadow;
	struct utsname uts;

	uname(&uts);
	/* The shadow's own UTS namespace has the guest's name, ours has the host's. */
	memset(uts.domainname, 0, sizeof(uts.domainname));
	memset(uts.nodename, 0, sizeof(uts.nodename));
	strcpy(uts.nodename, "localhost");
	if (shadow->has_uts) {
		set_field(uts.sysname, shadow->uts.sysname);
		set_field(uts.nodename, shadow->uts.nodename);
		set_field(uts.release, shadow->uts.release);
		set_field(uts.version, shadow->uts.version);
		set_field(uts.machine, shadow->uts.machine);
		set_field(uts.domainname, shadow->uts.domainname);
	}
	if (shadow->names->nodename[0])
		set_field(uts.nodename, shadow->names->nodename);
	if (shadow->names->domainname[0])
		set_field(uts.domainname, shadow->names->domainname);
	return answer_write(call, call->args[0], &uts, sizeof(uts));
}

static uint64_t known(uint64_t counter)
{
	return counter == UINT64_MAX ? 0 : counter;
}

static struct error *load_sysinfo(struct guest *guest, struct sysinfo *ret)
{
	struct guest_memory_counters memory;
	struct guest_load load;
	struct error *error = guest_memory_counters(guest, &memory);

	if (!error)
		error = guest_load_average(guest, &load);
	if (error)
		return error;
	*ret = (struct sysinfo){.totalram = known(memory.total),
				.freeram = known(memory.free),
				.sharedram = known(memory.shmem),
				.bufferram = known(memory.buffers),
				.totalswap = known(memory.swap_total),
				.freeswap = known(memory.swap_free),
				.procs = (unsigned short)load.tasks,
				.mem_unit = 1};
	for (unsigned i = 0; i < 3; i++)
		ret->loads[i] = (unsigned long)load.raw[i] << (SI_LOAD_SHIFT - GUEST_LOAD_SHIFT);
	return NULL;
}

int answer_sysinfo(struct answer_call *call)
{
	struct answers *answers = call->answers;
	struct error *error = NULL;
	struct sysinfo info;
	int64_t uptime_ns;

	if (!answers->has_sysinfo)
		error = load_sysinfo(call->shadow->guest, &answers->sysinfo);
	if (error) {
		error_destroy(error);
		return ENOSYS;
	}
	answers->has_sysinfo = true;
	info = answers->sysinfo;
	/* Time goes on in the shadow, in whole seconds begun, as the kernel counts them here. */
	uptime_ns = (int64_t)clock_boottime_ns() + call->shadow->boottime_offset_ns;
	info.uptime = (long)((uptime_ns + 999999999) / 1000000000);
	return answer_write(call, call->args[0], &info, sizeof(info));
}
