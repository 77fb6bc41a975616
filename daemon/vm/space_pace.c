/* SPDX-License-Identifier: ISC */
/* See space_pace.h. */
#include "daemon/vm/space_pace.h"

#include "common/base.h"

/*
 * FASTEST: no disk of today takes more, so that room which is as far away as this cannot be gone
 * before the next look, whoever begins to write. PART: of what is left, those that write already
 * may take one part in so many until then, so that one who fills the disk is seen more and more
 * closely, and one who writes a little beside much room costs nothing.
 */
#define FASTEST_PER_SEC (4 * GIB)
#define USEC_PER_SEC	UINT64_C(1000000)

enum {
	PART = 8,
	FORGET = 4, /* of the rate seen before, one part in so many is forgotten with each look */
};

static void learn(struct space_pace *pace, int64_t room, uint64_t now_usec)
{
	uint64_t usec = now_usec - pace->at_usec;
	uint64_t gone = pace->room > room ? (uint64_t)(pace->room - room) : 0;

	pace->per_sec -= pace->per_sec / FORGET;
	if (pace->at_usec && usec > 0)
		pace->per_sec = BG_MAX(
			pace->per_sec, (uint64_t)((double)gone * USEC_PER_SEC / (double)usec));
	pace->room = room;
	pace->at_usec = now_usec;
}

static uint64_t usec_for(uint64_t bytes, uint64_t per_sec)
{
	double usec = (double)bytes * USEC_PER_SEC / (double)BG_MAX(per_sec, UINT64_C(1));

	return usec < (double)SPACE_PACE_MAX_USEC ? (uint64_t)usec : SPACE_PACE_MAX_USEC;
}

uint64_t space_pace_next(struct space_pace *pace, int64_t room, int64_t near, uint64_t now_usec)
{
	uint64_t left, usec;

	if (room < 0) {
		*pace = (struct space_pace){0};
		return SPACE_PACE_MIN_USEC;
	}
	learn(pace, room, now_usec);
	if (room <= near)
		return SPACE_PACE_MIN_USEC;
	left = (uint64_t)(room - near);
	usec = BG_MIN(usec_for(left, FASTEST_PER_SEC), usec_for(left / PART, pace->per_sec));
	return BG_MAX(usec, SPACE_PACE_MIN_USEC);
}
