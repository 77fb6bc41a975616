/* SPDX-License-Identifier: ISC */
/* timefmt.h: times as the API writes them: RFC 3339 in UTC with seconds. */
#ifndef BG_COMMON_TIMEFMT_H
#define BG_COMMON_TIMEFMT_H

#include <stdint.h>

#define BG_TIME_TEXT 32

/* Seconds since the epoch as "2026-01-31T12:00:00Z". Returns out. */
char *bg_time_print(int64_t seconds, char out[BG_TIME_TEXT]);

#endif
