/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder of LZO1X after the description of its stream in the kernel's documentation
 * (Documentation/staging/lzo.rst, Linux 4.0 and later).
 *
 * An instruction copies earlier output, its last two bits say how many literal bytes (0 to 3)
 * follow. What a byte below 16 means depends on how many literals came just before: 0, 1 to 3, or
 * a long run (4).
 */
#include "image/lzo.h"

#include <string.h>

struct lzo {
	const uint8_t *in, *in_end;
	uint8_t *out_start, *out, *out_end;
	unsigned literals; /* copied just before: 0 to 3; 4: a long run */
};

/* What an instruction says. */
struct match {
	size_t distance, length;
	unsigned literals; /* that follow */
	bool end;          /* the stream's end mark */
};

static bool take(struct lzo *l, uint8_t *ret)
{
	if (l->in == l->in_end)
		return false;
	*ret = *l->in++;
	return true;
}

/* A length whose bits in the instruction were all zero: 255 for each zero byte, and the byte after them. */
static bool take_length(struct lzo *l, size_t base, size_t *ret)
{
	size_t length = base;
	uint8_t byte;

	do {
		if (!take(l, &byte))
			return false;
		length += byte ? byte : 255;
	} while (byte == 0);
	*ret = length;
	return true;
}

static bool copy_literals(struct lzo *l, size_t n)
{
	if (n > (size_t)(l->in_end - l->in) || n > (size_t)(l->out_end - l->out))
		return false;
	memcpy(l->out, l->in, n);
	l->in += n;
	l->out += n;
	return true;
}

static bool copy_match(struct lzo *l, size_t distance, size_t length)
{
	const uint8_t *from = l->out - distance;

	if (distance > (size_t)(l->out - l->out_start) || length > (size_t)(l->out_end - l->out))
		return false;
	if (distance >= length) {
		memcpy(l->out, from, length);
		l->out += length;
	} else if (distance == 1) {
		memset(l->out, *from, length);
		l->out += length;
	} else {
		while (length-- > 0)
			*l->out++ = *from++;
	}
	return true;
}

/* Instructions from 16 on with a distance of two bytes: 001LLLLL, or 0001HLLL which goes farther back. */
static bool far_match(struct lzo *l, uint8_t code, struct match *m)
{
	bool farther = code < 32;
	size_t mask = farther ? 7 : 31;
	uint8_t low, high;

	m->length = code & mask;
	if (m->length == 0 && !take_length(l, mask, &m->length))
		return false;
	if (!take(l, &low) || !take(l, &high))
		return false;
	m->length += 2;
	m->distance = (size_t)high << 6 | low >> 2;
	m->literals = low & 3;
	if (!farther) {
		m->distance++;
		return true;
	}
	m->distance += 16384 + ((size_t)(code & 8) << 11);
	m->end = m->distance == 16384;
	return true;
}

/* All others: a byte of the distance follows. */
static bool near_match(struct lzo *l, uint8_t code, struct match *m)
{
	uint8_t high;

	if (!take(l, &high))
		return false;
	m->literals = code & 3;
	if (code >= 64) {
		m->length = code >= 128 ? 5 + (code >> 5 & 3) : 3 + (code >> 5 & 1);
		m->distance = ((size_t)high << 3) + (code >> 2 & 7) + 1;
		return true;
	}
	m->length = l->literals == 4 ? 3 : 2;
	m->distance = ((size_t)high << 2) + (code >> 2 & 3) + (l->literals == 4 ? 2049 : 1);
	return true;
}

/* Code below 16 where no literals came before: a run of at least 4 of them. */
static bool literal_run(struct lzo *l, uint8_t code)
{
	size_t length = code;

	if (length == 0 && !take_length(l, 15, &length))
		return false;
	l->literals = 4;
	return copy_literals(l, length + 3);
}

/* One instruction; *end: it was the end mark. */
static bool step(struct lzo *l, bool *end)
{
	struct match m = {0};
	uint8_t code;

	if (!take(l, &code))
		return false;
	if (code < 16 && l->literals == 0)
		return literal_run(l, code);
	if (!(code >= 16 && code < 64 ? far_match(l, code, &m) : near_match(l, code, &m)))
		return false;
	if (m.end) {
		*end = true;
		return true;
	}
	l->literals = m.literals;
	return copy_match(l, m.distance, m.length) && copy_literals(l, m.literals);
}

bool lzo1x_unpack(const uint8_t *in, size_t size, uint8_t *out, size_t room, size_t *ret)
{
	struct lzo l = {.in = in, .in_end = in + size, .out_start = out, .out = out, .out_end = out + room};
	bool end = false;

	/* The first byte may be a run of literals by itself. */
	if (size > 0 && *in > 17) {
		size_t n = *l.in++ - 17u;

		l.literals = n < 4 ? (unsigned)n : 4;
		if (!copy_literals(&l, n))
			return false;
	}
	while (!end) {
		if (!step(&l, &end))
			return false;
	}
	if (l.in != l.in_end)
		return false;
	*ret = (size_t)(l.out - l.out_start);
	return true;
}
