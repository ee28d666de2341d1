/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <netdb.h>

#include "base/cleanup.h"

#define CONNECT_MS 250
#define SETTLE_MS  150 /* a frame takes far less; this bounds the wait for one that must not come */

static int namespaces[PLACE_MAX] = {-1, -1, -1, -1};
static int taps[2]; /* tap0 of the host, eth0 of the guest */
static atomic_uint to_guest;

/* A process that keeps a new network namespace and dies with us; returns the namespace. */
static int new_namespace(void)
{
	int ready[2];
	char path[64], byte;
	pid_t pid;
	int fd;

	if (pipe(ready) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		return -1;
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

/* Forks a child inside the place; 0 in the child. */
static pid_t fork_in(enum place place)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setns(namespaces[place], CLONE_NEWNET) < 0)
		_exit(99);
	return 0;
}

static bool succeeded(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool net_run(enum place place, const char *command)
{
	pid_t pid = fork_in(place);

	if (pid == 0) {
		execl("/bin/sh", "sh", "-ec", command, NULL);
		_exit(127);
	}
	return succeeded(pid);
}

static int open_tap(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0)
		close_fd(&fd);
	return fd;
}

static int open_tap_in(enum place place, const char *name)
{
	int fd = -1;

	if (setns(namespaces[place], CLONE_NEWNET) == 0)
		fd = open_tap(name);
	if (setns(namespaces[HOST], CLONE_NEWNET) < 0)
		abort();
	return fd;
}

static void *carry(void *data)
{
	char frame[65536];

	for (;;) {
		struct pollfd fds[2] = {{.fd = taps[0], .events = POLLIN}, {.fd = taps[1], .events = POLLIN}};

		if (poll(fds, 2, -1) < 0)
			continue;
		for (int i = 0; i < 2; i++) {
			ssize_t n = fds[i].revents ? read(taps[i], frame, sizeof(frame)) : 0;

			if (n > 0 && i == 0 && memmem(frame, (size_t)n, MARKER, strlen(MARKER)))
				atomic_fetch_add(&to_guest, 1);
			if (n > 0 && write(taps[1 - i], frame, (size_t)n) < 0 && errno == EBADF)
				return NULL;
		}
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)); /* probes come from these ports, too */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		_exit(98);
	return fd;
}

/* A process in the place that says `word` to whoever connects to one of the two ports. */
static void serve(enum place place, const char *word)
{
	pid_t pid = fork_in(place);
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};

	if (pid != 0)
		return;
	fds[0].fd = listen_on(SSH_PORT);
	fds[1].fd = listen_on(WEB_PORT);
	for (;;) {
		poll(fds, 2, -1);
		for (int i = 0; i < 2; i++) {
			int client = fds[i].revents ? accept(fds[i].fd, NULL, NULL) : -1;

			if (client < 0)
				continue;
			if (send(client, word, strlen(word), MSG_NOSIGNAL) < 0)
				perror("send");
			close(client);
		}
	}
}

static bool configure(void)
{
	char move[256];

	snprintf(move, sizeof(move),
		 "ip link add vnb address 02:00:00:00:00:33 type veth peer name eth0 address " NEIGHBOUR_MAC
		 " netns /proc/%d/fd/%d; "
		 "ip link add vout type veth peer name eth0 netns /proc/%d/fd/%d",
		 (int)getpid(), namespaces[NEIGHBOUR], (int)getpid(), namespaces[OUTSIDE]);
	return net_run(HOST, "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv4.ip_forward=1 "
			     "net.ipv6.conf.all.forwarding=1; "
			     "ip link add br0 address " HOST_MAC " type bridge mcast_snooping 0; "
			     "ip link set lo up; ip link set br0 up; ip link set tap0 master br0 up; "
			     "ip addr add " HOST4 "/24 dev br0; ip addr add " HOST6 "/64 dev br0 nodad") &&
	       net_run(HOST, move) &&
	       net_run(HOST, "ip link set vnb master br0 up; ip addr add 10.8.0.1/24 dev vout; ip link set vout up") &&
	       net_run(GUEST,
		       "sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip link set lo up; "
		       "ip link set eth0 address " GUEST_MAC " up; ip addr add " GUEST4 "/24 dev eth0; "
		       "ip addr add " GUEST6 "/64 dev eth0 nodad; ip addr add " GUEST6_LINK "/64 dev eth0 nodad; "
		       "ip route add default via " HOST4) &&
	       net_run(NEIGHBOUR, "sysctl -qw net.ipv6.conf.eth0.accept_dad=0; ip link set lo up; ip link set eth0 up; "
				  "ip addr add " NEIGHBOUR4 "/24 dev eth0; ip addr add fd00:9::3/64 dev eth0 nodad") &&
	       net_run(OUTSIDE, "ip link set lo up; ip link set eth0 up; ip addr add " OUTSIDE4 "/24 dev eth0; "
				"ip route add default via 10.8.0.1");
}

bool net_build(void)
{
	pthread_t thread;

	if (unshare(CLONE_NEWNET) < 0)
		return false;
	namespaces[HOST] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	namespaces[GUEST] = new_namespace();
	namespaces[NEIGHBOUR] = new_namespace();
	namespaces[OUTSIDE] = new_namespace();
	taps[0] = open_tap("tap0");
	taps[1] = open_tap_in(GUEST, "eth0");
	if (taps[0] < 0 || taps[1] < 0 || !configure())
		return false;
	serve(HOST, "host");
	serve(GUEST, "guest");
	serve(NEIGHBOUR, "neighbour");
	serve(OUTSIDE, "outside");
	if (pthread_create(&thread, NULL, carry, NULL) != 0)
		return false;
	usleep(500000); /* bridge ports forward at once, addresses settle */
	return true;
}

/* In the child: 0 if the word came. */
static int try_connect(const char *address, uint16_t port, uint16_t from_port, int word_fd)
{
	struct sockaddr_storage from = {};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *to;
	char service[8], word[16] = "";
	int on = 1, fd;
	ssize_t n;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &to) != 0)
		return 97;
	fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	from.ss_family = (sa_family_t)to->ai_family;
	((struct sockaddr_in *)&from)->sin_port = htons(from_port);
	if (from_port && bind(fd, (struct sockaddr *)&from, to->ai_addrlen) < 0)
		return 96;
	connect(fd, to->ai_addr, to->ai_addrlen);
	if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, CONNECT_MS) <= 0)
		return 1;
	n = read(fd, word, sizeof(word) - 1);
	if (n <= 0)
		return 1;
	return write(word_fd, word, sizeof(word)) == sizeof(word) ? 0 : 95;
}

bool net_connect(enum place place, const char *address, uint16_t port, uint16_t from_port, unsigned uid, char *ret_word)
{
	char word[16] = "";
	int words[2];
	pid_t pid;
	bool ok;

	if (pipe(words) < 0)
		return false;
	pid = fork_in(place);
	if (pid == 0) {
		if (uid && setuid(uid) < 0)
			_exit(94);
		_exit(try_connect(address, port, from_port, words[1]));
	}
	close(words[1]);
	ok = succeeded(pid) && read(words[0], word, sizeof(word)) == sizeof(word);
	close(words[0]);
	if (ok && ret_word)
		memcpy(ret_word, word, sizeof(word));
	return ok;
}

/* The length and sum of an IPv4 header: a bridge that filters checks them. */
static void complete_ipv4(uint8_t *frame, size_t size)
{
	uint8_t *header = frame + ETH_HLEN;
	uint32_t sum = 0;

	if (size < ETH_HLEN + 20 || frame[12] != 0x08 || frame[13] != 0x00)
		return;
	header[2] = (uint8_t)((size - ETH_HLEN) >> 8);
	header[3] = (uint8_t)(size - ETH_HLEN);
	header[10] = header[11] = 0;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	header[10] = (uint8_t)(sum >> 8);
	header[11] = (uint8_t)sum;
}

bool net_send(enum place place, const char *device, const void *frame, size_t size)
{
	char buffer[256] = {};
	pid_t pid = fork_in(place);

	if (pid == 0) {
		struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
		int fd = socket(AF_PACKET, SOCK_RAW, 0);

		memcpy(buffer, frame, size);
		memcpy(buffer + size, MARKER, strlen(MARKER));
		size += strlen(MARKER);
		complete_ipv4((uint8_t *)buffer, size);
		_exit(sendto(fd, buffer, size, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)size ? 0 : 1);
	}
	return succeeded(pid);
}

void net_reset_count(void)
{
	atomic_store(&to_guest, 0);
}

unsigned net_count_to_guest(void)
{
	for (int i = 0; i < SETTLE_MS && atomic_load(&to_guest) == 0; i++)
		usleep(1000);
	return atomic_load(&to_guest);
}

/* In the child: 0 once a frame with the marker has come. */
static int sniff(const char *device, int ready)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device)};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	char frame[2048];

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || write(ready, "x", 1) != 1)
		return 2;
	while (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, SETTLE_MS * 2) > 0) {
		ssize_t n = read(fd, frame, sizeof(frame));

		if (n > 0 && memmem(frame, (size_t)n, MARKER, strlen(MARKER)))
			return 0;
	}
	return 1;
}

bool net_sees(enum place place, const char *device, bool (*send)(void))
{
	int ready[2];
	char byte;
	pid_t pid;
	bool sent;

	if (pipe(ready) < 0)
		return false;
	pid = fork_in(place);
	if (pid == 0)
		_exit(sniff(device, ready[1]));
	close(ready[1]);
	sent = read(ready[0], &byte, 1) == 1 && send();
	close(ready[0]);
	return succeeded(pid) && sent;
}
