/* SPDX-License-Identifier: ISC */
/* sha256.c: Written from FIPS 180-4, in plain C. */
#include "common/sha256.h"

enum { BLOCK = 64, ROUNDS = 64, LENGTH_AT = 56 };

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the primes' cube roots. */
static const uint32_t keys[ROUNDS] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b,
	0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6,
	0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
	0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
	0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585,
	0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa,
	0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned by)
{
	return x >> by | x << (32 - by);
}

static uint32_t load(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void schedule(uint32_t w[ROUNDS], const uint8_t *block)
{
	for (int i = 0; i < 16; i++)
		w[i] = load(block + i * 4);
	for (int i = 16; i < ROUNDS; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

/* v is a to h of the standard. */
static void compress(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[ROUNDS], v[8];

	schedule(w, block);
	memcpy(v, state, sizeof(v));
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
		uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + keys[i] + w[i];
		uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
		uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

void bg_sha256_init(struct bg_sha256 *h)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(h->state, start, sizeof(start));
	h->len = 0;
}

void bg_sha256_add(struct bg_sha256 *h, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t held = h->len % BLOCK;

	h->len += len;
	if (held > 0) {
		size_t take = BG_MIN(len, BLOCK - held);

		memcpy(h->block + held, p, take);
		p += take;
		len -= take;
		if (held + take < BLOCK)
			return;
		compress(h->state, h->block);
	}
	for (; len >= BLOCK; p += BLOCK, len -= BLOCK)
		compress(h->state, p);
	if (len > 0)
		memcpy(h->block, p, len);
}

char *bg_sha256_end(struct bg_sha256 *h, char out[BG_SHA256_HEX])
{
	static const uint8_t pad[BLOCK] = {0x80};
	static const char digits[] = "0123456789abcdef";
	uint64_t bits = h->len * 8;
	size_t held = h->len % BLOCK;
	uint8_t tail[8];

	for (int i = 0; i < 8; i++)
		tail[i] = (uint8_t)(bits >> (56 - 8 * i));
	bg_sha256_add(h, pad, held < LENGTH_AT ? LENGTH_AT - held : BLOCK + LENGTH_AT - held);
	bg_sha256_add(h, tail, sizeof(tail));
	for (int i = 0; i < 64; i++)
		out[i] = digits[h->state[i / 8] >> (28 - 4 * (i % 8)) & 0xf];
	out[64] = '\0';
	return out;
}

char *bg_sha256_hex(const void *data, size_t len, char out[BG_SHA256_HEX])
{
	struct bg_sha256 h;

	bg_sha256_init(&h);
	bg_sha256_add(&h, data, len);
	return bg_sha256_end(&h, out);
}

bool bg_sha256_valid(const char *text)
{
	return strlen(text) == BG_SHA256_HEX - 1 &&
	       strspn(text, "0123456789abcdef") == BG_SHA256_HEX - 1;
}
