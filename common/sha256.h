/* SPDX-License-Identifier: ISC */
/*
 * sha256.h: SHA-256 (FIPS 180-4) for programs that must start quickly and so link no crypto
 * library. Tells files apart; nothing here is secret. Never allocates, never fails.
 */
#ifndef BG_COMMON_SHA256_H
#define BG_COMMON_SHA256_H

#include "common/base.h"

#define BG_SHA256_HEX 65 /* 64 digits and the NUL */

struct bg_sha256 {
	uint32_t state[8];
	uint64_t len;
	uint8_t block[64];
};

void bg_sha256_init(struct bg_sha256 *h);
void bg_sha256_add(struct bg_sha256 *h, const void *data, size_t len);
/* Returns out. h must be initialised again before it is used again. */
char *bg_sha256_end(struct bg_sha256 *h, char out[BG_SHA256_HEX]);
/* All three for one piece of memory. Returns out. */
char *bg_sha256_hex(const void *data, size_t len, char out[BG_SHA256_HEX]);
/* Whether text is a digest as it is written: 64 digits of 0-9 and a-f. */
bool bg_sha256_valid(const char *text);

#endif
