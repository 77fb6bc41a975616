/* SPDX-License-Identifier: ISC */
/*
 * disk_layout.h: what an overlay file is, for bangerd that makes it (a sparse file of
 * bg_disk_overlay_size) and the disk helper that makes a block device of it.
 *
 *   [ snapshot store: changed chunks of the base | tail: the disk beyond the base's end ]
 *
 * The store has room for every chunk of the base, so a snapshot never runs full while the
 * file system has room; the tail is plain blocks, so growth costs no copy-on-write. The store's
 * format is the kernel's (drivers/md/dm-snap-persistent.c): a header chunk, then areas of
 * one chunk of 256 exceptions and the chunks they name.
 */
#ifndef BG_DISK_LAYOUT_H
#define BG_DISK_LAYOUT_H

#include "common/base.h"
#include "common/limits.h"

#define BG_DISK_NODE_DIR "/dev/banger" /* device nodes: <uid>-<slot> */
#define BG_DISK_CHUNK	 4096	       /* bytes; DISK_CHUNK_SECTORS in a table */

/* Whole chunks only, and no more than a disk can have. */
static inline bool bg_disk_size_ok(uint64_t size, uint64_t max)
{
	return size > 0 && size % BG_DISK_CHUNK == 0 && size <= max;
}

/* Bytes of the snapshot store for a base of this size; a multiple of 1 MiB. */
static inline uint64_t bg_disk_store_size(uint64_t base)
{
	uint64_t chunks = base / BG_DISK_CHUNK;
	uint64_t store = (1 + chunks + chunks / 256 + 4) * BG_DISK_CHUNK;

	return (store + MIB - 1) / MIB * MIB;
}

/* Bytes of the overlay file of a disk of this size, which is at least base. */
static inline uint64_t bg_disk_overlay_size(uint64_t base, uint64_t disk)
{
	return bg_disk_store_size(base) + (disk - base);
}

#endif
