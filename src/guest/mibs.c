/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of protocols (SNMP and its extensions). Which there are, in which order and under which names, is said by
 * the tables that the kernel itself prints from (struct snmp_mib in net/ipv4/proc.c, net/ipv6/proc.c, …).
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "guest/network.h"

#define COUNTERS_MAX 1024u /* of one protocol */

static const struct mib_source {
	const char *names;      /* symbol of the table of names; NULL: there is none, all are meant */
	const char *statistics; /* member of struct net */
	const char *type;
	bool shared; /* one for all processors */
} sources[GUEST_MIBS] = {
	[GUEST_MIB_IP] = {"snmp4_ipstats_list", "mib.ip_statistics", "ipstats_mib", false},
	[GUEST_MIB_ICMP] = {NULL, "mib.icmp_statistics", "icmp_mib", false},
	[GUEST_MIB_ICMP_MESSAGES] = {NULL, "mib.icmpmsg_statistics", "icmpmsg_mib", true},
	[GUEST_MIB_TCP] = {"snmp4_tcp_list", "mib.tcp_statistics", "tcp_mib", false},
	[GUEST_MIB_UDP] = {"snmp4_udp_list", "mib.udp_statistics", "udp_mib", false},
	[GUEST_MIB_UDPLITE] = {"snmp4_udp_list", "mib.udplite_statistics", "udp_mib", false},
	[GUEST_MIB_NET] = {"snmp4_net_list", "mib.net_statistics", "linux_mib", false},
	[GUEST_MIB_IP_EXT] = {"snmp4_ipextstats_list", "mib.ip_statistics", "ipstats_mib", false},
	[GUEST_MIB_IP6] = {"snmp6_ipstats_list", "mib.ipv6_statistics", "ipstats_mib", false},
	[GUEST_MIB_ICMP6] = {"snmp6_icmp6_list", "mib.icmpv6_statistics", "icmpv6_mib", false},
	[GUEST_MIB_ICMP6_MESSAGES] = {NULL, "mib.icmpv6msg_statistics", "icmpv6msg_mib", true},
	[GUEST_MIB_UDP6] = {"snmp6_udp6_list", "mib.udp_stats_in6", "udp_mib", false},
	[GUEST_MIB_UDPLITE6] = {"snmp6_udplite6_list", "mib.udplite_stats_in6", "udp_mib", false},
	[GUEST_MIB_XFRM] = {"xfrm_mib_list", "mib.xfrm_statistics", "linux_xfrm_mib", false},
	[GUEST_MIB_MPTCP] = {"mptcp_snmp_list", "mib.mptcp_statistics", "mptcp_mib", false},
};

static struct error *append(struct guest_mib_list *list, const struct guest_mib_counter *counter)
{
	struct error *error = array_room(&list->items, list->n, sizeof(*list->items));

	if (!error)
		list->items[list->n++] = *counter;
	return error;
}

/* The table ends in an entry without a name, or (6.18 on) at its end. */
static struct error *read_names(struct guest *guest, const char *symbol, struct guest_mib_list *list)
{
	struct member name, entry;
	const struct member_need needs[] = {{"snmp_mib", "name", &name}, {"snmp_mib", "entry", &entry}};
	const uint32_t size = types_size(guest->types, "snmp_mib");
	struct gva table;
	uint64_t end;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (error)
		return error;
	if (!symbols_find(guest->symbols, symbol, &table))
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no %s", symbol);
	end = symbols_next(guest->symbols, table.v);
	for (uint64_t place = table.v; place + size <= end && list->n < COUNTERS_MAX; place += size) {
		struct guest_mib_counter counter = {0};
		uint64_t text, number;
		const struct member_read reads[] = {{&name, &text}, {&entry, &number}};

		error = guest_read_members(guest, (struct gva){place}, reads, ARRAY_SIZE(reads));
		if (error || !text)
			break;
		counter.entry = (uint32_t)number;
		error = memory_read_string(&guest->memory, (struct gva){text}, counter.name, sizeof(counter.name));
		if (!error)
			error = append(list, &counter);
		if (error)
			break;
	}
	return error;
}

static struct error *number_all(uint32_t n, struct guest_mib_list *list)
{
	struct error *error = NULL;

	for (uint32_t i = 0; !error && i < n; i++)
		error = append(list, &(struct guest_mib_counter){.entry = i});
	return error;
}

static struct error *add_values(struct guest *guest, struct gva place, const struct member *array,
				struct guest_mib_list *list)
{
	uint64_t values[COUNTERS_MAX];
	const uint32_t n = array->size / sizeof(values[0]);
	struct error *error;

	if (n > COUNTERS_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest has %u counters of one protocol", n);
	error = memory_read(&guest->memory, (struct gva){place.v + array->offset}, values, n * sizeof(values[0]));
	for (size_t i = 0; !error && i < list->n; i++) {
		if (list->items[i].entry >= n)
			return error_format(NULL, place.v, "counter %s of the guest is number %u of %u",
					    list->items[i].name, list->items[i].entry, n);
		list->items[i].value += values[list->items[i].entry];
	}
	return error;
}

static struct error *add_all(struct guest *guest, uint64_t statistics, const struct member *array,
			     struct guest_mib_list *list)
{
	struct cpu_sets cpus;
	struct error *error = cpu_sets_load(guest, &cpus);

	if (error)
		return error;
	for_each_cpu(cpu, cpus.possible_set) {
		struct gva copy;

		error = guest_percpu(guest, (struct gva){statistics}, cpu, &copy);
		if (!error)
			error = add_values(guest, copy, array, list);
		if (error)
			return error;
	}
	return NULL;
}

static struct error *read_mib(struct guest *guest, struct gva net, const struct mib_source *source,
			      struct guest_mib_list *list)
{
	struct member pointer = types_find(guest->types, "net", source->statistics);
	struct member array = types_find(guest->types, source->type, "mibs");
	uint64_t statistics;
	struct error *error;

	if (!pointer.present || !array.present)
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no %s", source->statistics);
	if (source->names)
		error = read_names(guest, source->names, list);
	else
		error = number_all(array.size / 8, list);
	if (!error)
		error = guest_read_member(guest, net, &pointer, &statistics);
	/* MPTCP's come into being with the first socket: all zero till then. */
	if (error || !statistics)
		return error;
	return source->shared ? add_values(guest, (struct gva){statistics}, &array, list)
			      : add_all(guest, statistics, &array, list);
}

struct error *guest_mib(struct guest *guest, uint64_t task, enum guest_mib mib, struct guest_mib_list *ret)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list list = {0};
	struct gva net;
	struct error *error = network_namespace(guest, task, &net);

	if (!error)
		error = read_mib(guest, net, &sources[mib], &list);
	if (error)
		return error_wrap(error, "the guest's counters of protocols");
	*ret = list;
	list = (struct guest_mib_list){0};
	return NULL;
}

void guest_mib_list_deinit(struct guest_mib_list *list)
{
	free(list->items);
	error_destroy(list->incomplete);
	*list = (struct guest_mib_list){0};
}

bool guest_has_text(struct guest *guest, const char *text)
{
	struct gva from, end;

	return symbols_find(guest->symbols, "__start_rodata", &from) &&
	       symbols_find(guest->symbols, "__end_rodata", &end) && end.v - from.v < (UINT64_C(1) << 28) &&
	       memory_find(&guest->memory, &from, end, text, strlen(text));
}
