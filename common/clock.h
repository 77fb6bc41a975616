/* SPDX-License-Identifier: ISC */
/* clock.h: time that only goes forward, for how long something took and for deadlines. */
#ifndef BG_COMMON_CLOCK_H
#define BG_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t bg_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
