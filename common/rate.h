/* SPDX-License-Identifier: ISC */
/*
 * rate.h: how often a guest may make this host do something: so many at once, then one each so many microseconds. Used by
 * daemon/driver and daemon/vm. Plain numbers; the caller has the clock.
 */
#ifndef BG_COMMON_RATE_H
#define BG_COMMON_RATE_H

#include "common/base.h"

struct bg_rate {
	unsigned max;	      /* at once */
	uint64_t earned_usec; /* one more each */
	unsigned left;
	uint64_t since_usec;
};

static inline struct bg_rate bg_rate_of(unsigned max, uint64_t earned_usec, uint64_t now_usec)
{
	return (struct bg_rate){max, earned_usec, max, now_usec};
}

static inline bool bg_rate_take(struct bg_rate *r, uint64_t now_usec)
{
	uint64_t earned = (now_usec - r->since_usec) / r->earned_usec;

	r->left = (unsigned)BG_MIN(r->left + earned, (uint64_t)r->max);
	r->since_usec += earned * r->earned_usec;
	if (r->left == 0)
		return false;
	r->left--;
	return true;
}

#endif
