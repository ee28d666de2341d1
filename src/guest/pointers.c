/* SPDX-License-Identifier: Apache-2.0 */
/* How the guest's kernel prints pointers: "%pK" and "%p" in lib/vsprintf.c. */
#include <inttypes.h>
#include <stdio.h>

#include "guest/internal.h"

/* Whether the key for hashing was made: it waits for the random number generator. */
static struct error *read_ready(struct guest *guest, bool *ret)
{
	struct gva address;
	uint32_t value;
	struct error *error;

	/* A boolean in 6.1 and later; in 5.10 a static key that is on until then. */
	if (symbols_find(guest->symbols, "filled_random_ptr_key", &address)) {
		error = memory_read_u32(&guest->memory, address, &value);
		*ret = !error && (value & 0xff) != 0;
		return error;
	}
	error = guest_symbol_u32(guest, "not_filled_random_ptr_key", &value);
	*ret = !error && value == 0;
	return error;
}

struct error *guest_pointers(struct guest *guest, struct guest_pointers *ret)
{
	struct guest_pointers pointers = {0};
	struct gva address;
	uint32_t restricted = 0, plain = 0;
	struct error *error = symbols_get(guest->symbols, "ptr_key", &address);

	if (!error)
		error = memory_read(&guest->memory, address, pointers.key, sizeof(pointers.key));
	if (!error)
		error = read_ready(guest, &pointers.ready);
	if (!error && symbols_find(guest->symbols, "kptr_restrict", &address))
		error = memory_read_u32(&guest->memory, address, &restricted);
	/* The boolean is one byte (5.12, 5ead723a20e0). */
	if (!error && symbols_find(guest->symbols, "no_hash_pointers", &address))
		error = memory_read_u32(&guest->memory, address, &plain);
	if (error)
		return error_wrap(error, "how the guest prints pointers");
	pointers.hidden = restricted > 1;
	pointers.plain = restricted == 1 || plain & 0xff;
	*ret = pointers;
	return NULL;
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 of eight bytes. */
static uint64_t sip_hash(const uint64_t key[2], uint64_t value)
{
	const uint64_t words[2] = {value, UINT64_C(8) << 56};
	uint64_t v[4] = {
		UINT64_C(0x736f6d6570736575) ^ key[0],
		UINT64_C(0x646f72616e646f6d) ^ key[1],
		UINT64_C(0x6c7967656e657261) ^ key[0],
		UINT64_C(0x7465646279746573) ^ key[1],
	};

	for (unsigned i = 0; i < 2; i++) {
		v[3] ^= words[i];
		sip_round(v);
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void guest_pointer_text(const struct guest_pointers *pointers, uint64_t address, char ret[GUEST_POINTER_SIZE])
{
	if (pointers->hidden)
		address = 0;
	else if (!pointers->plain && !pointers->ready) {
		snprintf(ret, GUEST_POINTER_SIZE, "(____ptrval____)");
		return;
	} else if (!pointers->plain && address) {
		address = sip_hash(pointers->key, address) & UINT32_MAX;
	}
	snprintf(ret, GUEST_POINTER_SIZE, "%016" PRIx64, address);
}
