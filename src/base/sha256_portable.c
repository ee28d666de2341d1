/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 after FIPS 180-4, section 6.2, in plain C: for programs that link nothing but their C
 * library. Bounded by 2^61 bytes of input, as the standard's 64-bit bit count is.
 */
#include "base/sha256.h"

#include <string.h>

#define BLOCK_SIZE 64

struct sha256 {
	uint32_t state[8];
	uint64_t size; /* bytes so far */
	uint8_t block[BLOCK_SIZE];
};

static const uint32_t initial[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store_be32(uint8_t *p, uint32_t x)
{
	p[0] = x >> 24;
	p[1] = x >> 16;
	p[2] = x >> 8;
	p[3] = x;
}

/* The message schedule is kept as a ring of 16 words: w[t & 15] is W_t once round t has begun. */
static inline uint32_t schedule(uint32_t w[16], unsigned t)
{
	uint32_t w2 = w[(t - 2) & 15], w15 = w[(t - 15) & 15];
	uint32_t s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ w2 >> 10;
	uint32_t s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ w15 >> 3;

	return w[t & 15] += s1 + w[(t - 7) & 15] + s0;
}

/*
 * One round on variables that stand still: the caller turns the names instead of moving eight
 * values, which is a third of the work on an emulated CPU.
 */
#define ROUND(a, b, c, d, e, f, g, h, k, w)                                                                            \
	do {                                                                                                           \
		uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + (k) + (w);    \
		d += t1;                                                                                               \
		h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));                   \
	} while (0)

#define EIGHT_ROUNDS(t, WORD)                                                                                          \
	do {                                                                                                           \
		ROUND(a, b, c, d, e, f, g, h, constants[(t) + 0], WORD((t) + 0));                                      \
		ROUND(h, a, b, c, d, e, f, g, constants[(t) + 1], WORD((t) + 1));                                      \
		ROUND(g, h, a, b, c, d, e, f, constants[(t) + 2], WORD((t) + 2));                                      \
		ROUND(f, g, h, a, b, c, d, e, constants[(t) + 3], WORD((t) + 3));                                      \
		ROUND(e, f, g, h, a, b, c, d, constants[(t) + 4], WORD((t) + 4));                                      \
		ROUND(d, e, f, g, h, a, b, c, constants[(t) + 5], WORD((t) + 5));                                      \
		ROUND(c, d, e, f, g, h, a, b, constants[(t) + 6], WORD((t) + 6));                                      \
		ROUND(b, c, d, e, f, g, h, a, constants[(t) + 7], WORD((t) + 7));                                      \
	} while (0)

#define FIRST_WORD(t) (w[t] = load_be32(data + 4 * (t)))
#define LATER_WORD(t) schedule(w, t)

static void compress(uint32_t state[8], const uint8_t *data)
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[16];

	EIGHT_ROUNDS(0, FIRST_WORD);
	EIGHT_ROUNDS(8, FIRST_WORD);
	for (unsigned t = 16; t < 64; t += 8)
		EIGHT_ROUNDS(t, LATER_WORD);

	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

struct sha256 *sha256_create(void)
{
	struct sha256 *hash = malloc(sizeof(*hash));

	if (hash)
		sha256_reset(hash);
	return hash;
}

void sha256_reset(struct sha256 *hash)
{
	memcpy(hash->state, initial, sizeof(initial));
	hash->size = 0;
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t used = hash->size % BLOCK_SIZE;

	if (!size)
		return;
	hash->size += size;
	if (used) {
		size_t n = BLOCK_SIZE - used < size ? BLOCK_SIZE - used : size;

		memcpy(hash->block + used, p, n);
		if (used + n < BLOCK_SIZE)
			return;
		compress(hash->state, hash->block);
		p += n;
		size -= n;
	}
	for (; size >= BLOCK_SIZE; p += BLOCK_SIZE, size -= BLOCK_SIZE)
		compress(hash->state, p);
	memcpy(hash->block, p, size);
}

void sha256_final(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
	uint64_t bits = hash->size * 8;
	size_t used = hash->size % BLOCK_SIZE;

	hash->block[used++] = 0x80;
	if (used > BLOCK_SIZE - 8) {
		memset(hash->block + used, 0, BLOCK_SIZE - used);
		compress(hash->state, hash->block);
		used = 0;
	}
	memset(hash->block + used, 0, BLOCK_SIZE - 8 - used);
	store_be32(hash->block + BLOCK_SIZE - 8, bits >> 32);
	store_be32(hash->block + BLOCK_SIZE - 4, bits);
	compress(hash->state, hash->block);
	for (unsigned i = 0; i < 8; i++)
		store_be32(digest + 4 * i, hash->state[i]);
}

void sha256_destroy(struct sha256 *hash)
{
	free(hash);
}
