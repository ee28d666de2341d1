/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{igmp,igmp6,dev_mcast} (net/ipv4/igmp.c, net/ipv6/mcast.c, net/core/net-procfs.c). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

struct error *net_write_igmp(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_group_list_deinit) struct guest_group_list list = {0};
	struct error *error = PROC_LIST(guest_groups(facts->guest, task, GUEST_GROUPS_IP4, &list), list);

	if (error)
		return error;
	fputs("Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n", out);
	for (size_t i = 0; i < list.n; i++) {
		const struct guest_group *one = &list.items[i];
		uint32_t address;

		if (i == 0 || one->index != one[-1].index)
			fprintf(out, "%" PRIu32 "\t%-10s: %5" PRIu32 "      V%u\n", one->index, one->interface,
				one->count, one->version);
		/* As the kernel: a number of the processor's, not the network's order. */
		memcpy(&address, one->address, sizeof(address));
		fprintf(out, "\t\t\t\t%08" PRIX32 " %5" PRIu32 " %u:%08" PRIX64 "\t\t%" PRIu32 "\n", address,
			one->users, one->timer, one->timer_ticks, one->reporter);
	}
	return NULL;
}

struct error *net_write_igmp6(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_group_list_deinit) struct guest_group_list list = {0};
	struct error *error = PROC_LIST(guest_groups(facts->guest, task, GUEST_GROUPS_IP6, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_group *one = &list.items[i];

		fprintf(out, "%-4" PRIu32 " %-15s ", one->index, one->interface);
		net_digits(out, one->address, one->address_size);
		fprintf(out, " %5" PRIu32 " %08" PRIX32 " %" PRIu64 "\n", one->users, one->flags, one->timer_ticks);
	}
	return error;
}

struct error *net_write_dev_mcast(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_group_list_deinit) struct guest_group_list list = {0};
	struct error *error = PROC_LIST(guest_groups(facts->guest, task, GUEST_GROUPS_LINK, &list), list);

	for (size_t i = 0; !error && i < list.n; i++) {
		const struct guest_group *one = &list.items[i];

		fprintf(out, "%-4" PRIu32 " %-15s %-5" PRIu32 " %-5" PRIu32 " ", one->index, one->interface, one->users,
			one->flags);
		net_digits(out, one->address, one->address_size);
		fputc('\n', out);
	}
	return error;
}
