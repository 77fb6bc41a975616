/* SPDX-License-Identifier: ISC */
/*
 * disk_layout.h: the file of a disk that keeps only what differs from its image, for bangerd that
 * makes it (sparse), for the worker that reads it back, and for those who make a block device of it
 * and the image: the disk helper or banger-init in the guest. Chunks are of 4 KiB, a block of ext4; those that banger-init joins had 16 KiB until 0.1, and
 * keep them: what such a guest frees cannot be given back, since dm-snapshot takes a discard that begins inside a chunk for a whole one.
 *
 *   [ snapshot store: changed chunks of the base | tail: the disk beyond the base's end ]
 *
 * The store has room for every chunk of the base, so a snapshot never runs full while the
 * file system has room; the tail is plain blocks, so growth costs no copy-on-write. The store's
 * format is the kernel's (drivers/md/dm-snap-persistent.c): a header chunk, then areas of
 * one chunk of pairs (little-endian) and the chunks that these name; cow_store.h has its header.
 *
 * In the guest the base ends at its last whole chunk; what lies behind that begins the tail.
 */
#ifndef BG_COMMON_DISK_LAYOUT_H
#define BG_COMMON_DISK_LAYOUT_H

#include "common/base.h"
#include "common/limits.h"

#define BG_SECTOR	 512
#define BG_DISK_NODE_DIR "/dev/banger" /* device nodes: <uid>-<slot> */
#define BG_DISK_CHUNK	 4096	       /* bytes; DISK_CHUNK_SECTORS in a table */
#define BG_COW_CHUNK	 4096	       /* the same in the guest, of disks that are made now */
#define BG_COW_CHUNK_OLD 16384	       /* of a row that does not say */

/* In an area: chunk old of the base is kept in chunk new of the store; new 0 ends the list. */
struct bg_store_pair {
	uint64_t old_chunk, new_chunk;
};

/* Whole chunks only, and no more than a disk can have. */
static inline bool bg_disk_size_ok(uint64_t size, uint64_t max)
{
	return size > 0 && size % BG_DISK_CHUNK == 0 && size <= max;
}

/* How many pairs an area has. */
static inline uint64_t bg_store_pairs(uint64_t chunk)
{
	return chunk / sizeof(struct bg_store_pair);
}

/* Bytes of the snapshot store for a base of this size; a multiple of 1 MiB. */
static inline uint64_t bg_disk_store_size(uint64_t base, uint64_t chunk)
{
	uint64_t chunks = base / chunk;
	uint64_t store = (1 + chunks + chunks / bg_store_pairs(chunk) + 4) * chunk;

	return (store + MIB - 1) / MIB * MIB;
}

/* Bytes of the file of a disk of this size, which is at least base. */
static inline uint64_t bg_disk_overlay_size(uint64_t base, uint64_t disk)
{
	return bg_disk_store_size(base, BG_DISK_CHUNK) + (disk - base);
}

/* What of a base the snapshot in a guest covers. */
static inline uint64_t bg_cow_covered(uint64_t base, uint64_t chunk)
{
	return base / chunk * chunk;
}

static inline uint64_t bg_cow_store_size(uint64_t base, uint64_t chunk)
{
	return bg_disk_store_size(bg_cow_covered(base, chunk), chunk);
}

/* As bg_disk_overlay_size, of a disk that the guest joins. */
static inline uint64_t bg_cow_file_size(uint64_t base, uint64_t disk, uint64_t chunk)
{
	return bg_cow_store_size(base, chunk) + (disk - bg_cow_covered(base, chunk));
}

#endif
