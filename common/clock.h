/* SPDX-License-Identifier: ISC */
/* clock.h: time that only goes forward, for how long something took and for deadlines; any clock in microseconds. */
#ifndef BG_COMMON_CLOCK_H
#define BG_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds of that clock. */
static inline uint64_t bg_now_usec(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Milliseconds of CLOCK_MONOTONIC. */
static inline uint64_t bg_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
