/* SPDX-License-Identifier: Apache-2.0 */
/* Values of sysctls in each form that a handler can show them in. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/containers.h"
#include "guest/sysctl.h"

/* ---- Text ---- */

#define TEXT_MAX 65536u /* bytes of a value; the kernel writes a page, or what the reader asks for */

struct text {
	char *data; /* NUL-terminated; room is TEXT_MAX + 1 */
	size_t size;
};

static struct error *text_create(struct text *ret)
{
	*ret = (struct text){.data = malloc(TEXT_MAX + 1)};
	if (!ret->data)
		return error_no_memory();
	ret->data[0] = '\0';
	return NULL;
}

/* Cut at TEXT_MAX. */
static void _printf_(2, 3) text_add(struct text *text, const char *format, ...)
{
	size_t room = TEXT_MAX + 1 - text->size;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(text->data + text->size, room, format, arguments);
	va_end(arguments);
	if (n > 0)
		text->size += (size_t)n < room ? (size_t)n : room - 1;
}

/* The text in no more memory than it needs. */
static char *text_take(struct text *text)
{
	char *data = realloc(text->data, text->size + 1);

	return data ? data : text->data;
}

/* ---- Numbers ---- */

#define VALUES_MAX 4096u /* bytes of numbers in one sysctl */

static unsigned value_size(enum sysctl_form form)
{
	if (form == FORM_U8)
		return 1;
	return form == FORM_ULONG || form == FORM_MS_ULONG ? 8 : 4;
}

static int64_t from_jiffies(enum sysctl_form form, int64_t value, uint32_t tick_rate)
{
	int64_t result;

	switch (form) {
	case FORM_JIFFIES:
		return value / tick_rate;
	case FORM_MS_JIFFIES:
	case FORM_MS_ULONG:
		/* Rounded up where a tick is no whole number of milliseconds. */
		return 1000 % tick_rate ? (value * 1000 + tick_rate - 1) / tick_rate : value * (1000 / tick_rate);
	case FORM_HZ_JIFFIES:
		result = value * 100;
		return result / tick_rate;
	default:
		return value;
	}
}

static void add_number(struct text *text, enum sysctl_form form, const uint8_t *bytes, uint32_t tick_rate)
{
	const char *separator = text->size ? "\t" : "";
	uint64_t value = 0;

	memcpy(&value, bytes, value_size(form));
	if (form == FORM_UINT || form == FORM_ULONG || form == FORM_U8)
		text_add(text, "%s%" PRIu64, separator, value);
	else if (form == FORM_MS_ULONG)
		text_add(text, "%s%" PRId64, separator, from_jiffies(form, (int64_t)value, tick_rate));
	else
		text_add(text, "%s%" PRId64, separator, from_jiffies(form, (int32_t)value, tick_rate));
}

static struct error *add_numbers(struct guest *guest, enum sysctl_form form, const struct sysctl_entry *entry,
				 uint32_t tick_rate, struct text *text)
{
	uint8_t bytes[VALUES_MAX];
	const unsigned size = value_size(form);
	uint64_t n = entry->size < sizeof(bytes) ? entry->size : sizeof(bytes);
	struct error *error;

	if (form == FORM_U8)
		n = 1; /* proc_dobool's boolean is said to be an int until 6.4 */
	n -= n % size;
	error = memory_read(&guest->memory, (struct gva){entry->data}, bytes, n);
	for (uint64_t i = 0; !error && i < n; i += size)
		add_number(text, form, bytes + i, tick_rate);
	return error;
}

/* ---- Other forms ---- */

static struct error *add_string(struct guest *guest, struct gva address, uint64_t size, struct text *text)
{
	char string[VALUES_MAX];
	struct error *error;

	if (size > sizeof(string) - 1)
		size = sizeof(string) - 1;
	error = memory_read_string(&guest->memory, address, string, size + 1);
	if (!error)
		text_add(text, "%s", string);
	return error;
}

#define BITMAP_BITS_MAX 65536u

static struct error *add_bitmap(struct guest *guest, const struct sysctl_entry *entry, struct text *text)
{
	uint8_t bits[BITMAP_BITS_MAX / 8 + 1] = {0};
	const uint64_t n = entry->size < BITMAP_BITS_MAX ? entry->size : BITMAP_BITS_MAX;
	uint64_t bitmap;
	struct error *error = memory_read_u64(&guest->memory, (struct gva){entry->data}, &bitmap);

	if (!error && bitmap)
		error = memory_read(&guest->memory, (struct gva){bitmap}, bits, n / 8);
	if (error)
		return error;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t first = i;

		if (!(bits[i / 8] >> i % 8 & 1))
			continue;
		while (i + 1 < n && bits[(i + 1) / 8] >> (i + 1) % 8 & 1)
			i++;
		text_add(text, first == i ? "%s%" PRIu64 : "%s%" PRIu64 "-%" PRIu64, text->size ? "," : "", first, i);
	}
	return NULL;
}

/* A boot id that nobody has read yet does not exist: the read would make it. */
static struct error *add_uuid(struct guest *guest, const struct sysctl_entry *entry, struct text *text, bool *known)
{
	static const uint8_t none[16];
	uint8_t id[16];
	struct error *error = memory_read(&guest->memory, (struct gva){entry->data}, id, sizeof(id));

	if (error)
		return error;
	*known = memcmp(id, none, sizeof(id)) != 0;
	for (unsigned i = 0; i < sizeof(id); i++)
		text_add(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
	return NULL;
}

/* A name of at most 31 bytes in the object that a pointer leads to. */
static struct error *add_name(struct guest *guest, struct gva pointer, const char *type, const char *path,
			      struct text *text)
{
	struct member name;
	uint64_t object;
	struct error *error = types_need(guest->types, &(struct member_need){type, path, &name}, 1);

	if (!error)
		error = memory_read_u64(&guest->memory, pointer, &object);
	return error ? error : add_string(guest, (struct gva){object + name.offset}, name.size, text);
}

/* A member of the initial network namespace. */
static struct error *find_in_net(struct guest *guest, const char *path, struct member *member, struct gva *ret)
{
	struct error *error = types_need(guest->types, &(struct member_need){"net", path, member}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "init_net", ret);
	if (!error)
		ret->v += member->offset;
	return error;
}

/* Two numbers, or (local ports since 6.8, 41db7626b732) one with both in it. */
static struct error *add_pair(struct guest *guest, const char *path, struct text *text)
{
	struct member member;
	struct gva address;
	uint32_t pair[2];
	struct error *error = find_in_net(guest, path, &member, &address);

	if (!error)
		error = memory_read(&guest->memory, address, pair, member.size < 8 ? 4 : 8);
	if (error)
		return error;
	if (member.size < 8) {
		pair[1] = pair[0] >> 16;
		pair[0] &= 0xffff;
	}
	text_add(text, "%" PRIu32 "\t%" PRIu32, pair[0], pair[1]);
	return NULL;
}

static struct error *add_congestion(struct guest *guest, struct text *text)
{
	struct member member;
	struct gva address;
	struct error *error = find_in_net(guest, "ipv4.tcp_congestion_control", &member, &address);

	return error ? error : add_name(guest, address, "tcp_congestion_ops", "name", text);
}

static struct error *add_qdisc(struct guest *guest, struct text *text)
{
	struct gva pointer;
	struct error *error = symbols_get(guest->symbols, "default_qdisc_ops", &pointer);

	return error ? error : add_name(guest, pointer, "Qdisc_ops", "id", text);
}

/* A variable of the kernel that the handler shows instead of its entry's data. */
static struct error *add_variable(struct guest *guest, const char *name, struct text *text)
{
	uint32_t value;
	struct error *error = guest_symbol_u32(guest, name, &value);

	if (!error)
		text_add(text, "%" PRId32, (int32_t)value);
	return error;
}

static struct error *add_taint(struct guest *guest, struct text *text)
{
	uint64_t taint;
	struct error *error = guest_symbol_u64(guest, "tainted_mask", &taint);

	if (!error)
		text_add(text, "%" PRIu64, taint);
	return error;
}

static struct error *add_huge(struct guest *guest, const char *path, struct text *text)
{
	const uint64_t size = types_size(guest->types, "hstate");
	struct member number;
	struct gva states;
	uint32_t index;
	uint64_t value;
	struct error *error = types_need(guest->types, &(struct member_need){"hstate", path, &number}, 1);

	if (!error)
		error = symbols_get(guest->symbols, "hstates", &states);
	if (!error)
		error = guest_symbol_u32(guest, "default_hstate_idx", &index);
	if (!error)
		error = guest_read_member(guest, (struct gva){states.v + index * size}, &number, &value);
	if (!error)
		text_add(text, "%" PRIu64, value);
	return error;
}

/* ---- Congestion controls ---- */

#define CONGESTION_MAX     1024u
#define CONGESTION_ALLOWED 1u /* TCP_CONG_NON_RESTRICTED */

struct congestion {
	struct member list, name, flags;
	bool allowed_only;
	unsigned n;
	struct text *text;
};

static struct error *visit_congestion(struct guest *guest, struct gva control, void *context)
{
	struct congestion *congestion = context;
	uint64_t flags;
	struct error *error = guest_read_member(guest, control, &congestion->flags, &flags);

	if (error)
		return error;
	if (congestion->n++ > CONGESTION_MAX)
		return error_format(NULL, control.v, "the guest has more than %u congestion controls", CONGESTION_MAX);
	if (congestion->allowed_only && !(flags & CONGESTION_ALLOWED))
		return NULL;
	text_add(congestion->text, "%s", congestion->text->size ? " " : "");
	return add_string(guest, (struct gva){control.v + congestion->name.offset}, congestion->name.size,
			  congestion->text);
}

static struct error *add_congestions(struct guest *guest, bool allowed_only, struct text *text)
{
	struct congestion congestion = {.allowed_only = allowed_only, .text = text};
	const struct member_need needs[] = {
		{"tcp_congestion_ops", "list", &congestion.list},
		{"tcp_congestion_ops", "name", &congestion.name},
		{"tcp_congestion_ops", "flags", &congestion.flags},
	};
	struct gva head;
	struct error *error = types_need(guest->types, needs, ARRAY_SIZE(needs));

	if (!error)
		error = symbols_get(guest->symbols, "tcp_cong_list", &head);
	return error ? error : list_walk(guest, head, congestion.list.offset, visit_congestion, &congestion);
}

/* ---- Any ---- */

/* What a packet of Ethernet counts for: 1514 bytes, a struct sk_buff and its end, each in whole cache lines. */
static struct error *add_packets(struct guest *guest, const struct sysctl_entry *entry, struct text *text)
{
	const uint64_t packet = 1514 + ((types_size(guest->types, "sk_buff") + 63) & ~UINT64_C(63)) +
				((types_size(guest->types, "skb_shared_info") + 63) & ~UINT64_C(63));
	uint32_t bytes;
	struct error *error = memory_read_u32(&guest->memory, (struct gva){entry->data}, &bytes);

	if (!error)
		text_add(text, "%" PRIu64, bytes / packet);
	return error;
}

static struct error *add_key(struct guest *guest, const struct sysctl_entry *entry, struct text *text)
{
	uint32_t count;
	struct error *error = memory_read_u32(&guest->memory, (struct gva){entry->data}, &count);

	/* Below zero while it is being switched on. */
	if (!error)
		text_add(text, "%d", count != 0);
	return error;
}

/* The entry's data is the set itself only since 6.3; before, a number that means it. */
static struct error *add_capabilities(struct guest *guest, const char *name, struct text *text)
{
	uint64_t set;
	struct error *error = guest_symbol_u64(
		guest, strstr(name, "bset") ? "usermodehelper_bset" : "usermodehelper_inheritable", &set);

	if (!error)
		text_add(text, "%" PRIu32 "\t%" PRIu32, (uint32_t)set, (uint32_t)(set >> 32));
	return error;
}

/* What runs counts, not what was asked for: bit 0 is the watchdog for hard lockups, bit 1 for soft ones. */
static struct error *add_watchdog(struct guest *guest, uint64_t mask, struct text *text)
{
	uint64_t enabled;
	struct error *error = guest_symbol_u64(guest, "watchdog_enabled", &enabled);

	if (!error)
		text_add(text, "%d", (enabled & mask) != 0);
	return error;
}

/* "…_ms" is in milliseconds, base_reachable_time in seconds, retrans_time in jiffies. */
static enum sysctl_form neighbour_form(const char *name)
{
	const char *end = strrchr(name, '_');

	if (end && strcmp(end, "_ms") == 0)
		return FORM_MS_JIFFIES;
	return strstr(name, "retrans_time") ? FORM_INT : FORM_JIFFIES;
}

/* A form that needs the entry's data. */
static struct error *add_data(struct guest *guest, enum sysctl_form form, const struct sysctl_entry *entry,
			      uint32_t tick_rate, struct text *text, bool *known)
{
	switch (form) {
	case FORM_STRING:
		return add_string(guest, (struct gva){entry->data}, entry->size, text);
	case FORM_BITMAP:
		return add_bitmap(guest, entry, text);
	case FORM_UUID:
		return add_uuid(guest, entry, text, known);
	case FORM_KEY:
		return add_key(guest, entry, text);
	case FORM_QUEUE_BYTES:
		return add_packets(guest, entry, text);
	case FORM_NEIGHBOUR:
		return add_numbers(guest, neighbour_form(entry->name), entry, tick_rate, text);
	default:
		/* What was an int became a byte here and there. */
		if (form == FORM_INT && entry->size == 1)
			form = FORM_U8;
		return add_numbers(guest, form, entry, tick_rate, text);
	}
}

/* Whether the handler shows the entry's data; without any it shows nothing. */
static bool needs_data(enum sysctl_form form)
{
	return form <= FORM_KEY || form == FORM_QUEUE_BYTES || form == FORM_NEIGHBOUR;
}

static bool has_data(enum sysctl_form form, const struct sysctl_entry *entry)
{
	return entry->data && (entry->size || form == FORM_UUID || form == FORM_KEY);
}

static struct error *add_value(struct guest *guest, enum sysctl_form form, const struct sysctl_entry *entry,
			       uint32_t tick_rate, struct text *text, bool *known)
{
	switch (form) {
	case FORM_NOTHING:
		return NULL;
	case FORM_ZERO:
		text_add(text, "0");
		return NULL;
	case FORM_TAINT:
		return add_taint(guest, text);
	case FORM_THREADS:
		return add_variable(guest, "max_threads", text);
	case FORM_DELAYS:
		return add_variable(guest, "delayacct_on", text);
	case FORM_NUMA:
		return add_variable(guest, "sysctl_numa_balancing_mode", text);
	case FORM_WATCHDOG:
		return add_watchdog(guest, 3, text);
	case FORM_NMI_WATCHDOG:
		return add_watchdog(guest, 1, text);
	case FORM_SOFT_WATCHDOG:
		return add_watchdog(guest, 2, text);
	case FORM_CAPABILITIES:
		return add_capabilities(guest, entry->name, text);
	case FORM_SYSRQ:
		return add_variable(guest, "sysrq_enabled", text);
	case FORM_HUGE:
		return add_huge(guest, "max_huge_pages", text);
	case FORM_HUGE_MORE:
		return add_huge(guest, "nr_overcommit_huge_pages", text);
	case FORM_PORTS:
		return add_pair(guest, "ipv4.ip_local_ports.range", text);
	case FORM_GROUPS:
		return add_pair(guest, "ipv4.ping_group_range.range", text);
	case FORM_CONGESTION:
		return add_congestion(guest, text);
	case FORM_AVAILABLE:
		return add_congestions(guest, false, text);
	case FORM_ALLOWED:
		return add_congestions(guest, true, text);
	case FORM_QDISC:
		return add_qdisc(guest, text);
	default:
		break;
	}
	/* A uuid is made anew for each reader. */
	*known = entry->data || form != FORM_UUID;
	return has_data(form, entry) ? add_data(guest, form, entry, tick_rate, text, known) : NULL;
}

/* What this kernel has no symbol or member for is not damaged, but not to be computed here. */
static struct error *forgive(struct error *error)
{
	if (!error || error->code != ERROR_UNSUPPORTED)
		return error;
	error_destroy(error);
	return NULL;
}

/* From 6.6 on (8f2d6c41e5a6) only a machine with processors of several kinds shows it, which no guest here is. */
static enum sysctl_form energy_form(const struct guest *guest)
{
	struct gva address;

	return symbols_find(guest->symbols, "sched_is_eas_possible", &address) ? FORM_NOTHING : FORM_INT;
}

struct error *sysctl_value(struct guest *guest, const struct sysctl_handlers *handlers, uint32_t tick_rate,
			   const struct sysctl_entry *entry, struct guest_sysctl *ret)
{
	enum sysctl_form form;
	struct text text;
	bool known = true;
	struct error *error;

	if (!sysctl_handlers_find(handlers, entry->handler, &form))
		return NULL;
	ret->fresh = form == FORM_UUID && !entry->data;
	if (form == FORM_ENERGY)
		form = energy_form(guest);
	if (form >= FORM_COMPUTED)
		return forgive(sysctl_computed(guest, form, entry, &ret->value));
	error = text_create(&text);
	if (error)
		return error;
	error = add_value(guest, form, entry, tick_rate, &text, &known);
	if (error && error->code == ERROR_UNSUPPORTED) {
		error = forgive(error);
		known = false;
	}
	if (error || !known)
		free(text.data);
	else
		ret->value = text_take(&text);
	ret->nothing = ret->value && (form == FORM_NOTHING || (needs_data(form) && !has_data(form, entry)));
	return error;
}
