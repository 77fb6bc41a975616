/* SPDX-License-Identifier: ISC */
/*
 * space_pace.h: when is the room of a file system to be looked at again? Often where it could be gone before long, seldom where
 * it could not. Arithmetic without a clock of its own; used by the watch over free space (space.c).
 */
#ifndef BG_DAEMON_VM_SPACE_PACE_H
#define BG_DAEMON_VM_SPACE_PACE_H

#include <stdint.h>

/* Four looks a second: within one, 512 MiB (the default reserve) is a write rate of 2 GB/s. */
#define SPACE_PACE_MIN_USEC UINT64_C(250000)
#define SPACE_PACE_MAX_USEC UINT64_C(5000000)

/* Zeroed: nothing was seen yet. */
struct space_pace {
	int64_t room;	  /* at the last look */
	uint64_t at_usec; /* of the last look; 0: there was none */
	uint64_t per_sec; /* bytes that the fastest of the last looks saw go */
};

/*
 * Takes a look at now_usec that found room bytes (below 0: it could not be told), and says how long it may be until the next.
 * near: with less room than this it is MIN, as long as it takes.
 */
uint64_t space_pace_next(struct space_pace *pace, int64_t room, int64_t near, uint64_t now_usec);

#endif
