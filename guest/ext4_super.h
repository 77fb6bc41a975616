/* SPDX-License-Identifier: ISC */
/*
 * ext4_super.h: what the superblock and the group descriptors of an ext4 file system say, read from its device: a mounted
 * one keeps them in the device's page cache, so they are of now. Pure: bytes in, checked numbers out. Layout: the
 * kernel's Documentation/filesystems/ext4.
 */
#ifndef BG_GUEST_EXT4_SUPER_H
#define BG_GUEST_EXT4_SUPER_H

#include "common/base.h"

enum { EXT4_SUPER_AT = 1024, EXT4_SUPER_BYTES = 1024, EXT4_BLOCK_MAX = 64 * 1024 };

struct ext4_super {
	uint64_t blocks;
	uint32_t block_size;
	bool errors; /* the kernel or e2fsck has found it damaged, and nothing has set it right */
	/* Of its groups; 0 where they are of a kind that is not known here. */
	uint32_t groups, group_blocks;
	uint32_t first_block; /* of group 0 */
	uint32_t desc_size;   /* whole ones in a block */
	uint32_t first_meta;  /* from this block of descriptors on each lies in its own groups */
	bool sparse;	      /* not every group has a copy of the superblock */
	bool flags;	      /* of groups: they are kept */
};

struct ext4_group {
	uint32_t free;	/* blocks */
	bool untouched; /* no block of it was ever given to a file */
};

/* -EMEDIUMTYPE: not ext4, or of a block size that no kernel takes. */
int ext4_super_parse(const uint8_t bytes[EXT4_SUPER_BYTES], struct ext4_super *ret);
int ext4_super_read(int dev_fd, struct ext4_super *ret);
/* Where on the device the descriptor of a group is. */
uint64_t ext4_group_at(const struct ext4_super *s, uint32_t group);
/* desc: desc_size bytes, of which 64 have a meaning. */
void ext4_group_parse(const struct ext4_super *s, const uint8_t *desc, struct ext4_group *ret);

#endif
