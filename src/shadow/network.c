/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out while packages download.
 *
 * The network namespace belongs to a user namespace of its own, beside the guest's: guest root
 * has no right over it. Its only way out is slirp4netns, which translates the guest's packets to
 * sockets of an unprivileged process; that process has an id that owns nothing. A filter in the namespace, before
 * slirp4netns sees a packet, refuses what is not the open internet; routes would not do, for a program may bind its
 * socket to a device.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <nftables/libnftables.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/process.h"
#include "shadow/internal.h"

#define ADDRESSES_MAX    64
#define READY_TIMEOUT_MS 30000

/* Addresses in network byte order. */
struct addresses {
	struct in_addr items[ADDRESSES_MAX];
	size_t n;
};

struct network {
	int user_ns, net_ns;
	pid_t slirp;
};

static struct error *drop_ids(uint32_t id)
{
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_system(errno, NULL, "cannot change to id %u", id);
	return NULL;
}

/* The process that makes the namespaces: their owner is the id that slirp4netns runs with, so that it may join them. */
static _Noreturn void hold_namespaces(int channel)
{
	struct error *error = drop_ids(SHADOW_ID_NETWORK);
	char byte = 0;

	if (!error && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		byte = 1;
	if (write(channel, &byte, 1) == 1)
		(void)!read(channel, &byte, 1);
	_exit(0);
}

static struct error *open_namespace(pid_t pid, const char *name, int *ret)
{
	_cleanup_(free_ptr) char *path = string_format("/proc/%d/ns/%s", pid, name);
	int fd;

	if (!path)
		return error_no_memory();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_system(errno, path, "cannot open the namespace");
	*ret = fd;
	return NULL;
}

static struct error *take_namespaces(pid_t pid, int channel, struct network *network)
{
	struct error *error;
	char byte = 0;

	if (read(channel, &byte, 1) != 1 || !byte)
		return error_create(ERROR_UNSUPPORTED, "cannot create a network namespace");
	error = userns_write_map(pid, "uid_map", 0, SHADOW_ID_NETWORK, 1);
	if (!error)
		error = userns_write_map(pid, "gid_map", 0, SHADOW_ID_NETWORK, 1);
	if (!error)
		error = open_namespace(pid, "user", &network->user_ns);
	if (!error)
		error = open_namespace(pid, "net", &network->net_ns);
	return error;
}

static struct error *make_namespaces(struct network *network)
{
	struct error *error;
	int channel[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
		return error_system(errno, NULL, "cannot create a socket pair");
	pid = fork();
	if (pid == 0) {
		close(channel[0]);
		hold_namespaces(channel[1]);
	}
	close(channel[1]);
	error = pid < 0 ? error_system(errno, NULL, "cannot fork") : take_namespaces(pid, channel[0], network);
	close(channel[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return error;
}

/* --- the filter --- */

static void add_address(struct addresses *list, const struct sockaddr *address)
{
	if (!address || address->sa_family != AF_INET)
		return;
	if (list->n < ADDRESSES_MAX)
		list->items[list->n++] = ((const struct sockaddr_in *)address)->sin_addr;
	else
		log_warning("more than %d addresses; the rest is not considered", ADDRESSES_MAX);
}

static struct error *host_addresses(struct addresses *ret)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return error_system(errno, NULL, "cannot list the host's addresses");
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		add_address(ret, i->ifa_addr);
	freeifaddrs(all);
	/* A host with more addresses than we can refuse must not be reachable at the others. */
	if (ret->n == ADDRESSES_MAX)
		return error_create(ERROR_UNSUPPORTED, "this host has more than %d IPv4 addresses", ADDRESSES_MAX - 1);
	return NULL;
}

/* A name that does not resolve here is no error: the package manager will say so with more context. */
static void allowed_addresses(const char *const *hosts, struct addresses *ret)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;

	for (size_t i = 0; hosts && hosts[i]; i++) {
		int r = getaddrinfo(hosts[i], NULL, &hints, &found);

		if (r != 0) {
			log_warning("%s: %s", hosts[i], gai_strerror(r));
			continue;
		}
		for (const struct addrinfo *a = found; a; a = a->ai_next)
			add_address(ret, a->ai_addr);
		freeaddrinfo(found);
	}
}

static void print_rules(FILE *out, const struct addresses *allowed, const struct addresses *host)
{
	char text[INET_ADDRSTRLEN];

	fputs("table inet shadow {\n chain output {\n  type filter hook output priority 0; policy drop;\n"
	      "  oifname lo accept\n"
	      /* Of IPv6 there is nothing: slirp4netns runs without it. */
	      "  meta nfproto ipv6 reject\n"
	      /* Clouds answer with credentials at link-local addresses: never, whatever is configured. */
	      "  ip daddr 169.254.0.0/16 reject\n"
	      /* The resolver of slirp4netns. */
	      "  ip daddr 10.0.2.3 udp dport 53 accept\n"
	      "  ip daddr 10.0.2.3 tcp dport 53 accept\n",
	      out);
	for (size_t i = 0; i < allowed->n; i++)
		fprintf(out, "  ip daddr %s accept\n", inet_ntop(AF_INET, &allowed->items[i], text, sizeof(text)));
	for (size_t i = 0; i < host->n; i++)
		fprintf(out, "  ip daddr %s reject\n", inet_ntop(AF_INET, &host->items[i], text, sizeof(text)));
	fputs("  ip daddr { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
	      "224.0.0.0/3 } reject\n"
	      "  accept\n }\n}\n",
	      out);
}

static struct error *make_rules(const struct shadow_network *options, char **ret)
{
	struct addresses allowed = {0}, host = {0};
	_cleanup_(free_ptr) char *text = NULL;
	struct error *error = host_addresses(&host);
	size_t size;
	FILE *out;

	if (error)
		return error;
	allowed_addresses(options->allow_hosts, &allowed);
	out = open_memstream(&text, &size);
	if (!out)
		return error_no_memory();
	print_rules(out, &allowed, &host);
	if (fclose(out) != 0)
		return error_no_memory();
	*ret = take_ptr(text);
	return NULL;
}

/* In a child that has entered the namespace; returns its exit status. */
static int load_rules(const struct network *network, const char *rules)
{
	struct nft_ctx *nft;

	if (setns(network->user_ns, CLONE_NEWUSER) < 0 || setns(network->net_ns, CLONE_NEWNET) < 0)
		return 2;
	nft = nft_ctx_new(NFT_CTX_DEFAULT);
	if (!nft)
		return 3;
	nft_ctx_buffer_error(nft);
	return nft_run_cmd_from_buffer(nft, rules) == 0 ? 0 : 1;
}

static struct error *filter_network(const struct network *network, const struct shadow_network *options)
{
	_cleanup_(free_ptr) char *rules = NULL;
	struct error *error = make_rules(options, &rules);
	int status = 0;
	pid_t pid;

	if (error)
		return error;
	pid = fork();
	if (pid < 0)
		return error_system(errno, NULL, "cannot fork");
	if (pid == 0)
		_exit(load_rules(network, rules));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_remedy(error_create(ERROR_UNSUPPORTED,
						 "cannot load the packet filter of the shadow's network (step %d)",
						 WIFEXITED(status) ? WEXITSTATUS(status) : 0),
				    "load the kernel module nf_tables");
	return NULL;
}

/* --- slirp4netns --- */

/*
 * The device that makes the tap, for slirp4netns's id alone: some hosts let only root open theirs. It gives no
 * right by itself; the interface is made in the namespace that the id owns.
 */
static struct error *offer_tun(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=4k") < 0 ||
	    mknod("/dev/net/tun", S_IFCHR | 0600, makedev(10, 200)) < 0 ||
	    chown("/dev/net/tun", SHADOW_ID_NETWORK, SHADOW_ID_NETWORK) < 0)
		return error_system(errno, "/dev/net/tun", "cannot offer the device");
	return NULL;
}

static _Noreturn void run_slirp(const struct network *network, int ready, int log)
{
	char net[32], ready_fd[16];
	int fds[] = {network->net_ns, ready};
	struct error *error = offer_tun();

	/* slirp4netns builds its own sandbox, for which it must be root of a namespace: the one that owns the network.
	 */
	if (!error && setns(network->user_ns, CLONE_NEWUSER) < 0)
		error = error_system(errno, NULL, "cannot enter the network's user namespace");
	if (!error)
		error = drop_ids(0);
	snprintf(net, sizeof(net), "/proc/self/fd/%d", network->net_ns);
	snprintf(ready_fd, sizeof(ready_fd), "%d", ready);
	for (size_t i = 0; !error && i < ARRAY_SIZE(fds); i++)
		if (fcntl(fds[i], F_SETFD, 0) < 0)
			_exit(126);
	if (dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	if (error) {
		dprintf(2, "%s\n", error->message);
		_exit(126);
	}
	execlp("slirp4netns", "slirp4netns", "--configure", "--mtu=65520",
	       DEFENCE("no host loopback") ? "--disable-host-loopback" : "--disable-dns", "--enable-sandbox",
	       "--enable-seccomp", "--ready-fd", ready_fd, "--netns-type=path", net, "tap0", (char *)NULL);
	dprintf(2, "slirp4netns: %s\n", strerror(errno));
	_exit(127);
}

static struct error *slirp_error(int log)
{
	char text[1024] = "";
	ssize_t n = pread(log, text, sizeof(text) - 1, 0);

	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	return error_remedy(error_create(ERROR_FAILED, "slirp4netns gives the shadow no network: %s", text),
			    "install slirp4netns");
}

static struct error *start_slirp(struct network *network)
{
	_cleanup_(close_fd) int log = memfd_create("slirp4netns", MFD_CLOEXEC);
	struct error *error = NULL;
	struct pollfd fd;
	char byte;
	int ready[2];

	if (log < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return error_system(errno, NULL, "cannot create a pipe");
	network->slirp = fork();
	if (network->slirp == 0)
		run_slirp(network, ready[1], log);
	close(ready[1]);
	fd = (struct pollfd){.fd = ready[0], .events = POLLIN};
	if (network->slirp < 0)
		error = error_system(errno, NULL, "cannot fork");
	else if (poll(&fd, 1, READY_TIMEOUT_MS) != 1 || read(ready[0], &byte, 1) != 1)
		error = slirp_error(log);
	close(ready[0]);
	return error;
}

struct error *network_start(const struct shadow_network *options, struct network **ret)
{
	_cleanup_(network_stop_ptr) struct network *network = calloc(1, sizeof(*network));
	struct error *error;

	if (!network)
		return error_no_memory();
	network->user_ns = network->net_ns = network->slirp = -1;
	error = make_namespaces(network);
	/* The filter stands before the first packet can leave. */
	if (!error && DEFENCE("packet filter"))
		error = filter_network(network, options);
	if (!error)
		error = start_slirp(network);
	if (error)
		return error_wrap(error, "the shadow's network");
	*ret = take_ptr(network);
	return NULL;
}

int network_namespace_fd(const struct network *network)
{
	return network->net_ns;
}

void network_stop(struct network *network)
{
	if (!network)
		return;
	process_stop(&network->slirp, 0);
	close_fd(&network->user_ns);
	close_fd(&network->net_ns);
	free(network);
}
