/* SPDX-License-Identifier: ISC */
/*
 * trim_plan.h: which block groups of a file system have room to give back to the host, told from what is free in each and
 * from how much was written. Pure. A group that is not known to have lost blocks is left alone: to trim what the host
 * never had costs time, with a snapshot below even writes.
 */
#ifndef BG_GUEST_TRIM_PLAN_H
#define BG_GUEST_TRIM_PLAN_H

#include "guest/ext4_super.h"

enum {
	/* bytes; with less a round waits until the disk has been quiet */
	TRIM_SOON = 32 * 1024 * 1024,
	TRIM_LEAST = 1024 * 1024,      /* with less there is none */
	TRIM_GUESS = 64 * 1024 * 1024, /* written, and neither there nor seen freed */
	TRIM_EXTENT = 64 * 1024,       /* shorter ones are not worth a request */
};

struct trim_plan {
	uint32_t n;	  /* groups */
	uint32_t *low;	  /* the least blocks that were free in each since it was trimmed */
	uint64_t free;	  /* blocks at the last round */
	uint64_t written; /* bytes at the last round */
	bool all;	  /* of this round: every group that was ever used */
};

void trim_plan_free(struct trim_plan *p);
/* Takes a look in; groups that are new (the first look, a file system that has grown) have nothing to give. 0 or -ENOMEM. */
int trim_plan_look(
	struct trim_plan *p, const struct ext4_group *groups, uint32_t n, uint64_t written);
/*
 * Bytes that a round would give back, as far as they are known or guessed: what was written and is neither there nor seen
 * freed was written and deleted between two looks, nobody knows where; then p->all is set.
 */
uint64_t trim_plan_gain(struct trim_plan *p, const struct ext4_group *groups, uint32_t block_size,
	uint64_t written);
/* Whether this group is part of the round. */
bool trim_plan_wants(const struct trim_plan *p, const struct ext4_group *groups, uint32_t group,
	uint32_t block_size);
/* The round is over; groups and written are those that it was planned with. */
void trim_plan_done(struct trim_plan *p, const struct ext4_group *groups, uint64_t written);

#endif
