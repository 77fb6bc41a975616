/* SPDX-License-Identifier: ISC */
/* size.h: sizes as people write them ("2G", "1.5G", "512M") and as they read them. */
#ifndef BG_COMMON_SIZE_H
#define BG_COMMON_SIZE_H

#include "common/err.h"

#define BG_SIZE_TEXT 16 /* room for any text that bg_size_print makes */

/*
 * Parses a size into MiB. Units K M G T, also as KiB, KB (all binary), in either
 * case; a plain number is MiB. What is less than a whole MiB is dropped; the result
 * must lie within min..max (MiB). what ("--memory") opens the error, which is USAGE.
 */
int bg_size_parse_mib(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *ret,
	struct bg_err **err);
/* "512M", "1.5G", "20G": at most one digit after the point. Returns out. */
char *bg_size_print(uint64_t bytes, char out[BG_SIZE_TEXT]);
char *bg_size_print_mib(uint64_t mib, char out[BG_SIZE_TEXT]);

#endif
