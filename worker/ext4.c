/* SPDX-License-Identifier: ISC */
/*
 * Life of an ext4 image: create, inodes, entries, finish. See ext4.h.
 *
 * Layout. Every group keeps its own bitmaps and inode table (no flex groups while writing),
 * blocks and inodes are handed out upwards, and the descriptor blocks plus those reserved for
 * growth are a constant sum. That makes the tail of the file system droppable at the end:
 * the image is started with its largest size and cut behind its last used block.
 * flex_bg is switched on after that, so that what the guest adds later is packed.
 */
#include "worker/ext4_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define INODE_RATIO    16384 /* bytes of space for one inode, as mke2fs has it */
#define INODE_SIZE     256
#define GROUP_BLOCKS   32768 /* 8 * EXT4_BLOCK: what one bitmap block covers */
#define GROUP_INODES   (GROUP_BLOCKS * (EXT4_BLOCK / 1024) * 1024 / INODE_RATIO)
#define DESC_PER_BLOCK (EXT4_BLOCK / 64)
/* Descriptors in use and reserved: online growth to 256 GiB, then the kernel goes on with meta_bg.
 * Growing to 8 GiB zeroes the reserved ones of nine backups: with 256 that wrote 12 MiB, now 1.5. */
#define GDT_BLOCKS	 32
#define GDT_RESERVED_MIN 16
#define TAIL_MIN	 64 /* usable blocks that make a short last group worth having */

int ext4_errno(errcode_t e)
{
	if (e == 0)
		return 0;
	if (e > 0 && e < 4096)
		return -(int)e;
	switch (e) {
	case EXT2_ET_NO_MEMORY:
		return -ENOMEM;
	case EXT2_ET_BLOCK_ALLOC_FAIL:
	case EXT2_ET_INODE_ALLOC_FAIL:
	case EXT2_ET_TOOSMALL:
		return -EFBIG;
	case EXT2_ET_SHORT_WRITE:
		return -ENOSPC;
	case EXT2_ET_EA_NO_SPACE:
		return -E2BIG;
	default:
		return -EIO;
	}
}

static void set_features(struct ext2_super_block *sb)
{
	ext2fs_set_feature_filetype(sb);
	ext2fs_set_feature_extents(sb);
	ext2fs_set_feature_64bit(sb);
	ext2fs_set_feature_dir_index(sb);
	ext2fs_set_feature_xattr(sb);
	ext2fs_set_feature_resize_inode(sb);
	ext2fs_set_feature_sparse_super(sb);
	ext2fs_set_feature_large_file(sb);
	ext2fs_set_feature_huge_file(sb);
	ext2fs_set_feature_dir_nlink(sb);
	ext2fs_set_feature_extra_isize(sb);
	ext2fs_set_feature_metadata_csum(sb);
}

static int set_params(struct ext2_super_block *p, uint64_t size)
{
	uint64_t blocks = size / EXT4_BLOCK;
	uint64_t groups = (blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS;
	uint64_t desc = (groups + DESC_PER_BLOCK - 1) / DESC_PER_BLOCK;

	memset(p, 0, sizeof(*p));
	if (blocks < 1024 || groups * GROUP_INODES > UINT32_MAX)
		return -EINVAL;
	p->s_rev_level = EXT2_DYNAMIC_REV;
	p->s_log_block_size = 2;
	p->s_log_cluster_size = 2;
	p->s_inode_size = INODE_SIZE;
	p->s_desc_size = 64;
	p->s_blocks_per_group = GROUP_BLOCKS;
	p->s_inodes_count = (uint32_t)(groups * GROUP_INODES);
	p->s_reserved_gdt_blocks =
		(uint16_t)(desc + GDT_RESERVED_MIN > GDT_BLOCKS ? GDT_RESERVED_MIN
								: GDT_BLOCKS - desc);
	ext2fs_blocks_count_set(p, blocks);
	set_features(p);
	return 0;
}

/*
 * Nothing of the host, of the moment or of chance: the same content makes the same bytes, and equal
 * images can share one file (daemon/asset/content_store.h). So the UUID only says what kind of file system
 * this is; all disks of VMs of one image have the same anyway.
 */
static void set_identity(struct ext2_super_block *sb, const char *label)
{
	size_t len = strnlen(label, sizeof(sb->s_uuid));

	/* A UUID of version 8: its bits are its maker's. */
	memcpy(sb->s_uuid, label, len);
	sb->s_uuid[6] = (uint8_t)((sb->s_uuid[6] & 0x0f) | 0x80);
	sb->s_uuid[8] = (uint8_t)((sb->s_uuid[8] & 0x3f) | 0x80);
	memcpy(sb->s_hash_seed, sb->s_uuid, sizeof(sb->s_uuid));
	sb->s_def_hash_version = EXT2_HASH_HALF_MD4;
	sb->s_flags |= EXT2_FLAGS_SIGNED_HASH;
	sb->s_min_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
	sb->s_want_extra_isize = sb->s_min_extra_isize;
	sb->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	sb->s_errors = EXT2_ERRORS_RO;
	sb->s_max_mnt_count = -1;
	sb->s_checkinterval = 0;
	sb->s_mkfs_time = sb->s_wtime = sb->s_lastcheck = 1;
	sb->s_creator_os = EXT2_OS_LINUX;
	sb->s_checksum_type = EXT2_CRC32C_CHKSUM;
	ext2fs_r_blocks_count_set(sb, 0);
	memcpy(sb->s_volume_name, label, len);
}

static int make_root(struct ext4 *e)
{
	const struct ext4_attr attr = {.mode = 0755};
	struct ext2_inode_large inode;

	for (ext2_ino_t i = 1; i < EXT2_FIRST_INODE(e->fs->super); i++)
		ext2fs_inode_alloc_stats2(e->fs, i, +1, i == EXT2_ROOT_INO);
	e->next_ino = EXT2_FIRST_INODE(e->fs->super);
	ext4_fill_inode(&inode, S_IFDIR, &attr);
	return ext4_write_inode(e, EXT2_ROOT_INO, &inode);
}

static int make_journal(struct ext4 *e)
{
	struct ext2fs_journal_params jp = {
		.num_journal_blocks = (blk_t)(e->opts.journal_size / EXT4_BLOCK)};

	if (!jp.num_journal_blocks)
		return 0;
	/* The file is all holes: what would be zeroed reads as zero already. */
	return ext4_errno(ext2fs_add_journal_inode3(
		e->fs, &jp, e->next_block, EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK));
}

static int open_fs(struct ext4 *e)
{
	struct ext2_super_block params;
	char name[16];
	int fd, r;

	r = set_params(&params, e->opts.max_size);
	if (r < 0)
		return r;
	fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 3); /* closed by libext2fs */
	if (fd < 0)
		return -errno;
	snprintf(name, sizeof(name), "%d", fd);
	r = ext4_errno(
		ext2fs_initialize(name, EXT2_FLAG_64BITS, &params, unixfd_io_manager, &e->fs));
	if (r < 0) {
		bg_close(fd);
		return r;
	}
	e->fs->now = 1;
	return 0;
}

static int populate(struct ext4 *e)
{
	int r;

	set_identity(e->fs->super, e->opts.label ? e->opts.label : "");
	ext2fs_init_csum_seed(e->fs);
	r = ext4_errno(ext2fs_allocate_tables(e->fs));
	if (r < 0)
		return r;
	e->next_block = e->fs->super->s_first_data_block;
	r = ext4_tree_init(e);
	if (r >= 0)
		r = make_root(e);
	if (r >= 0)
		r = make_journal(e);
	return r;
}

int ext4_create(int fd, const struct ext4_opts *opts, struct ext4 **ret)
{
	_unref_(ext4) struct ext4 *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->fd = fd;
	e->opts = *opts;
	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)opts->max_size) < 0)
		return -errno;
	r = open_fs(e);
	if (r >= 0)
		r = populate(e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(e);
	return 0;
}

void ext4_free(struct ext4 *e)
{
	if (!e)
		return;
	if (e->fs) {
		/* Unfinished: nothing of it is worth writing. */
		e->fs->flags &= ~EXT2_FLAG_DIRTY;
		ext2fs_free(e->fs);
	}
	ext4_file_reset(&e->file);
	free(e->file.buf);
	ext4_tree_free(e);
	free(e);
}

int ext4_new_inode(struct ext4 *e, mode_t type, ext2_ino_t *ret)
{
	ext2_ino_t ino;
	errcode_t r;

	if (e->next_ino > e->fs->super->s_inodes_count)
		return -EFBIG;
	r = ext2fs_find_first_zero_inode_bitmap2(
		e->fs->inode_map, e->next_ino, e->fs->super->s_inodes_count, &ino);
	if (r)
		return r == ENOENT ? -EFBIG : ext4_errno(r);
	ext2fs_inode_alloc_stats2(e->fs, ino, +1, type == S_IFDIR);
	e->next_ino = ino + 1;
	*ret = ino;
	return 0;
}

static void set_time(uint32_t *low, uint32_t *extra, int64_t t, uint32_t nsec)
{
	/* 34 bits from 1901 on; beyond them time stops. */
	t = BG_MAX(t, (int64_t)INT32_MIN);
	t = BG_MIN(t, (int64_t)INT32_MIN + (1LL << 34) - 1);
	*low = (uint32_t)t;
	*extra = ((uint32_t)((t - (int32_t)t) >> 32) & 3) | (nsec << 2);
}

void ext4_fill_inode(struct ext2_inode_large *ino, mode_t type, const struct ext4_attr *a)
{
	struct ext3_extent_header *eh = (void *)ino->i_block;

	memset(ino, 0, sizeof(*ino));
	ino->i_mode = (uint16_t)(type | (a->mode & 07777));
	ino->i_uid = (uint16_t)a->uid;
	ino->osd2.linux2.l_i_uid_high = (uint16_t)(a->uid >> 16);
	ino->i_gid = (uint16_t)a->gid;
	ino->osd2.linux2.l_i_gid_high = (uint16_t)(a->gid >> 16);
	ino->i_links_count = 1;
	ino->i_extra_isize = sizeof(*ino) - EXT2_GOOD_OLD_INODE_SIZE;
	set_time(&ino->i_mtime, &ino->i_mtime_extra, a->mtime, a->mtime_nsec);
	ino->i_atime = ino->i_ctime = ino->i_crtime = ino->i_mtime;
	ino->i_atime_extra = ino->i_ctime_extra = ino->i_crtime_extra = ino->i_mtime_extra;
	if (type != S_IFREG && type != S_IFDIR)
		return;
	ino->i_flags = EXT4_EXTENTS_FL;
	eh->eh_magic = EXT3_EXT_MAGIC;
	eh->eh_max = EXT4_TREE_INLINE;
}

int ext4_write_inode(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode)
{
	return ext4_errno(
		ext2fs_write_inode_full(e->fs, ino, (struct ext2_inode *)inode, sizeof(*inode)));
}

int ext4_read_inode(struct ext4 *e, ext2_ino_t ino, struct ext2_inode_large *inode)
{
	return ext4_errno(
		ext2fs_read_inode_full(e->fs, ino, (struct ext2_inode *)inode, sizeof(*inode)));
}

/* All of it: attributes that lie behind the fields would live on in the next file of that number.
 */
static int wipe_inode(struct ext4 *e, ext2_ino_t ino)
{
	uint8_t zero[INODE_SIZE] = {};

	return ext4_errno(ext2fs_write_inode_full(
		e->fs, ino, (struct ext2_inode *)(void *)zero, sizeof(zero)));
}

static int free_inode(struct ext4 *e, ext2_ino_t ino, mode_t type, struct ext2_inode_large *inode)
{
	struct ext2_inode *small = (struct ext2_inode *)inode;
	bool had_blocks = inode->i_blocks != 0;
	errcode_t r = 0;

	if (ext2fs_file_acl_block(e->fs, small))
		r = ext2fs_free_ext_attr(e->fs, ino, inode);
	if (!r && ext2fs_inode_has_valid_blocks2(e->fs, small))
		r = ext2fs_punch(e->fs, ino, small, NULL, 0, ~0ULL);
	if (r)
		return ext4_errno(r);
	/* The next file takes what was freed: lower layers that were replaced leave no gaps. */
	if (had_blocks) {
		e->next_block = e->fs->super->s_first_data_block;
		e->freed = true;
	}
	e->next_ino = BG_MIN(e->next_ino, ino);
	ext2fs_inode_alloc_stats2(e->fs, ino, -1, type == S_IFDIR);
	return wipe_inode(e, ino);
}

int ext4_drop_inode(struct ext4 *e, const struct ext4_node *node)
{
	struct ext2_inode_large inode;
	int r = ext4_read_inode(e, node->ino, &inode);

	if (r < 0)
		return r;
	if (ext4_type(node) == S_IFDIR || inode.i_links_count <= 1)
		return free_inode(e, node->ino, ext4_type(node), &inode);
	inode.i_links_count--;
	return ext4_write_inode(e, node->ino, &inode);
}

/* A directory that is told again starts anew, but for its children. */
static int forget_xattrs(struct ext4 *e, ext2_ino_t ino)
{
	struct ext2_inode_large inode;
	int r = ext4_read_inode(e, ino, &inode);

	if (r < 0)
		return r;
	if (ext2fs_file_acl_block(e->fs, (struct ext2_inode *)&inode)) {
		e->freed = true;
		r = ext4_errno(ext2fs_free_ext_attr(e->fs, ino, &inode));
	}
	return r < 0 ? r : wipe_inode(e, ino);
}

int ext4_mkdir(struct ext4 *e, const char *path, const struct ext4_attr *a, struct ext4_node **ret)
{
	struct ext2_inode_large inode;
	struct ext4_node *n;
	int r = ext4_tree_place(&e, path, S_IFDIR, &n);

	if (r < 0)
		return r;
	if (n->ino == 0)
		r = ext4_new_inode(e, S_IFDIR, &n->ino);
	else
		r = forget_xattrs(e, n->ino);
	if (r < 0)
		return r;
	ext4_fill_inode(&inode, S_IFDIR, a);
	if (ret)
		*ret = n;
	return ext4_write_inode(e, n->ino, &inode);
}

int ext4_mknod(struct ext4 *e, const char *path, mode_t type, const struct ext4_attr *a,
	struct ext4_node **ret)
{
	struct ext2_inode_large inode;
	struct ext4_node *n;
	int r = ext4_tree_place(&e, path, type, &n);

	if (r >= 0)
		r = ext4_new_inode(e, type, &n->ino);
	if (r < 0)
		return r;
	ext4_fill_inode(&inode, type, a);
	if (type == S_IFCHR || type == S_IFBLK) {
		if (a->major < 256 && a->minor < 256)
			inode.i_block[0] = a->major << 8 | a->minor;
		else
			inode.i_block[1] =
				(a->minor & 0xff) | (a->major << 8) | ((a->minor & ~0xffu) << 12);
	}
	if (ret)
		*ret = n;
	return ext4_write_inode(e, n->ino, &inode);
}

/* A target that does not fit into the inode takes one block. */
static int long_symlink(struct ext4 *e, struct ext4_node *n, struct ext2_inode_large *inode)
{
	struct ext3_extent_header *eh = (void *)inode->i_block;
	struct ext4_run run = {};
	struct ext4_runs runs = {.v = &run, .n = 1, .blocks = 1};
	char block[EXT4_BLOCK] = "";
	int r = ext4_alloc(e, 1, &run);

	if (r < 0)
		return r;
	memcpy(block, ext4_target(e, n), inode->i_size);
	r = ext4_pwrite(e, block, sizeof(block), run.physical * EXT4_BLOCK);
	if (r < 0)
		return r;
	inode->i_flags = EXT4_EXTENTS_FL;
	eh->eh_magic = EXT3_EXT_MAGIC;
	eh->eh_max = EXT4_TREE_INLINE;
	return ext4_map_runs(e, n->ino, inode, &runs);
}

int ext4_symlink(struct ext4 *e, const char *path, const char *target, const struct ext4_attr *a,
	struct ext4_node **ret)
{
	struct ext2_inode_large inode;
	size_t len = strlen(target);
	struct ext4_node *n;
	int r;

	if (len == 0 || len >= EXT4_BLOCK)
		return len ? -ENAMETOOLONG : -EINVAL;
	r = ext4_tree_place(&e, path, S_IFLNK, &n);
	if (r >= 0)
		r = ext4_tree_set_target(e, n, target);
	if (r >= 0)
		r = ext4_new_inode(e, S_IFLNK, &n->ino);
	if (r < 0)
		return r;
	if (ret)
		*ret = n;
	ext4_fill_inode(&inode, S_IFLNK, a);
	inode.i_mode = S_IFLNK | 0777;
	inode.i_size = (uint32_t)len;
	if (len >= sizeof(inode.i_block))
		return long_symlink(e, n, &inode);
	memcpy(inode.i_block, target, len);
	return ext4_write_inode(e, n->ino, &inode);
}

int ext4_link(struct ext4 *e, const char *path, const char *target)
{
	struct ext4 *source = e, *home = e;
	struct ext2_inode_large inode;
	struct ext4_node *from, *n;
	uint32_t ino, to;
	mode_t type;
	int r = e->inner ? ext4_tree_home(&home, path) : 0;

	if (r >= 0)
		r = ext4_tree_find(&source, target, EXT4_FIND_LINK, &from);
	if (r < 0)
		return r;
	type = ext4_type(from);
	if (type == S_IFDIR)
		return -EISDIR;
	if (home != source)
		return ext4_copy(source, from, e, path, NULL);
	/* from may be the very node that the new name replaces. */
	ino = from->ino;
	to = from->target;
	r = ext4_read_inode(home, ino, &inode);
	if (r < 0)
		return r;
	if (inode.i_links_count >= EXT4_LINK_MAX_)
		return -EMLINK;
	/* Counted first: placing the name may drop another link of the same file, even this one. */
	inode.i_links_count++;
	r = ext4_write_inode(home, ino, &inode);
	if (r >= 0)
		r = ext4_tree_place(&e, path, type, &n);
	if (r < 0)
		return r;
	n->ino = ino;
	n->target = to; /* nobody changes the text */
	return 0;
}

int ext4_set_xattr(struct ext4 *e, const struct ext4_node *node, const char *name,
	const void *value, size_t len)
{
	struct ext2_xattr_handle *h = NULL;
	errcode_t r = ext2fs_xattrs_open(ext4_of(e, node)->fs, node->ino, &h);

	if (!r)
		r = ext2fs_xattrs_read(h);
	if (!r)
		r = ext2fs_xattr_set(h, name, value, len);
	if (h)
		(void)ext2fs_xattrs_close(&h);
	return ext4_errno(r);
}

int ext4_lookup(struct ext4 *e, const char *path, struct ext4_node **ret)
{
	return ext4_tree_find(&e, path, EXT4_FIND_FOLLOW, ret);
}

mode_t ext4_node_type(const struct ext4_node *node)
{
	return ext4_type(node);
}

uint64_t ext4_journal_for(uint64_t size)
{
	return BG_MAX(4 * MIB, BG_MIN(size / 8, 64 * MIB)) & ~(MIB - 1);
}

uint64_t ext4_entries(const struct ext4 *e)
{
	return e->n_names - 1;
}

/* Blocks at the head of a group that its own metadata take. */
static uint64_t group_overhead(struct ext4 *e, dgrp_t g)
{
	uint64_t n = 2 + e->fs->inode_blocks_per_group;

	if (ext2fs_bg_has_super(e->fs, g))
		n += 1 + e->fs->desc_blocks + e->fs->super->s_reserved_gdt_blocks;
	return n;
}

static bool group_is_empty(struct ext4 *e, dgrp_t g)
{
	ext2_filsys fs = e->fs;
	uint64_t blocks = ext2fs_group_last_block2(fs, g) - ext2fs_group_first_block2(fs, g) + 1;

	return ext2fs_bg_free_inodes_count(fs, g) == fs->super->s_inodes_per_group &&
	       ext2fs_bg_free_blocks_count(fs, g) + group_overhead(e, g) == blocks;
}

/* The first block behind everything in use; whole groups without content do not count. */
static blk64_t used_end(struct ext4 *e)
{
	ext2_filsys fs = e->fs;
	dgrp_t g = fs->group_desc_count - 1;
	blk64_t at;

	while (g > 0 && group_is_empty(e, g))
		g--;
	at = ext2fs_group_last_block2(fs, g) + 1;
	while (at > 0 && !ext2fs_test_block_bitmap2(fs->block_map, at - 1))
		at--;
	return at;
}

/* The size in blocks that gives min_free free blocks and whole metadata in the last group. */
static uint64_t pick_size(struct ext4 *e, uint64_t min_size, uint64_t min_free)
{
	uint64_t max = ext2fs_blocks_count(e->fs->super);
	uint64_t want = BG_MAX(used_end(e), (min_size + EXT4_BLOCK - 1) / EXT4_BLOCK);
	uint64_t free_in = 0, at = used_end(e);

	/* Whatever lies behind the used end is free, less the metadata of each new group. */
	while (free_in < min_free / EXT4_BLOCK && at < max) {
		dgrp_t g = (dgrp_t)(at / GROUP_BLOCKS);
		uint64_t end = ext2fs_group_last_block2(e->fs, g) + 1;

		if (at % GROUP_BLOCKS == 0)
			at += group_overhead(e, g);
		end = BG_MIN(end, at + (min_free / EXT4_BLOCK - free_in));
		free_in += end - BG_MIN(at, end);
		at = end;
	}
	want = BG_MAX(want, at);
	want = (want + 255) & ~255ULL; /* whole MiB */
	if (want % GROUP_BLOCKS)
		want = BG_MAX(want, want / GROUP_BLOCKS * GROUP_BLOCKS + TAIL_MIN +
					    group_overhead(e, (dgrp_t)(want / GROUP_BLOCKS)));
	return BG_MIN(want, max);
}

/* Free counts of the last group and of the whole, after the cut. */
static void recount(struct ext4 *e)
{
	ext2_filsys fs = e->fs;
	blk64_t blocks = 0;
	uint32_t inodes = 0;

	for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
		blocks += ext2fs_bg_free_blocks_count(fs, g);
		inodes += ext2fs_bg_free_inodes_count(fs, g);
	}
	ext2fs_free_blocks_count_set(fs->super, blocks);
	fs->super->s_free_inodes_count = inodes;
}

/* Drops everything behind block count `blocks`; see the head of this file for why this is sound. */
static int cut(struct ext4 *e, uint64_t blocks)
{
	ext2_filsys fs = e->fs;
	dgrp_t groups = (dgrp_t)((blocks + GROUP_BLOCKS - 1) / GROUP_BLOCKS);
	uint64_t old_end = BG_MIN(ext2fs_blocks_count(fs->super), (uint64_t)groups * GROUP_BLOCKS);
	uint32_t desc = (groups + DESC_PER_BLOCK - 1) / DESC_PER_BLOCK;
	errcode_t r;

	fs->super->s_reserved_gdt_blocks =
		(uint16_t)(fs->super->s_reserved_gdt_blocks + fs->desc_blocks - desc);
	fs->desc_blocks = desc;
	fs->group_desc_count = groups;
	fs->super->s_inodes_count = groups * fs->super->s_inodes_per_group;
	ext2fs_blocks_count_set(fs->super, blocks);
	ext2fs_bg_free_blocks_count_set(fs, groups - 1,
		(blk_t)(ext2fs_bg_free_blocks_count(fs, groups - 1) - (old_end - blocks)));
	ext2fs_bg_flags_clear(fs, groups - 1, EXT2_BG_BLOCK_UNINIT);
	recount(e);
	r = ext2fs_resize_inode_bitmap2(
		fs->super->s_inodes_count, fs->super->s_inodes_count, fs->inode_map);
	if (!r)
		r = ext2fs_resize_block_bitmap2(
			blocks - 1, (uint64_t)groups * GROUP_BLOCKS - 1, fs->block_map);
	return ext4_errno(r);
}

static int close_fs(struct ext4 *e)
{
	ext2_filsys fs = e->fs;
	errcode_t r;

	ext2fs_set_feature_flex_bg(fs->super);
	fs->super->s_log_groups_per_flex = 4;
	for (dgrp_t g = 0; g < fs->group_desc_count; g++) {
		/* The tables are holes, which read as zero: the guest need not write them. */
		ext2fs_bg_flags_set(fs, g, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(fs, g);
	}
	ext2fs_mark_super_dirty(fs);
	ext2fs_mark_bb_dirty(fs);
	ext2fs_mark_ib_dirty(fs);
	r = ext2fs_close2(fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (!r)
		e->fs = NULL;
	return ext4_errno(r);
}

int ext4_finish(struct ext4 *e, uint64_t min_size, uint64_t min_free, uint64_t *ret_size)
{
	uint64_t blocks;
	int r = ext4_write_dirs(e);

	if (r < 0)
		return r;
	/* The resize inode, made after the cut, takes a block. */
	blocks = pick_size(e, min_size, BG_MAX(min_free, 16 * EXT4_BLOCK));
	r = ext4_punch_freed(e, ext2fs_blocks_count(e->fs->super));
	if (r >= 0)
		r = cut(e, blocks);
	if (r >= 0)
		r = ext4_errno(ext2fs_create_resize_inode(e->fs));
	if (r >= 0)
		r = close_fs(e);
	if (r < 0)
		return r;
	if (ftruncate(e->fd, (off_t)(blocks * EXT4_BLOCK)) < 0)
		return -errno;
	if (ret_size)
		*ret_size = blocks * EXT4_BLOCK;
	return 0;
}
