/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's log: a lock-free ring buffer (kernel/printk/printk_ringbuffer.c, 5.10 and later).
 *
 *   desc_ring.descs[id % n]   state and id of a record, and where its text lies
 *   desc_ring.infos[id % n]   its time, level and length
 *   text_data_ring.data       blocks: the id of the record (a word), then its text
 *
 * Ids count up from desc_ring.tail_id to head_id, positions of text likewise; both are taken
 * modulo the size of their ring, a power of two. What readers of a running kernel are shown are
 * the records in state "finalized" (2) whose text has not been dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "guest/object.h"

#define ID_BITS          62u
#define ID_MASK          ((UINT64_C(1) << ID_BITS) - 1)
#define STATE_FINALIZED  2u

/* A block's position that is none: bit 0 is set. 3 in both places: a record without text. */
#define POSITION_NONE    UINT64_C(1)
#define POSITION_NO_TEXT UINT64_C(3)

/* Log buffers are up to 2 GiB (LOG_BUF_LEN_MAX), with a record for each 32 bytes. */
#define TEXT_BITS_MAX    31u
#define RECORD_BITS_MAX  26u
#define CHUNK            64u  /* records that are read at a time */
#define RECORD_SIZE_MAX  256u /* bytes of a descriptor, of an info: they have 24 and 88 */

struct log_layout {
	struct member prb_count_bits, prb_descs, prb_infos, prb_head, prb_tail, prb_size_bits, prb_data;
	struct object_span ring;
	struct member desc_state, desc_begin, desc_next;
	uint32_t desc_size;
	struct member seq, time, length, facility, level, caller;
	uint32_t info_size;
};

struct ring {
	uint64_t descs, infos, data; /* addresses */
	uint64_t head, tail;         /* ids of the newest and the oldest record */
	unsigned count_bits, size_bits;
};

static struct error *load_layout(struct guest *guest, struct log_layout *ret)
{
	const struct member_need ring[] = {
		{"printk_ringbuffer", "desc_ring.count_bits", &ret->prb_count_bits},
		{"printk_ringbuffer", "desc_ring.descs", &ret->prb_descs},
		{"printk_ringbuffer", "desc_ring.infos", &ret->prb_infos},
		{"printk_ringbuffer", "desc_ring.head_id", &ret->prb_head},
		{"printk_ringbuffer", "desc_ring.tail_id", &ret->prb_tail},
		{"printk_ringbuffer", "text_data_ring.size_bits", &ret->prb_size_bits},
		{"printk_ringbuffer", "text_data_ring.data", &ret->prb_data},
	};
	const struct member_need desc[] = {
		{"prb_desc", "state_var", &ret->desc_state},
		{"prb_desc", "text_blk_lpos.begin", &ret->desc_begin},
		{"prb_desc", "text_blk_lpos.next", &ret->desc_next},
	};
	const struct member_need info[] = {
		{"printk_info", "seq", &ret->seq},         {"printk_info", "ts_nsec", &ret->time},
		{"printk_info", "text_len", &ret->length}, {"printk_info", "facility", &ret->facility},
		{"printk_info", "level", &ret->level},     {"printk_info", "caller_id", &ret->caller, .optional = true},
	};
	struct object_span desc_span = {0}, info_span = {0};
	struct error *error;

	ret->ring = (struct object_span){0};
	error = object_need(guest->types, ring, ARRAY_SIZE(ring), &ret->ring);
	if (!error)
		error = object_need(guest->types, desc, ARRAY_SIZE(desc), &desc_span);
	if (!error)
		error = object_need(guest->types, info, ARRAY_SIZE(info), &info_span);
	if (error)
		return error;
	ret->desc_size = types_size(guest->types, "prb_desc");
	ret->info_size = types_size(guest->types, "printk_info");
	if (ret->desc_size < desc_span.size || ret->info_size < info_span.size || ret->desc_size > RECORD_SIZE_MAX ||
	    ret->info_size > RECORD_SIZE_MAX)
		return error_create(ERROR_UNSUPPORTED, "the guest's log has records of %u and %u bytes", ret->desc_size,
				    ret->info_size);
	return NULL;
}

static struct error *read_ring(struct guest *guest, const struct log_layout *layout, struct ring *ret)
{
	uint8_t object[OBJECT_MAX];
	struct gva symbol;
	uint64_t address;
	struct ring ring;
	struct error *error = symbols_get(guest->symbols, "prb", &symbol);

	if (!error)
		error = memory_read_u64(&guest->memory, symbol, &address);
	if (!error)
		error = object_read(guest, (struct gva){address}, layout->ring, object);
	if (error)
		return error;
	ring = (struct ring){
		.descs = object_field(object, &layout->prb_descs),
		.infos = object_field(object, &layout->prb_infos),
		.data = object_field(object, &layout->prb_data),
		.head = object_field(object, &layout->prb_head) & ID_MASK,
		.tail = object_field(object, &layout->prb_tail) & ID_MASK,
		.count_bits = (unsigned)object_field(object, &layout->prb_count_bits),
		.size_bits = (unsigned)object_field(object, &layout->prb_size_bits),
	};
	if (ring.count_bits > RECORD_BITS_MAX || ring.size_bits > TEXT_BITS_MAX)
		return error_format(NULL, address, "the guest's log has 2^%u records and 2^%u bytes", ring.count_bits,
				    ring.size_bits);
	if (((ring.head - ring.tail) & ID_MASK) >= UINT64_C(1) << ring.count_bits)
		return error_format(NULL, address, "the guest's log has more records than it has room for");
	*ret = ring;
	return NULL;
}

/* ---- Records ---- */

struct walk {
	struct guest *guest;
	struct log_layout layout;
	struct ring ring;
	struct guest_log *log;
	uint64_t text_left; /* bytes of text that all records together can still have: those of the ring */
};

/*
 * Where the block of the positions lies in the ring and how many bytes it has, its id included. Blocks are never cut:
 * one that would not fit before the ring's end begins at its start instead. (Since 6.18 one may end with the ring.)
 */
static bool place_block(const struct ring *ring, uint64_t begin, uint64_t next, uint64_t *ret_offset,
			uint64_t *ret_size)
{
	const uint64_t mask = (UINT64_C(1) << ring->size_bits) - 1;
	const uint64_t round = begin >> ring->size_bits, last_round = (next - 1) >> ring->size_bits;

	if (round == last_round && begin < next) {
		*ret_offset = begin & mask;
		*ret_size = next - begin;
	} else if (round + 1 == last_round) {
		*ret_offset = 0;
		*ret_size = ((next - 1) & mask) + 1;
	} else {
		return false;
	}
	return *ret_size > sizeof(uint64_t);
}

static struct error *read_text(struct walk *walk, uint64_t id, uint64_t offset, uint64_t size, uint64_t length,
			       struct guest_bytes *ret)
{
	_cleanup_(free_ptr) char *data = NULL;
	uint64_t block;
	struct error *error = memory_read_u64(&walk->guest->memory, (struct gva){walk->ring.data + offset}, &block);

	if (error)
		return error;
	if (block != id)
		return error_format(NULL, walk->ring.data + offset, "a record's text belongs to another record");
	size -= sizeof(block);
	if (length > size)
		length = size;
	if (length > walk->text_left)
		return error_format(NULL, walk->ring.data + offset, "the log's records have more text than its buffer");
	walk->text_left -= length;
	/* One byte more: malloc(0) may be NULL. */
	data = malloc(length + 1);
	if (!data)
		return error_no_memory();
	error = memory_read(&walk->guest->memory, (struct gva){walk->ring.data + offset + sizeof(block)}, data, length);
	if (error)
		return error;
	data[length] = '\0';
	*ret = (struct guest_bytes){take_ptr(data), length};
	return NULL;
}

static struct error *append(struct walk *walk, const uint8_t *info, struct guest_bytes text)
{
	const struct log_layout *layout = &walk->layout;
	struct guest_log *log = walk->log;
	struct error *error = array_room(&log->items, log->n, sizeof(*log->items));

	if (error) {
		free(text.data);
		return error;
	}
	log->items[log->n++] = (struct guest_log_record){
		.sequence = object_field(info, &layout->seq),
		.time_ns = object_field(info, &layout->time),
		.level = (uint8_t)object_field(info, &layout->level),
		.facility = (uint8_t)object_field(info, &layout->facility),
		.caller = (uint32_t)object_field(info, &layout->caller),
		.text = text,
	};
	return NULL;
}

/* A record that is being written, was never written or lost its text is not one that the guest would show. */
static struct error *read_record(struct walk *walk, uint64_t id, const uint8_t *desc, const uint8_t *info)
{
	const struct log_layout *layout = &walk->layout;
	const uint64_t state = object_field(desc, &layout->desc_state);
	const uint64_t begin = object_field(desc, &layout->desc_begin);
	const uint64_t next = object_field(desc, &layout->desc_next);
	struct guest_bytes text = {0};
	uint64_t offset, size;
	struct error *error;

	if (state >> ID_BITS != STATE_FINALIZED || (state & ID_MASK) != id)
		return NULL;
	if (begin & next & POSITION_NONE) {
		if (begin != POSITION_NO_TEXT || next != POSITION_NO_TEXT)
			return NULL;
		text.data = strdup("");
		return text.data ? append(walk, info, text) : error_no_memory();
	}
	if (!place_block(&walk->ring, begin, next, &offset, &size))
		return error_format(NULL, walk->ring.descs, "record %llu of the log has its text from %llu to %llu",
				    (unsigned long long)object_field(info, &layout->seq), (unsigned long long)begin,
				    (unsigned long long)next);
	error = read_text(walk, id, offset, size, object_field(info, &layout->length), &text);
	return error ? error : append(walk, info, text);
}

/* Reads `n` records from `id` on, which lie one after the other in the ring. A bad one is left out. */
static struct error *read_chunk(struct walk *walk, uint64_t id, uint64_t n)
{
	const struct log_layout *layout = &walk->layout;
	const uint64_t first = id & ((UINT64_C(1) << walk->ring.count_bits) - 1);
	uint8_t descs[CHUNK * RECORD_SIZE_MAX], infos[CHUNK * RECORD_SIZE_MAX];
	struct error *error;

	error = memory_read(&walk->guest->memory, (struct gva){walk->ring.descs + first * layout->desc_size}, descs,
			    n * layout->desc_size);
	if (!error)
		error = memory_read(&walk->guest->memory, (struct gva){walk->ring.infos + first * layout->info_size},
				    infos, n * layout->info_size);
	for (uint64_t i = 0; !error && i < n; i++) {
		error = read_record(walk, (id + i) & ID_MASK, descs + i * layout->desc_size,
				    infos + i * layout->info_size);
		error = walk_note(&walk->log->incomplete, error);
	}
	return error;
}

static struct error *read_records(struct walk *walk)
{
	const uint64_t count = UINT64_C(1) << walk->ring.count_bits;
	uint64_t left = ((walk->ring.head - walk->ring.tail) & ID_MASK) + 1;
	uint64_t id = walk->ring.tail;

	while (left > 0) {
		uint64_t n = count - (id & (count - 1));
		struct error *error;

		n = n < CHUNK ? n : CHUNK;
		n = n < left ? n : left;
		error = read_chunk(walk, id, n);
		if (error)
			return error;
		id = (id + n) & ID_MASK;
		left -= n;
	}
	return NULL;
}

/* The number from which on `dmesg` shows records: those before were cleared (dmesg --clear). */
static struct error *read_cleared(struct guest *guest, uint64_t *ret)
{
	/* Since 5.12 (7d7a23a91c91) readable without a lock: two copies. */
	struct member latched = types_find(guest->types, "latched_seq", "val");
	struct gva symbol;
	struct error *error = symbols_get(guest->symbols, "clear_seq", &symbol);

	return error ? error : memory_read_u64(&guest->memory, (struct gva){symbol.v + latched.offset}, ret);
}

struct error *guest_kernel_log(struct guest *guest, struct guest_log *ret)
{
	struct guest_log log = {0};
	struct walk walk = {.guest = guest, .log = &log};
	struct error *error = load_layout(guest, &walk.layout);

	if (!error)
		error = read_ring(guest, &walk.layout, &walk.ring);
	if (!error)
		error = read_cleared(guest, &log.cleared);
	if (error)
		return error_wrap(error, "the guest's kernel log");
	walk.text_left = UINT64_C(1) << walk.ring.size_bits;
	error = read_records(&walk);
	if (error) {
		error_destroy(log.incomplete);
		log.incomplete = error;
	}
	log.incomplete = error_wrap(log.incomplete, "the guest's kernel log");
	*ret = log;
	return NULL;
}

void guest_log_deinit(struct guest_log *log)
{
	for (size_t i = 0; i < log->n; i++)
		free(log->items[i].text.data);
	free(log->items);
	error_destroy(log->incomplete);
	*log = (struct guest_log){0};
}
