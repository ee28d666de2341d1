/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter on the host's taps.
 *
 * netdev tables hook right at the tap: `ingress` sees what the guest sends before a bridge or the
 * IP stack does, `egress` sees what anybody sends to it, bridged, routed or local, IPv4, IPv6, ARP
 * or anything else. Both drop by default; without a channel over the network there are no other rules.
 *
 * At the egress hook nothing tells the host's own packet from a frame that a neighbour forged with
 * the host's MAC and address. So what this host generates is marked where only that passes (the
 * output hooks; a forwarded or bridged packet never does), with a random mark that a container
 * cannot guess and set by itself.
 */
#include <ctype.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/io.h"
#include "hypervisor/gate.h"

#define TABLE          "ouassister-%s"
/* netdev: before other filters, which could only drop more. Output marks: after all others, which could overwrite it.
 */
#define PRIORITY_FIRST "-500"
#define PRIORITY_LAST  "500"
#define PORT_TIMEOUT   "10m" /* Linux gives up an orphaned connection before that (tcp_orphan_retries) */

static const char *const families[] = {"netdev", "inet", "arp", "bridge"};

/* Names that mean something to nft ("tap*") or could end a quoted string are refused. */
static bool plain_name(const char *name)
{
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-:@", *c))
			return false;
	return *name != '\0';
}

/* A set of all taps: { "tap0", "tap1" } */
static void put_taps(FILE *out, char *const *taps, size_t n_taps)
{
	fputs("{ ", out);
	for (size_t i = 0; i < n_taps; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", taps[i]);
	fputs(" }", out);
}

/* `add` before `delete`, because deleting what is not there fails. */
static void put_removal(FILE *out, const char *vm_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		fprintf(out, "add table %s " TABLE "\n", families[i], vm_name);
		fprintf(out, "delete table %s " TABLE "\n", families[i], vm_name);
	}
}

static const char *ip_word(const struct ssh_endpoint *endpoint)
{
	return endpoint->family == AF_INET6 ? "ip6" : "ip";
}

/* 128 bits as nft takes them in a comparison of raw bytes; nft 1.0.6 has no word for a neighbour message's target. */
static void put_number(FILE *out, const char *address)
{
	uint8_t bytes[16] = {};

	inet_pton(AF_INET6, address, bytes);
	fputs("0x", out);
	for (size_t i = 0; i < sizeof(bytes); i++)
		fprintf(out, "%02x", bytes[i]);
}

/* From the guest: answers to us. A first SYN is none. */
static void put_ingress_rules(FILE *out, const struct ssh_endpoint *endpoint)
{
	const char *ip = ip_word(endpoint);

	if (endpoint->family == AF_INET) {
		fprintf(out, "\t\tarp saddr ip %s arp daddr ip %s accept\n", endpoint->guest, endpoint->host);
	} else {
		fputs("\t\ticmpv6 type nd-neighbor-advert @th,64,128 ", out);
		put_number(out, endpoint->guest);
		fputs(" accept\n\t\ticmpv6 type nd-neighbor-solicit @th,64,128 ", out);
		put_number(out, endpoint->host);
		fputs(" accept\n", out);
	}
	fprintf(out, "\t\t%s saddr %s %s daddr %s tcp sport %u tcp flags & (syn | ack) != syn accept\n", ip,
		endpoint->guest, ip, endpoint->host, endpoint->port);
}

/* To the guest: what carries our mark, and still only that connection. */
static void put_egress_rules(FILE *out, const struct ssh_endpoint *endpoint, uint32_t mark)
{
	if (endpoint->family == AF_INET)
		fprintf(out, "\t\tmeta mark 0x%08" PRIx32 " arp daddr ip %s accept\n", mark, endpoint->guest);
	else
		fprintf(out,
			"\t\tmeta mark 0x%08" PRIx32
			" icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n",
			mark);
	fprintf(out, "\t\tmeta mark 0x%08" PRIx32 " %s daddr %s tcp dport %u accept\n", mark, ip_word(endpoint),
		endpoint->guest, endpoint->port);
}

static void put_netdev(FILE *out, const char *vm_name, char *const *taps, size_t n_taps,
		       const struct ssh_endpoint *endpoint, uint32_t mark)
{
	fprintf(out, "table netdev " TABLE " {\n", vm_name);
	for (size_t i = 0; i < n_taps; i++) {
		fprintf(out,
			"\tchain from%zu {\n\t\ttype filter hook ingress device \"%s\" priority " PRIORITY_FIRST
			"; policy drop;\n",
			i, taps[i]);
		if (endpoint)
			put_ingress_rules(out, endpoint);
		fprintf(out,
			"\t}\n\tchain to%zu {\n\t\ttype filter hook egress device \"%s\" priority " PRIORITY_FIRST
			"; policy drop;\n",
			i, taps[i]);
		if (endpoint)
			put_egress_rules(out, endpoint, mark);
		fputs("\t}\n", out);
	}
	fputs("}\n", out);
}

/*
 * Marks what this host, and of that only our user, sends to the guest's ssh port. A connection whose process was killed
 * has no user any more, but must still be closed, or the guest waits for the rest: its port tells whose it was. A SYN
 * has.
 */
static void put_marks(FILE *out, const char *vm_name, const struct ssh_endpoint *endpoint, uint32_t mark)
{
	const char *ip = ip_word(endpoint);

	fprintf(out,
		"table inet " TABLE
		" {\n\tset ports {\n\t\ttype inet_service; flags dynamic,timeout; timeout " PORT_TIMEOUT
		";\n\t}\n\tchain ours {\n\t\ttype filter hook output priority " PRIORITY_LAST "; policy accept;\n",
		vm_name);
	fprintf(out,
		"\t\t%s daddr %s tcp dport %u meta skuid %u update @ports { tcp sport } meta mark set 0x%08" PRIx32
		"\n",
		ip, endpoint->guest, endpoint->port, geteuid(), mark);
	fprintf(out,
		"\t\t%s daddr %s tcp dport %u tcp sport @ports tcp flags & syn == 0 meta mark set 0x%08" PRIx32 "\n",
		ip, endpoint->guest, endpoint->port, mark);
	if (endpoint->family == AF_INET6)
		fprintf(out,
			"\t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } meta mark set 0x%08" PRIx32 "\n",
			mark);
	fputs("\t}\n}\n", out);
	if (endpoint->family != AF_INET)
		return;
	fprintf(out,
		"table arp " TABLE " {\n\tchain ours {\n\t\ttype filter hook output priority " PRIORITY_LAST
		"; policy accept;\n",
		vm_name);
	fprintf(out, "\t\tarp daddr ip %s meta mark set 0x%08" PRIx32 "\n\t}\n}\n", endpoint->guest, mark);
}

/*
 * On a bridge, two more things: the guest's broadcast ARP is for the host, not for its neighbours; and a
 * neighbour that answers in the guest's name would get our ssh connection instead of it.
 */
static void put_bridge(FILE *out, const char *vm_name, char *const *taps, size_t n_taps,
		       const struct ssh_endpoint *endpoint)
{
	fprintf(out,
		"table bridge " TABLE " {\n\tchain between {\n\t\ttype filter hook forward priority " PRIORITY_FIRST
		"; policy accept;\n\t\tiifname ",
		vm_name);
	put_taps(out, taps, n_taps);
	fputs(" drop\n\t\toifname ", out);
	put_taps(out, taps, n_taps);
	fputs(" drop\n\t}\n\tchain impostor {\n\t\ttype filter hook input priority " PRIORITY_FIRST
	      "; policy accept;\n\t\tiifname ",
	      out);
	put_taps(out, taps, n_taps);
	fprintf(out, " accept\n\t\t%s saddr %s drop\n", ip_word(endpoint), endpoint->guest);
	if (endpoint->family == AF_INET) {
		fprintf(out, "\t\tarp saddr ip %s drop\n", endpoint->guest);
	} else {
		fputs("\t\ticmpv6 type nd-neighbor-advert @th,64,128 ", out);
		put_number(out, endpoint->guest);
		fputs(" drop\n", out);
	}
	fputs("\t}\n}\n", out);
}

/* Runs the commands as one transaction; `ret_output` may be NULL. */
static struct error *run_nft(const char *commands, char **ret_output)
{
	struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
	struct error *error = NULL;
	char *output = NULL;

	if (!context)
		return error_no_memory();
	nft_ctx_buffer_output(context);
	nft_ctx_buffer_error(context);
	if (nft_run_cmd_from_buffer(context, commands) != 0)
		error = error_create(ERROR_FAILED, "nftables: %.500s", nft_ctx_get_error_buffer(context));
	else if (ret_output)
		output = strdup(nft_ctx_get_output_buffer(context));
	if (!error && ret_output && !output)
		error = error_no_memory();
	nft_ctx_free(context);
	if (!error && ret_output)
		*ret_output = output;
	return error;
}

struct error *gate_nft_close(const char *vm_name, char *const *taps, size_t n_taps, const struct ssh_endpoint *endpoint)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	uint32_t mark;
	FILE *out;

	for (size_t i = 0; i < n_taps; i++)
		if (!plain_name(taps[i]))
			return error_create(ERROR_UNSUPPORTED, "\"%s\": no filter for a device of such a name",
					    taps[i]);
	if (getrandom(&mark, sizeof(mark), 0) != sizeof(mark))
		return error_system(errno, NULL, "cannot get a random number");
	out = open_memstream(&text, &size);
	if (!out)
		return error_no_memory();
	put_removal(out, vm_name);
	put_netdev(out, vm_name, taps, n_taps, endpoint, mark | 1);
	if (endpoint) {
		put_marks(out, vm_name, endpoint, mark | 1);
		put_bridge(out, vm_name, taps, n_taps, endpoint);
	}
	if (fclose(out) != 0)
		return error_no_memory();
	return error_remedy(
		run_nft(text, NULL),
		"see that nftables works on this host, and that its kernel (5.16 or later) has egress hooks");
}

struct error *gate_nft_open(const char *vm_name)
{
	_cleanup_(free_ptr) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return error_no_memory();
	put_removal(out, vm_name);
	if (fclose(out) != 0)
		return error_no_memory();
	return run_nft(text, NULL);
}

/* The chain's line as the kernel's tables are listed: hook, our device and the policy in one. */
static bool is_hooked(const char *table, const char *hook, const char *tap)
{
	_cleanup_(free_ptr) char *copy = strdup(table);
	_cleanup_(free_ptr) char *quoted = string_format("\"%s\"", tap);
	char *position = copy, *line;

	if (!copy || !quoted)
		return false;
	while ((line = strsep(&position, "\n")))
		if (strstr(line, hook) && strstr(line, quoted) && strstr(line, "policy drop"))
			return true;
	return false;
}

/* nft 1.0.6 leaves the device out of its JSON; so the text is read. */
static struct error *list_table(const char *vm_name, char **ret)
{
	_cleanup_(free_ptr) char *tables = NULL;
	_cleanup_(free_ptr) char *wanted = string_format("table netdev " TABLE "\n", vm_name);
	_cleanup_(free_ptr) char *command = string_format("list table netdev " TABLE "\n", vm_name);
	struct error *error;

	if (!wanted || !command)
		return error_no_memory();
	error = run_nft("list tables netdev\n", &tables);
	if (error)
		return error;
	if (strstr(tables, wanted))
		return run_nft(command, ret);
	*ret = strdup("");
	return *ret ? NULL : error_no_memory();
}

struct error *gate_nft_show(const char *vm_name, char *const *taps, size_t n_taps, bool *ret)
{
	_cleanup_(free_ptr) char *table = NULL;
	struct error *error = list_table(vm_name, &table);

	if (error)
		return error;
	for (size_t i = 0; i < n_taps; i++)
		ret[i] = is_hooked(table, "hook ingress", taps[i]) && is_hooked(table, "hook egress", taps[i]);
	return NULL;
}
