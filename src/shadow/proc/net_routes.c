/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net/{route,ipv6_route} (net/ipv4/fib_trie.c, net/ipv6/route.c). */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "shadow/proc/net.h"

#define ROUTE_WIDTH      127 /* to which a line is padded, without the newline */
#define TABLE_MAIN       254u

/* RTN_*, RTF_* */
#define TYPE_BROADCAST   3u
#define TYPE_MULTICAST   5u
#define TYPE_UNREACHABLE 7u
#define TYPE_PROHIBIT    8u
#define FLAG_UP          0x1u
#define FLAG_GATEWAY     0x2u
#define FLAG_HOST        0x4u
#define FLAG_REJECT      0x200u

static uint32_t word_of(const uint8_t *address)
{
	uint32_t word;

	memcpy(&word, address, sizeof(word));
	return word;
}

static uint32_t route_flags(const struct guest_route *route)
{
	uint32_t flags = FLAG_UP;

	if (route->type == TYPE_UNREACHABLE || route->type == TYPE_PROHIBIT)
		flags |= FLAG_REJECT;
	if (route->has_gateway && word_of(route->gateway))
		flags |= FLAG_GATEWAY;
	return route->prefix == 32 ? flags | FLAG_HOST : flags;
}

/* The main table alone, without what is a route only inside the kernel. */
struct error *net_write_route(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_route_list_deinit) struct guest_route_list routes = {0};
	struct error *error = PROC_LIST(guest_routes(facts->guest, task, &routes), routes);

	if (error)
		return error;
	net_pad(out,
		fprintf(out, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"),
		ROUTE_WIDTH);
	for (size_t i = 0; i < routes.n; i++) {
		const struct guest_route *route = &routes.items[i];
		const uint32_t mask = route->prefix ? __builtin_bswap32(UINT32_MAX << (32 - route->prefix)) : 0;

		if (route->table != TABLE_MAIN || route->type == TYPE_BROADCAST || route->type == TYPE_MULTICAST)
			continue;
		net_pad(out,
			fprintf(out,
				"%s\t%08" PRIX32 "\t%08" PRIX32 "\t%04" PRIX32 "\t0\t0\t%" PRIu32 "\t%08" PRIX32
				"\t%" PRIu32 "\t%" PRIu32 "\t%" PRIu32,
				route->interface[0] ? route->interface : "*", word_of(route->destination),
				word_of(route->gateway), route_flags(route), route->metric, mask,
				route->mss ? route->mss + 40 : 0, route->window, route->rtt >> 3),
			ROUTE_WIDTH);
	}
	return NULL;
}

struct error *net_write_ipv6_route(const struct proc_facts *facts, uint64_t task, FILE *out)
{
	_cleanup_(guest_route_list_deinit) struct guest_route_list routes = {0};
	struct error *error = PROC_LIST(guest_routes6(facts->guest, task, &routes), routes);

	for (size_t i = 0; !error && i < routes.n; i++) {
		const struct guest_route *route = &routes.items[i];

		net_digits(out, route->destination, 16);
		fprintf(out, " %02x 00000000000000000000000000000000 00 ", route->prefix);
		net_digits(out, route->gateway, 16);
		fprintf(out, " %08" PRIx32 " %08" PRIx32 " 00000000 %08" PRIx32 " %8s\n", route->metric,
			route->references, route->flags, route->interface);
	}
	return error;
}
