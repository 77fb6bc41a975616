/* SPDX-License-Identifier: ISC */
/* See ext4_super.h. */
#include "guest/ext4_super.h"

#include <endian.h>
#include <unistd.h>

enum {
	SB_BLOCKS_LO = 0x04,
	SB_FIRST_BLOCK = 0x14,
	SB_LOG_BLOCK = 0x18,
	SB_GROUP_BLOCKS = 0x20,
	SB_MAGIC = 0x38,
	SB_STATE = 0x3a,
	SB_COMPAT = 0x5c,
	SB_INCOMPAT = 0x60,
	SB_RO_COMPAT = 0x64,
	SB_DESC_SIZE = 0xfe,
	SB_FIRST_META = 0x104,
	SB_BLOCKS_HI = 0x150,
	MAGIC = 0xef53,
	STATE_ERRORS = 2,
	COMPAT_SPARSE2 = 0x200,
	INCOMPAT_META_BG = 0x10,
	INCOMPAT_64BIT = 0x80,
	RO_SPARSE = 0x1,
	RO_GDT_CSUM = 0x10,
	RO_BIGALLOC = 0x200,
	RO_METADATA_CSUM = 0x400,
	LOG_BLOCK_MAX = 6, /* 64 KiB */
	DESC_OLD = 32,
	DESC_64BIT = 64,
	GROUPS_MAX = 1 << 20, /* 128 TiB of 4 KiB blocks */
	BG_FREE_LO = 0x0c,
	BG_FLAGS = 0x12,
	BG_FREE_HI = 0x2c,
	BG_BLOCK_UNINIT = 2,
};

static uint32_t le32_at(const uint8_t *p, size_t at)
{
	uint32_t v;

	memcpy(&v, p + at, sizeof(v));
	return le32toh(v);
}

static uint32_t le16_at(const uint8_t *p, size_t at)
{
	uint16_t v;

	memcpy(&v, p + at, sizeof(v));
	return le16toh(v);
}

/* Clusters, and copies of the superblock at two chosen places: nothing of ours has them. */
static bool known_groups(const uint8_t *p, const struct ext4_super *s)
{
	return s->group_blocks > 0 && s->group_blocks <= 8 * s->block_size &&
	       s->first_block < s->blocks && s->desc_size >= DESC_OLD &&
	       s->desc_size <= s->block_size && !(s->desc_size & (s->desc_size - 1)) &&
	       !(le32_at(p, SB_RO_COMPAT) & RO_BIGALLOC) &&
	       !(le32_at(p, SB_COMPAT) & COMPAT_SPARSE2);
}

static void parse_groups(const uint8_t *p, struct ext4_super *s)
{
	uint32_t incompat = le32_at(p, SB_INCOMPAT), ro = le32_at(p, SB_RO_COMPAT);
	uint64_t n;

	s->group_blocks = le32_at(p, SB_GROUP_BLOCKS);
	s->first_block = le32_at(p, SB_FIRST_BLOCK);
	s->desc_size = incompat & INCOMPAT_64BIT ? le16_at(p, SB_DESC_SIZE) : DESC_OLD;
	s->first_meta = incompat & INCOMPAT_META_BG ? le32_at(p, SB_FIRST_META) : UINT32_MAX;
	s->sparse = ro & RO_SPARSE;
	s->flags = ro & (RO_GDT_CSUM | RO_METADATA_CSUM);
	if (!known_groups(p, s))
		return;
	n = (s->blocks - s->first_block + s->group_blocks - 1) / s->group_blocks;
	s->groups = n <= GROUPS_MAX ? (uint32_t)n : 0;
}

int ext4_super_parse(const uint8_t p[EXT4_SUPER_BYTES], struct ext4_super *ret)
{
	struct ext4_super s = {0};

	if (le16_at(p, SB_MAGIC) != MAGIC || le32_at(p, SB_LOG_BLOCK) > LOG_BLOCK_MAX)
		return -EMEDIUMTYPE;
	s.block_size = 1024u << le32_at(p, SB_LOG_BLOCK);
	s.blocks = le32_at(p, SB_BLOCKS_LO);
	if (le32_at(p, SB_INCOMPAT) & INCOMPAT_64BIT)
		s.blocks |= (uint64_t)le32_at(p, SB_BLOCKS_HI) << 32;
	s.errors = le16_at(p, SB_STATE) & STATE_ERRORS;
	parse_groups(p, &s);
	*ret = s;
	return 0;
}

int ext4_super_read(int dev_fd, struct ext4_super *ret)
{
	uint8_t p[EXT4_SUPER_BYTES];
	ssize_t n = pread(dev_fd, p, sizeof(p), EXT4_SUPER_AT);

	if (n != (ssize_t)sizeof(p))
		return n < 0 ? -errno : -EIO;
	return ext4_super_parse(p, ret);
}

static bool is_power(uint32_t n, uint32_t of)
{
	while (n % of == 0)
		n /= of;
	return n == 1;
}

static bool has_super(const struct ext4_super *s, uint32_t group)
{
	return !s->sparse || group <= 1 || is_power(group, 3) || is_power(group, 5) ||
	       is_power(group, 7);
}

uint64_t ext4_group_at(const struct ext4_super *s, uint32_t group)
{
	uint32_t per_block = s->block_size / s->desc_size, n = group / per_block;
	uint64_t block = (uint64_t)s->first_block + 1 + n;

	if (n >= s->first_meta)
		block = s->first_block + (uint64_t)n * per_block * s->group_blocks +
			has_super(s, n * per_block);
	return block * s->block_size + group % per_block * s->desc_size;
}

void ext4_group_parse(const struct ext4_super *s, const uint8_t *desc, struct ext4_group *ret)
{
	ret->free = le16_at(desc, BG_FREE_LO);
	if (s->desc_size >= DESC_64BIT)
		ret->free |= le16_at(desc, BG_FREE_HI) << 16;
	ret->free = BG_MIN(ret->free, s->group_blocks);
	ret->untouched = s->flags && (le16_at(desc, BG_FLAGS) & BG_BLOCK_UNINIT);
}
