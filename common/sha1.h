/* SPDX-License-Identifier: ISC */
/* sha1.h: SHA-1 (FIPS 180-4) of a short text. Of use only where a protocol asks for it (WebSocket); it proves nothing. */
#ifndef BG_COMMON_SHA1_H
#define BG_COMMON_SHA1_H

#include "common/base.h"

#define BG_SHA1_SIZE 20

void bg_sha1(const void *bytes, size_t len, uint8_t ret[BG_SHA1_SIZE]);

#endif
