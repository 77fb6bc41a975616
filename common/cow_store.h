/* SPDX-License-Identifier: ISC */
/*
 * cow_store.h: the first bytes of a snapshot store, as the kernel writes them (struct disk_header in
 * drivers/md/dm-snap-persistent.c; numbers are little-endian). Read by banger-init before it joins
 * the root's two disks, by the disk helper, and by the worker that reads a store back. Pure.
 */
#ifndef BG_COMMON_COW_STORE_H
#define BG_COMMON_COW_STORE_H

#include <endian.h>

#include "common/base.h"

#define BG_COW_MAGIC   0x70416e53u /* "SnAp" */
#define BG_COW_VERSION 1u

struct bg_cow_head {
	uint32_t magic; /* 0 in a new store: the kernel writes the header when it first loads it */
	uint32_t valid; /* 0: a write to the store failed; what it holds up to then is whole */
	uint32_t version;
	uint32_t chunk; /* sectors; outweighs the table's */
};

enum bg_cow_state { BG_COW_NEW, BG_COW_VALID, BG_COW_INVALID, BG_COW_FOREIGN };

/* chunk: the sectors that one must have; a store of others is foreign, as is whatever is not a store. */
static inline enum bg_cow_state bg_cow_state_of(const struct bg_cow_head *head, uint32_t chunk)
{
	static const struct bg_cow_head fresh = {0};
	uint32_t valid = le32toh(head->valid);

	if (memcmp(head, &fresh, sizeof(fresh)) == 0)
		return BG_COW_NEW;
	if (le32toh(head->magic) != BG_COW_MAGIC || le32toh(head->version) != BG_COW_VERSION ||
		le32toh(head->chunk) != chunk || valid > 1)
		return BG_COW_FOREIGN;
	return valid ? BG_COW_VALID : BG_COW_INVALID;
}

_Static_assert(sizeof(struct bg_cow_head) == 16, "the kernel's format");

#endif
