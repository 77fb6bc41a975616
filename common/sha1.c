/* SPDX-License-Identifier: ISC */
/* sha1.c: Written from FIPS 180-4, for texts that fit one buffer. */
#include "common/sha1.h"

enum { BLOCK = 64 };

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void expand(const uint8_t block[BLOCK], uint32_t w[80])
{
	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
		       (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
	for (unsigned i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
}

static uint32_t mix(unsigned i, uint32_t b, uint32_t c, uint32_t d)
{
	static const uint32_t k[] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
	uint32_t f = i < 20		 ? (b & c) | (~b & d)
		     : i < 40 || i >= 60 ? b ^ c ^ d
					 : (b & c) | (b & d) | (c & d);

	return f + k[i / 20];
}

static void add_block(uint32_t h[5], const uint8_t block[BLOCK])
{
	uint32_t w[80], v[5];

	expand(block, w);
	memcpy(v, h, sizeof(v));
	for (unsigned i = 0; i < 80; i++) {
		uint32_t t = rotate(v[0], 5) + mix(i, v[1], v[2], v[3]) + v[4] + w[i];

		v[4] = v[3];
		v[3] = v[2];
		v[2] = rotate(v[1], 30);
		v[1] = v[0];
		v[0] = t;
	}
	for (unsigned i = 0; i < 5; i++)
		h[i] += v[i];
}

/* The end of the text, the bit 1, and its length in bits: one block or two. */
static void add_tail(uint32_t h[5], const uint8_t *p, size_t n, uint64_t bits)
{
	uint8_t tail[2 * BLOCK] = {0};
	size_t size = n < BLOCK - 8 ? BLOCK : 2 * BLOCK;

	if (n > 0)
		memcpy(tail, p, n);
	tail[n] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		tail[size - 1 - i] = (uint8_t)(bits >> (8 * i));
	for (size_t at = 0; at < size; at += BLOCK)
		add_block(h, tail + at);
}

void bg_sha1(const void *bytes, size_t len, uint8_t ret[BG_SHA1_SIZE])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	const uint8_t *p = bytes;
	size_t left = len;

	for (; left >= BLOCK; left -= BLOCK, p += BLOCK)
		add_block(h, p);
	add_tail(h, p, left, (uint64_t)len * 8);
	for (unsigned i = 0; i < BG_SHA1_SIZE; i++)
		ret[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}
