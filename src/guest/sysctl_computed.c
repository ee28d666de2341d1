/* SPDX-License-Identifier: Apache-2.0 */
/* Sysctls that their handlers put together out of other things than the entry's own data. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "guest/containers.h"
#include "guest/sysctl.h"

#define NAMES_MAX      1024u /* bytes of a list of names */
#define KEY_SIZE       52u   /* NETDEV_RSS_KEY_LEN before 7.0 */
#define KEY_SIZE_LARGE 256u  /* … since */

static struct error *text_of(char *text, char **ret)
{
	*ret = text;
	return text ? NULL : error_no_memory();
}

/* A variable of the kernel that each processor has, added up; never below zero. */
static struct error *sum_of(struct guest *guest, const char *symbol, int64_t *ret)
{
	struct cpu_sets cpus;
	struct gva variable;
	int64_t sum = 0;
	struct error *error = symbols_get(guest->symbols, symbol, &variable);

	if (!error)
		error = cpu_sets_load(guest, &cpus);
	if (error)
		return error;
	for_each_cpu(cpu, cpus.possible_set) {
		struct gva copy;
		uint64_t value;

		error = guest_percpu(guest, variable, cpu, &copy);
		if (!error)
			error = memory_read_u64(&guest->memory, copy, &value);
		if (error)
			return error;
		sum += (int64_t)value;
	}
	*ret = sum < 0 ? 0 : sum;
	return NULL;
}

static struct error *dentries(struct guest *guest, const struct sysctl_entry *entry, char **ret)
{
	uint64_t values[6];
	int64_t all, unused, negative;
	struct error *error = memory_read(&guest->memory, (struct gva){entry->data}, values, sizeof(values));

	if (!error)
		error = sum_of(guest, "nr_dentry", &all);
	if (!error)
		error = sum_of(guest, "nr_dentry_unused", &unused);
	if (!error)
		error = sum_of(guest, "nr_dentry_negative", &negative);
	return error ? error
		     : text_of(string_format("%" PRId64 "\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRId64
					     "\t%" PRIu64,
					     all, unused, values[2], values[3], negative, values[5]),
			       ret);
}

static struct error *inodes(struct guest *guest, const struct sysctl_entry *entry, char **ret)
{
	int64_t all, unused;
	struct error *error = sum_of(guest, "nr_inodes", &all);

	if (!error)
		error = sum_of(guest, "nr_unused", &unused);
	/* inode-state has five more that nothing counts any more. */
	return error ? error
		     : text_of(string_format("%" PRId64 "\t%" PRId64 "%s", all, unused,
					     entry->size > 16 ? "\t0\t0\t0\t0\t0" : ""),
			       ret);
}

#define FUNCTION_MAX 1024u
#define CALL         0xe8u /* with the distance in four bytes behind it */

/* Whether the text of one function calls another directly: where kernels differ in nothing else that can be seen. */
static struct error *calls(struct guest *guest, const char *caller, const char *callee, bool *ret)
{
	uint8_t text[FUNCTION_MAX];
	struct gva from, to;
	uint64_t size;
	struct error *error = symbols_get(guest->symbols, caller, &from);

	*ret = false;
	if (error || !symbols_find(guest->symbols, callee, &to))
		return error;
	size = symbols_next(guest->symbols, from.v) - from.v;
	size = size < sizeof(text) ? size : sizeof(text);
	error = memory_read(&guest->memory, from, text, size);
	for (uint64_t i = 0; !error && i + 5 <= size; i++) {
		int32_t distance;

		memcpy(&distance, text + i + 1, sizeof(distance));
		if (text[i] == CALL && from.v + i + 5 + (uint64_t)(int64_t)distance == to.v)
			*ret = true;
	}
	return error;
}

static struct error *open_files(struct guest *guest, const struct sysctl_entry *entry, char **ret)
{
	struct gva counter;
	struct member count;
	uint64_t most, rough;
	uint64_t n;
	bool whole;
	struct error *error = symbols_get(guest->symbols, "nr_files", &counter);

	/* Newer kernels add up what the processors have not told yet. */
	if (!error)
		error = calls(guest, "proc_nr_files", "__percpu_counter_sum", &whole);
	if (!error)
		error = types_need(guest->types, &(struct member_need){"percpu_counter", "count", &count}, 1);
	if (!error)
		error = guest_read_member(guest, counter, &count, &rough);
	if (!error)
		error = guest_percpu_counter(guest, counter, &n);
	if (!error && !whole)
		n = (int64_t)rough < 0 ? 0 : rough;
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){entry->data + 16}, &most);
	return error ? error : text_of(string_format("%" PRIu64 "\t0\t%" PRIu64, n, most), ret);
}

/* The entry's data are a place in an array, whose other half has the counters. */
static struct error *quota(struct guest *guest, const struct sysctl_entry *entry, char **ret)
{
	struct member stat, counters;
	const struct member_need needs[] = {{"dqstats", "stat", &stat}, {"dqstats", "counter", &counters}};
	struct gva base;
	uint64_t number = 0, value;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "dqstats", &base);
	if (!error) {
		number = (entry->data - base.v - stat.offset) / 8;
		if (number >= counters.count || !counters.count)
			return error_format(NULL, entry->data, "a count of quotas is not among them");
		base.v += counters.offset + number * (counters.size / counters.count);
		error = guest_percpu_counter(guest, base, &value);
	}
	return error ? error : text_of(string_format("%" PRIu64, value), ret);
}

/* pid_namespace.idr gives the next number. */
static struct error *last_pid(struct guest *guest, char **ret)
{
	struct member next;
	struct gva space;
	uint64_t value;
	struct error *error =
		types_need(guest->types, &(struct member_need){"pid_namespace", "idr.idr_next", &next}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "init_pid_ns", &space);
	if (!error)
		error = guest_read_member(guest, space, &next, &value);
	return error ? error : text_of(string_format("%" PRId32, (int32_t)value - 1), ret);
}

static struct error *cad_pid(struct guest *guest, char **ret)
{
	struct member numbers;
	uint64_t pid;
	uint32_t number;
	struct error *error = types_need(guest->types, &(struct member_need){"upid", "nr", &numbers}, 1);
	struct member array = types_find(guest->types, "pid", "numbers");

	/* An array of no fixed size at the end of struct pid: one element of it is counted in older kernels. */
	if (!array.present)
		array.offset = types_size(guest->types, "pid");
	if (!error)
		error = guest_symbol_u64(guest, "cad_pid", &pid);
	if (!error)
		error = memory_read_u32(&guest->memory, (struct gva){pid + array.offset + numbers.offset}, &number);
	return error ? error : text_of(string_format("%" PRIu32, number), ret);
}

static struct error *logged_actions(struct guest *guest, char **ret)
{
	/* SECCOMP_LOG_*, in the order in which they are shown. */
	static const struct {
		const char *name;
		unsigned bit;
	} actions[] = {{"kill_process", 0}, {"kill_thread", 1}, {"trap", 2}, {"errno", 3},
		       {"user_notif", 7},   {"trace", 4},       {"log", 5},  {"allow", 6}};
	char text[NAMES_MAX] = "";
	size_t size = 0;
	uint32_t logged;
	struct error *error = guest_symbol_u32(guest, "seccomp_actions_logged", &logged);

	for (size_t i = 0; !error && i < ARRAY_SIZE(actions); i++)
		if (logged >> actions[i].bit & 1)
			size += (size_t)snprintf(text + size, sizeof(text) - size, "%s%s", size ? " " : "",
						 actions[i].name);
	return error ? error : text_of(strdup(text), ret);
}

static struct error *receive_key(struct guest *guest, char **ret)
{
	uint8_t key[KEY_SIZE_LARGE];
	char text[3 * sizeof(key) + 1] = "";
	struct gva address;
	size_t size;
	struct error *error = symbols_get(guest->symbols, "netdev_rss_key", &address);

	if (error)
		return error;
	size = symbols_next(guest->symbols, address.v) - address.v >= KEY_SIZE_LARGE ? KEY_SIZE_LARGE : KEY_SIZE;
	error = memory_read(&guest->memory, address, key, size);
	for (size_t i = 0; !error && i < size; i++)
		snprintf(text + (i ? 3 * i - 1 : 0), 4, "%s%02x", i ? ":" : "", key[i]);
	return error ? error : text_of(strdup(text), ret);
}

struct names {
	char text[NAMES_MAX];
	size_t size;
	struct member name;
};

static struct error *visit_ulp(struct guest *guest, struct gva place, void *context)
{
	struct names *names = context;
	char name[32];
	struct error *error =
		memory_read_string(&guest->memory, (struct gva){place.v + names->name.offset}, name, sizeof(name));

	if (!error && names->size < sizeof(names->text) - sizeof(name) - 1)
		names->size += (size_t)snprintf(names->text + names->size, sizeof(names->text) - names->size, "%s%s",
						names->size ? " " : "", name);
	return error;
}

static struct error *upper_protocols(struct guest *guest, char **ret)
{
	struct names names = {0};
	struct member node;
	const struct member_need needs[] = {{"tcp_ulp_ops", "list", &node}, {"tcp_ulp_ops", "name", &names.name}};
	struct gva list;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "tcp_ulp_list", &list);
	if (!error)
		error = list_walk(guest, list, node.offset, visit_ulp, &names);
	return error ? error : text_of(strdup(names.text), ret);
}

/* A member of the initial network namespace; what a pointer in it leads to is read by `path` of `type`, if given. */
static struct error *network_number(struct guest *guest, const char *member, const char *type, const char *path,
				    uint64_t *ret)
{
	struct member outer, inner;
	struct gva net;
	struct error *error = types_need(guest->types, &(struct member_need){"net", member, &outer}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "init_net", &net);
	if (!error)
		error = guest_read_member(guest, net, &outer, ret);
	if (error || !type || !*ret)
		return error;
	error = types_need(guest->types, &(struct member_need){type, path, &inner}, 1);
	return error ? error : guest_read_member(guest, (struct gva){*ret}, &inner, ret);
}

/* How many chains the table of TCP or UDP has: its mask and one. */
static struct error *chains(struct guest *guest, const char *member, const char *type, const char *path, char **ret)
{
	uint64_t mask;
	struct error *error = network_number(guest, member, type, path, &mask);

	return error ? error : text_of(string_format("%" PRIu64, mask + 1), ret);
}

/* All zero until a key is set, or one or two of four words each. */
static struct error *fast_open_keys(struct guest *guest, char **ret)
{
	struct member number;
	uint64_t keys, n = 1;
	uint32_t words[8] = {0};
	char text[NAMES_MAX] = "";
	struct error *error = network_number(guest, "ipv4.tcp_fastopen_ctx", NULL, NULL, &keys);

	if (!error)
		error = types_need(guest->types, &(struct member_need){"tcp_fastopen_context", "num", &number}, 1);
	if (!error && keys)
		error = guest_read_member(guest, (struct gva){keys}, &number, &n);
	if (!error && n > 2)
		error = error_format(NULL, keys, "the guest has %llu keys for TCP fast open", (unsigned long long)n);
	if (!error && keys)
		error = memory_read(&guest->memory, (struct gva){keys}, words, 16 * n);
	for (uint64_t i = 0; !error && i < n; i++)
		snprintf(text + 36 * i, sizeof(text) - 36 * i, "%s%08" PRIx32 "-%08" PRIx32 "-%08" PRIx32 "-%08" PRIx32,
			 i ? "," : "", words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
	return error ? error : text_of(strdup(text), ret);
}

/* Who logs packets of the protocol family that the entry's name is the number of. */
static struct error *logger(struct guest *guest, const char *path, char **ret)
{
	const char *base = strrchr(path, '/');
	struct member loggers, name;
	const struct member_need needs[] = {{"net", "nf.nf_loggers", &loggers}, {"nf_logger", "name", &name}};
	const unsigned long number = base ? strtoul(base + 1, NULL, 10) : 0;
	struct gva net;
	uint64_t address;
	char text[64];
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error && number >= loggers.count)
		error = error_create(ERROR_UNSUPPORTED, "the guest logs no packets of family %lu", number);
	if (!error)
		error = symbols_get(guest->symbols, "init_net", &net);
	if (!error)
		error = memory_read_u64(&guest->memory, (struct gva){net.v + loggers.offset + 8 * number}, &address);
	if (error || !address)
		return error ? error : text_of(strdup("NONE"), ret);
	error = guest_read_member(guest, (struct gva){address}, &name, &address);
	if (!error)
		error = memory_read_string(&guest->memory, (struct gva){address}, text, sizeof(text));
	return error ? error : text_of(strdup(text), ret);
}

/* A number that is the entry's data, moved by `path` of `type`, or a variable's. */
static struct error *number_at(struct guest *guest, uint64_t address, const char *type, const char *path, char **ret)
{
	struct member member;
	uint64_t value;
	struct error *error = types_need(guest->types, &(struct member_need){type, path, &member}, 1);

	if (!error)
		error = guest_read_member(guest, (struct gva){address}, &member, &value);
	return error ? error : text_of(string_format("%" PRId32, (int32_t)value), ret);
}

static struct error *variable(struct guest *guest, const char *name, uint64_t mask, char **ret)
{
	uint64_t value;
	struct error *error = guest_symbol_u64(guest, name, &value);

	return error ? error : text_of(string_format("%" PRIu64, value & mask), ret);
}

/* Whether a static key is enabled. */
static struct error *key(struct guest *guest, const char *name, char **ret)
{
	uint32_t value;
	struct error *error = guest_symbol_u32(guest, name, &value);

	return error ? error : text_of(strdup(value ? "1" : "0"), ret);
}

/* A set of events that is empty; the names of others only the kernel's own code has. */
static struct error *empty_set(struct guest *guest, const struct sysctl_entry *entry, char **ret)
{
	uint64_t set;
	struct error *error = memory_read_u64(&guest->memory, (struct gva){entry->data}, &set);

	if (error || set)
		return error;
	return text_of(strdup(""), ret);
}

struct error *sysctl_computed(struct guest *guest, enum sysctl_form form, const struct sysctl_entry *entry, char **ret)
{
	struct gva space;
	uint64_t value;
	struct error *error;

	switch (form) {
	case FORM_DENTRIES:
		return dentries(guest, entry, ret);
	case FORM_INODES:
		return inodes(guest, entry, ret);
	case FORM_FILES:
		return open_files(guest, entry, ret);
	case FORM_QUOTA:
		return quota(guest, entry, ret);
	case FORM_LAST_PID:
		return last_pid(guest, ret);
	case FORM_CAD_PID:
		return cad_pid(guest, ret);
	case FORM_ACTIONS:
		return logged_actions(guest, ret);
	case FORM_RECEIVE_KEY:
		return receive_key(guest, ret);
	case FORM_UPPER:
		return upper_protocols(guest, ret);
	case FORM_FAST_OPEN:
		return fast_open_keys(guest, ret);
	case FORM_TCP_CHAINS:
		return chains(guest, "ipv4.tcp_death_row.hashinfo", "inet_hashinfo", "ehash_mask", ret);
	case FORM_UDP_CHAINS:
		return chains(guest, "ipv4.udp_table", "udp_table", "mask", ret);
	case FORM_LOGGER:
		return logger(guest, entry->name, ret);
	case FORM_KEXEC_LIMIT:
		return number_at(guest, entry->data, "kexec_load_limit", "limit", ret);
	case FORM_MEMFD:
		error = symbols_get(guest->symbols, "init_pid_ns", &space);
		return error ? error : number_at(guest, space.v, "pid_namespace", "memfd_noexec_scope", ret);
	case FORM_MULTIPATH_SEED:
		error = network_number(guest, "ipv4.sysctl_fib_multipath_hash_seed.user_seed", NULL, NULL, &value);
		return error ? error : text_of(string_format("%" PRIu64, value), ret);
	case FORM_SCHED_STATS:
		return key(guest, "sched_schedstats", ret);
	case FORM_TUNNEL_HOOKS:
		return key(guest, "nf_hooks_lwtunnel_enabled", ret);
	case FORM_KPROBES:
		return variable(guest, "kprobes_allow_optimization", 0xff, ret);
	case FORM_HUNG:
		return variable(guest, "sysctl_hung_task_detect_count", UINT64_MAX, ret);
	case FORM_ZONELIST:
		return text_of(strdup("Node"), ret);
	case FORM_EVENTS:
		return empty_set(guest, entry, ret);
	default:
		return NULL;
	}
}
