/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{snmp,netstat,snmp6,sockstat,sockstat6,protocols,xfrm_stat} (net/ipv4/proc.c, net/ipv6/proc.c, …). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

/* ---- Lines of names and lines of values ---- */

static void write_names(const struct guest_mib_list *mib, FILE *out)
{
	for (size_t i = 0; i < mib->n; i++)
		fprintf(out, " %s", mib->items[i].name);
}

/* TCP's most connections are -1: no bound. */
static void write_values(const struct guest_mib_list *mib, FILE *out)
{
	for (size_t i = 0; i < mib->n; i++)
		fprintf(out, strcmp(mib->items[i].name, "MaxConn") == 0 ? " %" PRId64 : " %" PRIu64,
			mib->items[i].value);
}

/* Both lines of one protocol; one that the kernel does not have has none. */
static struct error *write_protocol(const struct proc_facts *facts, uint64_t task, enum guest_mib which,
				    const char *title, FILE *out)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list mib = {0};
	struct error *error = guest_mib(facts->guest, task, which, &mib);

	if (error && error->code == ERROR_NOT_FOUND) {
		error_destroy(error);
		return NULL;
	}
	if (error)
		return error;
	fprintf(out, "%s:", title);
	write_names(&mib, out);
	fprintf(out, "\n%s:", title);
	write_values(&mib, out);
	fputc('\n', out);
	return NULL;
}

static uint64_t value_of(const struct guest_mib_list *mib, size_t entry)
{
	return entry < mib->n ? mib->items[entry].value : 0;
}

/* ---- snmp ---- */

/* Kinds of ICMP messages that have a name. */
static const struct {
	const char *name;
	uint8_t type;
} icmp_types[] = {
	{"DestUnreachs", 3},   {"TimeExcds", 11}, {"ParmProbs", 12},    {"SrcQuenchs", 4},
	{"Redirects", 5},      {"Echos", 8},      {"EchoReps", 0},      {"Timestamps", 13},
	{"TimestampReps", 14}, {"AddrMasks", 17}, {"AddrMaskReps", 18},
};

/* Places in struct icmp_mib. */
#define ICMP_IN          1u
#define ICMP_IN_ERRORS   2u
#define ICMP_OUT         3u
#define ICMP_OUT_ERRORS  4u
#define ICMP_IN_CHECKSUM 5u
#define ICMP_LIMITED     6u   /* and 7; shown since 6.9 */
#define ICMP_SENT        256u /* from here on kinds of messages that were sent */

static void write_icmp(const struct guest_mib_list *icmp, const struct guest_mib_list *messages, bool limits, FILE *out)
{
	fputs("Icmp: InMsgs InErrors InCsumErrors", out);
	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++)
		fprintf(out, " In%s", icmp_types[i].name);
	fprintf(out, " OutMsgs OutErrors%s", limits ? " OutRateLimitGlobal OutRateLimitHost" : "");
	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++)
		fprintf(out, " Out%s", icmp_types[i].name);
	fprintf(out, "\nIcmp: %" PRIu64 " %" PRIu64 " %" PRIu64, value_of(icmp, ICMP_IN),
		value_of(icmp, ICMP_IN_ERRORS), value_of(icmp, ICMP_IN_CHECKSUM));
	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++)
		fprintf(out, " %" PRIu64, value_of(messages, icmp_types[i].type));
	fprintf(out, " %" PRIu64 " %" PRIu64, value_of(icmp, ICMP_OUT), value_of(icmp, ICMP_OUT_ERRORS));
	if (limits)
		fprintf(out, " %" PRIu64 " %" PRIu64, value_of(icmp, ICMP_LIMITED), value_of(icmp, ICMP_LIMITED + 1));
	for (size_t i = 0; i < ARRAY_SIZE(icmp_types); i++)
		fprintf(out, " %" PRIu64, value_of(messages, ICMP_SENT + icmp_types[i].type));
	fputc('\n', out);
}

#define MESSAGES_A_LINE 16u

/* Kinds of messages that there were, by number. */
static void write_icmp_messages(const struct guest_mib_list *messages, FILE *out)
{
	for (size_t from = 0; from < messages->n;) {
		size_t chosen[MESSAGES_A_LINE], n = 0;

		for (; from < messages->n && n < MESSAGES_A_LINE; from++)
			if (messages->items[from].value)
				chosen[n++] = from;
		if (n == 0)
			return;
		fputs("IcmpMsg:", out);
		for (size_t i = 0; i < n; i++)
			fprintf(out, " %sType%zu", chosen[i] & ICMP_SENT ? "Out" : "In", chosen[i] % ICMP_SENT);
		fputs("\nIcmpMsg:", out);
		for (size_t i = 0; i < n; i++)
			fprintf(out, " %" PRIu64, messages->items[chosen[i]].value);
		fputc('\n', out);
	}
}

static struct error *write_ip(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list ip = {0};
	struct guest_socket_totals totals;
	struct error *error = guest_mib(facts->guest, task, GUEST_MIB_IP, &ip);

	if (!error)
		error = guest_socket_totals(facts->guest, task, &totals);
	if (error)
		return error;
	fputs("Ip: Forwarding DefaultTTL", out);
	write_names(&ip, out);
	fprintf(out, "\nIp: %d %u", totals.forwards ? 1 : 2, totals.ttl);
	write_values(&ip, out);
	fputc('\n', out);
	return NULL;
}

struct error *net_write_snmp(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list icmp = {0};
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list messages = {0};
	struct error *error = write_ip(facts, task, out);

	if (!error)
		error = guest_mib(facts->guest, task, GUEST_MIB_ICMP, &icmp);
	if (!error)
		error = guest_mib(facts->guest, task, GUEST_MIB_ICMP_MESSAGES, &messages);
	if (error)
		return error;
	write_icmp(&icmp, &messages, guest_has_text(facts->guest, " OutRateLimitGlobal"), out);
	write_icmp_messages(&messages, out);
	error = write_protocol(facts, task, GUEST_MIB_TCP, "Tcp", out);
	if (!error)
		error = write_protocol(facts, task, GUEST_MIB_UDP, "Udp", out);
	return error ? error : write_protocol(facts, task, GUEST_MIB_UDPLITE, "UdpLite", out);
}

struct error *net_write_netstat(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	struct error *error = write_protocol(facts, task, GUEST_MIB_NET, "TcpExt", out);

	if (!error)
		error = write_protocol(facts, task, GUEST_MIB_IP_EXT, "IpExt", out);
	return error ? error : write_protocol(facts, task, GUEST_MIB_MPTCP, "MPTcpExt", out);
}

/* ---- snmp6, xfrm_stat: a line a counter ---- */

static struct error *write_lines(const struct proc_facts *facts, uint64_t task, enum guest_mib which, int width,
				 FILE *out)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list mib = {0};
	struct error *error = guest_mib(facts->guest, task, which, &mib);

	for (size_t i = 0; !error && i < mib.n; i++)
		fprintf(out, "%-*s\t%" PRIu64 "\n", width, mib.items[i].name, mib.items[i].value);
	return error;
}

static const char *icmp6_name(size_t type)
{
	static const char *const names[ICMP_SENT] = {
		[1] = "DestUnreachs",
		[2] = "PktTooBigs",
		[3] = "TimeExcds",
		[4] = "ParmProblems",
		[128] = "Echos",
		[129] = "EchoReplies",
		[130] = "GroupMembQueries",
		[131] = "GroupMembResponses",
		[132] = "GroupMembReductions",
		[133] = "RouterSolicits",
		[134] = "RouterAdvertisements",
		[135] = "NeighborSolicits",
		[136] = "NeighborAdvertisements",
		[137] = "Redirects",
		[143] = "MLDv2Reports",
	};

	return names[type % ICMP_SENT];
}

static struct error *write_icmp6_messages(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_mib_list_deinit) struct guest_mib_list messages = {0};
	struct error *error = guest_mib(facts->guest, task, GUEST_MIB_ICMP6_MESSAGES, &messages);
	char name[48];

	if (error)
		return error;
	for (size_t i = 0; i < messages.n; i++) {
		if (!icmp6_name(i))
			continue;
		snprintf(name, sizeof(name), "Icmp6%s%s", i & ICMP_SENT ? "Out" : "In", icmp6_name(i));
		fprintf(out, "%-32s\t%" PRIu64 "\n", name, messages.items[i].value);
	}
	for (size_t i = 0; i < messages.n; i++) {
		if (!messages.items[i].value)
			continue;
		snprintf(name, sizeof(name), "Icmp6%sType%zu", i & ICMP_SENT ? "Out" : "In", i % ICMP_SENT);
		fprintf(out, "%-32s\t%" PRIu64 "\n", name, messages.items[i].value);
	}
	return NULL;
}

struct error *net_write_snmp6(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	struct error *error = write_lines(facts, task, GUEST_MIB_IP6, 32, out);

	if (!error)
		error = write_lines(facts, task, GUEST_MIB_ICMP6, 32, out);
	if (!error)
		error = write_icmp6_messages(facts, task, out);
	if (!error)
		error = write_lines(facts, task, GUEST_MIB_UDP6, 32, out);
	if (!error && guest_knows_sockets(facts->guest, GUEST_SOCKET_UDPLITE, 6))
		error = write_lines(facts, task, GUEST_MIB_UDPLITE6, 32, out);
	return error;
}

struct error *net_write_xfrm_stat(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	return write_lines(facts, task, GUEST_MIB_XFRM, 24, out);
}

/* ---- sockstat, protocols ---- */

static const struct guest_protocol *find_protocol(const struct guest_protocol_list *list, const char *name)
{
	static const struct guest_protocol none;

	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i].name, name) == 0)
			return &list->items[i];
	return &none;
}

static struct error *read_counts(const struct proc_facts *facts, uint64_t task, struct guest_protocol_list *protocols,
				 struct guest_socket_totals *totals)
{
	struct error *error = guest_protocols(facts->guest, task, protocols);

	if (!error)
		error = take_ptr(protocols->incomplete);
	return error ? error : guest_socket_totals(facts->guest, task, totals);
}

struct error *net_write_sockstat(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_protocol_list_deinit) struct guest_protocol_list protocols = {0};
	struct guest_socket_totals totals;
	struct error *error = read_counts(facts, task, &protocols, &totals);

	if (error)
		return error;
	fprintf(out, "sockets: used %" PRId32 "\n", totals.used);
	fprintf(out, "TCP: inuse %" PRId32 " orphan %" PRId32 " tw %" PRId32 " alloc %" PRId64 " mem %" PRId64 "\n",
		find_protocol(&protocols, "TCP")->sockets, totals.orphans, totals.waiting, totals.allocated,
		find_protocol(&protocols, "TCP")->memory);
	fprintf(out, "UDP: inuse %" PRId32 " mem %" PRId64 "\n", find_protocol(&protocols, "UDP")->sockets,
		find_protocol(&protocols, "UDP")->memory);
	if (guest_knows_sockets(facts->guest, GUEST_SOCKET_UDPLITE, 4))
		fprintf(out, "UDPLITE: inuse %" PRId32 "\n", find_protocol(&protocols, "UDP-Lite")->sockets);
	fprintf(out, "RAW: inuse %" PRId32 "\n", find_protocol(&protocols, "RAW")->sockets);
	fprintf(out, "FRAG: inuse %" PRIu32 " memory %" PRIu64 "\n", totals.fragments[0], totals.fragment_memory[0]);
	return NULL;
}

struct error *net_write_sockstat6(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_protocol_list_deinit) struct guest_protocol_list protocols = {0};
	struct guest_socket_totals totals;
	struct error *error;

	if (!guest_knows_sockets(facts->guest, GUEST_SOCKET_TCP, 6))
		return error_create(ERROR_NOT_FOUND, "the guest's kernel has no IPv6");
	error = read_counts(facts, task, &protocols, &totals);
	if (error)
		return error;
	fprintf(out, "TCP6: inuse %" PRId32 "\n", find_protocol(&protocols, "TCPv6")->sockets);
	fprintf(out, "UDP6: inuse %" PRId32 "\n", find_protocol(&protocols, "UDPv6")->sockets);
	if (guest_knows_sockets(facts->guest, GUEST_SOCKET_UDPLITE, 6))
		fprintf(out, "UDPLITE6: inuse %" PRId32 "\n", find_protocol(&protocols, "UDPLITEv6")->sockets);
	fprintf(out, "RAW6: inuse %" PRId32 "\n", find_protocol(&protocols, "RAWv6")->sockets);
	fprintf(out, "FRAG6: inuse %" PRIu32 " memory %" PRIu64 "\n", totals.fragments[1], totals.fragment_memory[1]);
	return NULL;
}

struct error *net_write_protocols(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	static const char *const titles[GUEST_PROTOCOL_METHODS] = {"cl", "co", "di", "ac", "io", "in", "de",
								   "sh", "ss", "gs", "se", "re", "sp", "bi",
								   "br", "ha", "uh", "gp", "em"};
	_cleanup_(guest_protocol_list_deinit) struct guest_protocol_list protocols = {0};
	struct error *error = PROC_LIST(guest_protocols(facts->guest, task, &protocols), protocols);
	bool sendpage;

	if (error)
		return error;
	sendpage = protocols.n > 0 && protocols.items[0].has_sendpage;
	fputs("protocol  size sockets  memory press maxhdr  slab module    ", out);
	for (unsigned i = 0; i < GUEST_PROTOCOL_METHODS; i++)
		if (i != GUEST_METHOD_SENDPAGE || sendpage)
			fprintf(out, " %s", titles[i]);
	fputc('\n', out);
	for (size_t i = 0; i < protocols.n; i++) {
		const struct guest_protocol *protocol = &protocols.items[i];
		const char *pressure = !protocol->has_pressure ? "NI" : protocol->pressure ? "yes" : "no";

		fprintf(out, "%-9s %4" PRIu32 " %6" PRId32 "  %6" PRId64 "   %-3s %6" PRIu32 "   %-3s  %-10s",
			protocol->name, protocol->size, protocol->sockets, protocol->memory, pressure,
			protocol->max_header, protocol->has_slab ? "yes" : "no",
			protocol->module[0] ? protocol->module : "kernel");
		for (unsigned j = 0; j < GUEST_PROTOCOL_METHODS; j++)
			if (j != GUEST_METHOD_SENDPAGE || sendpage)
				fprintf(out, " %2c", protocol->methods >> j & 1 ? 'y' : 'n');
		fputc('\n', out);
	}
	return NULL;
}
