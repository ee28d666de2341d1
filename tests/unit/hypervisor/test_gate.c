/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter against real frames: every probe is run with the gate open, where it must get
 * through (or it would prove nothing), and with the gate closed.
 */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "hypervisor/gate.h"
#include "net.h"
#include "test.h"

static bool built;
static char *taps[] = {(char *)"tap0"};

static const struct ssh_endpoint over4 = {
	.family = AF_INET, .port = SSH_PORT, .guest = GUEST4, .host = HOST4, .connect = GUEST4};
static const struct ssh_endpoint over6 = {
	.family = AF_INET6, .port = SSH_PORT, .guest = GUEST6, .host = HOST6, .connect = GUEST6};

/* --- frames, hand-made: destination, source, type, content --- */

#define MAC_HOST                                   "\x02\x00\x00\x00\x00\x01"
#define MAC_GUEST                                  "\x02\x00\x00\x00\x00\x02"
#define MAC_ALL                                    "\xff\xff\xff\xff\xff\xff"
#define IP_HOST                                    "\x0a\x09\x00\x01"
#define IP_GUEST                                   "\x0a\x09\x00\x02"
#define IP_NEIGHBOUR                               "\x0a\x09\x00\x03"
/* Protocol TCP; net_send() fills in length and sum. */
#define IPV4(from, to)                             "\x45\x00\x00\x00\x00\x01\x00\x00\x40\x06\x00\x00" from to
#define TCP_SYN(from, to)                          from to "\x00\x00\x00\x01\x00\x00\x00\x00\x50\x02\x04\x00\x00\x00\x00\x00"
#define ARP(operation, from_mac, from, to_mac, to) "\x00\x01\x08\x00\x06\x04" operation from_mac from to_mac to

#define SEND(place, frame)                         net_send(place, "eth0", frame, sizeof(frame) - 1)

static bool arrives(bool sent)
{
	return sent && net_count_to_guest() > 0;
}

static bool forged_syn(void)
{
	net_reset_count();
	return arrives(
		SEND(NEIGHBOUR, MAC_GUEST MAC_HOST "\x08\x00" IPV4(IP_HOST, IP_GUEST) TCP_SYN("\xc0\x00", "\x00\x16")));
}

static bool forged_arp_request(void)
{
	net_reset_count();
	return arrives(SEND(NEIGHBOUR,
			    MAC_ALL MAC_HOST "\x08\x06" ARP("\x00\x01", MAC_HOST, IP_HOST, "\0\0\0\0\0\0", IP_GUEST)));
}

static bool forged_arp_reply(void)
{
	net_reset_count();
	return arrives(
		SEND(NEIGHBOUR, MAC_GUEST MAC_HOST "\x08\x06" ARP("\x00\x02", MAC_HOST, IP_HOST, MAC_GUEST, IP_GUEST)));
}

/* ff02::1 from a link-local address, next header 59 (none) */
static bool multicast6(void)
{
	net_reset_count();
	return arrives(SEND(NEIGHBOUR, "\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x03\x86\xdd"
				       "\x60\x00\x00\x00\x00\x10\x3b\xff"
				       "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x03"
				       "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"));
}

static bool unknown_type(void)
{
	net_reset_count();
	return arrives(SEND(NEIGHBOUR, MAC_GUEST MAC_HOST "\x88\xb5"));
}

static bool tagged(void)
{
	net_reset_count();
	return arrives(SEND(NEIGHBOUR, MAC_GUEST MAC_HOST "\x81\x00\x00\x05\x08\x00" IPV4(IP_HOST, IP_GUEST)
					       TCP_SYN("\xc0\x00", "\x00\x16")));
}

static bool send_guest_broadcast(void)
{
	return SEND(GUEST, MAC_ALL MAC_GUEST "\x08\x06" ARP("\x00\x01", MAC_GUEST, IP_GUEST, "\0\0\0\0\0\0", IP_HOST));
}

static bool guest_broadcast(void)
{
	return net_sees(NEIGHBOUR, "eth0", send_guest_broadcast);
}

/* --- connections --- */

static bool neighbour_web(void)
{
	return net_connect(NEIGHBOUR, GUEST4, WEB_PORT, 0, 0, NULL);
}

static bool neighbour_ssh(void)
{
	return net_connect(NEIGHBOUR, GUEST4, SSH_PORT, 0, 0, NULL);
}

static bool neighbour_web6_link(void)
{
	return net_connect(NEIGHBOUR, GUEST6_LINK "%eth0", WEB_PORT, 0, 0, NULL);
}

static bool neighbour_ssh6(void)
{
	return net_connect(NEIGHBOUR, GUEST6, SSH_PORT, 0, 0, NULL);
}

static bool routed_ssh(void)
{
	return net_connect(OUTSIDE, GUEST4, SSH_PORT, 0, 0, NULL);
}

/* The host gives the routed connection its own address: on the bridge it looks like the host's. */
static bool masqueraded_ssh(void)
{
	bool reached;

	assert_true(net_run(HOST, "nft 'table ip hide { chain post { type nat hook postrouting priority 100; "
				  "oifname \"br0\" masquerade; }; }'"));
	reached = routed_ssh();
	assert_true(net_run(HOST, "nft delete table ip hide"));
	return reached;
}

static bool guest_to_neighbour(void)
{
	return net_connect(GUEST, NEIGHBOUR4, WEB_PORT, 0, 0, NULL);
}

static bool guest_to_neighbour_from_ssh(void)
{
	return net_connect(GUEST, NEIGHBOUR4, WEB_PORT, SSH_PORT, 0, NULL);
}

static bool guest_to_neighbour6(void)
{
	return net_connect(GUEST, "fd00:9::3", WEB_PORT, 0, 0, NULL);
}

static bool guest_to_outside(void)
{
	return net_connect(GUEST, OUTSIDE4, WEB_PORT, 0, 0, NULL);
}

static bool guest_to_host(void)
{
	return net_connect(GUEST, HOST4, WEB_PORT, 0, 0, NULL);
}

static bool guest_to_host_from_ssh(void)
{
	return net_connect(GUEST, HOST4, WEB_PORT, SSH_PORT, 0, NULL);
}

static bool host_web(void)
{
	return net_connect(HOST, GUEST4, WEB_PORT, 0, 0, NULL);
}

static bool host_ssh(void)
{
	return net_connect(HOST, GUEST4, SSH_PORT, 0, 0, NULL);
}

static bool host_ssh6(void)
{
	return net_connect(HOST, GUEST6, SSH_PORT, 0, 0, NULL);
}

/* For example sshd on the host, forwarding a connection for a user who came from elsewhere. */
static bool host_user_ssh(void)
{
	return net_connect(HOST, GUEST4, SSH_PORT, 0, 65534, NULL);
}

enum passes {
	NEVER,
	SSH4 = 1,
	SSH6 = 2,
};

static const struct probe {
	const char *name;
	bool (*function)(void);
	unsigned passes; /* with the gate closed */
} probes[] = {
	{"neighbour to web", neighbour_web, NEVER},
	{"neighbour to ssh", neighbour_ssh, NEVER},
	{"neighbour to web over IPv6 link-local", neighbour_web6_link, NEVER},
	{"neighbour to ssh over IPv6", neighbour_ssh6, NEVER},
	{"forged SYN with the host's MAC and address", forged_syn, NEVER},
	{"forged ARP request", forged_arp_request, NEVER},
	{"forged ARP reply", forged_arp_reply, NEVER},
	{"IPv6 multicast", multicast6, NEVER},
	{"unknown ethernet type", unknown_type, NEVER},
	{"VLAN tag", tagged, NEVER},
	{"routed through the host", routed_ssh, NEVER},
	{"masqueraded by the host", masqueraded_ssh, NEVER},
	{"guest to neighbour", guest_to_neighbour, NEVER},
	{"guest to neighbour from the ssh port", guest_to_neighbour_from_ssh, NEVER},
	{"guest to neighbour over IPv6", guest_to_neighbour6, NEVER},
	{"guest's broadcast seen by the neighbour", guest_broadcast, NEVER},
	{"guest to outside", guest_to_outside, NEVER},
	{"guest to a service of the host", guest_to_host, NEVER},
	{"guest to a service of the host from the ssh port", guest_to_host_from_ssh, NEVER},
	{"host to web", host_web, NEVER},
	{"host, another user, to ssh", host_user_ssh, NEVER},
	{"host to ssh", host_ssh, SSH4},
	{"host to ssh over IPv6", host_ssh6, SSH6},
};

/* What was learnt while the gate was open would hide that ARP cannot pass. */
static void forget_neighbours(void)
{
	assert_true(net_run(HOST, "ip neigh flush all"));
	assert_true(net_run(GUEST, "ip neigh flush all"));
	assert_true(net_run(NEIGHBOUR, "ip neigh flush all"));
}

static void run_probes(const char *when, bool open, unsigned channel)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
		bool expected = open || (probes[i].passes & channel);
		bool passed;

		forget_neighbours();
		passed = probes[i].function();
		if (passed == expected)
			continue;
		print_error("%s: %s: %s\n", when, probes[i].name, passed ? "gets through" : "does not get through");
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

#define need_net()                                                                                                     \
	do {                                                                                                           \
		need_root();                                                                                           \
		if (!built) {                                                                                          \
			print_message("skipped: no network namespaces, taps or bridges here\n");                       \
			skip();                                                                                        \
		}                                                                                                      \
	} while (0)

static void test_open_passes_everything(void **state)
{
	need_net();
	run_probes("open", true, 0);
}

static void test_closed_passes_nothing(void **state)
{
	need_net();
	assert_ok(gate_nft_close("test", taps, 1, NULL));
	run_probes("closed", false, 0);
	assert_ok(gate_nft_open("test"));
	run_probes("opened again", true, 0);
}

static void test_ssh_passes_alone(void **state)
{
	need_net();
	assert_ok(gate_nft_close("test", taps, 1, &over4));
	run_probes("closed but for ssh", false, SSH4);
	assert_ok(gate_nft_open("test"));
}

static void test_ssh6_passes_alone(void **state)
{
	need_net();
	assert_ok(gate_nft_close("test", taps, 1, &over6));
	run_probes("closed but for ssh over IPv6", false, SSH6);
	assert_ok(gate_nft_open("test"));
}

/* A neighbour with the guest's address must not get our connection. */
static void test_impostor(void **state)
{
	char word[16];

	need_net();
	assert_true(net_run(NEIGHBOUR, "ip addr add " GUEST4 "/24 dev eth0"));
	assert_ok(gate_nft_close("test", taps, 1, &over4));
	for (int i = 0; i < 5; i++) {
		forget_neighbours();
		assert_true(net_run(NEIGHBOUR, "arping -q -c1 -U -I eth0 " GUEST4 " 2>/dev/null || true"));
		assert_true(net_connect(HOST, GUEST4, SSH_PORT, 0, 0, word));
		assert_string_equal(word, "guest");
	}
	assert_ok(gate_nft_open("test"));
	assert_true(net_run(NEIGHBOUR, "ip addr del " GUEST4 "/24 dev eth0"));
	forget_neighbours();
}

/*
 * The connection of a killed process belongs to nobody; what it has still to send, and its end, must get through, or
 * the guest waits for it. Its port opens no way for another user.
 */
static void test_killed_process(void **state)
{
	static const struct ssh_endpoint endpoint = {
		.family = AF_INET, .port = 2222, .guest = GUEST4, .host = HOST4, .connect = GUEST4};

	need_net();
	assert_true(net_run(
		GUEST,
		"timeout 30 perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0);"
		"setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); bind(S, sockaddr_in(2222, INADDR_ANY)); listen(S, 9);"
		"accept(C, S); sleep 1; 1 while sysread(C, $text, 9999)' </dev/null >/dev/null 2>&1 &"
		"until ss -Htln sport = :2222 | grep -q .; do sleep 0.05; done"));
	assert_ok(gate_nft_close("test", taps, 1, &endpoint));
	forget_neighbours();
	assert_true(net_run(
		HOST, "perl -MSocket -e 'socket(C, AF_INET, SOCK_STREAM, 0); bind(C, sockaddr_in(49152, INADDR_ANY));"
		      "connect(C, sockaddr_in(2222, inet_aton(\"" GUEST4 "\"))) or die; syswrite(C, \"x\" x 300000);"
		      "kill 9, $$' & wait $! || true"));
	assert_true(net_run(GUEST, "ss -Htn state established sport = :2222 | grep -q ."));
	assert_true(net_run(GUEST,
			    "for i in $(seq 100); do ss -Htn state established sport = :2222 | grep -q . || exit 0;"
			    "sleep 0.1; done; exit 1"));
	assert_false(net_connect(HOST, GUEST4, 2222, 49152, 65534, NULL));
	assert_ok(gate_nft_open("test"));
}

static bool tables_left(void)
{
	return net_run(HOST, "nft list tables | grep -q ouassister");
}

static void test_idempotent_and_whole(void **state)
{
	need_net();
	assert_ok(gate_nft_open("test"));
	assert_ok(gate_nft_close("test", taps, 1, &over4));
	assert_ok(gate_nft_close("test", taps, 1, NULL));
	assert_false(host_ssh());
	assert_true(tables_left());
	assert_ok(gate_nft_open("test"));
	assert_ok(gate_nft_open("test"));
	assert_false(tables_left());
}

/* Another VM's gate, and tables of the user's own, are left alone. */
static void test_others_stay(void **state)
{
	need_net();
	assert_true(net_run(HOST, "nft add table inet mine"));
	assert_ok(gate_nft_close("test", taps, 1, NULL));
	assert_ok(gate_nft_close("test2", taps, 1, &over4));
	assert_ok(gate_nft_open("test2"));
	assert_false(neighbour_web());
	assert_ok(gate_nft_open("test"));
	assert_true(net_run(HOST, "nft delete table inet mine"));
	forget_neighbours();
	assert_true(neighbour_web());
}

static void test_shown_from_the_kernel(void **state)
{
	bool closed = true;

	need_net();
	assert_ok(gate_nft_show("test", taps, 1, &closed));
	assert_false(closed);
	assert_ok(gate_nft_close("test", taps, 1, NULL));
	assert_ok(gate_nft_show("test", taps, 1, &closed));
	assert_true(closed);
	assert_ok(gate_nft_show("tes", taps, 1, &closed));
	assert_false(closed);
	assert_true(net_run(HOST, "nft delete chain netdev ouassister-test to0"));
	assert_ok(gate_nft_show("test", taps, 1, &closed));
	assert_false(closed);
	assert_ok(gate_nft_open("test"));
}

static void test_strange_names(void **state)
{
	char *wild[] = {(char *)"tap*"}, *quote[] = {(char *)"a\"; flush ruleset"};

	assert_error(gate_nft_close("test", wild, 1, NULL), ERROR_UNSUPPORTED);
	assert_error(gate_nft_close("test", quote, 1, NULL), ERROR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_passes_everything),
		cmocka_unit_test(test_closed_passes_nothing),
		cmocka_unit_test(test_ssh_passes_alone),
		cmocka_unit_test(test_ssh6_passes_alone),
		cmocka_unit_test(test_impostor),
		cmocka_unit_test(test_killed_process),
		cmocka_unit_test(test_idempotent_and_whole),
		cmocka_unit_test(test_others_stay),
		cmocka_unit_test(test_shown_from_the_kernel),
		cmocka_unit_test(test_strange_names),
	};

	built = geteuid() == 0 && net_build();
	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
