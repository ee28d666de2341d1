/* SPDX-License-Identifier: Apache-2.0 */
/* Timers and windows of TCP sockets, as /proc/net/tcp shows them (get_tcp4_sock() in net/ipv4/tcp_ipv4.c). */
#include "guest/network.h"

/* icsk_pending: what a socket's one timer for sending is for. */
#define PENDING_RETRANSMIT 1u
#define PENDING_PROBE      3u
#define PENDING_LOSS_PROBE 5u
#define PENDING_REORDERING 6u

#define STATE_LISTEN       10u
#define THRESHOLD_INFINITE 0x7fffffffu /* TCP_INFINITE_SSTHRESH */

#define TIMER_NONE         0u
#define TIMER_RETRANSMIT   1u
#define TIMER_KEEPALIVE    2u
#define TIMER_WAIT         3u
#define TIMER_PROBE        4u

uint64_t jiffies_to_ticks(uint64_t jiffies, uint32_t tick_rate)
{
	const uint64_t tick_ns = (UINT64_C(1000000000) + tick_rate / 2) / tick_rate;

	return (uint64_t)((__uint128_t)jiffies * tick_ns / 10000000);
}

/* One of several places of a value in a struct that begins with `type`: the first that this kernel has. */
static struct error *need_one_of(const struct types *types, const char *const (*places)[2], size_t n,
				 struct member *ret, struct object_span *span)
{
	for (size_t i = 0; i < n; i++) {
		if (types_find(types, places[i][0], places[i][1]).present)
			return object_need(types, &(struct member_need){places[i][0], places[i][1], ret}, 1, span);
	}
	return object_need(types, &(struct member_need){places[0][0], places[0][1], ret}, 1, span);
}

static struct error *load_expiries(const struct types *types, struct tcp_timers *ret, struct object_span *span)
{
	/* The timer's own since 6.18, in which it also moved to struct sock, to where the keepalive timer had been. */
	static const char *const timeouts[][2] = {{"inet_connection_sock", "icsk_timeout"},
						  {"inet_connection_sock", "icsk_retransmit_timer.expires"},
						  {"sock", "tcp_retransmit_timer.expires"}};
	static const char *const keepalives[][2] = {{"inet_connection_sock", "icsk_keepalive_timer.expires"},
						    {"sock", "sk_timer.expires"}};
	static const char *const on[][2] = {{"inet_connection_sock", "icsk_keepalive_timer.entry.pprev"},
					    {"sock", "sk_timer.entry.pprev"}};
	struct error *error = need_one_of(types, timeouts, ARRAY_SIZE(timeouts), &ret->timeout, span);

	if (!error)
		error = need_one_of(types, keepalives, ARRAY_SIZE(keepalives), &ret->keepalive, span);
	return error ? error : need_one_of(types, on, ARRAY_SIZE(on), &ret->keepalive_on, span);
}

struct error *tcp_timers_load(struct guest *guest, struct gva net, struct tcp_timers *ret, struct object_span *span)
{
	const struct member_need connection[] = {
		{"inet_connection_sock", "icsk_pending", &ret->pending},
		{"inet_connection_sock", "icsk_retransmits", &ret->retransmits},
		{"inet_connection_sock", "icsk_probes_out", &ret->probes},
		{"inet_connection_sock", "icsk_rto", &ret->rto},
		{"inet_connection_sock", "icsk_ack.ato", &ret->ato},
		{"inet_connection_sock", "icsk_ack.quick", &ret->quick},
		{"inet_connection_sock", "icsk_ack.pingpong", &ret->both},
		{"inet_connection_sock", "icsk_accept_queue.fastopenq.max_qlen", &ret->fast_open},
	};
	const struct member_need sock[] = {
		{"tcp_sock", "snd_cwnd", &ret->window},
		{"tcp_sock", "snd_ssthresh", &ret->threshold},
	};
	const struct member_need rest[] = {
		{"inet_timewait_sock", "tw_timer.expires", &ret->wait_expires},
		{"request_sock", "rsk_timer.expires", &ret->request_expires},
		{"request_sock", "num_timeout", &ret->retries},
	};
	/* A sysctl since 6.7 (562b1fdf061b); 1 before. */
	const struct member both_ways = types_find(guest->types, "net", "ipv4.sysctl_tcp_pingpong_thresh");
	uint64_t value = 1;
	struct error *error = object_need(guest->types, connection, ARRAY_SIZE(connection), span);

	if (!error)
		error = object_need(guest->types, sock, ARRAY_SIZE(sock), span);
	if (!error)
		error = types_need(guest->types, rest, ARRAY_SIZE(rest));
	if (!error)
		error = load_expiries(guest->types, ret, span);
	if (!error)
		error = guest_symbol_u64(guest, "jiffies_64", &ret->jiffies);
	if (!error)
		error = guest_tick_rate(guest, &ret->tick_rate);
	if (!error && both_ways.present)
		error = guest_read_member(guest, net, &both_ways, &value);
	ret->both_ways = (uint32_t)value;
	return error;
}

/* What lies in the past is due now. */
static uint64_t ticks_until(const struct tcp_timers *timers, uint64_t expires)
{
	const int64_t delta = (int64_t)(expires - timers->jiffies);

	return delta > 0 ? jiffies_to_ticks((uint64_t)delta, timers->tick_rate) : 0;
}

static void read_timer(const struct tcp_timers *timers, const uint8_t *sock, struct guest_socket *ret)
{
	const uint64_t pending = object_field(sock, &timers->pending);
	uint64_t expires = object_field(sock, &timers->timeout);

	ret->timer = TIMER_NONE;
	if (pending == PENDING_RETRANSMIT || pending == PENDING_LOSS_PROBE || pending == PENDING_REORDERING) {
		ret->timer = TIMER_RETRANSMIT;
	} else if (pending == PENDING_PROBE) {
		ret->timer = TIMER_PROBE;
	} else if (object_field(sock, &timers->keepalive_on)) {
		ret->timer = TIMER_KEEPALIVE;
		expires = object_field(sock, &timers->keepalive);
	}
	if (ret->timer != TIMER_NONE)
		ret->timer_ticks = ticks_until(timers, expires);
}

void tcp_timers_read(const struct tcp_timers *timers, const uint8_t *sock, struct guest_socket *ret)
{
	const uint64_t threshold = object_field(sock, &timers->threshold);

	read_timer(timers, sock, ret);
	ret->retransmits = (uint32_t)object_field(sock, &timers->retransmits);
	ret->probes = (uint32_t)object_field(sock, &timers->probes);
	ret->rto_ticks = jiffies_to_ticks(object_field(sock, &timers->rto), timers->tick_rate);
	ret->ato_ticks = jiffies_to_ticks(object_field(sock, &timers->ato), timers->tick_rate);
	ret->ack_mode = (uint32_t)object_field(sock, &timers->quick) << 1 |
			(object_field(sock, &timers->both) >= timers->both_ways);
	ret->window = (uint32_t)object_field(sock, &timers->window);
	if (ret->state == STATE_LISTEN)
		ret->threshold = (int32_t)object_field(sock, &timers->fast_open);
	else
		ret->threshold = threshold >= THRESHOLD_INFINITE ? -1 : (int32_t)threshold;
}

struct error *tcp_timers_read_wait(struct guest *guest, const struct tcp_timers *timers, struct gva address,
				   struct guest_socket *ret)
{
	uint64_t expires;
	struct error *error = guest_read_member(guest, address, &timers->wait_expires, &expires);

	if (error)
		return error;
	ret->stand_in = true;
	ret->timer = TIMER_WAIT;
	ret->timer_ticks = ticks_until(timers, expires);
	return NULL;
}

struct error *tcp_timers_read_request(struct guest *guest, const struct tcp_timers *timers, struct gva address,
				      struct guest_socket *ret)
{
	uint64_t expires, retries;
	const struct member_read reads[] = {{&timers->request_expires, &expires}, {&timers->retries, &retries}};
	struct error *error = guest_read_members(guest, address, reads, ARRAY_SIZE(reads));

	if (error)
		return error;
	ret->stand_in = true;
	ret->timer = TIMER_RETRANSMIT;
	ret->timer_ticks = ticks_until(timers, expires);
	ret->retransmits = (uint32_t)retries;
	return NULL;
}
